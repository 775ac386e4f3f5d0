//! When a live source is closed on purpose: outside its active hours, and in the off part of its duty cycle.
//!
//! Invariants:
//! - Active hours are what the clock on the wall shows. Where summer time begins, the hour that is left out is not active;
//!   where it ends, the hour that comes twice is active twice.
//! - The wall clock and the time zone may change at any time: they are asked at every frame, and at least once a minute.
//! - The on part of a cycle begins with its first frame: a device that is slow to give one gives some all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::config::{Hours, Power};
use crate::host::clock::{Clock, Tick};

/// How long nobody looks at the wall clock, at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Days that are searched for the next active hour: a span may be in the hour that summer time leaves out, in one week.
const DAYS_AHEAD: i64 = 15;

/// When a source rests. Clones share the cycle.
#[derive(Clone, Debug, Default)]
pub struct Rest(Option<Arc<Plan>>);

#[derive(Debug)]
struct Plan {
    hours: Hours,
    /// Instead of the machine's.
    zone: Option<TimeZone>,
    cycle: Option<Cycle>,
}

#[derive(Debug)]
struct Cycle {
    on: Duration,
    off: Duration,
    /// The tick at which the on part began, and one: 0 before the first.
    begun: AtomicU64,
}

/// A rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resting {
    /// When to ask again.
    pub(super) until: Tick,
    /// Why, and until when, for people.
    pub(super) reason: String,
}

impl Rest {
    /// Never.
    pub const fn never() -> Self {
        Self(None)
    }

    /// As the configuration says, in the machine's time zone.
    pub fn of(power: &Power) -> Self {
        Self::in_zone(power, None)
    }

    pub(super) fn in_zone(power: &Power, zone: Option<TimeZone>) -> Self {
        let cycle = power.cycle().map(|(on, off)| Cycle { on, off, begun: AtomicU64::new(0) });
        if power.active.is_always() && cycle.is_none() {
            return Self::never();
        }
        if zone.is_none()
            && let Err(error) = TimeZone::try_system()
        {
            tracing::warn!(%error, "the machine's time zone cannot be told: active hours are in UTC");
        }
        Self(Some(Arc::new(Plan { hours: power.active.clone(), zone, cycle })))
    }

    /// A frame has come.
    pub(super) fn frame_came(&self, now: Tick) {
        if let Some(cycle) = self.0.as_ref().and_then(|plan| plan.cycle.as_ref()) {
            cycle.frame_came(now);
        }
    }

    /// Whether it rests now.
    pub(super) fn is_due(&self, clock: &Clock) -> bool {
        let Some(plan) = &self.0 else { return false };
        let rests = |cycle: &Cycle| cycle.rests_until(clock.now()).is_some();
        plan.cycle.as_ref().is_some_and(rests) || !plan.is_active(clock)
    }

    /// The rest that it has now, if it has one.
    pub(super) fn now(&self, clock: &Clock) -> Option<Resting> {
        let plan = self.0.as_ref()?;
        let now = clock.now();
        let within = |left: Duration| now.plus(left.min(LOOK_EVERY));
        if !plan.is_active(clock) {
            let (left, reason) = plan.next_hours(timestamp(clock.unix_ns()));
            return Some(Resting { until: within(left), reason });
        }
        let until = plan.cycle.as_ref()?.rests_until(now)?;
        let left = until.since(now);
        let at = plan.zone().to_datetime(timestamp(clock.unix_ns()) + left);
        let reason = format!("duty cycle: reads again at {}", at.strftime("%H:%M:%S"));
        Some(Resting { until: within(left), reason })
    }

    /// How soon it must be asked again whether it rests; `None` where it never does.
    pub(super) fn look_within(&self, clock: &Clock) -> Option<Duration> {
        let plan = self.0.as_ref()?;
        let now = clock.now();
        let look = now.plus(LOOK_EVERY);
        let ends = plan.cycle.as_ref().and_then(|cycle| cycle.reads_until(now));
        Some(clock.nap(ends.map_or(look, |ends| ends.min(look))))
    }
}

impl Plan {
    fn zone(&self) -> TimeZone {
        self.zone.clone().unwrap_or_else(TimeZone::system)
    }

    fn is_active(&self, clock: &Clock) -> bool {
        self.hours.is_always() || self.shows_active(&self.zone().to_datetime(timestamp(clock.unix_ns())))
    }

    fn shows_active(&self, shown: &DateTime) -> bool {
        let day = usize::try_from(shown.weekday().to_monday_zero_offset()).unwrap_or_default();
        let minute = u16::try_from(i32::from(shown.hour()) * 60 + i32::from(shown.minute())).unwrap_or_default();
        self.hours.contain(day, minute)
    }

    /// How long it is until it is active next, and what people are told.
    fn next_hours(&self, now: Timestamp) -> (Duration, String) {
        let zone = self.zone();
        match self.next_active(&zone, now) {
            Some(next) => {
                let left = Duration::try_from(next.duration_since(now)).unwrap_or_default();
                (left, format!("outside its active hours until {}", zone.to_datetime(next).strftime("%a %H:%M")))
            }
            None => (LOOK_EVERY, "outside its active hours".to_owned()),
        }
    }

    /// A span begins where the clock shows its first minute, or where the clock is set to a time within it.
    fn next_active(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let today = zone.to_datetime(now).date();
        let days = (0..=DAYS_AHEAD).filter_map(|ahead| today.checked_add(ahead.days()).ok());
        let begins = days.flat_map(|date| {
            self.hours.spans().iter().flat_map(move |span| {
                let (hour, minute) = (i8::try_from(span.from() / 60), i8::try_from(span.from() % 60));
                let shown = date.at(hour.unwrap_or_default(), minute.unwrap_or_default(), 0, 0);
                // Either of two where that time comes twice.
                let [first, second] = [zone.to_ambiguous_timestamp(shown), zone.to_ambiguous_timestamp(shown)];
                [first.earlier().ok(), second.later().ok()].into_iter().flatten()
            })
        });
        let set = zone.following(now).take(2).map(|transition| transition.timestamp());
        begins.chain(set).filter(|at| *at > now && self.shows_active(&zone.to_datetime(*at))).min()
    }
}

impl Cycle {
    fn frame_came(&self, now: Tick) {
        if self.begun().is_none_or(|begun| begun.plus(self.on + self.off) <= now) {
            self.begun.store(now.as_ns().saturating_add(1), Ordering::Relaxed);
        }
    }

    fn begun(&self) -> Option<Tick> {
        self.begun.load(Ordering::Relaxed).checked_sub(1).map(Tick::from_ns)
    }

    /// The end of the on part that there is now.
    fn reads_until(&self, now: Tick) -> Option<Tick> {
        self.begun().map(|begun| begun.plus(self.on)).filter(|ends| now < *ends)
    }

    /// The end of the off part that there is now.
    fn rests_until(&self, now: Tick) -> Option<Tick> {
        let begun = self.begun()?;
        let (off, again) = (begun.plus(self.on), begun.plus(self.on + self.off));
        (off <= now && now < again).then_some(again)
    }
}

fn timestamp(unix_ns: i64) -> Timestamp {
    // Sixty-four bits of nanoseconds end within the years that it knows.
    Timestamp::from_nanosecond(i128::from(unix_ns)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
