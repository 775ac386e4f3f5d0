//! The spool's folder: how a sample gets into it, out of it, and what is found in it after a crash.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::entry::{Entry, Id, Written};
use super::payload::digest;
use super::{SpoolError, Stored};
use crate::host::durable::{self, FileError, TEMPORARY, during};

/// The file that says what a sample is.
pub(super) const SAMPLE_FILE: &str = "sample.json";

/// Where damaged and refused samples are moved.
const QUARANTINE: &str = "quarantine";

/// What a file system makes at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// The largest `sample.json` that is read: a hundred predictions with long labels have room to spare.
const MAX_SAMPLE_JSON: u64 = 1 << 20;

/// What a file or a folder takes at least on disk.
const BLOCK_BYTES: u64 = 4096;

/// The folder.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
}

/// What lies in the folder at the start.
pub(super) enum Found {
    /// A sample.
    Whole(Entry),
    /// What was none, now in quarantine under this name; `None` where it could not be moved.
    Damaged { moved: Option<String>, bytes: u64 },
    /// What an earlier run put into quarantine.
    Quarantined { name: String, bytes: u64 },
    /// A left-over that could not be removed.
    Stuck { path: PathBuf, bytes: u64 },
}

impl Disk {
    pub(super) fn open(folder: &Path) -> Result<Self, FileError> {
        // Samples are only as durable as the names of the folders that they are in.
        durable::create_folder(folder)?;
        durable::create_folder(&folder.join(QUARANTINE))?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub(super) fn folder_of(&self, id: &Id) -> PathBuf {
        self.folder.join(id.to_string())
    }

    pub(super) fn quarantined(&self, name: &str) -> PathBuf {
        self.folder.join(QUARANTINE).join(name)
    }

    /// Goes through all that lies in the folder and puts it in order. What cannot be put in order is logged and counted.
    pub(super) fn recover(&self, mut report: impl FnMut(Found)) -> Result<(), FileError> {
        for name in names_in(&self.folder.join(QUARANTINE))? {
            let bytes = footprint(&self.quarantined(&name));
            report(Found::Quarantined { name, bytes });
        }
        for name in names_in(&self.folder)? {
            if name.starts_with(TEMPORARY) {
                if let Some(stuck) = self.clean(&name) {
                    report(stuck);
                }
            } else if name != QUARANTINE && name != LOST_AND_FOUND {
                report(self.examine(&name));
            }
        }
        Ok(())
    }

    /// Removes what a crash left; gives it where that cannot be done.
    fn clean(&self, name: &str) -> Option<Found> {
        let path = self.folder.join(name);
        let bytes = footprint(&path);
        let error = remove_all(&path).err()?;
        tracing::warn!(path = %path.display(), %error, "cannot remove what a crash left in the spool");
        Some(Found::Stuck { path, bytes })
    }

    fn examine(&self, name: &str) -> Found {
        let path = self.folder.join(name);
        let bytes = footprint(&path);
        match read_entry(&path, name) {
            Ok(written) => Found::Whole(written.entry(bytes)),
            Err(what) => {
                let moved = self.quarantine(name);
                tracing::warn!(sample = name, what, moved = moved.is_ok(), "damaged sample in the spool");
                Found::Damaged { moved: moved.ok(), bytes }
            }
        }
    }

    /// Writes a sample; once this returns it survives a power cut. On an error nothing of it is left, if the disk lets it.
    pub(super) fn write(&self, id: &Id, json: &[u8], payload: (&str, &[u8])) -> Result<(), FileError> {
        let folder = self.folder_of(id);
        let temporary = self.temporary(&folder);
        let (payload_file, content) = payload;
        fs::create_dir(&temporary).map_err(during("create", &temporary))?;
        durable::write_synced(&temporary.join(payload_file), content)?;
        durable::write_synced(&temporary.join(SAMPLE_FILE), json)?;
        durable::sync_folder(&temporary)?;
        durable::rename(&temporary, &folder)
    }

    pub(super) fn read(&self, entry: &Entry) -> Result<Stored, SpoolError> {
        let damaged = |what: String| SpoolError::Damaged { id: entry.id, what };
        let folder = self.folder_of(&entry.id);
        let read = |file: &str| {
            let path = folder.join(file);
            match fs::read(&path) {
                Ok(content) => Ok(content),
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => {
                    Err(damaged(format!("{file} is missing")))
                }
                Err(error) => Err(FileError::new("read", &path, error).into()),
            }
        };
        let (json, payload) = (read(SAMPLE_FILE)?, read(&entry.payload.file)?);
        let written: Written = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
        if written.id != entry.id || written.payload != entry.payload {
            return Err(damaged(format!("{SAMPLE_FILE} is another's")));
        }
        if digest(&payload) != entry.payload.sha256 {
            return Err(damaged(format!("the digest of {} is not the one in {SAMPLE_FILE}", entry.payload.file)));
        }
        Ok(Stored { json, payload })
    }

    /// Deletes a folder: it loses its name first, so that a crash half-way leaves nothing that looks whole. May be repeated
    /// after an error.
    pub(super) fn erase(&self, folder: &Path) -> Result<(), FileError> {
        let temporary = self.temporary(folder);
        if temporary != folder {
            match fs::rename(folder, &temporary) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => {}
                renamed => {
                    renamed.map_err(during("rename", folder))?;
                    durable::sync_folder(folder.parent().unwrap_or(&self.folder))?;
                }
            }
        }
        remove_all(&temporary).map_err(during("remove", &temporary))
    }

