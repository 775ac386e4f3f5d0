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

/// The file beside the payload.
const SAMPLE_FILE: &str = "sample.json";

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
        // Read from memory perhaps: an earlier attempt may have ended between its rename and the last sync, and the spool's
        // copy is deleted next.
        durable::sync_file(&folder.join(&entry.payload.file))?;
        durable::sync_file(&folder.join(SAMPLE_FILE))?;
        durable::sync_folder(&folder)?;
        return durable::sync_folder(target);
    }
    // The same name at each attempt, so that a crash leaves at most one.
    let temporary = target.join(format!("{TEMPORARY}{}", entry.id));
    remove(&temporary)?;
    fs::create_dir(&temporary).map_err(during("create", &temporary))?;
    durable::write_synced(&temporary.join(&entry.payload.file), &sample.payload)?;
    durable::write_synced(&temporary.join(SAMPLE_FILE), &sample.json)?;
    durable::sync_folder(&temporary)?;
    // What is there under this id is not this sample, so it is a damaged copy of it.
    remove(&folder)?;
    durable::rename(&temporary, &folder)
}

fn holds(folder: &Path, entry: &Entry, sample: &Stored) -> bool {
    let same = |file: &str, content: &[u8]| fs::read(folder.join(file)).is_ok_and(|found| found == content);
    same(SAMPLE_FILE, &sample.json) && same(&entry.payload.file, &sample.payload)
}

fn remove(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("remove", folder, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::durable::watched;
    use crate::spool::{PayloadFile, Reason, Why};

    fn entry() -> Entry {
        Entry {
            id: "0198c0de-0000-7000-8000-00000000abcd".parse().unwrap(),
            pipeline: "belt".parse().unwrap(),
            reason: Reason { why: Why::Margin, uncertainty: 0.5 },
            time: String::new(),
            label: None,
            confidence: 0.5,
            bytes: 0,
            payload: PayloadFile {
                file: "payload.jpg".into(),
                format: "jpeg".into(),
                bytes: 7,
                sha256: inferd_core::Digest::from_bytes([0; 32]),
            },
        }
    }

    #[test]
    fn what_an_attempt_left_without_its_last_sync_is_delivered_only_once_it_is_durable() {
        let target = tempfile::tempdir().unwrap();
        let (entry, sample) = (entry(), Stored { json: b"{}".to_vec(), payload: b"picture".to_vec() });
        let folder = target.path().join(entry.id.to_string());
        watched::with_broken(target.path(), || copy(target.path(), &entry, &sample)).unwrap_err();
        assert!(holds(&folder, &entry, &sample), "it was renamed");

        let again = watched::with_broken(target.path(), || copy(target.path(), &entry, &sample));
        again.expect_err("its name is not durable yet");
        watched::take_synced();
        copy(target.path(), &entry, &sample).unwrap();
        let all = [folder.join("payload.jpg"), folder.join("sample.json"), folder, target.path().to_owned()];
        assert_eq!(watched::take_synced(), all);
    }
}
