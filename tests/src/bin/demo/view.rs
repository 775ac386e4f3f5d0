//! What is seen while it runs.

use std::fmt::Write as _;

use inferd_tests::metrics::Scrape;

use crate::figures::Figures;
use crate::screen::{Paint, Screen};
use crate::stage::{ACTS, Act, NEW, Stage};

/// Cells of the bar that shows a confidence.
const BAR: usize = 10;

/// The live block. At most 80 columns and 16 lines.
pub(crate) fn block(screen: &Screen, stage: &Stage, doing: &str) -> String {
    let elapsed = stage.begun.elapsed().as_secs_f64();
    let mut text = format!("\n  {}  {:5.1} s  {doing}\n\n", screen.paint(Paint::Strong, "inferd demo"), elapsed);
    for act in &ACTS {
        pipeline(&mut text, screen, stage, act);
    }
    let _ = writeln!(text, "  samples  {}", samples(stage));
    let _ = writeln!(text, "  swaps    {}", swaps(screen, stage));
    let _ = writeln!(text, "  memory   {}", memory(&stage.scrape));
    text
}

fn pipeline(text: &mut String, screen: &Screen, stage: &Stage, act: &Act) {
    let figures = stage.figures(act);
    let state = stage.state(act);
    let version = format!("{:<7}", figures.version());
    let _ = writeln!(
        text,
        "  {} {:<12} {} {} {:5.1} windows/s  p50 {:4.1}  p99 {:4.1} ms",
        screen.paint(Paint::Name, &format!("{:<7}", act.pipeline)),
        act.model,
        screen.paint(if figures.version() == NEW { Paint::Good } else { Paint::Strong }, &version),
        screen.paint(if state == "running" { Paint::Good } else { Paint::Faint }, &format!("{state:<8}")),
        figures.per_second,
        figures.p50_ms,
        figures.p99_ms,
    );
    let _ = writeln!(text, "          {}  {}\n", last(screen, &figures), verdicts(screen, &figures));
}

fn last(screen: &Screen, figures: &Figures) -> String {
    let Some(last) = &figures.last else { return format!("{:<30}", "waits for its first window") };
    let confidence = last["confidence"].as_f64().unwrap_or(0.0);
    let label = format!("{:<12}", last["label"].as_str().unwrap_or("-"));
    let paint = match last["verdict"].as_str() {
        Some("event") => Paint::Strong,
        Some("uncertain" | "failed") => Paint::Bad,
        _ => Paint::Faint,
    };
    format!("{} {confidence:4.2} {}", screen.paint(paint, &label), bar(screen, confidence))
}

fn bar(screen: &Screen, confidence: f64) -> String {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let full = (confidence.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{}", "■".repeat(full), screen.paint(Paint::Faint, &"·".repeat(BAR - full)))
}

fn verdicts(screen: &Screen, figures: &Figures) -> String {
    let [events, normal, unsure, failed] = ["event", "normal", "uncertain", "failed"].map(|word| figures.verdict(word));
    let mut text = format!("{events:4} events {normal:4} normal {unsure:3} unsure");
    if failed > 0 {
        let _ = write!(text, " {}", screen.paint(Paint::Bad, &format!("{failed} failed")));
    }
    text
}

fn samples(stage: &Stage) -> String {
    let waiting = stage.scrape.value("inferd_spool_samples", &[]).unwrap_or(0.0);
    format!("{} received by {}, {waiting} waiting", stage.receiver.samples().len(), stage.receiver.url())
}

fn swaps(screen: &Screen, stage: &Stage) -> String {
    let one = |act: &Act| match stage.swap(act) {
        None => screen.paint(Paint::Faint, &format!("{} –", act.pipeline)),
        Some(swap) => match swap.took {
            None => format!("{} {}", act.pipeline, screen.paint(Paint::Strong, &swap.step())),
            Some(took) => {
                format!("{} {} {:.0} ms", act.pipeline, screen.paint(Paint::Good, "✔"), took.as_secs_f64() * 1e3)
            }
        },
    };
    ACTS.iter().map(one).collect::<Vec<_>>().join("   ")
}

/// Resident memory of the daemon and the runners.
pub(crate) fn memory(scrape: &Scrape) -> String {
    let megabytes = |bytes: Option<f64>| bytes.unwrap_or(0.0) / 1e6;
    let runner = |act: &Act| {
        let bytes = scrape.value("inferd_runner_resident_bytes", &[("pipeline", act.pipeline)]);
        format!("{:.0}", megabytes(bytes))
    };
    let runners = ACTS.iter().map(runner).collect::<Vec<_>>().join(" + ");
    format!("inferd {:.1} MB, runners {runners} MB", megabytes(scrape.value("process_resident_memory_bytes", &[])))
}

/// The same in one line, for output that is no terminal.
pub(crate) fn line(stage: &Stage) -> String {
    let mut text = format!("{:5.1} s", stage.begun.elapsed().as_secs_f64());
    for act in &ACTS {
        let figures = stage.figures(act);
        let (version, rate) = (figures.version(), figures.per_second);
        let _ = write!(text, "  {} {version} {rate:.1}/s p99 {:.1} ms", act.pipeline, figures.p99_ms);
        if let Some(last) = &figures.last {
            let label = last["label"].as_str().unwrap_or("-");
            let _ = write!(text, " {label} {:.2}", last["confidence"].as_f64().unwrap_or(0.0));
        }
        text.push(';');
    }
    let _ = write!(text, "  {} samples received", stage.receiver.samples().len());
    text
}
