//! The shared memory file that windows lie in.
//!
//! Invariants:
//! - A memory file is mapped only if it is sealed against shrinking. A mapping of a file that can shrink would end the
//!   runner by SIGBUS at the daemon's whim.
//! - Its length is proved by reading, never by `stat`: the sealed process may not ask for metadata.
//! - Frames do not count against the model's memory. Mappings of any kind count against `RLIMIT_AS`, so room for them is
//!   reserved before the limit is set, and the limit is raised by as much. The room is always taken, by a mapping that
//!   cannot be touched and has no memory, or by the memory file: the model never gets it.
//! - A file that cannot be mapped even so costs its windows, each with the reason, not the runner: a new one would fail the
//!   same way.

#![expect(unsafe_code, reason = "a memory mapping is sound only under conditions that the compiler cannot see")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use inferd_core::outcome::Failure;
use inferd_core::wire::WindowRef;
use memmap2::{Mmap, MmapOptions};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::failure;
use crate::log;

/// Room for memory files: 16 GiB of addresses, of which a 64-bit machine has thousands, and no memory. That is 80 of the
/// largest frames. A 32-bit machine spares 512 MiB.
const ROOM_BYTES: usize = 1 << if usize::BITS < 64 { 29 } else { 34 };

/// Mappings begin and end at pages; none is larger than this.
const LARGEST_PAGE_BYTES: usize = 64 << 10;

/// A memory file cannot be used, through the daemon's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FramesError {
    #[error("memory file {pool} is not sealed against shrinking")]
    NotSealed { pool: u32 },
    #[error("memory file {pool} is shorter than the stated {bytes} bytes")]
    Short { pool: u32, bytes: u64 },
    #[error("memory file {pool} cannot be looked at")]
    Unreadable { pool: u32, source: io::Error },
}

/// Where windows are found.
pub(crate) struct Frames {
    /// What is kept free for the memory file; none while the machine gave none.
    room: Option<Room>,
    room_bytes: usize,
    pool: Option<Pool>,
}

struct Pool {
    number: u32,
    bytes: u64,
    map: io::Result<Mmap>,
}

impl Frames {
    /// Reserves the room. To be called before the limit on address space is set.
    pub(crate) fn reserve() -> Self {
        let room = Room::of(ROOM_BYTES).inspect_err(|error| {
            log::line(format_args!("no room of its own for frames, they count against the model's memory: {error}"));
        });
        let room_bytes = if room.is_ok() { ROOM_BYTES } else { 0 };
        Self { room: room.ok(), room_bytes, pool: None }
    }

    /// Bytes of addresses that are reserved, to be added to the limit.
    pub(crate) const fn room_bytes(&self) -> u64 {
        self.room_bytes as u64
    }

    /// From now on windows lie in the first `bytes` of `file`.
    pub(crate) fn announce(&mut self, number: u32, file: OwnedFd, bytes: u64) -> Result<(), FramesError> {
        let file = File::from(file);
        let length = checked_length(number, &file, bytes)?;
        // The old mapping and the room go first: the limit holds one of them and the new one, not all. No other thread
        // runs that could take the place in between.
        drop(self.pool.take());
        drop(self.room.take());
        // SAFETY: the file cannot shrink (its seal was checked) and holds at least `length` bytes (its last byte was read),
        // so no access faults. The daemon writes a window before it sends the message that names it and leaves it alone
        // until the answer, so bytes under a `&[u8]` of `window` do not change.
        let map = unsafe { MmapOptions::new().len(length).map(&file) };
        let taken = if map.is_ok() { length.next_multiple_of(LARGEST_PAGE_BYTES) } else { 0 };
        self.room = Room::of(self.room_bytes.saturating_sub(taken)).ok();
        self.pool = Some(Pool { number, bytes, map });
        Ok(())
    }

    /// The bytes of a window.
    pub(crate) fn window(&self, place: &WindowRef) -> Result<&[u8], Failure> {
        let outside = || failure::undecodable("the window lies outside the shared memory file");
        let pool = self.pool.as_ref().filter(|pool| pool.number == place.pool).ok_or_else(outside)?;
        let map = pool.map.as_ref().map_err(|error| {
            let bytes = pool.bytes;
            failure::undecodable(format_args!(
                "cannot map the frames' {bytes} bytes: raise runner.memory_max_bytes ({error})"
            ))
        })?;
        let range = || {
            let start = usize::try_from(place.offset).ok()?;
            Some(start..start.checked_add(usize::try_from(place.len).ok()?)?)
        };
        range().and_then(|range| map.get(range)).ok_or_else(outside)
    }
}

