//! Draws a [`State`], in whatever room there is.

mod details;
mod list;
mod spark;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::keys;
use super::state::{Page, State};
use crate::figures::{bytes, counted};
use crate::samples;
use crate::status;
use crate::view::Everything;

/// How text looks: with colours, or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    colours: bool,
}

impl Look {
    pub(super) const fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn faint(self) -> Style {
        if self.colours { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    fn bad(self) -> Style {
        self.colour(Color::Red)
    }

    /// Of a pipeline's state, as `inferctl pipelines` colours it.
    fn of_state(self, state: &str) -> Style {
        match state {
            "running" => self.colour(Color::Green),
            "failed" => self.bad(),
            "waiting" | "starting" => self.colour(Color::Yellow),
            _ => self.faint(),
        }
    }

    fn of_verdict(self, verdict: &str) -> Style {
        match verdict {
            "event" => self.colour(Color::Green),
            "uncertain" => self.colour(Color::Yellow),
            "failed" => self.bad(),
            _ => Style::new(),
        }
    }
}

pub(super) fn everything(frame: &mut Frame<'_>, state: &State, look: Look) {
    let rows = [Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(header(state, look, head.width)), head);
    match (&state.everything, state.page) {
        (_, Page::Help) => frame.render_widget(help(), body),
        (None, _) => frame.render_widget(Paragraph::new(absent(state)), body),
        (Some(everything), Page::Details) => details::draw(frame, body, state, everything, look),
        (Some(everything), Page::List) => list::draw(frame, body, state, everything, look),
    }
    frame.render_widget(Paragraph::new(footer(state, look)), foot);
}

fn absent(state: &State) -> String {
    if state.gone.is_empty() {
        "asking inferd …".to_owned()
    } else {
        "as soon as inferd answers, it is shown".to_owned()
    }
}

fn header<'a>(state: &'a State, look: Look, width: u16) -> Vec<Line<'a>> {
    let first = match &state.everything {
        Some(everything) => summary(everything, width),
        None => Line::styled("inferd", Look::strong()),
    };
    let second = if !state.gone.is_empty() {
        Line::styled(format!("{}; looking again every second", state.gone), look.bad())
    } else if let Some(everything) = &state.everything {
        wrong(everything, look)
    } else {
        Line::default()
    };
    vec![first, second]
}

fn summary(everything: &Everything, width: u16) -> Line<'_> {
    let title = format!("inferd {}", everything.version);
    let spool = &everything.spool;
    let right = format!("samples {} waiting, {}", spool.pending, bytes(spool.bytes));
    let left = format!(": {}", everything.status);
    let used = title.chars().count() + left.chars().count() + right.chars().count();
    let mut spans = vec![Span::styled(title, Look::strong()), Span::raw(left)];
    if let Some(gap) = usize::from(width).checked_sub(used).filter(|gap| *gap > 1) {
        spans.extend([Span::raw(" ".repeat(gap)), Span::raw(right)]);
    }
    Line::from(spans)
}

/// The first of what is wrong, and how much more.
fn wrong(everything: &Everything, look: Look) -> Line<'_> {
    let problems = status::problems(everything);
    match &problems[..] {
        [] => Line::styled("nothing is wrong", look.faint()),
        [one] => Line::styled(one.message.clone(), look.bad()),
        [first, more @ ..] => {
            let more = counted(u64::try_from(more.len()).unwrap_or(u64::MAX), "more problem");
            Line::styled(format!("{} ({more}: inferctl status)", first.message), look.bad())
        }
    }
}

fn help() -> Paragraph<'static> {
    let keys = keys::HELP.iter().map(|(key, what)| format!("  {key:<16} {what}"));
    let columns = [
        "",
        "  RATE       windows a second, over the last moments",
        "  P50, P99   latency from the frame to the outcome; the curve is P99",
        "  SURE       mean confidence of the last outcomes",
        "  UNSURE     uncertain windows, of those since top was started",
        "  DROPPED    frames that the model was too slow for",
        "  -          not known: nothing was served, or outcomes may not be read",
    ];
    Paragraph::new(keys.map(Line::raw).chain(columns.map(Line::raw)).collect::<Vec<_>>())
}

fn footer<'a>(state: &State, look: Look) -> Line<'a> {
    let paused = if state.paused { "PAUSED (p)  " } else { "" };
    let text = match state.page {
        Page::List => format!("q leave  Enter details  s sort: {}  p pause  ? help", state.order.word()),
        Page::Details | Page::Help => "q leave  Esc back  p pause  ? help".to_owned(),
    };
    Line::from(vec![Span::styled(paused, Look::strong()), Span::styled(text, look.faint())])
}

/// The rows of what fits, so that the chosen one is among them: the first, and how many.
fn window(chosen: usize, all: usize, room: usize) -> (usize, usize) {
    let first = (chosen + 1).saturating_sub(room).min(all.saturating_sub(room));
    (first, room.min(all - first))
}

/// Two areas, one above the other; the lower one has so many rows, where there is that much room.
fn split(area: Rect, lower: u16) -> [Rect; 2] {
    Layout::vertical([Constraint::Min(4), Constraint::Max(lower)]).areas(area)
}

/// What keeps samples from going out, or that they do.
fn spool(everything: &Everything) -> String {
    samples::summary(&everything.spool)
}
