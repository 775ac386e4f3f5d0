//! What there is to say of the chosen pipeline.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

use super::spark::spark;
use super::{Look, spool};
use crate::figures::{milliseconds, or_dash, per_second};
use crate::status;
use crate::top::feed::Outcome;
use crate::top::state::{History, State};
use crate::view::{Everything, Pipeline};

/// Below the list: what is wrong with it, and its last outcomes.
pub(super) fn draw_short(frame: &mut Frame<'_>, area: Rect, state: &State, everything: &Everything, look: Look) {
    let Some(pipeline) = state.chosen() else { return };
    let block = Block::new().borders(Borders::TOP).title(format!(" {} ", pipeline.name)).border_style(look.faint());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let mut lines = wrong(pipeline, everything, look);
    lines.extend(outcomes(state, pipeline, usize::from(inner.height).saturating_sub(lines.len()), look));
    frame.render_widget(Paragraph::new(lines), inner);
}

/// The whole of it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, everything: &Everything, look: Look) {
    let Some(pipeline) = state.chosen() else { return };
    let history = state.history(&pipeline.name);
    let mut lines = vec![Line::styled(pipeline.name.clone(), Look::strong())];
    lines.extend(facts(pipeline, everything).map(|(what, value)| fact(what, value, look)));
    let curve = |values: fn(&History) -> Vec<Option<f64>>, top| {
        let width = usize::from(area.width).saturating_sub(13).min(120);
        spark(&history.map(values).unwrap_or_default(), width, top)
    };
    lines.push(fact("latency", curve(History::latencies, None), look));
    lines.push(fact("confidence", curve(History::confidences, Some(1.0)), look));
    lines.extend(wrong(pipeline, everything, look));
    lines.push(Line::default());
    lines.extend(outcomes(state, pipeline, usize::from(area.height).saturating_sub(lines.len()), look));
    frame.render_widget(Paragraph::new(lines), area);
}

fn facts(pipeline: &Pipeline, everything: &Everything) -> impl Iterator<Item = (&'static str, String)> {
    let counts = &pipeline.counts;
    let decided = counts.events.saturating_add(counts.uncertain).saturating_add(counts.failed);
    let windows = format!(
        "{}: {} events, {} normal, {} uncertain, {} failed",
        counts.windows,
        counts.events,
        counts.windows.saturating_sub(decided),
        counts.uncertain,
        counts.failed
    );
    let runner = format!(
        "{}, sandbox {}, process {}, started again {} times",
        or_dash(&pipeline.backend),
        or_dash(&pipeline.sandbox),
        pipeline.runner_pid,
        counts.runner_restarts
    );
    let speed = format!(
        "{}, p50 {}, p99 {}",
        per_second(counts.per_second),
        milliseconds(counts.latency_p50_ms),
        milliseconds(counts.latency_p99_ms)
    );
    [
        ("state", format!("{} {}", pipeline.state, pipeline.reason)),
        ("source", pipeline.source.clone()),
        ("model", format!("{} {}", pipeline.model, pipeline.version)),
        ("runner", runner),
        ("speed", speed),
        ("windows", windows),
        ("frames", format!("{}, {} dropped", counts.frames, counts.dropped)),
        ("samples", spool(everything)),
    ]
    .into_iter()
}

fn fact<'a>(what: &'static str, value: String, look: Look) -> Line<'a> {
    Line::from(vec![Span::styled(format!("{what:<11}"), look.faint()), Span::raw(value)])
}

fn wrong<'a>(pipeline: &Pipeline, everything: &Everything, look: Look) -> Vec<Line<'a>> {
    let problems = status::pipeline_problems(pipeline, everything);
    let tell = |problem: status::Problem| {
        let next = (!problem.next.is_empty()).then(|| Line::raw(format!("  next: {}", problem.next)));
        std::iter::once(Line::styled(problem.message, look.bad())).chain(next)
    };
    problems.into_iter().flat_map(tell).collect()
}

/// The newest, last; or why there are none.
fn outcomes<'a>(state: &State, pipeline: &Pipeline, room: usize, look: Look) -> Vec<Line<'a>> {
    if !state.no_outcomes.is_empty() {
        return vec![Line::styled(state.no_outcomes.clone(), look.faint())];
    }
    let Some(history) = state.history(&pipeline.name) else { return Vec::new() };
    let skipped = history.outcomes.len().saturating_sub(room);
    history.outcomes.iter().skip(skipped).map(|outcome| told(outcome, look)).collect()
}

fn told<'a>(outcome: &Outcome, look: Look) -> Line<'a> {
    let clock = outcome.time.split_once('T').map_or("", |(_, clock)| clock.trim_end_matches('Z'));
    Line::from(vec![
        Span::styled(format!("{clock:<12} #{:<8} ", outcome.window), look.faint()),
        Span::styled(format!("{:<10}", outcome.verdict), look.of_verdict(&outcome.verdict)),
        Span::raw(format!(
            "{:<16} {:.3}  {}",
            or_dash(&outcome.label),
            outcome.confidence,
            milliseconds(outcome.latency_ms)
        )),
    ])
}
