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
    took_effect: bool,
}

impl FileError {
    /// The error of `action` ("read", "remove" …) on `path`.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source, took_effect: false }
    }

    /// What the system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the medium itself could not be read or written (EIO), where others speak of this process or of rights.
    pub fn is_of_medium(&self) -> bool {
        self.source.raw_os_error() == Some(libc::EIO)
    }

    /// Whether what was asked for is there all the same: everything was done but for the last sync, so that a power cut may
    /// undo it.
    pub const fn took_effect(&self) -> bool {
        self.took_effect
    }
}

/// Shorthand for `.map_err(during("read", path))`.
pub fn during(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source, took_effect: false }
}

/// Replaces the content of `path`, or makes it.
///
/// # Errors
/// [`FileError`]; no temporary file is left. `path` is as it was then, unless the error [took
/// effect](FileError::took_effect): the new content has the name, but a power cut may bring the old one back.
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
    sync(&file, path)
}

/// Renames within one file system, over what is there, and makes the new name durable.
///
/// # Errors
/// [`FileError`]; one that [took effect](FileError::took_effect) says that the rename is done but not durable.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(during("rename", from))?;
    sync_name(to).map_err(|error| FileError { took_effect: true, ..error })
}

/// Makes the content of a file durable that was written earlier, perhaps by a run that died before its sync.
///
/// # Errors
/// [`FileError`]
pub fn sync_file(path: &Path) -> Result<(), FileError> {
    sync(&File::open(path).map_err(during("open", path))?, path)
}

/// Makes names in a folder durable.
///
/// # Errors
/// [`FileError`]
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    sync(&File::open(folder).map_err(during("open", folder))?, folder)
}

/// Makes a folder, and those that it is in, durably. One that is there is made durable too: the run that made it may have
/// died before it was.
///
/// # Errors
/// [`FileError`]
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    let absent = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
    fs::create_dir_all(path).map_err(during("create", path))?;
    path.ancestors().take(absent.max(1)).try_for_each(sync_name)
}

/// Makes the name of `path` durable, in the folder that it is in.
fn sync_name(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        // A name without a folder lies in the working directory.
        Some(folder) if folder.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

fn sync(file: &File, path: &Path) -> Result<(), FileError> {
    #[cfg(test)]
    watched::sync(path).map_err(during("sync", path))?;
    file.sync_all().map_err(during("sync", path))
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

/// What a test sees of the syncs of its thread, which leave no other trace until the power fails.
#[cfg(test)]
pub(crate) mod watched {
    use std::cell::RefCell;
    use std::io;
    use std::path::{Path, PathBuf};

    thread_local! {
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
        static BROKEN: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    }

    pub(super) fn sync(path: &Path) -> io::Result<()> {
        if BROKEN.with_borrow(|broken| broken.as_deref() == Some(path)) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
        Ok(())
    }

    /// What this thread has synced since the last call, in order.
    pub(crate) fn take_synced() -> Vec<PathBuf> {
        SYNCED.take()
    }

    /// Lets every sync of `path` by this thread fail while `work` runs.
    pub(crate) fn with_broken<T>(path: &Path, work: impl FnOnce() -> T) -> T {
        BROKEN.set(Some(path.to_owned()));
        let done = work();
        BROKEN.set(None);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replace_whose_last_sync_fails_says_that_the_new_content_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.toml");
        replace(&path, b"old").unwrap();
        let failed = watched::with_broken(folder.path(), || replace(&path, b"new")).unwrap_err();
        assert!(failed.took_effect() && failed.is_of_medium(), "{failed}");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_durable_with_those_that_were_made_for_it_and_also_where_it_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        watched::take_synced();
        create_folder(&path).unwrap();
        assert_eq!(watched::take_synced(), [folder.path().join("a"), folder.path().to_owned()]);
        create_folder(&path).unwrap();
        assert_eq!(watched::take_synced(), [folder.path().join("a")]);
    }

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
        assert!(!replace(&path, b"new").unwrap_err().took_effect());
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
