//! What must be true at the end, and the table that shows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use inferd_tests::metrics::Scrape;
use inferd_tests::outcomes;
use inferd_tests::receiver::Received;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::figures::Figures;
use crate::screen::{Paint, Screen};
use crate::stage::{ABOVE, ACTS, Act, NEW, OLD, Stage};
use crate::view;

/// The demo is looked at, not waited for: what takes longer has gone wrong.
const LONGEST: Duration = Duration::from_secs(60);

/// The end of the show.
pub(crate) struct Proof {
    claims: Vec<Claim>,
    rows: Vec<String>,
    notes: Vec<String>,
}

/// Something that must be true.
struct Claim {
    holds: bool,
    text: String,
}

/// Compares outcomes, metrics and what was received. The streams have been stopped; `live` was scraped before.
pub(crate) fn of(stage: &Stage, live: &Scrape) -> Proof {
    let figures: Vec<Figures> = ACTS.iter().map(|act| stage.figures(act)).collect();
    let acts: Vec<(&Act, &Figures)> = ACTS.iter().zip(&figures).collect();
    Proof {
        claims: vec![
            complete(stage, &acts),
            swapped(stage, &acts),
            agreed(stage, &acts),
            received(stage),
            unsure(stage),
            quick(stage.begun.elapsed()),
        ],
        rows: acts.iter().map(|(act, figures)| row(stage, act, figures)).collect(),
        notes: vec![
            format!("memory   {}", view::memory(live)),
            format!("metrics  {}", stage.metrics_url),
            proof_line(&stage.scrape),
        ],
    }
}

fn complete(stage: &Stage, acts: &[(&Act, &Figures)]) -> Claim {
    let all: usize = acts.iter().map(|(_, figures)| figures.tally.outcomes).sum();
    let lost: u64 = acts.iter().map(|(_, figures)| figures.tally.lost + figures.first_window.unwrap_or(1)).sum();
    let doubled: usize = acts.iter().map(|(_, figures)| figures.tally.doubled + figures.tally.out_of_order).sum();
    let failed: usize = acts.iter().map(|(_, figures)| figures.tally.failed).sum();
    let dropped: f64 = acts.iter().map(|(act, _)| dropped(stage, act)).sum();
    // Lines that the daemon could not get rid of: then the counts above prove nothing.
    let unread = outcomes::missed(&stage.lines);
    let some = acts.iter().all(|(_, figures)| figures.tally.outcomes > 0);
    Claim {
        holds: some && lost == 0 && doubled == 0 && failed == 0 && dropped == 0.0 && unread == 0,
        text: format!(
            "{all} windows, each with one outcome: {lost} lost, {doubled} doubled, {failed} failed, {dropped} dropped"
        ),
    }
}

/// Frames that a pipeline could not take in time.
fn dropped(stage: &Stage, act: &Act) -> f64 {
    stage.scrape.sum("inferd_frames_dropped_total", &[("pipeline", act.pipeline)])
}

fn swapped(stage: &Stage, acts: &[(&Act, &Figures)]) -> Claim {
    let served = |figures: &Figures, version| figures.tally.by_version.contains_key(version);
    let count = acts
        .iter()
        .filter(|(act, figures)| {
            stage.swap(act).is_some_and(|swap| swap.took.is_some())
                && served(figures, OLD)
                && served(figures, NEW)
                && figures.version() == NEW
                && figures.tally.version_changes == 1
        })
        .count();
    Claim {
        holds: count == acts.len(),
        text: format!("{count} models swapped from {OLD} to {NEW} while their streams ran, each between two windows"),
    }
}

fn agreed(stage: &Stage, acts: &[(&Act, &Figures)]) -> Claim {
    let windows = |(act, figures): &(&Act, &Figures)| {
        equals(figures.tally.outcomes, stage.scrape.sum("inferd_windows_total", &[("pipeline", act.pipeline)]))
    };
    let delivered = stage.scrape.sum("inferd_spool_samples_total", &[("state", "delivered")]);
    let holds = acts.iter().all(windows) && equals(stage.receiver.samples().len(), delivered);
    Claim { holds, text: "the metrics count the same windows and the same samples".into() }
}

fn received(stage: &Stage) -> Claim {
    let samples = stage.receiver.samples();
    let whole = samples.values().filter(|sample| is_whole(sample)).count();
    let text = format!("{} samples uploaded, {whole} of them whole by their SHA-256", samples.len());
    Claim { holds: whole > 0 && whole == samples.len(), text }
}

/// Both parts have come, and the payload is the one that the other part describes.
fn is_whole(received: &Received) -> bool {
    let digest = hex::encode(Sha256::digest(&received.payload));
    !received.payload.is_empty() && received.sample["payload"]["sha256"] == digest.as_str()
}

