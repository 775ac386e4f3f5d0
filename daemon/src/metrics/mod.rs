//! Figures for Prometheus. Every name, label and unit is in `docs/metrics.md`; a test holds the two against each other.
//!
//! Invariants:
//! - Recording an outcome touches counters that were looked up when the pipeline was made: no lock that another thread
//!   holds for long, no allocation, no look-up by label.
//! - Cardinality is bounded: labels are names of configured pipelines and of installed models, and words from fixed lists;
//!   series of a pipeline or a model end with it. The version that serves is one `info` series a pipeline.
//! - What can be read off at any time (spool, sinks, memory) is read at the scrape, not kept up to date.

mod heat;
mod http;
mod pipeline;
mod process;

use std::fmt;
use std::sync::Arc;

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use http::{Health, HttpError, Server, serve};
pub use pipeline::PipelineMetrics;

/// All metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

/// The families, by room.
struct Families {
    registry: Registry,
    pipeline: pipeline::Families,
    heat: heat::Families,
    swaps: IntCounterVec,
    installs: IntCounterVec,
    config_reloads: IntCounterVec,
    spool_samples: IntGauge,
    spool_bytes: IntGauge,
    spool_ends: IntCounterVec,
    uploads: IntCounterVec,
    sink_lines: IntCounter,
    sink_dropped: IntCounterVec,
    sink_readers: IntGauge,
    sink_refused: IntCounter,
    resident: Gauge,
    start_time: Gauge,
}

/// What is read off at a scrape.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// The spool.
    pub spool: crate::spool::Counts,
    /// Delivered uploads, failed attempts.
    pub uploads: (u64, u64),
    /// The sinks.
    pub sinks: crate::publish::Counts,
    /// The machine's heat.
    pub heat: Arc<crate::host::thermal::Reading>,
}

impl Metrics {
    /// All families, registered and at zero.
    ///
    /// # Errors
    /// Where two families have one name: a defect.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let with = Register(&registry);
        let info = with.gauges("inferd_build_info", "The build that runs, always 1.", &["version"])?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let families = Families {
            pipeline: pipeline::Families::register(&with)?,
            heat: heat::Families::register(&with)?,
            swaps: with.counters(
                "inferd_model_swaps_total",
                "Activations and rollbacks, by how they ended.",
                &["model", "result"],
            )?,
            installs: with.counters(
                "inferd_model_installs_total",
                "Installed bundles, by how it ended.",
                &["result"],
            )?,
            config_reloads: with.counters(
                "inferd_config_reloads_total",
                "Reloads of the configuration, by how they ended.",
                &["result"],
            )?,
            spool_samples: with.gauge("inferd_spool_samples", "Samples that wait to be uploaded.")?,
            spool_bytes: with.gauge("inferd_spool_bytes", "Bytes of the spool on disk, temporary files counted.")?,
            spool_ends: with.counters("inferd_spool_samples_total", "Samples by what became of them.", &["state"])?,
            uploads: with.counters(
                "inferd_upload_attempts_total",
                "Attempts to upload a sample, by how they ended.",
                &["result"],
            )?,
            sink_lines: with.counter("inferd_sink_lines_total", "Outcomes that were made into a line.")?,
            sink_dropped: with.counters(
                "inferd_sink_dropped_lines_total",
                "Lines that a slow reader missed.",
                &["sink"],
            )?,
            sink_readers: with.gauge("inferd_sink_readers", "Readers attached to the outcomes socket.")?,
            sink_refused: with.counter(
                "inferd_sink_readers_refused_total",
                "Readers that were turned away as too many were attached.",
            )?,
            resident: with.float_gauge("process_resident_memory_bytes", "Resident memory of the daemon.")?,
            start_time: with
                .float_gauge("process_start_time_seconds", "When the daemon was started, seconds since 1970.")?,
            registry,
        };
        for ended in [true, false].map(result) {
            families.installs.with_label_values(&[ended]);
            families.config_reloads.with_label_values(&[ended]);
        }
        families.start_time.set(process::now_unix_s());
        Ok(Self(Arc::new(families)))
    }

    /// The counters of one pipeline, looked up once.
    pub fn pipeline(&self, name: &inferd_core::Name) -> PipelineMetrics {
        self.0.pipeline.of(name)
    }

    /// Shows the state of a pipeline.
    pub fn pipeline_is(&self, name: &inferd_core::Name, state: &'static str) {
        self.0.pipeline.is_in(name, state);
    }

    /// Forgets a pipeline that is no longer configured.
    pub fn forget_pipeline(&self, name: &inferd_core::Name) {
        self.0.pipeline.forget(name);
    }

    /// Counts a swap.
    pub fn swapped(&self, model: &inferd_core::Name, succeeded: bool) {
        self.0.swaps.with_label_values(&[model.as_str(), result(succeeded)]).inc();
    }

    /// Forgets a model that is no longer installed.
    pub fn forget_model(&self, model: &inferd_core::Name) {
        for ended in [true, false].map(result) {
            // It fails only where the series was never made.
            let _ = self.0.swaps.remove_label_values(&[model.as_str(), ended]);
        }
    }

    /// Counts an install.
    pub fn installed(&self, succeeded: bool) {
        self.0.installs.with_label_values(&[result(succeeded)]).inc();
    }

    /// Counts a reload.
    pub fn reloaded(&self, succeeded: bool) {
        self.0.config_reloads.with_label_values(&[result(succeeded)]).inc();
    }

    /// The text of a scrape.
    ///
    /// # Errors
    /// Where a family cannot be written: a defect.
    pub fn scrape(&self, readings: &Readings) -> Result<String, prometheus::Error> {
        self.0.read(readings);
        self.0.pipeline.read_processes();
        TextEncoder::new().encode_to_string(&self.0.registry.gather())
    }
}

impl Families {
    fn read(&self, readings: &Readings) {
        let spool = &readings.spool;
        self.spool_samples.set(signed(spool.pending));
        self.spool_bytes.set(signed(spool.bytes));
        let states = [("accepted", spool.accepted), ("delivered", spool.delivered), ("quarantined", spool.quarantined)];
        let dropped = crate::spool::DropReason::ALL.map(|reason| (reason.word(), spool.dropped(reason)));
        for (state, count) in states {
            raise(&self.spool_ends.with_label_values(&[state]), count);
        }
        for (reason, count) in dropped {
            raise(&self.spool_ends.with_label_values(&[&format!("dropped-{reason}")]), count);
        }
        raise(&self.uploads.with_label_values(&["succeeded"]), readings.uploads.0);
        raise(&self.uploads.with_label_values(&["failed"]), readings.uploads.1);
        raise(&self.sink_lines, readings.sinks.lines);
        raise(&self.sink_dropped.with_label_values(&["socket"]), readings.sinks.socket_dropped);
        raise(&self.sink_dropped.with_label_values(&["stdout"]), readings.sinks.stdout_dropped);
        self.sink_readers.set(signed(readings.sinks.readers));
        raise(&self.sink_refused, readings.sinks.refused);
        self.heat.show(&readings.heat);
        self.resident.set(process::resident_bytes(std::process::id()));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

const fn result(succeeded: bool) -> &'static str {
    if succeeded { "succeeded" } else { "failed" }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Brings a counter up to what was counted elsewhere; it never goes back.
fn raise(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

/// Makes families and registers them.
struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        let family = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        let family = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let family = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        let gauge = Gauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }
}

#[cfg(test)]
mod tests;
