//! The figures of one pipeline.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use inferd_core::outcome::{FailedStage, Outcome, Verdict};
use inferd_core::{ModelId, Name};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::{Register, process};
use crate::engine::Restart;

/// Seconds; from ten microseconds (a small IMU model) to ten seconds (a deadline).
const SECONDS: [f64; 18] =
    [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Shares of one.
const SHARES: [f64; 11] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

/// The stages of a window, in order; `overhead` is what inferd adds to them.
const STAGES: [&str; 5] = ["decode", "preprocess", "inference", "postprocess", "overhead"];

/// Where frames are dropped, and why.
const DROPS: [(&str, &str); 3] = [("queue", "queue-full"), ("source", "unreadable"), ("device", "overrun")];

/// Why windows are left out.
const SKIPS: [&str; 2] = ["max-per-second", "temperature"];

pub(super) struct Families {
    frames: IntCounterVec,
    dropped: IntCounterVec,
    source_restarts: IntCounterVec,
    windows: IntCounterVec,
    skipped: IntCounterVec,
    failures: IntCounterVec,
    stages: HistogramVec,
    latency: HistogramVec,
    confidence: HistogramVec,
    restarts: IntCounterVec,
    throttled: IntCounterVec,
    info: Info,
    resident: IntGaugeVec,
    state: IntGaugeVec,
    /// The state that each pipeline's series is at 1 for.
    states: Mutex<HashMap<Name, &'static str>>,
    /// Runners by pipeline, for figures that are read at a scrape.
    runners: Mutex<HashMap<Name, Arc<AtomicU32>>>,
}

/// Families of which one series a pipeline is at 1.
#[derive(Clone)]
struct Info {
    model: IntGaugeVec,
    sandbox: IntGaugeVec,
}

impl Info {
    fn register(with: &Register<'_>) -> Result<Self, prometheus::Error> {
        let version = &["pipeline", "model", "version", "digest"];
        let confined = "The sandbox that confines the runner, always 1.";
        Ok(Self {
            model: with.gauges("inferd_pipeline_model_info", "The version that serves, always 1.", version)?,
            sandbox: with.gauges("inferd_runner_sandbox_info", confined, &["pipeline", "level"])?,
        })
    }
}

impl Families {
    pub(super) fn register(with: &Register<'_>) -> Result<Self, prometheus::Error> {
        let (one, by_reason) = (&["pipeline"][..], &["pipeline", "reason"][..]);
        Ok(Self {
            frames: with.counters("inferd_frames_total", "Frames from the source.", one)?,
            dropped: with.counters(
                "inferd_frames_dropped_total",
                "Frames that were dropped, by place and reason.",
                &["pipeline", "place", "reason"],
            )?,
            source_restarts: with.counters(
                "inferd_source_restarts_total",
                "How often the source was started again.",
                one,
            )?,
            windows: with.counters(
                "inferd_windows_total",
                "Windows with an outcome, by verdict.",
                &["pipeline", "verdict"],
            )?,
            skipped: with.counters("inferd_windows_skipped_total", "Windows left out to spare power.", by_reason)?,
            failures: with.counters(
                "inferd_window_failures_total",
                "Failed windows, by stage.",
                &["pipeline", "stage"],
            )?,
            stages: with.histograms(
                "inferd_stage_seconds",
                "Time of a window in each stage; overhead is what inferd adds.",
                &["pipeline", "stage"],
                &SECONDS,
            )?,
            latency: with.histograms(
                "inferd_window_latency_seconds",
                "From a frame being ready to its outcome.",
                one,
                &SECONDS,
            )?,
            confidence: with.histograms(
                "inferd_confidence_ratio",
                "Confidence of the deciding class.",
                one,
                &SHARES,
            )?,
            restarts: with.counters(
                "inferd_runner_restarts_total",
                "Runners that were replaced, by reason.",
                by_reason,
            )?,
            throttled: with.counters(
                "inferd_samples_throttled_total",
                "Uncertain windows that were over the sampling budget.",
                one,
            )?,
            info: Info::register(with)?,
            resident: with.gauges("inferd_runner_resident_bytes", "Resident memory of the runner.", one)?,
            state: with.gauges("inferd_pipeline_state", "1 for the state that it is in.", &["pipeline", "state"])?,
            states: Mutex::default(),
            runners: Mutex::default(),
        })
    }

    pub(super) fn of(&self, name: &Name) -> PipelineMetrics {
        let runner = Arc::new(AtomicU32::new(0));
        self.runners.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Arc::clone(&runner));
        let pipeline = name.as_str();
        PipelineMetrics {
            runner,
            name: name.clone(),
            frames: Total::new(self.frames.with_label_values(&[pipeline])),
            dropped: DROPS
                .map(|(place, reason)| Total::new(self.dropped.with_label_values(&[pipeline, place, reason]))),
            source_restarts: Total::new(self.source_restarts.with_label_values(&[pipeline])),
            windows: Verdict::ALL.map(|verdict| self.windows.with_label_values(&[pipeline, verdict.word()])),
            skipped: SKIPS.map(|reason| Total::new(self.skipped.with_label_values(&[pipeline, reason]))),
            failures: FailedStage::ALL.map(|stage| self.failures.with_label_values(&[pipeline, stage.word()])),
            stages: STAGES.map(|stage| self.stages.with_label_values(&[pipeline, stage])),
            latency: self.latency.with_label_values(&[pipeline]),
            confidence: self.confidence.with_label_values(&[pipeline]),
            restarts: Restart::ALL.map(|reason| self.restarts.with_label_values(&[pipeline, reason.word()])),
            throttled: Total::new(self.throttled.with_label_values(&[pipeline])),
            info: self.info.clone(),
            shown: None,
        }
    }

    /// Shows the state of a pipeline, of one that does not run too.
    pub(super) fn is_in(&self, name: &Name, state: &'static str) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if states.get(name) == Some(&state) {
            return;
        }
        if let Some(before) = states.insert(name.clone(), state) {
            // It fails only where the series was never made.
            let _ = self.state.remove_label_values(&[name.as_str(), before]);
        }
        self.state.with_label_values(&[name.as_str(), state]).set(1);
    }

    pub(super) fn forget(&self, name: &Name) {
        if let Some(state) = self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(name) {
            let _ = self.state.remove_label_values(&[name.as_str(), state]);
        }
        self.runners.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let pipeline = name.as_str();
        // Each fails only where the series was never made.
        let _ = self.frames.remove_label_values(&[pipeline]);
        for (place, reason) in DROPS {
            let _ = self.dropped.remove_label_values(&[pipeline, place, reason]);
        }
        let _ = self.source_restarts.remove_label_values(&[pipeline]);
        for reason in SKIPS {
            let _ = self.skipped.remove_label_values(&[pipeline, reason]);
        }
        let _ = self.latency.remove_label_values(&[pipeline]);
        let _ = self.confidence.remove_label_values(&[pipeline]);
        let _ = self.throttled.remove_label_values(&[pipeline]);
        let _ = self.resident.remove_label_values(&[pipeline]);
        for verdict in Verdict::ALL {
            let _ = self.windows.remove_label_values(&[pipeline, verdict.word()]);
        }
        for stage in FailedStage::ALL {
            let _ = self.failures.remove_label_values(&[pipeline, stage.word()]);
        }
        for stage in STAGES {
            let _ = self.stages.remove_label_values(&[pipeline, stage]);
        }
        for reason in Restart::ALL {
            let _ = self.restarts.remove_label_values(&[pipeline, reason.word()]);
        }
    }

    pub(super) fn read_processes(&self) {
        let runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, pid) in runners.iter() {
            let pid = pid.load(Ordering::Relaxed);
            let bytes = if pid == 0 { 0.0 } else { process::resident_bytes(pid) };
            self.resident.with_label_values(&[name.as_str()]).set(whole(bytes));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bytes of a process are far below 2^53")]
const fn whole(bytes: f64) -> i64 {
    bytes as i64
}

/// The counters of one pipeline, written by its thread alone.
pub struct PipelineMetrics {
    name: Name,
    runner: Arc<AtomicU32>,
    frames: Total,
    /// In the order of [`DROPS`].
    dropped: [Total; DROPS.len()],
    source_restarts: Total,
    windows: [IntCounter; Verdict::ALL.len()],
    /// In the order of [`SKIPS`].
    skipped: [Total; SKIPS.len()],
    failures: [IntCounter; FailedStage::ALL.len()],
    stages: [Histogram; STAGES.len()],
    latency: Histogram,
    confidence: Histogram,
    restarts: [IntCounter; Restart::ALL.len()],
    throttled: Total,
    info: Info,
    shown: Option<Shown>,
}

/// The info series that are at 1.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    model: Option<ModelId>,
    sandbox: Option<&'static str>,
}

