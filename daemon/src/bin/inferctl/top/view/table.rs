//! The table: a row for each pipeline.
//!
//! Invariants: a column is shown whole or not at all; those of the lowest rank go first where the terminal is narrow. A
//! pipeline that does not run says why in place of figures. One more column is one more line in [`COLUMNS`].

use std::time::Duration;

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::super::history::History;
use super::super::state::State;
use super::text::{bars, cut, left, ms, right, style, width};
use crate::figures::or_dash;
use crate::output::Paint;
use crate::pipelines;
use crate::view::Pipeline;

/// Parts of the last minute in a trend of the table: five seconds each.
const TREND: usize = 12;

/// The sign before the chosen row, and its place before the others.
const MARK: &str = "> ";

/// What a cell is made of.
struct Of<'a> {
    pipeline: &'a Pipeline,
    history: &'a History,
    now: Duration,
}

struct Column {
    title: &'static str,
    /// Fixed, or as wide as its content, up to a limit.
    width: Width,
    /// Brings a text to the column's width.
    fit: fn(&str, usize) -> String,
    /// Columns of a high rank go first.
    rank: u8,
    cell: fn(&Of<'_>) -> String,
    paint: fn(&Of<'_>) -> Option<Paint>,
}

enum Width {
    Fixed(usize),
    Content { least: usize, most: usize },
}

const COLUMNS: [Column; 11] = [
    text("PIPELINE", Width::Content { least: 8, most: 24 }, 0, |of| of.pipeline.name.clone()),
    Column {
        paint: |of| Some(pipelines::colour(&of.pipeline.state)),
        ..text("STATE", Width::Fixed(8), 0, |of| of.pipeline.state.clone())
    },
    Column { fit: with_version, ..text("MODEL", Width::Content { least: 10, most: 32 }, 7, |of| model(of.pipeline)) },
    figure("RATE/S", 7, 1, |of| if is_served(of) { format!("{:.1}", of.pipeline.counts.per_second) } else { dash() }),
    figure("P50 MS", 6, 3, |of| served_ms(of, of.pipeline.counts.latency_p50_ms)),
    figure("P99 MS", 6, 2, |of| served_ms(of, of.pipeline.counts.latency_p99_ms)),
    text("WORST, 1 MIN", Width::Fixed(TREND), 8, |of| {
        let trend = of.history.latency_trend(of.now, TREND);
        bars(&trend, of.history.worst_ms().unwrap_or_default())
    }),
    figure("CONF", 4, 4, |of| of.history.confidence().map_or_else(dash, |mean| format!("{mean:.2}"))),
    text("CONF, 1 MIN", Width::Fixed(TREND), 9, |of| bars(&of.history.confidence_trend(of.now, TREND), 1.0)),
    figure("UNC", 4, 5, |of| of.history.uncertain_share().map_or_else(dash, |share| format!("{:.0}%", share * 100.0))),
    Column {
        paint: |of| (of.history.dropped_lately() > 0).then_some(Paint::Bad),
        ..figure("DROP", 5, 6, |of| brief(of.pipeline.counts.dropped))
    },
];

const fn text(title: &'static str, width: Width, rank: u8, cell: fn(&Of<'_>) -> String) -> Column {
    Column { title, width, fit: left, rank, cell, paint: |_| None }
}

const fn figure(title: &'static str, columns: usize, rank: u8, cell: fn(&Of<'_>) -> String) -> Column {
    Column { fit: right, ..text(title, Width::Fixed(columns), rank, cell) }
}

/// `belt-inspect@1.1.0`
pub(super) fn model(pipeline: &Pipeline) -> String {
    if pipeline.version.is_empty() {
        return or_dash(&pipeline.model).to_owned();
    }
    format!("{}@{}", pipeline.model, pipeline.version)
}

/// Cut so that the version stays, which is what changes: `people-co…@12.4.0`.
fn with_version(text: &str, columns: usize) -> String {
    let Some((name, version)) = text.split_once('@').filter(|_| width(text) > columns) else {
        return left(text, columns);
    };
    let room = columns.saturating_sub(width(version) + 1);
    if room < 2 { left(text, columns) } else { format!("{}@{version}", cut(name, room)) }
}

/// Whether figures over the last moments are of now.
fn is_served(of: &Of<'_>) -> bool {
    of.pipeline.state == "running"
}

fn served_ms(of: &Of<'_>, value: f64) -> String {
    if is_served(of) { ms(value) } else { dash() }
}

fn dash() -> String {
    "-".to_owned()
}

/// A count in at most five columns: `99999`, `100k`, `12M`.
fn brief(count: u64) -> String {
    match count {
        0..100_000 => count.to_string(),
        100_000..10_000_000 => format!("{}k", count / 1000),
        10_000_000..10_000_000_000 => format!("{}M", count / 1_000_000),
        _ => format!("{}G", count / 1_000_000_000),
    }
}

/// The table's place.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) columns: usize,
    /// With the one of titles.
    pub(super) lines: usize,
    pub(super) colours: bool,
    pub(super) now: Duration,
    /// The figures are those that were told last, and of then.
    pub(super) is_old: bool,
}

