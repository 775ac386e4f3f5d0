//! Waking a thread that sleeps in `poll`.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A bell that any thread may ring and one waits for. Rings before the wait are not lost. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bell(Arc<EventFd>);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// Where the process has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self(Arc::new(event)))
    }

    /// Wakes the waiting thread.
    pub fn ring(&self) {
        // The only failure is a full counter: then it rings already.
        let _ = self.0.write(1);
    }

    /// Silences the bell: call this before looking at what it may have rung for.
    pub fn hush(&self) {
        // The only failure is that it did not ring.
        let _ = self.0.read();
    }

    /// Readable while the bell rings.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn rings(bell: &Bell) -> bool {
        poll(&mut [PollFd::new(bell.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_ring_stays_until_hushed() {
        let bell = Bell::new().unwrap();
        assert!(!rings(&bell));
        bell.ring();
        bell.ring();
        assert!(rings(&bell));
        bell.hush();
        assert!(!rings(&bell));
    }
}
