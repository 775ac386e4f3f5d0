//! How long to pause after a failure: exponential with full jitter (M. Brooker, Exponential Backoff And Jitter, 2015).

use std::time::Duration;

use crate::config;

/// The pauses so far.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(config: &config::Upload) -> Self {
        let first = Duration::from_millis(config.backoff_first_ms);
        Self { first, max: Duration::from_millis(config.backoff_max_ms).max(first), failures: 0 }
    }

    /// The pause after one more failure: uniform in `first ..= min(max, first * 2^failures)`.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = self.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        self.first + (ceiling - self.first).mul_f64(fastrand::f64())
    }

    pub(super) const fn longest(&self) -> Duration {
        self.max
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_between_first_and_longest_and_start_over() {
        let (first_ms, max_ms) = (100, 1_000);
        let mut backoff = Backoff::new(&config::Upload {
            backoff_first_ms: first_ms,
            backoff_max_ms: max_ms,
            ..config::Upload::default()
        });
        let mut longest = Duration::ZERO;
        for failures in 0..200_u32 {
            let ceiling = (first_ms << failures.min(10)).min(max_ms);
            let pause = backoff.next();
            assert!(pause >= Duration::from_millis(first_ms) && pause <= Duration::from_millis(ceiling));
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_millis(max_ms / 2), "the ceiling is reached");
        backoff.reset();
        assert_eq!(backoff.next(), Duration::from_millis(first_ms));
    }
}