/// The lines of the table: titles, and as many rows as there is room for, the chosen one among them.
pub(super) fn lines(state: &State, rows: &[&Pipeline], chosen: Option<usize>, place: Place) -> Vec<Line<'static>> {
    let nothing = History::default();
    let of = |pipeline| Of { pipeline, history: state.history(&pipeline.name).unwrap_or(&nothing), now: place.now };
    let widths = widths(&rows.iter().map(|row| of(row)).collect::<Vec<_>>(), place.columns);
    let shown = place.lines.saturating_sub(1);
    let first = first_row(rows.len(), chosen.unwrap_or_default(), shown);
    let mut lines = vec![titles(&widths, place.colours)];
    for (index, pipeline) in rows.iter().enumerate().skip(first).take(shown) {
        lines.push(row(&of(pipeline), &widths, chosen == Some(index), place));
    }
    lines
}

/// The chosen row is in the middle, where there are rows enough on both sides.
fn first_row(rows: usize, chosen: usize, shown: usize) -> usize {
    chosen.saturating_sub(shown / 2).min(rows.saturating_sub(shown))
}

/// The columns that fit, with their widths, in the order in which they are shown.
fn widths(rows: &[Of<'_>], columns: usize) -> Vec<(&'static Column, usize)> {
    let mut wanted: Vec<_> =
        COLUMNS.iter().enumerate().map(|(place, column)| (place, column, wish(column, rows))).collect();
    wanted.sort_by_key(|(_, column, _)| column.rank);
    let mut room = columns.saturating_sub(MARK.len());
    let mut fitting = Vec::new();
    for (place, column, wish) in wanted {
        let least = match column.width {
            Width::Fixed(width) => width,
            Width::Content { least, .. } => least.min(wish),
        };
        // What is ranked lower does not overtake: the columns of a width are the same whatever is in them.
        if least + 1 > room && !fitting.is_empty() {
            break;
        }
        let width = wish.min(room.saturating_sub(1)).max(least.min(room));
        room = room.saturating_sub(width + 1);
        fitting.push((place, column, width));
    }
    fitting.sort_by_key(|(place, ..)| *place);
    fitting.into_iter().map(|(_, column, width)| (column, width)).collect()
}

/// The width that a column has where there is room.
fn wish(column: &Column, rows: &[Of<'_>]) -> usize {
    match column.width {
        Width::Fixed(width) => width,
        Width::Content { least, most } => {
            rows.iter().map(|of| width(&(column.cell)(of))).max().unwrap_or_default().clamp(least, most)
        }
    }
}

fn titles(widths: &[(&Column, usize)], colours: bool) -> Line<'static> {
    let mut line = " ".repeat(MARK.len());
    for (column, width) in widths {
        line += &(column.fit)(column.title, *width);
        line.push(' ');
    }
    Line::styled(line, style(Paint::Faint, colours))
}

fn row(of: &Of<'_>, widths: &[(&Column, usize)], is_chosen: bool, place: Place) -> Line<'static> {
    let mut spans = vec![Span::raw(if is_chosen { MARK } else { "  " })];
    let says_why = !of.pipeline.reason.is_empty();
    for (column, width) in widths.iter().filter(|(column, _)| !says_why || column.rank == 0) {
        let style = (column.paint)(of).map_or_else(Style::new, |paint| style(paint, place.colours));
        spans.push(Span::styled((column.fit)(&(column.cell)(of), *width), style));
        spans.push(Span::raw(" "));
    }
    let taken = spans.iter().map(Span::width).sum();
    let why = if says_why { of.pipeline.reason.as_str() } else { "" };
    // The rest of the line, so that the chosen row is marked as a whole.
    spans.push(Span::raw(left(why, place.columns.saturating_sub(taken))));
    let line = Line::from(spans);
    let age = if place.is_old { Modifier::DIM } else { Modifier::empty() };
    line.style(Style::new().add_modifier(age | if is_chosen { Modifier::REVERSED } else { Modifier::empty() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_row_is_always_shown() {
        for rows in 0..40_usize {
            for shown in 1..12 {
                for chosen in 0..rows {
                    let first = first_row(rows, chosen, shown);
                    assert!((first..first + shown).contains(&chosen), "{chosen} of {rows} in {shown} from {first}");
                    assert!(first + shown <= rows.max(shown), "{rows} rows leave lines empty");
                }
            }
        }
    }

    #[test]
    fn a_wider_terminal_loses_no_column_and_none_is_wider_than_there_is_room() {
        let mut before = 0;
        for columns in 0..200 {
            let widths = widths(&[], columns);
            let taken: usize = widths.iter().map(|(_, width)| width + 1).sum();
            assert!(taken + MARK.len() <= columns.max(12), "{taken} of {columns}");
            assert!(widths.len() >= before, "{columns} columns show fewer than {}", columns - 1);
            before = widths.len();
        }
        assert_eq!(before, COLUMNS.len());
    }

    #[test]
    fn a_model_that_is_cut_keeps_its_version() {
        let cases = [
            (18, "belt-inspect@1.1.0"),
            (20, "belt-inspect@1.1.0  "),
            (12, "belt-…@1.1.0"),
            (8, "b…@1.1.0"),
            (7, "belt-i…"),
        ];
        for (columns, expected) in cases {
            assert_eq!(with_version("belt-inspect@1.1.0", columns), expected);
        }
    }

    #[test]
    fn counts_are_brief() {
        let cases = [(0, "0"), (99_999, "99999"), (100_000, "100k"), (12_345_678, "12M"), (u64::MAX, "18446744073G")];
        for (count, expected) in cases {
            assert_eq!(brief(count), expected);
        }
    }
}