/// A counter that follows a figure which is counted elsewhere and starts at zero with the pipeline.
struct Total {
    counter: IntCounter,
    seen: u64,
}

impl Total {
    const fn new(counter: IntCounter) -> Self {
        Self { counter, seen: 0 }
    }

    fn follow(&mut self, count: u64) {
        self.counter.inc_by(count.saturating_sub(self.seen));
        self.seen = count;
    }
}

impl PipelineMetrics {
    /// Counts an outcome.
    pub fn record(&self, outcome: &Outcome) {
        self.windows[outcome.verdict as usize].inc();
        self.latency.observe(seconds(outcome.latency_ns));
        match &outcome.result {
            Ok(inference) => {
                let times = &inference.times;
                let overhead_ns = outcome.latency_ns.saturating_sub(times.total_ns());
                let all = [times.decode_ns, times.preprocess_ns, times.inference_ns, times.postprocess_ns, overhead_ns];
                for (stage, ns) in self.stages.iter().zip(all) {
                    stage.observe(seconds(ns));
                }
                if outcome.class.is_some() {
                    self.confidence.observe(f64::from(outcome.confidence));
                }
            }
            Err(failure) => self.failures[failure.stage as usize].inc(),
        }
    }

    /// Frames since the pipeline was started: those taken in; those of them that were dropped for newer ones, those that could
    /// not be read, and those that the device had lost.
    pub fn frames(&mut self, accepted: u64, dropped: [u64; DROPS.len()]) {
        self.frames.follow(accepted);
        for (total, count) in self.dropped.iter_mut().zip(dropped) {
            total.follow(count);
        }
    }

