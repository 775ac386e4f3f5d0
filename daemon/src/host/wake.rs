//! Waking a thread that sleeps in `poll`, and a task that waits beside others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

    /// The same bell, for a task of the runtime that is entered.
    ///
    /// # Errors
    /// Where the process has no descriptor left.
    #[expect(unsafe_code, reason = "the type that is waited for is one for which it is known to be sound")]
    pub fn to_async(&self) -> std::io::Result<AsyncBell> {
        let event = self.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` names the same open descriptor for as long as it lives, and `AsyncFd` owns it.
        Ok(AsyncBell(unsafe { AsyncFd::register_with_interest(event, Interest::READABLE) }?))
    }
}

/// A bell that tasks wait for.
#[derive(Debug)]
pub struct AsyncBell(AsyncFd<OwnedFd>);

impl AsyncBell {
    /// Ends when it rings, at once where it has rung already.
    pub async fn rings(&self) {
        // The only failure is a runtime that ends: then nobody waits.
        let _ = self.0.readable().await;
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
    fn a_task_is_woken_by_a_ring_before_and_after_it_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bell = Bell::new().unwrap();
        runtime.block_on(async {
            let waited = bell.to_async().unwrap();
            let soon = std::time::Duration::from_millis(20);
            assert!(tokio::time::timeout(soon, waited.rings()).await.is_err(), "nobody has rung");
            let ringing = bell.clone();
            let late = std::thread::Builder::new().name("rings".into()).spawn(move || {
                std::thread::sleep(soon);
                ringing.ring();
            });
            waited.rings().await;
            waited.rings().await;
            late.unwrap().join().unwrap();
        });
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
