//! The pauses between restarts of a process: none where it has served well, then longer and longer ones.

use std::time::Duration;

/// The pause before the second restart in a row; doubled at each further one. The first has none.
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause between restarts.
pub const LONGEST: Duration = Duration::from_secs(30);

/// A process that has served this long, or has done this much (a runner's windows, a command's frames), is forgiven earlier
/// trouble: it is replaced at once. What dies or hangs sooner is in a loop, and loops are slowed down.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);
const FORGIVEN_AFTER_DEEDS: u32 = 20;

/// Counts restarts in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    /// Restarts since the last one that was forgiven.
    failures: u32,
}

impl Backoff {
    /// The pause after a process that has served for so long and done so much.
    pub fn after_service(&mut self, lasted: Duration, deeds: u32) -> Duration {
        if lasted > FORGIVEN_AFTER || deeds >= FORGIVEN_AFTER_DEEDS {
            self.failures = 0;
        }
        self.next()
    }

    /// The pause after a process that did not come up: there always is one.
    pub fn after_failed_start(&mut self) -> Duration {
        self.failures = self.failures.max(1);
        self.next()
    }

    fn next(&mut self) -> Duration {
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => FIRST.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST),
        };
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dies_young_is_replaced_more_and_more_slowly() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..6).map(|_| backoff.after_service(Duration::ZERO, 3).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600]);
        for _ in 0..60 {
            assert!(backoff.after_service(Duration::ZERO, 3) <= LONGEST);
        }
        assert_eq!(backoff.after_service(Duration::ZERO, 3), LONGEST);
    }

    #[test]
    fn good_service_is_rewarded_by_time_and_by_deeds() {
        for (lasted, deeds) in [(Duration::from_secs(11), 0), (Duration::ZERO, 20)] {
            let mut backoff = Backoff::default();
            for _ in 0..4 {
                backoff.after_service(Duration::ZERO, 0);
            }
            assert_eq!(backoff.after_service(lasted, deeds), Duration::ZERO);
        }
    }

    #[test]
    fn a_start_that_fails_is_never_repeated_at_once() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after_failed_start(), Duration::from_millis(100));
        assert_eq!(backoff.after_failed_start(), Duration::from_millis(200));
    }
}
