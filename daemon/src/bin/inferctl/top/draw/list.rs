//! All pipelines, a row each; below it what there is to say of the chosen one.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::spark::spark;
use super::{Look, details, split, window};
use crate::figures::{milliseconds, or_dash, per_second};
use crate::pipelines;
use crate::top::state::{History, State};
use crate::view::{Everything, Pipeline};

/// Rows of what is said of the chosen pipeline.
const BELOW: u16 = 10;

/// What a column shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    State,
    Model,
    Version,
    Rate,
    P50,
    P99,
    Latency,
    Sure,
    Confidence,
    Unsure,
    Dropped,
}

/// Title, width, whether figures stand at its right, and the terminal's width from which on it is there. Curves take what is left.
const COLUMNS: [(Column, &str, usize, bool, usize); 12] = [
    (Column::Name, "PIPELINE", 12, false, 0),
    (Column::State, "STATE", 8, false, 0),
    (Column::Model, "MODEL", 14, false, 100),
    (Column::Version, "VERSION", 8, false, 64),
    (Column::Rate, "RATE", 8, true, 0),
    (Column::P50, "P50", 8, true, 100),
    (Column::P99, "P99", 8, true, 40),
    (Column::Latency, "LATENCY", 8, false, 72),
    (Column::Sure, "SURE", 5, true, 52),
    (Column::Confidence, "CONFIDENCE", 10, false, 100),
    (Column::Unsure, "UNSURE", 6, true, 60),
    (Column::Dropped, "DROPPED", 7, true, 76),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, everything: &Everything, look: Look) {
    if everything.pipelines.is_empty() {
        return frame.render_widget(Paragraph::new(pipelines::NONE), area);
    }
    let [upper, lower] = split(area, BELOW);
    let all = state.pipelines();
    let chosen = state.chosen().map(|chosen| chosen.name.as_str()).unwrap_or_default();
    let at = all.iter().position(|pipeline| pipeline.name == chosen).unwrap_or_default();
    let (first, shown) = window(at, all.len(), usize::from(upper.height).saturating_sub(1));
    let columns = columns(usize::from(upper.width));
    let mut lines = vec![title(&columns, look)];
    lines.extend(
        all[first..first + shown]
            .iter()
            .map(|pipeline| row(&columns, pipeline, state.history(&pipeline.name), pipeline.name == chosen, look)),
    );
    frame.render_widget(Paragraph::new(lines), upper);
    details::draw_short(frame, lower, state, everything, look);
}

/// The columns that there is room for, with their widths.
fn columns(width: usize) -> Vec<(Column, &'static str, usize, bool)> {
    let mut columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(.., from)| width >= *from)
        .map(|(column, title, width, right, _)| (*column, *title, *width, *right))
        .collect();
    // A mark before each row, a blank between two columns.
    let used = columns.iter().map(|(_, _, width, _)| width + 1).sum::<usize>() + 1;
    let left = width.saturating_sub(used);
    let curves = columns.iter().filter(|(column, ..)| is_curve(*column)).count();
    for (column, _, width, _) in &mut columns {
        match column {
            Column::Latency | Column::Confidence => *width += left / curves,
            Column::Name if curves == 0 => *width += left,
            _ => {}
        }
    }
    columns
}

const fn is_curve(column: Column) -> bool {
    matches!(column, Column::Latency | Column::Confidence)
}

fn title<'a>(columns: &[(Column, &'static str, usize, bool)], look: Look) -> Line<'a> {
    let cells = columns.iter().map(|(_, title, width, right)| fit(title, *width, *right));
    Line::styled(format!("  {}", cells.collect::<Vec<_>>().join(" ")), look.faint())
}

fn row<'a>(
    columns: &[(Column, &'static str, usize, bool)],
    pipeline: &Pipeline,
    history: Option<&History>,
    chosen: bool,
    look: Look,
) -> Line<'a> {
    let mut spans = vec![Span::raw(if chosen { "> " } else { "  " })];
    for (column, _, width, right) in columns {
        let text = cell(*column, pipeline, history, *width);
        let style = if *column == Column::State { look.of_state(&pipeline.state) } else { Style::new() };
        spans.push(Span::styled(fit(&text, *width, *right), style));
        spans.push(Span::raw(" "));
    }
    let line = Line::from(spans);
    if chosen { line.style(Style::new().add_modifier(Modifier::BOLD)) } else { line }
}

fn cell(column: Column, pipeline: &Pipeline, history: Option<&History>, width: usize) -> String {
    let counts = &pipeline.counts;
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.1}%"));
    match column {
        Column::Name => pipeline.name.clone(),
        Column::State => pipeline.state.clone(),
        Column::Model => pipeline.model.clone(),
        Column::Version => or_dash(&pipeline.version).to_owned(),
        Column::Rate => per_second(counts.per_second),
        Column::P50 => milliseconds(counts.latency_p50_ms),
        Column::P99 => milliseconds(counts.latency_p99_ms),
        Column::Latency => spark(&history.map(History::latencies).unwrap_or_default(), width, None),
        Column::Sure => {
            history.and_then(History::confidence).map_or_else(|| "-".to_owned(), |sure| format!("{sure:.2}"))
        }
        Column::Confidence => spark(&history.map(History::confidences).unwrap_or_default(), width, Some(1.0)),
        Column::Unsure => percent(history.and_then(History::uncertain)),
        Column::Dropped => counts.dropped.to_string(),
    }
}

/// As wide as that; what is cut ends in `…`.
fn fit(text: &str, width: usize, right: bool) -> String {
    if text.chars().count() <= width {
        return if right { format!("{text:>width$}") } else { format!("{text:<width$}") };
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut + "…"
}