/// Nothing was uploaded but what the model was unsure of, as its outcome says.
fn unsure(stage: &Stage) -> Claim {
    let samples = stage.receiver.samples();
    let outcomes: BTreeMap<_, _> = stage.lines.iter().map(|line| (window(&line.outcome), &line.outcome)).collect();
    let proven = |received: &&Received| {
        let outcome = outcomes.get(&window(&received.sample));
        outcome.is_some_and(|outcome| is_unsure(&received.sample, outcome))
    };
    let count = samples.values().filter(proven).count();
    let text = format!("{count} of them less sure than {:.2}, each as the outcome of its window says", 1.0 - ABOVE);
    Claim { holds: count > 0 && count == samples.len(), text }
}

/// A window's pipeline and number.
fn window(value: &Value) -> (Option<&str>, Option<u64>) {
    (value["pipeline"].as_str(), value["window"].as_u64())
}

/// The sample was kept for the model's doubt, and that doubt is the one of its window's outcome.
fn is_unsure(sample: &Value, outcome: &Value) -> bool {
    let confidence = outcome["confidence"].as_f64().unwrap_or(1.0);
    let uncertainty = sample["reason"]["uncertainty"].as_f64().unwrap_or(0.0);
    sample["reason"]["why"] == "least-confidence"
        && uncertainty > ABOVE
        && (1.0 - confidence - uncertainty).abs() < 1e-6
        && sample["digest"] == outcome["digest"]
        && sample["confidence"] == outcome["confidence"]
}

/// The whole show.
fn quick(took: Duration) -> Claim {
    Claim { holds: took < LONGEST, text: format!("all of it in {:.0} s", took.as_secs_f64()) }
}

/// Whether a counter says the same as a count.
pub(crate) fn equals(count: usize, counter: f64) -> bool {
    u32::try_from(count).is_ok_and(|count| (f64::from(count) - counter).abs() < 0.5)
}

fn row(stage: &Stage, act: &Act, figures: &Figures) -> String {
    let dropped = dropped(stage, act);
    let swap = stage.swap(act).and_then(|swap| swap.took).unwrap_or_default();
    format!(
        "  {:<8} {:>7} {:>7} {:>5} {:>7} {:>8.2} {:>8.2} {:>8.0}   {:>3.0} % -> {:>2.0} %",
        act.pipeline,
        figures.tally.outcomes,
        dropped,
        figures.tally.lost,
        figures.tally.doubled,
        figures.p50_ms,
        figures.p99_ms,
        swap.as_secs_f64() * 1e3,
        figures.unsure_percent(OLD),
        figures.unsure_percent(NEW),
    )
}

/// A line of what Prometheus reads.
fn proof_line(last: &Scrape) -> String {
    let line = last.0.lines().find(|line| line.starts_with("inferd_windows_total{") && line.contains("uncertain"));
    format!("         {}", line.unwrap_or_default())
}

impl Proof {
    /// Whether all of it is true.
    pub(crate) fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }

    /// What was measured.
    pub(crate) fn table(&self, screen: &Screen) -> String {
        let heading = "  pipeline windows dropped  lost doubled   p50 ms   p99 ms  swap ms   unsure 1.0 -> 1.1";
        let mut text = format!("\n{}\n", screen.paint(Paint::Strong, heading));
        for row in &self.rows {
            let _ = writeln!(text, "{row}");
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        text.push('\n');
        for claim in &self.claims {
            let mark =
                if claim.holds { screen.paint(Paint::Good, "✔") } else { screen.paint(Paint::Bad, "✘ NOT TRUE:") };
            let _ = writeln!(text, "{mark} {}", claim.text);
        }
        text.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_is_unsure_only_where_its_outcome_says_so() {
        let outcome = json!({ "digest": "ab", "confidence": 0.5 });
        let sample = json!({ "digest": "ab", "confidence": 0.5,
            "reason": { "why": "least-confidence", "uncertainty": 0.5 } });
        assert!(is_unsure(&sample, &outcome));
        for (field, wrong) in [
            ("digest", json!("cd")),
            ("confidence", json!(0.4)),
            ("reason", json!({ "why": "requested", "uncertainty": 0.5 })),
            ("reason", json!({ "why": "least-confidence", "uncertainty": 0.3 })),
        ] {
            let mut changed = sample.clone();
            changed[field] = wrong;
            assert!(!is_unsure(&changed, &outcome), "{changed}");
        }
        let sure = json!({ "digest": "ab", "confidence": 0.9 });
        let kept = json!({ "digest": "ab", "confidence": 0.9,
            "reason": { "why": "least-confidence", "uncertainty": 0.1 } });
        assert!(!is_unsure(&kept, &sure));
    }
}