    /// Moves a folder into quarantine; gives its name there.
    pub(super) fn quarantine(&self, name: &str) -> Result<String, FileError> {
        let mut kept = name.to_owned();
        if self.quarantined(name).exists() {
            kept = format!("{name}-{:016x}", fastrand::u64(..));
        }
        durable::rename(&self.folder.join(name), &self.quarantined(&kept))?;
        durable::sync_folder(&self.folder)?;
        Ok(kept)
    }

    /// Where a folder is while it is written or erased. Ids are unique, so there is never another of that name.
    fn temporary(&self, folder: &Path) -> PathBuf {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(TEMPORARY) { folder.to_owned() } else { self.folder.join(format!("{TEMPORARY}{name}")) }
    }
}

/// What files of these lengths take on disk, with the folder that they are in.
pub(super) fn blocks(lengths: &[u64]) -> u64 {
    let rounded = |length: &u64| length.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES);
    lengths.iter().map(rounded).fold(BLOCK_BYTES, u64::saturating_add)
}

fn footprint(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return blocks(&[metadata.len()]) - BLOCK_BYTES;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| footprint(&entry.path())).fold(BLOCK_BYTES, u64::saturating_add)
}

fn names_in(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = fs::read_dir(folder).map_err(during("list", folder))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    names.collect::<Result<_, _>>().map_err(during("list", folder))
}

/// Removes a file or a folder with all that is in it; nothing there is fine.
fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Reads and checks one sample, but for the payload's digest: that costs a read of everything and is checked on delivery.
fn read_entry(folder: &Path, name: &str) -> Result<Written, String> {
    let id: Id = name.parse().map_err(|_| "its name is no id".to_owned())?;
    let mut json = Vec::new();
    let file = File::open(folder.join(SAMPLE_FILE)).map_err(|error| format!("{SAMPLE_FILE}: {error}"))?;
    file.take(MAX_SAMPLE_JSON).read_to_end(&mut json).map_err(|error| format!("{SAMPLE_FILE}: {error}"))?;
    let written: Written = serde_json::from_slice(&json).map_err(|error| format!("{SAMPLE_FILE}: {error}"))?;
    if written.id != id {
        return Err(format!("{SAMPLE_FILE} is that of {}", written.id));
    }
    let file = &written.payload.file;
    if Path::new(file).components().count() != 1 || Path::new(file).file_name().is_none() {
        return Err(format!("`{file}` is no file name"));
    }
    let metadata = fs::symlink_metadata(folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
    if !metadata.is_file() || metadata.len() != written.payload.bytes {
        return Err(format!("{file} has {} of {} bytes", metadata.len(), written.payload.bytes));
    }
    Ok(written)
}
