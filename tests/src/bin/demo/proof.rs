//! What must be true at the end, and the table that shows it.

use std::fmt::Write as _;

use inferd_tests::metrics::Scrape;
use inferd_tests::receiver::Received;
use sha2::{Digest as _, Sha256};

use crate::figures::Figures;
use crate::screen::{Paint, Screen};
use crate::stage::{ACTS, Act, NEW, OLD, Stage};
use crate::view;

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
        claims: vec![complete(&acts), swapped(stage, &acts), agreed(stage, &acts), received(stage)],
        rows: acts.iter().map(|(act, figures)| row(stage, act, figures)).collect(),
        notes: vec![
            format!("memory   {}", view::memory(live)),
            format!("metrics  {}", stage.metrics_url),
            proof_line(live),
        ],
    }
}

fn complete(acts: &[(&Act, &Figures)]) -> Claim {
    let all: usize = acts.iter().map(|(_, figures)| figures.tally.outcomes).sum();
    let lost: u64 = acts.iter().map(|(_, figures)| figures.tally.lost + figures.first_window.unwrap_or(1)).sum();
    let doubled: usize = acts.iter().map(|(_, figures)| figures.tally.doubled + figures.tally.out_of_order).sum();
    let failed: usize = acts.iter().map(|(_, figures)| figures.verdict("failed")).sum();
    let holds = lost == 0 && doubled == 0 && failed == 0 && acts.iter().all(|(_, figures)| figures.tally.outcomes > 0);
    Claim {
        holds,
        text: format!("{all} windows, each with one outcome: {lost} lost, {doubled} doubled, {failed} failed"),
    }
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
        })
        .count();
    Claim {
        holds: count == acts.len(),
        text: format!("{count} models swapped from {OLD} to {NEW} while their streams ran"),
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
    let text = format!("{} unsure samples uploaded, {whole} of them whole by their SHA-256", samples.len());
    Claim { holds: whole > 0 && whole == samples.len(), text }
}

/// Both parts have come, and the payload is the one that the other part describes.
fn is_whole(received: &Received) -> bool {
    let digest = hex::encode(Sha256::digest(&received.payload));
    !received.payload.is_empty() && received.sample["payload"]["sha256"] == digest.as_str()
}

/// Whether a counter says the same as a count.
pub(crate) fn equals(count: usize, counter: f64) -> bool {
    u32::try_from(count).is_ok_and(|count| (f64::from(count) - counter).abs() < 0.5)
}

fn row(stage: &Stage, act: &Act, figures: &Figures) -> String {
    let dropped = stage.scrape.sum("inferd_frames_dropped_total", &[("pipeline", act.pipeline)]);
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
fn proof_line(live: &Scrape) -> String {
    let line = live.0.lines().find(|line| line.starts_with("inferd_windows_total{") && line.contains("uncertain"));
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
