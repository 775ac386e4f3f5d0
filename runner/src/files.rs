//! What is read through passed descriptors: whole files at load time, the frames' memory file afterwards.
//!
//! Invariants:
//! - A file's length is proved by reading, never by `stat`: the sealed process may not ask for metadata.
//! - Reads state their position, so a file offset that is shared with another runner does not matter.
//! - A memory file is mapped only if it is sealed against shrinking. A mapping of a file that can shrink would end the
//!   runner by SIGBUS at the daemon's whim.

#![expect(unsafe_code, reason = "a memory mapping is sound only under conditions that the compiler cannot see")]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use inferd_core::wire::WindowRef;
use memmap2::{Mmap, MmapOptions};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};

/// The largest golden input or output that is read.
pub(crate) const MAX_GOLDEN_BYTES: u64 = 256 << 20;

/// A passed descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot read the {what} of {bytes} bytes that the daemon passed")]
    Read { what: &'static str, bytes: u64, source: io::Error },
    #[error("the {what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge { what: &'static str, bytes: u64, limit: u64 },
    #[error("memory file {pool} is not sealed against shrinking")]
    NotSealed { pool: u32 },
    #[error("memory file {pool} is shorter than the stated {bytes} bytes")]
    Short { pool: u32, bytes: u64 },
    #[error("cannot map memory file {pool}")]
    Map { pool: u32, source: io::Error },
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

/// The memory file that windows lie in, mapped read-only.
pub(crate) struct Pool {
    number: u32,
    map: Mmap,
}

impl Pool {
    /// Maps the first `bytes` of `file`.
    pub(crate) fn map(number: u32, file: OwnedFd, bytes: u64) -> Result<Self, FileError> {
        let failed = |source| FileError::Map { pool: number, source };
        let file = File::from(file);
        let seals = fcntl(&file, FcntlArg::F_GET_SEALS).map_err(|errno| failed(errno.into()))?;
        if !SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK) {
            return Err(FileError::NotSealed { pool: number });
        }
        let short = FileError::Short { pool: number, bytes };
        let Some(last) = bytes.checked_sub(1) else { return Err(short) };
        if file.read_at(&mut [0], last).map_err(failed)? != 1 {
            return Err(short);
        }
        let length = usize::try_from(bytes).map_err(|_| FileError::Short { pool: number, bytes })?;
        // SAFETY: the file cannot shrink (seal checked above) and holds at least `length` bytes (its last byte was
        // read), so no access faults. The daemon writes a window before it sends the message that names it and leaves
        // it alone until the answer, so bytes under a `&[u8]` of `window` do not change.
        let map = unsafe { MmapOptions::new().len(length).map(&file) }.map_err(failed)?;
        Ok(Self { number, map })
    }

    /// The bytes of a window, if it lies in this file.
    pub(crate) fn window(&self, place: &WindowRef) -> Option<&[u8]> {
        let start = usize::try_from(place.offset).ok()?;
        let end = start.checked_add(usize::try_from(place.len).ok()?)?;
        if place.pool == self.number { self.map.get(start..end) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use inferd_core::frame::Format;
    use nix::fcntl::FcntlArg::F_ADD_SEALS;
    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    fn memory_file(content: &[u8], seals: SealFlag) -> OwnedFd {
        let fd = memfd_create(c"pool", MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC).unwrap();
        File::from(fd.try_clone().unwrap()).write_all(content).unwrap();
        fcntl(fd.as_fd(), F_ADD_SEALS(seals)).unwrap();
        fd
    }

    fn place(pool: u32, offset: u64, len: u64) -> WindowRef {
        WindowRef { seq: 0, pool, offset, len, format: Format::Jpeg }
    }

    #[test]
    fn a_pool_that_could_shrink_or_is_short_is_refused() {
        let open = memory_file(b"12345678", SealFlag::F_SEAL_GROW);
        assert!(matches!(Pool::map(1, open, 8), Err(FileError::NotSealed { .. })));
        let short = memory_file(b"1234", SealFlag::F_SEAL_SHRINK);
        assert!(matches!(Pool::map(1, short, 8), Err(FileError::Short { .. })));
        let empty = memory_file(b"", SealFlag::F_SEAL_SHRINK);
        assert!(matches!(Pool::map(1, empty, 0), Err(FileError::Short { .. })));
    }

    #[test]
    fn windows_outside_the_pool_are_refused() {
        let pool = Pool::map(3, memory_file(b"12345678", SealFlag::F_SEAL_SHRINK), 8).unwrap();
        assert_eq!(pool.window(&place(3, 2, 3)), Some(&b"345"[..]));
        assert_eq!(pool.window(&place(3, 8, 0)), Some(&b""[..]));
        for bad in [place(2, 0, 1), place(3, 8, 1), place(3, 0, 9), place(3, u64::MAX, 2), place(3, 1, u64::MAX)] {
            assert_eq!(pool.window(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn files_shorter_than_stated_are_refused() {
        let fd = memory_file(b"1234", SealFlag::empty());
        assert!(matches!(read_whole(fd, "file", 5, 100), Err(FileError::Read { .. })));
        let fd = memory_file(b"1234", SealFlag::empty());
        assert!(matches!(read_whole(fd, "file", 4, 3), Err(FileError::TooLarge { .. })));
    }
}
