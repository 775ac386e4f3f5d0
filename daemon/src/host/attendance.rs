//! Whether a thread comes round. A thread that waits for something tells so; one that neither waits nor comes round for a long
//! time hangs.
//!
//! Counting costs an atomic addition: it is done on the path of a frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Tick;

/// One thread's. Cheap to clone: the thread has one, whoever looks after it another.
#[derive(Clone, Debug, Default)]
pub struct Attendance(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    rounds: AtomicU64,
    waits: AtomicBool,
}

impl Attendance {
    /// The thread has got to a place that it comes to again and again.
    pub fn come_round(&self) {
        self.0.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// The thread waits, for as long as it takes, until what this gives is dropped.
    pub fn wait(&self) -> Waiting<'_> {
        self.0.waits.store(true, Ordering::Relaxed);
        Waiting(self)
    }

    /// The thread ends.
    pub fn leave(&self) {
        self.0.waits.store(true, Ordering::Relaxed);
    }

    /// `None` while it waits, and once it has left.
    fn rounds(&self) -> Option<u64> {
        (!self.0.waits.load(Ordering::Relaxed)).then(|| self.0.rounds.load(Ordering::Relaxed))
    }
}

/// See [`Attendance::wait`].
#[derive(Debug)]
pub struct Waiting<'a>(&'a Attendance);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.come_round();
        self.0.0.waits.store(false, Ordering::Relaxed);
    }
}

/// Looks after a thread.
#[derive(Debug)]
pub struct Roll {
    attendance: Attendance,
    seen: Option<u64>,
    since: Tick,
}

impl Roll {
    /// From now on.
    pub fn new(attendance: Attendance, now: Tick) -> Self {
        Self { attendance, seen: None, since: now }
    }

    /// How long the thread has been at one thing, as far as was looked: zero where it waits or has come round.
    pub fn absent_for(&mut self, now: Tick) -> Duration {
        let rounds = self.attendance.rounds();
        if rounds.is_none() || rounds != self.seen {
            self.seen = rounds;
            self.since = now;
        }
        now.since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_or_comes_round_is_there_and_who_does_neither_is_not() {
        let second = Duration::from_secs(1);
        let (attendance, mut now) = (Attendance::default(), Tick::default());
        let mut roll = Roll::new(attendance.clone(), now);
        let waiting = attendance.wait();
        for _ in 0..100 {
            now = now.plus(second);
            assert_eq!(roll.absent_for(now), Duration::ZERO);
        }
        drop(waiting);
        assert_eq!(roll.absent_for(now), Duration::ZERO);
        assert_eq!(roll.absent_for(now.plus(second * 40)), second * 40);
        attendance.come_round();
        assert_eq!(roll.absent_for(now.plus(second * 41)), Duration::ZERO);
        attendance.leave();
        assert_eq!(roll.absent_for(now.plus(second * 82)), Duration::ZERO);
    }
}
