//! One inferd per state folder.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::StoreError;
use crate::host::durable::{FileError, during};

/// The file's name in the state folder.
const FILE: &str = "lock";

/// The right to use a state folder. The kernel gives it back when the process ends, however it ends; the file stays.
#[derive(Debug)]
pub struct StateLock {
    _file: Flock<File>,
}

impl StateLock {
    /// Takes the folder, making it where it is absent, and writes this process's id into `lock`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it, [`StoreError::Io`].
    pub fn acquire(state_dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(state_dir).map_err(during("create", state_dir))?;
        let path = state_dir.join(FILE);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(during("open", &path))?;
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| match errno {
            Errno::EWOULDBLOCK => StoreError::Locked { state_dir: state_dir.to_owned(), pid: holder(file) },
            errno => FileError::new("lock", &path, errno.into()).into(),
        })?;
        // Only for the message to a second process: on a full disk it is left out, as the service has to come up there.
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "cannot note the process id; is the disk full?");
        }
        Ok(Self { _file: file })
    }
}

/// Who wrote its id; absent for the moment between locking and writing.
fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_inferds_on_one_state_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("state");
        let held = StateLock::acquire(&state_dir).unwrap();
        let refused = StateLock::acquire(&state_dir).unwrap_err();
        assert!(matches!(refused, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{refused}");
        drop(held);
        StateLock::acquire(&state_dir).unwrap();
    }
}
