//! What a pipeline's thread tells about itself: counters without locks, and a short lock for the rest. Nothing here is
//! held while the thread waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inferd_core::outcome::{Outcome, Verdict};
use semver::Version;
use tokio::sync::Notify;

use super::figures::{Counts, PipelineState};
use crate::capture::{Figures, Obstacle};
use crate::engine::{Engine, Health};
use crate::host::clock::Tick;

/// Latencies that the percentiles are taken over: the newest.
const LATENCIES: usize = 512;

/// Seconds that `per_second` is measured over, the one that runs included.
const RATE_BUCKETS: usize = 10;

/// How a pipeline ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// The recording was played to its end.
    Finished,
    /// It broke.
    Failed {
        /// How.
        reason: String,
        /// It would break in the same way again.
        for_good: bool,
    },
}

/// How a pipeline is. Written by its thread, read by the control owner.
#[derive(Debug)]
pub struct Status {
    stopping: AtomicBool,
    inner: Mutex<Inner>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    state: PipelineState,
    reason: String,
    for_good: bool,
    /// What it cannot go on after. `reason` may say meanwhile why it waits.
    failure: Option<String>,
    serving: Serving,
    counts: Counts,
    latencies_ns: VecDeque<u64>,
    rate: Rate,
}

/// The runner that serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Its version.
    pub version: Option<Version>,
    /// Its process id; 0 while there is none.
    pub runner_pid: u32,
    /// Its sandbox's level; empty while there is none.
    pub sandbox: String,
    /// Its backend; empty while there is none.
    pub backend: String,
}

/// A copy of all of it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it is doing.
    pub state: PipelineState,
    /// Why, where it waits, rests or failed.
    pub reason: String,
    /// It failed, and would fail in the same way again.
    pub for_good: bool,
    /// The runner that serves.
    pub serving: Serving,
    /// Its figures.
    pub counts: Counts,
}