fn checked_length(pool: u32, file: &File, bytes: u64) -> Result<usize, FramesError> {
    let unreadable = |source| FramesError::Unreadable { pool, source };
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).map_err(|errno| unreadable(errno.into()))?;
    if !SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK) {
        return Err(FramesError::NotSealed { pool });
    }
    let short = FramesError::Short { pool, bytes };
    let Some(last) = bytes.checked_sub(1) else { return Err(short) };
    if file.read_at(&mut [0], last).map_err(unreadable)? != 1 {
        return Err(short);
    }
    usize::try_from(bytes).map_err(|_| short)
}

/// Addresses that are taken and cannot be touched.
struct Room {
    start: NonNull<c_void>,
    bytes: usize,
}

impl Room {
    /// An error also for no bytes at all: there is nothing to hold.
    fn of(bytes: usize) -> nix::Result<Self> {
        let length = NonZeroUsize::new(bytes).ok_or(nix::errno::Errno::EINVAL)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping at a place of the kernel's choosing touches no memory that is in use.
        let start = unsafe { mmap_anonymous(None, length, ProtFlags::PROT_NONE, flags) }?;
        Ok(Self { start, bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own and nothing refers into it: it cannot be read or written.
        let gone = unsafe { munmap(self.start, self.bytes) };
        debug_assert!(gone.is_ok(), "a mapping that was made can be given back");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use inferd_core::frame::Format;
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use nix::unistd::ftruncate;

    use super::*;

    fn memory_file(content: &[u8], seals: SealFlag) -> OwnedFd {
        let fd = memfd_create(c"pool", MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC).unwrap();
        File::from(fd.try_clone().unwrap()).write_all(content).unwrap();
        fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        fd
    }

    fn place(pool: u32, offset: u64, len: u64) -> WindowRef {
        WindowRef { seq: 0, pool, offset, len, format: Format::Jpeg }
    }

    #[test]
    fn a_pool_that_could_shrink_or_is_short_is_refused() {
        let mut frames = Frames::reserve();
        let open = memory_file(b"12345678", SealFlag::F_SEAL_GROW);
        assert!(matches!(frames.announce(1, open, 8), Err(FramesError::NotSealed { .. })));
        let short = memory_file(b"1234", SealFlag::F_SEAL_SHRINK);
        assert!(matches!(frames.announce(1, short, 8), Err(FramesError::Short { .. })));
        let empty = memory_file(b"", SealFlag::F_SEAL_SHRINK);
        assert!(matches!(frames.announce(1, empty, 0), Err(FramesError::Short { .. })));
    }

    #[test]
    fn windows_outside_the_pool_are_refused() {
        let mut frames = Frames::reserve();
        assert!(frames.window(&place(3, 0, 1)).is_err());
        frames.announce(3, memory_file(b"12345678", SealFlag::F_SEAL_SHRINK), 8).unwrap();
        assert_eq!(frames.window(&place(3, 2, 3)).unwrap(), b"345");
        assert_eq!(frames.window(&place(3, 8, 0)).unwrap(), b"");
        for bad in [place(2, 0, 1), place(3, 8, 1), place(3, 0, 9), place(3, u64::MAX, 2), place(3, 1, u64::MAX)] {
            assert!(frames.window(&bad).unwrap_err().reason.contains("outside"), "{bad:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_mapped_costs_its_windows_and_no_more() {
        let mut frames = Frames::reserve();
        let huge = memory_file(b"", SealFlag::empty());
        // More than a process has addresses.
        let bytes = 1_i64 << 60;
        ftruncate(&huge, bytes).unwrap();
        fcntl(&huge, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
        frames.announce(1, huge, bytes.cast_unsigned()).unwrap();
        let failure = frames.window(&place(1, 0, 1)).unwrap_err();
        let says = "cannot map the frames' 1152921504606846976 bytes: raise runner.memory_max_bytes";
        assert!(failure.reason.starts_with(says), "{}", failure.reason);
        frames.announce(2, memory_file(b"1234", SealFlag::F_SEAL_SHRINK), 4).unwrap();
        assert_eq!(frames.window(&place(2, 0, 4)).unwrap(), b"1234");
    }
}
