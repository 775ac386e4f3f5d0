//! Files that are whole or absent, also after a power cut.
//!
//! Invariants:
//! - What carries its final name is complete: it was written under a temporary name, synced, renamed, and its folder
//!   synced. A crash at any point leaves the old content or the new one.
//! - Temporary names begin with [`TEMPORARY`], so that start-up can tell left-overs and remove them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What temporary names begin with.
pub const TEMPORARY: &str = ".tmp-";

/// An operation on a file that failed, and on which.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// The error of `action` ("read", "remove" …) on `path`.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }

    /// What the system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Shorthand for `.map_err(during("read", path))`.
pub fn during(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}

/// Replaces the content of `path`, or makes it.
///
/// # Errors
/// [`FileError`]; `path` is as it was then, and no temporary file is left.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = temporary_beside(path);
    let written = write_synced(&temporary, content).and_then(|()| rename(&temporary, path));
    if written.is_err() {
        // Best effort: on a dead disk this fails too, and start-up removes what it finds.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Writes a new file and syncs its content. The name itself is durable only after [`sync_folder`].
///
/// # Errors
/// [`FileError`], also where the file is there already.
pub fn write_synced(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file = File::create_new(path).map_err(during("create", path))?;
    file.write_all(content).map_err(during("write", path))?;
    file.sync_all().map_err(during("sync", path))
}

/// Renames within one file system, over what is there, and makes the new name durable.
///
/// # Errors
/// [`FileError`]
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(during("rename", from))?;
    match to.parent() {
        // A name without a folder lies in the working directory.
        Some(folder) if folder.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

/// Makes names in a folder durable.
///
/// # Errors
/// [`FileError`]
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let handle = File::open(folder).map_err(during("open", folder))?;
    handle.sync_all().map_err(during("sync", folder))
}

/// Removes a folder with all that is in it, in two steps: it loses its name first, so that a crash half-way leaves
/// nothing that looks whole.
///
/// # Errors
/// [`FileError`]
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    let temporary = temporary_beside(path);
    rename(path, &temporary)?;
    fs::remove_dir_all(&temporary).map_err(during("remove", &temporary))
}

/// Removes what a crash left under temporary names in `folder`; gives how many entries that were.
///
/// # Errors
/// [`FileError`]
pub fn remove_leftovers(folder: &Path) -> Result<usize, FileError> {
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(during("list", folder))? {
        let path = entry.map_err(during("list", folder))?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY)) {
            continue;
        }
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.map_err(during("remove", &path))?;
        removed += 1;
    }
    Ok(removed)
}

/// A temporary name in the same folder as `path`, so that a rename is atomic.
pub fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMPORARY}{name}-{:016x}", fastrand::u64(..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_leaves_new_content_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.toml");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replace_leaves_no_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("by-a-folder")).unwrap();
        assert!(replace(&path, b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_go_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        replace(&kept, b"1").unwrap();
        fs::create_dir(temporary_beside(&kept)).unwrap();
        write_synced(&temporary_beside(&kept), b"half").unwrap();
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 2);
        assert!(kept.exists());
    }
}
