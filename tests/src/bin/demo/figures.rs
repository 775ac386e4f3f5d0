//! What the outcomes of one pipeline say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use inferd_tests::outcomes::{self, Line, Tally};
use inferd_tests::statistics::quantile;
use serde_json::Value;

/// Over this time windows per second are counted.
const RECENT: Duration = Duration::from_secs(3);

/// Figures of one pipeline.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Lost, doubled and disordered windows, and windows by version.
    pub(crate) tally: Tally,
    /// The first window's number: 0 unless the beginning was missed.
    pub(crate) first_window: Option<u64>,
    /// Windows by verdict.
    pub(crate) verdicts: BTreeMap<String, usize>,
    /// Unsure windows by version.
    pub(crate) unsure: BTreeMap<String, usize>,
    /// Windows per second over the last moments.
    pub(crate) per_second: f64,
    /// From the frame being ready to the outcome, in milliseconds; 0 before the first.
    pub(crate) p50_ms: f64,
    /// Likewise.
    pub(crate) p99_ms: f64,
    /// The last outcome.
    pub(crate) last: Option<Value>,
}

impl Figures {
    /// Of all lines that came so far.
    pub(crate) fn of(lines: &[Line], pipeline: &str) -> Self {
        let lines = outcomes::of(lines, pipeline);
        let mut latencies: Vec<f64> = lines.iter().filter_map(|line| line.outcome["latency_ms"].as_f64()).collect();
        Self {
            tally: outcomes::tally(&lines),
            first_window: lines.first().and_then(|line| line.outcome["window"].as_u64()),
            verdicts: count(lines.iter().map(|line| &line.outcome["verdict"])),
            unsure: count(lines.iter().filter(|line| is_unsure(&line.outcome)).map(|line| &line.outcome["version"])),
            per_second: per_second(&lines),
            p50_ms: quantile(&mut latencies, 0.5).max(0.0),
            p99_ms: quantile(&mut latencies, 0.99).max(0.0),
            last: lines.last().map(|line| line.outcome.clone()),
        }
    }

    /// The version that served last.
    pub(crate) fn version(&self) -> &str {
        self.last.as_ref().and_then(|last| last["version"].as_str()).unwrap_or("-")
    }

    /// Windows with a verdict.
    pub(crate) fn verdict(&self, verdict: &str) -> usize {
        self.verdicts.get(verdict).copied().unwrap_or(0)
    }

    /// The share of a version's windows of which it was unsure, in percent.
    pub(crate) fn unsure_percent(&self, version: &str) -> f64 {
        let of = |counts: &BTreeMap<String, usize>| counts.get(version).copied().unwrap_or(0);
        100.0 * ratio(of(&self.unsure), of(&self.tally.by_version))
    }
}

fn is_unsure(outcome: &Value) -> bool {
    outcome["verdict"] == "uncertain"
}

fn count<'a>(words: impl Iterator<Item = &'a Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    counts
}

fn per_second(lines: &[&Line]) -> f64 {
    let Some(since) = Instant::now().checked_sub(RECENT) else { return 0.0 };
    let recent = lines.iter().rev().take_while(|line| line.at >= since).count();
    #[allow(clippy::cast_precision_loss, reason = "thousands of windows")]
    let recent = recent as f64;
    recent / RECENT.as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "thousands of windows")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_of_one_pipeline_and_by_version() {
        let line = |pipeline: &str, window, version: &str, verdict: &str| Line {
            at: Instant::now(),
            outcome: json!({ "pipeline": pipeline, "window": window, "version": version, "verdict": verdict,
                "latency_ms": 2.0 }),
        };
        let lines = [
            line("belt", 0, "1.0.0", "uncertain"),
            line("speech", 0, "1.0.0", "event"),
            line("belt", 1, "1.0.0", "normal"),
            line("belt", 3, "1.1.0", "normal"),
        ];
        let figures = Figures::of(&lines, "belt");
        assert_eq!((figures.tally.outcomes, figures.tally.lost, figures.first_window), (3, 1, Some(0)));
        assert_eq!((figures.unsure_percent("1.0.0"), figures.unsure_percent("1.1.0")), (50.0, 0.0));
        assert_eq!((figures.version(), figures.verdict("normal"), figures.p99_ms), ("1.1.0", 2, 2.0));
    }
}