impl Status {
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        let inner = Inner {
            state: PipelineState::Starting,
            reason: String::new(),
            for_good: false,
            failure: None,
            serving: Serving::default(),
            counts: Counts::default(),
            latencies_ns: VecDeque::with_capacity(LATENCIES),
            rate: Rate::default(),
        };
        Self { stopping: AtomicBool::new(false), inner: Mutex::new(inner), changed }
    }

    /// A copy. `now` is what the rate is measured up to.
    pub fn snapshot(&self, now: Tick) -> Snapshot {
        let mut inner = self.lock();
        let mut sorted: Vec<u64> = inner.latencies_ns.iter().copied().collect();
        let over = matches!(inner.state, PipelineState::Stopped | PipelineState::Finished | PipelineState::Failed);
        let per_second = if over { 0.0 } else { inner.rate.per_second(now) };
        let (state, for_good, counts) = (inner.state, inner.for_good, inner.counts);
        let (reason, serving) = (inner.reason.clone(), inner.serving.clone());
        drop(inner);
        sorted.sort_unstable();
        let counts = Counts {
            per_second,
            latency_p50_ms: percentile_ms(&sorted, 50),
            latency_p99_ms: percentile_ms(&sorted, 99),
            ..counts
        };
        Snapshot { state, reason, for_good, serving, counts }
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Something broke that it cannot go on after.
    pub(super) fn fail(&self, reason: String) {
        self.lock().failure = Some(reason);
        self.stop();
    }

    pub(super) fn record(&self, outcome: &Outcome, now: Tick) {
        let mut inner = self.lock();
        inner.counts.windows += 1;
        match outcome.verdict {
            Verdict::Event => inner.counts.events += 1,
            Verdict::Uncertain => inner.counts.uncertain += 1,
            Verdict::Failed => inner.counts.failed += 1,
            Verdict::Normal => {}
        }
        if inner.latencies_ns.len() == LATENCIES {
            inner.latencies_ns.pop_front();
        }
        inner.latencies_ns.push_back(outcome.latency_ns);
        inner.rate.count(now);
    }

    pub(super) fn frames(&self, frames: Figures) {
        let mut inner = self.lock();
        inner.counts.frames = frames.accepted;
        inner.counts.dropped = frames.overflown + frames.unreadable + frames.lost;
    }

    pub(super) fn restarted(&self) {
        self.lock().counts.runner_restarts += 1;
    }

    /// Takes over how the engine is, and why the source gives nothing, if it does not; tells the owner where that has changed, and
    /// the caller whether it has.
    pub(super) fn serves(&self, engine: &Engine, obstacle: Option<&Obstacle>) -> bool {
        let pid = engine.runner().map_or(0, crate::engine::Runner::pid);
        self.is(engine.health(), obstacle, pid, || serving(engine))
    }

    fn is(&self, health: Health, obstacle: Option<&Obstacle>, pid: u32, serving: impl FnOnce() -> Serving) -> bool {
        let (state, reason) = match health {
            Health::Serving => match obstacle {
                None => (PipelineState::Running, String::new()),
                Some(Obstacle::Missing(what)) => (PipelineState::Waiting, what.to_string()),
                Some(Obstacle::Rest(until)) => (PipelineState::Resting, until.to_string()),
            },
            Health::Starting => (PipelineState::Starting, String::new()),
            Health::Waiting(reason) => (PipelineState::Waiting, reason),
        };
        let mut inner = self.lock();
        let same = inner.state == state && inner.reason == reason && inner.serving.runner_pid == pid;
        if same {
            return false;
        }
        inner.state = state;
        inner.reason = reason;
        inner.serving = serving();
        drop(inner);
        self.changed.notify_one();
        true
    }

    /// It has ended; gives why, where it failed.
    pub(super) fn end(&self, ended: Ended) -> Option<String> {
        let mut inner = self.lock();
        inner.serving = Serving::default();
        let failure = inner.failure.take();
        (inner.state, inner.reason, inner.for_good) = match (ended, failure) {
            (Ended::Failed { reason, for_good }, None) => (PipelineState::Failed, reason, for_good),
            (Ended::Stopped | Ended::Finished | Ended::Failed { .. }, Some(reason)) => {
                (PipelineState::Failed, reason, false)
            }
            (Ended::Stopped, None) => (PipelineState::Stopped, String::new(), false),
            (Ended::Finished, None) => (PipelineState::Finished, String::new(), false),
        };
        let reason = (inner.state == PipelineState::Failed).then(|| inner.reason.clone());
        drop(inner);
        self.changed.notify_one();
        reason
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serving(engine: &Engine) -> Serving {
    let version = Some(engine.version().id.version.clone());
    match engine.runner() {
        Some(runner) => Serving {
            version,
            runner_pid: runner.pid(),
            sandbox: runner.ready().sandbox.level().to_owned(),
            backend: runner.ready().backend.clone(),
        },
        None => Serving { version, ..Serving::default() },
    }
}

/// The nearest-rank percentile of sorted nanoseconds, in milliseconds; 0 where there are none.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of hours are exact in a double")]
fn percentile_ms(sorted_ns: &[u64], percent: usize) -> f64 {
    let rank = (sorted_ns.len() * percent).div_ceil(100).saturating_sub(1);
    sorted_ns.get(rank).map_or(0.0, |&ns| ns as f64 / 1e6)
}

/// Outcomes in each of the last seconds.
#[derive(Debug, Default)]
struct Rate {
    begun: Option<Tick>,
    second: u64,
    counts: [u32; RATE_BUCKETS],
}

impl Rate {
    fn count(&mut self, now: Tick) {
        self.begun.get_or_insert(now);
        self.move_to(now);
        let bucket = Self::bucket(self.second);
        self.counts[bucket] += 1;
    }

    fn per_second(&mut self, now: Tick) -> f64 {
        let Some(begun) = self.begun else { return 0.0 };
        self.move_to(now);
        // The buckets hold whole seconds, and what has gone by of the one that runs.
        let oldest = Tick::from_ns((self.second + 1).saturating_sub(RATE_BUCKETS as u64) * 1_000_000_000);
        let span = now.since(begun.max(oldest)).max(Duration::from_millis(100));
        f64::from(self.counts.iter().sum::<u32>()) / span.as_secs_f64()
    }

    /// Empties the buckets of the seconds in which nothing was counted.
    fn move_to(&mut self, now: Tick) {
        let second = now.as_ns() / 1_000_000_000;
        let stale = second.saturating_sub(self.second).min(RATE_BUCKETS as u64);
        for back in 0..stale {
            let bucket = Self::bucket(second - back);
            self.counts[bucket] = 0;
        }
        self.second = self.second.max(second);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the number of buckets")]
    const fn bucket(second: u64) -> usize {
        (second % RATE_BUCKETS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of_a_pipeline_that_waits() -> Status {
        let status = Status::new(Arc::default());
        assert!(status.is(Health::Waiting("the runner keeps failing".to_owned()), None, 0, Serving::default));
        status
    }

    fn state(status: &Status) -> (PipelineState, String) {
        let snapshot = status.snapshot(Tick::default());
        (snapshot.state, snapshot.reason)
    }

    #[test]
    fn a_pipeline_that_is_stopped_while_it_waits_for_a_runner_has_not_failed() {
        let status = status_of_a_pipeline_that_waits();
        status.stop();
        assert_eq!(status.end(Ended::Stopped), None);
        assert_eq!(state(&status), (PipelineState::Stopped, String::new()));
    }

    #[test]
    fn a_failure_is_told_whatever_the_runner_does_meanwhile() {
        let status = status_of_a_pipeline_that_waits();
        status.fail("there is no memory for frames".to_owned());
        assert!(status.is_stopping());
        assert!(status.is(Health::Serving, None, 7, Serving::default));
        assert_eq!(status.end(Ended::Stopped).as_deref(), Some("there is no memory for frames"));
        assert_eq!(state(&status), (PipelineState::Failed, "there is no memory for frames".to_owned()));
    }

    #[test]
    fn a_source_that_breaks_for_good_is_told_apart() {
        for for_good in [false, true] {
            let status = Status::new(Arc::default());
            status.end(Ended::Failed { reason: "line 3".to_owned(), for_good });
            assert_eq!(status.snapshot(Tick::default()).for_good, for_good);
        }
    }

    #[test]
    fn a_source_that_waits_is_told_while_the_runner_is_well() {
        let status = Status::new(Arc::default());
        let serves = || Serving { runner_pid: 7, ..Serving::default() };
        let no_camera = Obstacle::Missing("no camera".into());
        assert!(status.is(Health::Serving, None, 7, serves));
        assert!(status.is(Health::Serving, Some(&no_camera), 7, serves));
        assert_eq!(state(&status), (PipelineState::Waiting, "no camera".to_owned()));
        assert!(!status.is(Health::Serving, Some(&no_camera), 7, serves), "that is no news");
        assert!(status.is(Health::Serving, None, 7, serves));
        assert_eq!(state(&status), (PipelineState::Running, String::new()));
    }

    #[test]
    fn a_rest_is_told_apart_from_waiting_and_from_a_runner_that_is_missing() {
        let status = Status::new(Arc::default());
        let night = Obstacle::Rest("until Mon 07:00".into());
        assert!(status.is(Health::Serving, Some(&night), 7, Serving::default));
        assert_eq!(state(&status), (PipelineState::Resting, "until Mon 07:00".to_owned()));
        assert!(status.is(Health::Waiting("no memory".to_owned()), Some(&night), 0, Serving::default));
        assert_eq!(state(&status), (PipelineState::Waiting, "no memory".to_owned()));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<u64> = (1..=100).map(|ms| ms * 1_000_000).collect();
        assert_eq!(percentile_ms(&sorted, 50), 50.0);
        assert_eq!(percentile_ms(&sorted, 99), 99.0);
        assert_eq!(percentile_ms(&sorted[..1], 99), 1.0);
        assert_eq!(percentile_ms(&[], 99), 0.0);
    }

    #[test]
    fn the_rate_forgets_what_is_older_than_its_span() {
        let mut rate = Rate::default();
        let at = |seconds: u64| Tick::from_ns(seconds * 1_000_000_000);
        for second in 0..20 {
            for _ in 0..5 {
                rate.count(at(second));
            }
        }
        assert_eq!(rate.per_second(at(20)), 5.0);
        assert_eq!(rate.per_second(at(40)), 0.0);
    }

    #[test]
    fn the_rate_is_right_at_any_part_of_a_second() {
        let tenth = |tenths: u64| Tick::from_ns(tenths * 100_000_000);
        let mut rate = Rate::default();
        for now in 1..400 {
            rate.count(tenth(now));
            let found = rate.per_second(tenth(now + 1));
            assert!(now < 20 || (9.9..10.6).contains(&found), "{found} at {now}");
        }
    }
}
