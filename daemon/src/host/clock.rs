//! Two clocks: one that only goes forward, for durations, and the wall clock, which may jump.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the rooms get the time from; cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { start: Instant },
    Manual { now_ns: Arc<AtomicU64> },
}

/// Nanoseconds on the clock that only goes forward. Zero is when the clock was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Tick {
    /// The tick this many nanoseconds after the clock was made.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the clock was made.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// How long before `self` the `earlier` tick was; zero where it was not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The tick `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(Source::System { start: Instant::now() })
    }

    /// A clock that stands still until it is [`advanced`](Self::advance). Its wall clock starts at 2026-01-01.
    pub fn manual() -> Self {
        Self(Source::Manual { now_ns: Arc::default() })
    }

    /// Now, on the clock that only goes forward.
    pub fn now(&self) -> Tick {
        match &self.0 {
            Source::System { start } => Tick(nanos(start.elapsed())),
            Source::Manual { now_ns } => Tick(now_ns.load(Ordering::SeqCst)),
        }
    }

    /// Now, by the wall clock, in nanoseconds since 1970.
    pub fn unix_ns(&self) -> i64 {
        const MANUAL_START_S: u64 = 1_767_225_600;
        let since_1970 = match &self.0 {
            Source::System { .. } => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Source::Manual { .. } => Duration::from_secs(MANUAL_START_S) + Duration::from_nanos(self.now().0),
        };
        i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
    }

    /// How long a thread that waits for a tick may really sleep before it looks at the clock again: until then, or only a
    /// moment, because a manual clock moves without telling.
    pub fn nap(&self, until: Tick) -> Duration {
        const MOMENT: Duration = Duration::from_millis(1);
        let left = until.since(self.now());
        match &self.0 {
            Source::System { .. } => left,
            Source::Manual { .. } => left.min(MOMENT),
        }
    }

    /// Moves a manual clock; the machine's clocks do not care.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { now_ns } = &self.0 {
            now_ns.fetch_add(nanos(by), Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A wall-clock time as people and programs read it: RFC 3339 in UTC with milliseconds.
pub fn rfc3339(unix_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(unix_ns)).map(|time| format!("{time:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_moved() {
        let clock = Clock::manual();
        let before = clock.now();
        assert_eq!(clock.now(), before);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().since(before), Duration::from_millis(1500));
        assert_eq!(rfc3339(clock.unix_ns()), "2026-01-01T00:00:01.500Z");
    }
}