    /// How often the source was started again since the pipeline was started.
    pub fn source_restarts(&mut self, count: u64) {
        self.source_restarts.follow(count);
    }

    /// Windows that were left out since the pipeline was started: those over its limit, and those over that of a hot machine.
    pub fn skipped(&mut self, skipped: [u64; SKIPS.len()]) {
        for (total, count) in self.skipped.iter_mut().zip(skipped) {
            total.follow(count);
        }
    }

    /// Windows over the sampling budget since the pipeline was started.
    pub fn throttled(&mut self, count: u64) {
        self.throttled.follow(count);
    }

    /// Counts a replaced runner.
    pub fn restarted(&self, reason: Restart) {
        self.restarts[reason as usize].inc();
    }

    /// Shows the version and sandbox of the runner with process id `runner_pid` (0: none).
    pub fn show(&mut self, model: Option<&ModelId>, sandbox: Option<&'static str>, runner_pid: u32) {
        self.runner.store(runner_pid, Ordering::Relaxed);
        let shown = Shown { model: model.cloned(), sandbox };
        if self.shown.as_ref() == Some(&shown) {
            return;
        }
        self.hide();
        let pipeline = self.name.as_str();
        if let Some(model) = model {
            let labels = [pipeline, model.name.as_str(), &model.version.to_string(), &model.digest.to_string()];
            self.info.model.with_label_values(&labels).set(1);
        }
        if let Some(level) = sandbox {
            self.info.sandbox.with_label_values(&[pipeline, level]).set(1);
        }
        self.shown = Some(shown);
    }

    fn hide(&mut self) {
        let Some(shown) = self.shown.take() else { return };
        let pipeline = self.name.as_str();
        // Each fails only where the series was never made.
        if let Some(model) = shown.model {
            let labels = [pipeline, model.name.as_str(), &model.version.to_string(), &model.digest.to_string()];
            let _ = self.info.model.remove_label_values(&labels);
        }
        if let Some(level) = shown.sandbox {
            let _ = self.info.sandbox.remove_label_values(&[pipeline, level]);
        }
    }
}

impl Drop for PipelineMetrics {
    fn drop(&mut self) {
        self.runner.store(0, Ordering::Relaxed);
        self.hide();
    }
}

impl fmt::Debug for PipelineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipelineMetrics({})", self.name)
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of hours are exact in a double")]
const fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_follow_without_counting_twice() {
        let counter = IntCounter::new("a", "b").unwrap();
        let mut total = Total::new(counter.clone());
        total.follow(3);
        total.follow(5);
        assert_eq!(counter.get(), 5);
    }
}
