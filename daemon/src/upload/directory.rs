//! A folder as destination, for example a mounted share: each sample becomes a folder `<id>` in it, whole once it has
//! that name. The folder itself must exist: an unmounted share must not fill the disk beneath it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Refusal, blocking};
use crate::host::durable::{self, FileError, TEMPORARY, during};
use crate::host::error::with_causes;
use crate::spool::{Entry, Stored};

/// The folder.
#[derive(Debug)]
pub(super) struct Directory {
    folder: PathBuf,
}

impl Directory {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) async fn deliver(&self, entry: Arc<Entry>, sample: Stored) -> Result<(), Refusal> {
        let folder = self.folder.clone();
        blocking(move || copy(&folder, &entry, &sample)).await.map_err(|error| refusal(&error))
    }
}

fn refusal(error: &FileError) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied => {
            Refusal::Misconfigured(format!(
                "{}; does upload.directory exist, and may inferd write to it?",
                with_causes(error)
            ))
        }
        _ => Refusal::Later { reason: with_causes(error), after: None },
    }
}

fn copy(target: &Path, entry: &Entry, sample: &Stored) -> Result<(), FileError> {
    let folder = target.join(entry.id.to_string());
    if holds(&folder, entry, sample) {
        return Ok(());
    }
    // The same name at each attempt, so that a crash leaves at most one.
    let temporary = target.join(format!("{TEMPORARY}{}", entry.id));
    remove(&temporary)?;
    fs::create_dir(&temporary).map_err(during("create", &temporary))?;
    durable::write_synced(&temporary.join(&entry.payload.file), &sample.payload)?;
    durable::write_synced(&temporary.join("sample.json"), &sample.json)?;
    durable::sync_folder(&temporary)?;
    // What is there under this id is not this sample, so it is a damaged copy of it.
    remove(&folder)?;
    durable::rename(&temporary, &folder)
}

fn holds(folder: &Path, entry: &Entry, sample: &Stored) -> bool {
    let same = |file: &str, content: &[u8]| fs::read(folder.join(file)).is_ok_and(|found| found == content);
    same("sample.json", &sample.json) && same(&entry.payload.file, &sample.payload)
}

fn remove(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", folder, error)),
        _ => Ok(()),
    }
}
