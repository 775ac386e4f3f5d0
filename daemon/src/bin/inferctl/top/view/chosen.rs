//! The chosen pipeline: what is below the table, and the page with all of it.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::history::{History, SECONDS};
use super::super::seen::{STAGES, Seen};
use super::super::state::State;
use super::table::model;
use super::text::{bars, cut, filled, left, ms, right, style, width, wrapped};
use crate::figures::{counted, milliseconds, or_dash};
use crate::output::Paint;
use crate::status::Problem;
use crate::view::Pipeline;
use crate::{pipelines, watch};

/// Columns of what stands before a value.
const NAME: usize = 12;

/// Most labels that are listed.
const MAX_LABELS: usize = 8;

/// Most lines of a problem.
const MAX_LINES: usize = 4;

/// Columns of a bar.
const BAR: usize = 20;

/// What is drawn, and how.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) state: &'a State,
    pub(super) pipeline: &'a Pipeline,
    pub(super) columns: usize,
    pub(super) colours: bool,
    pub(super) now: Duration,
}

/// What is below the table, in so many lines: what is wrong, the last minute, and outcomes in what is left.
pub(super) fn panel(look: Look<'_>, room: usize) -> Vec<Line<'static>> {
    let mut lines = vec![rule(look)];
    lines.extend(problems(look).into_iter().take(4));
    lines.extend(minute(look));
    lines.push(windows(look));
    lines.extend(outcomes(look, room.saturating_sub(lines.len())));
    lines
}

/// All of it, in so many lines.
pub(super) fn details(look: Look<'_>, room: usize) -> Vec<Line<'static>> {
    let mut lines = vec![rule(look)];
    lines.extend(problems(look));
    lines.extend(about(look));
    lines.push(frames(look));
    lines.push(windows(look));
    lines.push(Line::default());
    lines.extend(minute(look));
    lines.extend(stages(look));
    lines.extend(labels(look));
    lines.push(Line::default());
    lines.extend(outcomes(look, room.saturating_sub(lines.len())));
    lines
}

/// `── belt ── belt-inspect@1.1.0 ── recording /data/belt ───`
fn rule(look: Look<'_>) -> Line<'static> {
    let Pipeline { name, source, .. } = look.pipeline;
    let title = cut(&format!("── {name} ── {} ── {} ", model(look.pipeline), or_dash(source)), look.columns);
    let rest = look.columns.saturating_sub(width(&title));
    Line::styled(title + &"─".repeat(rest), style(Paint::Strong, look.colours))
}

fn named(name: &str, value: String) -> Line<'static> {
    Line::raw(left(name, NAME) + &value)
}

fn problems(look: Look<'_>) -> Vec<Line<'static>> {
    let found = look.state.problems_of(look.pipeline);
    found.iter().flat_map(|problem| problem_lines(problem, look.columns, look.colours)).collect()
}

/// What is wrong, and what to type where there is something.
pub(super) fn problem_lines(problem: &Problem, columns: usize, colours: bool) -> Vec<Line<'static>> {
    let message = wrapped(&problem.message, columns, MAX_LINES);
    let mut lines: Vec<_> = message.into_iter().map(|line| Line::styled(line, style(Paint::Bad, colours))).collect();
    if !problem.next.is_empty() {
        lines.push(Line::raw(cut(&format!("  next: {}", problem.next), columns)));
    }
    lines
}

/// What it is made of.
fn about(look: Look<'_>) -> Vec<Line<'static>> {
    let Pipeline { state, backend, sandbox, runner_pid, source, .. } = look.pipeline;
    let runner = if *runner_pid == 0 {
        "none".to_owned()
    } else {
        format!("pid {runner_pid}, {}, confined: {}", or_dash(backend), or_dash(sandbox))
    };
    let restarts = counted(look.pipeline.counts.runner_restarts, "time");
    let coloured = Span::styled(state.clone(), style(pipelines::colour(state), look.colours));
    vec![
        Line::from(vec![Span::raw(left("state", NAME)), coloured]),
        named("model", model(look.pipeline)),
        named("source", cut(or_dash(source), look.columns.saturating_sub(NAME))),
        named("runner", format!("{runner}, replaced {restarts}")),
    ]
}

/// What became of its windows since it was started.
fn windows(look: Look<'_>) -> Line<'static> {
    let counts = &look.pipeline.counts;
    let decided = counts.events.saturating_add(counts.uncertain).saturating_add(counts.failed);
    let (windows, normal) = (counts.windows, counts.windows.saturating_sub(decided));
    let events = counted(counts.events, "event");
    let text =
        format!("{windows}: {events}, {normal} normal, {} uncertain, {} failed", counts.uncertain, counts.failed);
    named("windows", cut(&text, look.columns.saturating_sub(NAME)))
}

/// What its source gave since it was started.
fn frames(look: Look<'_>) -> Line<'static> {
    let (counts, lately) = (&look.pipeline.counts, history_of(look).map_or(0, History::dropped_lately));
    named("frames", format!("{}, {} dropped, {lately} of these in the last minute", counts.frames, counts.dropped))
}

/// The last minute: latency, and confidence where the task has one.
fn minute(look: Look<'_>) -> Vec<Line<'static>> {
    let Some(history) = history_of(look) else { return Vec::new() };
    // A second a column where there is room for that and the figure behind it.
    let parts = if look.columns >= NAME + SECONDS + 8 { SECONDS } else { SECONDS / 4 };
    let mut lines = Vec::new();
    if let Some(worst) = history.worst_ms() {
        let trend = bars(&history.latency_trend(look.now, parts), worst);
        lines.push(named("latency", format!("{trend} {} ms", ms(worst))));
    }
    if let Some(mean) = history.confidence() {
        let trend = bars(&history.confidence_trend(look.now, parts), 1.0);
        lines.push(named("confidence", format!("{trend} {mean:.2}")));
    }
    lines
}

fn history_of(look: Look<'_>) -> Option<&History> {
    look.state.history(&look.pipeline.name)
}

/// Where the time went.
fn stages(look: Look<'_>) -> Vec<Line<'static>> {
    let Some((history, stages)) = history_of(look).and_then(|history| Some((history, history.stages()?))) else {
        return Vec::new();
    };
    let sum: f64 = stages.iter().map(|stage| stage.mean_ms).sum();
    let title =
        format!("{}mean ms  worst ms, of the last {}", left("stage", NAME), counted(history.kept() as u64, "outcome"));
    let mut lines = vec![Line::default(), Line::styled(title, style(Paint::Faint, look.colours))];
    for (name, stage) in STAGES.iter().zip(stages) {
        let share = if sum > 0.0 { stage.mean_ms / sum } else { 0.0 };
        let figures = format!("{}  {}  ", right(&ms(stage.mean_ms), 7), right(&ms(stage.worst_ms), 8));
        lines.push(named(name, figures + &filled(share, BAR)));
    }
    lines
}

fn labels(look: Look<'_>) -> Vec<Line<'static>> {
    let Some(history) = history_of(look) else { return Vec::new() };
    let labels = history.labels();
    if labels.is_empty() {
        return Vec::new();
    }
    let (shown, rest) = labels.split_at(labels.len().min(MAX_LABELS));
    let mut texts: Vec<_> = shown.iter().map(|(label, count)| format!("{label} {count}")).collect();
    if !rest.is_empty() {
        texts.push(format!("{} more", rest.len()));
    }
    vec![Line::default(), named("labels", cut(&texts.join(", "), look.columns.saturating_sub(NAME)))]
}

/// The last outcomes, newest first, below a title.
fn outcomes(look: Look<'_>, room: usize) -> Vec<Line<'static>> {
    let mut seen = history_of(look).into_iter().flat_map(History::outcomes).peekable();
    let title = match (seen.peek(), look.state.no_outcomes()) {
        (Some(_), _) => "last outcomes",
        (None, None) => "no outcome has come since this view was opened",
        // The header says why.
        (None, Some(_)) => return Vec::new(),
    };
    let title = Line::styled(title, style(Paint::Faint, look.colours));
    std::iter::once(title).chain(seen.map(|seen| outcome(seen, look))).take(room).collect()
}

/// `12:00:00.123  #42     event      scratch 0.980             3.20 ms`
fn outcome(seen: &Seen, look: Look<'_>) -> Line<'static> {
    let (clock, number) = (left(&seen.clock, 14), left(&format!("#{}", seen.window), 10));
    let (verdict, latency) = (left(&seen.verdict, 11), right(&milliseconds(seen.latency_ms), 9));
    let room = look.columns.saturating_sub(clock.len() + number.len() + verdict.len() + latency.len()).min(60);
    Line::from(vec![
        Span::styled(clock, style(Paint::Faint, look.colours)),
        Span::styled(number, Style::new()),
        Span::styled(verdict, style(watch::colour(&seen.verdict), look.colours)),
        Span::raw(left(&seen.said, room)),
        Span::raw(latency),
    ])
}
