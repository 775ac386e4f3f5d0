//! Draws a state. Pure: the same state, choice and time give the same screen, of any size.
//!
//! Invariants: what does not fit is left out from below and from the right; the foot line and what is wrong stay longest.

mod chosen;
mod head;
mod table;
mod text;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Text};

use super::keys::{Choice, Page};
use super::state::State;
use crate::output::Paint;
use crate::pipelines;
use chosen::Look;
use table::Place;
use text::{cut, style, width};

/// Fewest lines for the chosen pipeline; with fewer it is left out.
const PANEL: usize = 6;

/// What is drawn.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) state: &'a State,
    pub(super) choice: &'a Choice,
    /// Since the program began.
    pub(super) now: Duration,
    pub(super) is_paused: bool,
    pub(super) colours: bool,
}

const HELP: &str = "\
up, down, k, j   choose a pipeline; PgUp, PgDn, Home, End go further
Enter, space     all of the chosen pipeline, and back
w                what is wrong and what to type, and back
s                next order: name, problems, rate, latency, uncertain
p                pause the view; inferd goes on
? h              this, and back
Esc              back, or leave
q, Ctrl-C        leave

RATE/S   outcomes a second over the last ten seconds
P50, P99 latency of the last outcomes, from the frame to the outcome
WORST    the longest latency in each part of the last minute
CONF     mean confidence of the last minute; an anomaly's score
UNC      share of the last minute's windows that were uncertain
DROP     frames dropped since the pipeline was started
-        not measured";

impl View<'_> {
    /// Draws it on the whole frame.
    pub(super) fn draw(self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let head = self.head(usize::from(area.width), usize::from(area.height));
        let lines = u16::try_from(head.len()).unwrap_or(u16::MAX);
        let parts = Layout::vertical([Constraint::Length(lines), Constraint::Fill(1), Constraint::Length(1)]);
        let [top, middle, foot] = parts.areas(area);
        frame.render_widget(Text::from(head), top);
        frame.render_widget(Text::from(self.body(middle)), middle);
        frame.render_widget(self.foot(usize::from(foot.width)), foot);
    }

    fn body(self, area: Rect) -> Vec<Line<'static>> {
        let (columns, room) = (usize::from(area.width), usize::from(area.height));
        let rows = self.choice.rows(self.state);
        let chosen = self.choice.position(&rows);
        let look = chosen.and_then(|index| rows.get(index)).map(|&pipeline| Look {
            state: self.state,
            pipeline,
            columns,
            colours: self.colours,
            now: self.now,
        });
        match (self.choice.page, look) {
            (Page::Help, _) => HELP.lines().map(|line| Line::raw(cut(line, columns))).collect(),
            (Page::Problems, _) => self.problems(columns, room),
            (Page::Details, Some(look)) => chosen::details(look, room),
            (Page::Pipelines, Some(look)) => {
                let lines = table_lines(rows.len(), room);
                let place = Place {
                    columns,
                    lines,
                    colours: self.colours && !self.is_old(),
                    now: self.now,
                    is_old: self.is_old(),
                };
                let mut body = table::lines(self.state, &rows, chosen, place);
                if room.saturating_sub(lines) >= PANEL {
                    body.push(Line::default());
                    body.extend(chosen::panel(look, room.saturating_sub(body.len())));
                }
                body
            }
            (_, None) if self.state.told().is_some() => pipelines::NONE.lines().map(Line::raw).collect(),
            // The header says why nothing is known.
            (_, None) => Vec::new(),
        }
    }

    fn problems(self, columns: usize, room: usize) -> Vec<Line<'static>> {
        let problems = self.state.problems();
        if problems.is_empty() {
            return vec![Line::raw("nothing is wrong that inferd knows of")];
        }
        let lines = problems.iter().flat_map(|problem| chosen::problem_lines(problem, columns, self.colours));
        let mut lines: Vec<_> = lines.collect();
        if lines.len() > room {
            lines.truncate(room.saturating_sub(1));
            lines.push(Line::raw("… more than fits: `inferctl status` lists all"));
        }
        lines
    }

    /// Whether what is shown is what inferd told last, and not what it tells now.
    fn is_old(self) -> bool {
        self.state.silent().is_some()
    }

    fn foot(self, columns: usize) -> Line<'static> {
        let rows = self.choice.rows(self.state);
        let place = self.choice.position(&rows).map(|index| format!("{} of {}", index + 1, rows.len()));
        let place = place.map_or_else(String::new, |place| format!("{place}, by {}", self.choice.sort.word()));
        let keys = match self.choice.page {
            Page::Pipelines => "q leave  ? help  Enter details  w wrong  s sort  p pause",
            Page::Details => "Esc back  up/down other pipeline  w wrong  p pause  q leave",
            Page::Problems | Page::Help => "Esc back  q leave",
        };
        let room = columns.saturating_sub(width(&place) + 1);
        Line::styled(cut(&(text::left(keys, room) + " " + &place), columns), style(Paint::Faint, self.colours))
    }
}

/// Lines for the table: all rows where they leave room for the chosen pipeline, or else half.
fn table_lines(rows: usize, room: usize) -> usize {
    let all = rows.saturating_add(1);
    // A line is between the two.
    if room < 2 * (PANEL + 1) { room } else { all.min((room - 1) / 2) }
}

#[cfg(test)]
mod tests;
