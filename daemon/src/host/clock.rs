//! Two clocks: one that only goes forward, for durations, and the wall clock, which may jump.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// Where the rooms get the time from; cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { start: Instant, start_monotonic_ns: u64 },
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
        Self(Source::System { start: Instant::now(), start_monotonic_ns: monotonic_ns() })
    }

    /// A clock that stands still until it is [`advanced`](Self::advance). Its wall clock starts at 2026-01-01.
    pub fn manual() -> Self {
        Self(Source::Manual { now_ns: Arc::default() })
    }

    /// Now, on the clock that only goes forward.
    pub fn now(&self) -> Tick {
        match &self.0 {
            Source::System { start, .. } => Tick(nanos(start.elapsed())),
            Source::Manual { now_ns } => Tick(now_ns.load(Ordering::SeqCst)),
        }
    }

    /// A time that the kernel gave by its clock `CLOCK_MONOTONIC`, in nanoseconds. Zero where that was before this clock was
    /// made. A manual clock takes it as it is.
    pub fn at_monotonic_ns(&self, ns: u64) -> Tick {
        match &self.0 {
            Source::System { start_monotonic_ns, .. } => Tick(ns.saturating_sub(*start_monotonic_ns)),
            Source::Manual { .. } => Tick(ns),
        }
    }

    /// A time that the kernel gave by its wall clock, in nanoseconds since 1970, as far as that has not jumped since.
    pub fn at_unix_ns(&self, unix_ns: i64) -> Tick {
        let age_ns = u64::try_from(self.unix_ns().saturating_sub(unix_ns)).unwrap_or(0);
        Tick(self.now().0.saturating_sub(age_ns))
    }

    /// What the wall clock says now of an earlier tick, in nanoseconds since 1970.
    pub fn unix_ns_at(&self, tick: Tick) -> i64 {
        let age = i64::try_from(self.now().since(tick).as_nanos()).unwrap_or(i64::MAX);
        self.unix_ns().saturating_sub(age)
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

/// What [`Instant`] counts by, as a number.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    nanos(Duration::from(now))
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
    fn times_of_the_kernel_are_times_of_the_clock() {
        let clock = Clock::system();
        let near = |one: Tick, other: Tick| one.since(other).max(other.since(one)) < Duration::from_secs(1);
        assert!(near(clock.at_monotonic_ns(monotonic_ns()), clock.now()));
        assert!(near(clock.at_unix_ns(clock.unix_ns()), clock.now()));
        let manual = Clock::manual();
        manual.advance(Duration::from_secs(10));
        let then = manual.at_unix_ns(manual.unix_ns() - 3_000_000_000);
        assert_eq!(then, Tick::from_ns(7_000_000_000));
        assert_eq!(manual.unix_ns_at(then), manual.unix_ns() - 3_000_000_000);
    }

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
