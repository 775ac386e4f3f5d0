//! What is read whole through passed descriptors: the artifact and golden files.
//!
//! Invariants:
//! - A file's length is proved by reading, never by `stat`: the sealed process may not ask for metadata.
//! - Reads state their position, so a file offset that is shared with another runner does not matter.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// The largest golden input or output that is read.
pub(crate) const MAX_GOLDEN_BYTES: u64 = 256 << 20;

/// A passed file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot read the {what} of {bytes} bytes that the daemon passed")]
    Read { what: &'static str, bytes: u64, source: io::Error },
    #[error("the {what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge { what: &'static str, bytes: u64, limit: u64 },
}

/// Reads the first `bytes` of a passed file.
pub(crate) fn read_whole(file: OwnedFd, what: &'static str, bytes: u64, limit: u64) -> Result<Vec<u8>, FileError> {
    if bytes > limit {
        return Err(FileError::TooLarge { what, bytes, limit });
    }
    let length = usize::try_from(bytes).map_err(|_| FileError::TooLarge { what, bytes, limit })?;
    let mut content = Vec::new();
    content.try_reserve_exact(length).map_err(|_| FileError::TooLarge { what, bytes, limit })?;
    content.resize(length, 0);
    File::from(file).read_exact_at(&mut content, 0).map_err(|source| FileError::Read { what, bytes, source })?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    #[test]
    fn files_shorter_than_stated_are_refused() {
        let file = || {
            let fd = memfd_create(c"file", MFdFlags::MFD_CLOEXEC).unwrap();
            File::from(fd.try_clone().unwrap()).write_all(b"1234").unwrap();
            fd
        };
        assert_eq!(read_whole(file(), "file", 4, 4).unwrap(), b"1234");
        assert!(matches!(read_whole(file(), "file", 5, 100), Err(FileError::Read { .. })));
        assert!(matches!(read_whole(file(), "file", 4, 3), Err(FileError::TooLarge { .. })));
    }
}
