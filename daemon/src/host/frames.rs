//! Frame memory that a runner can read and nobody but this process can write.
//!
//! Invariants:
//! - A [`Pool`] is one memory file (memfd) of equal slots. It is sealed against growing, shrinking and any further writable
//!   mapping or `write()` before its descriptor leaves this process: a runner cannot change a frame, nor make a read of
//!   it fault. The one writable mapping is ours.
//! - A [`Slot`] has one owner at a time; dropping it gives the place back. While a runner works on a window its slot is
//!   owned by the engine, so nothing overwrites what is being read.
//! - Capacity is fixed: [`Pool::take`] waits, [`Pool::try_take`] does not; neither allocates.

#![allow(unsafe_code, reason = "slots are disjoint parts of one memory mapping, which safe Rust cannot express")]

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use memmap2::MmapRaw;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

/// Slots begin on this boundary, so that tensors in them are aligned for any vector instruction.
const ALIGNMENT: usize = 64;

/// The largest slot: an uncompressed 8192 x 8192 RGB image.
pub const MAX_SLOT_BYTES: usize = 192 << 20;

/// The kernel gave no frame memory.
#[derive(Debug, thiserror::Error)]
#[error("cannot make frame memory of {bytes} bytes")]
pub struct PoolError {
    bytes: usize,
    #[source]
    source: std::io::Error,
}

/// A number of equal slots in one sealed memory file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u32,
    file: OwnedFd,
    map: MmapRaw,
    slot_bytes: usize,
    free: Mutex<Vec<u32>>,
    freed: Condvar,
}

impl Pool {
    /// Makes a pool of `slots` places for at least `slot_bytes` bytes each.
    ///
    /// # Errors
    /// [`PoolError`] where the kernel refuses, or for slots over [`MAX_SLOT_BYTES`].
    pub fn new(slots: u32, slot_bytes: usize) -> Result<Self, PoolError> {
        static NEXT_ID: AtomicU32 = AtomicU32::new(1);
        let slot_bytes = slot_bytes.max(1).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        let bytes = slot_bytes.saturating_mul(slots as usize);
        let failed = |source| PoolError { bytes, source };
        if slot_bytes > MAX_SLOT_BYTES {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::FileTooLarge)));
        }
        let (file, map) = sealed_memory(bytes).map_err(failed)?;
        let free = Mutex::new((0..slots).rev().collect());
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self(Arc::new(Inner { id, file, map, slot_bytes, free, freed: Condvar::new() })))
    }

    /// Bytes in a slot.
    pub fn slot_bytes(&self) -> usize {
        self.0.slot_bytes
    }

    /// A free slot, if there is one.
    pub fn try_take(&self) -> Option<Slot> {
        let index = self.0.lock_free().pop()?;
        Some(Slot { pool: Arc::clone(&self.0), index, len: 0 })
    }

    /// A free slot; waits for one up to `patience`.
    pub fn take(&self, patience: Duration) -> Option<Slot> {
        let free = self.0.lock_free();
        let (mut free, _) = self
            .0
            .freed
            .wait_timeout_while(free, patience, |free| free.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let index = free.pop()?;
        drop(free);
        Some(Slot { pool: Arc::clone(&self.0), index, len: 0 })
    }
}

/// A memory file of `bytes` bytes with our writable mapping of it, sealed so that there can be no other.
fn sealed_memory(bytes: usize) -> std::io::Result<(OwnedFd, MmapRaw)> {
    let name = CString::new("inferd-frames").expect("no NUL inside");
    let file = memfd_create(name.as_c_str(), MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    ftruncate(&file, i64::try_from(bytes).map_err(std::io::Error::other)?)?;
    let map = MmapRaw::map_raw(&file)?;
    let seals = SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::from_bits_retain(libc::F_SEAL_FUTURE_WRITE)
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok((file, map))
}

impl Inner {
    fn lock_free(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place in a pool, owned.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Inner>,
    index: u32,
    len: usize,
}

impl Slot {
    /// The bytes that were put in.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the slot lies inside the mapping, which lives as long as `pool`; only this owner may write to it, and
        // that needs `&mut self`; runners have no writable mapping.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }

    /// The whole place, for filling; [`set_len`](Self::set_len) says afterwards how much was.
    pub fn space(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; `&mut self` makes this the only reference. Memory files start zeroed, so every byte is
        // initialised.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.pool.slot_bytes) }
    }

    /// Says how many bytes were put in.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.pool.slot_bytes);
    }

    /// Its number in the pool, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Names the pool in messages.
    pub fn pool_id(&self) -> u32 {
        self.pool.id
    }

    /// Length of the pool's memory file.
    pub fn pool_bytes(&self) -> u64 {
        self.pool.map.len() as u64
    }

    /// The pool's memory file, to be passed to a runner.
    pub fn pool_file(&self) -> BorrowedFd<'_> {
        self.pool.file.as_fd()
    }

    /// First byte in the memory file.
    pub fn offset(&self) -> u64 {
        self.offset_bytes() as u64
    }

    fn offset_bytes(&self) -> usize {
        self.index as usize * self.pool.slot_bytes
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: `index` counts below the number of slots, so the offset stays inside the mapping.
        unsafe { self.pool.map.as_mut_ptr().add(self.offset_bytes()) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.lock_free().push(self.index);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use nix::sys::mman::{MapFlags, ProtFlags, mmap};

    use super::*;

    #[test]
    fn slots_come_back_when_dropped() {
        let pool = Pool::new(2, 100).unwrap();
        let first = pool.try_take().unwrap();
        let second = pool.try_take().unwrap();
        assert!(pool.try_take().is_none());
        assert_ne!(first.offset(), second.offset());
        drop(first);
        assert!(pool.take(Duration::ZERO).is_some());
    }

    #[test]
    fn what_is_put_in_is_read_back_by_descriptor() {
        let pool = Pool::new(2, 100).unwrap();
        let mut slot = pool.try_take().unwrap();
        slot.space()[..5].copy_from_slice(b"hello");
        slot.set_len(5);
        let mut read = [0; 5];
        nix::sys::uio::pread(slot.pool_file(), &mut read, i64::try_from(slot.offset()).unwrap()).unwrap();
        assert_eq!((slot.bytes(), &read), (&b"hello"[..], b"hello"));
    }

    #[test]
    fn whoever_gets_the_descriptor_cannot_write_map_or_resize() {
        let pool = Pool::new(1, 4096).unwrap();
        let slot = pool.try_take().unwrap();
        assert!(nix::sys::uio::pwrite(slot.pool_file(), b"x", 0).is_err());
        assert!(ftruncate(slot.pool_file(), 0).is_err());
        let bytes = NonZeroUsize::new(4096).unwrap();
        // SAFETY: a new mapping at a place that the kernel picks; it must be refused.
        let mapped = unsafe { mmap(None, bytes, ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, slot.pool_file(), 0) };
        assert!(mapped.is_err());
    }
}
