//! The lines above the table: inferd itself, its samples, and what keeps this view from being whole.

use ratatui::text::{Line, Span};

use super::super::state::Told;
use super::View;
use super::text::{cut, left, span, style, width, wrapped};
use crate::figures::{bytes, counted};
use crate::output::Paint;
use crate::view::Spool;

/// Most lines of one notice.
const NOTICE: usize = 2;

impl View<'_> {
    /// The lines above the table on a terminal of so many columns and lines.
    pub(super) fn head(self, columns: usize, lines: usize) -> Vec<Line<'static>> {
        let mut head = vec![self.title(columns)];
        if let Some(told) = self.state.told().filter(|_| lines >= 14) {
            head.push(self.samples(&told.everything.spool, columns));
        }
        let room = match lines {
            20.. => 5,
            10.. => 2,
            _ => 1,
        };
        let notices = self.notices();
        let notices = notices.iter().flat_map(|(paint, text)| {
            let lines = wrapped(text, columns, NOTICE).into_iter();
            lines.map(|line| Line::styled(line, style(*paint, self.colours)))
        });
        head.extend(notices.take(room));
        head
    }

    fn title(self, columns: usize) -> Line<'static> {
        let (title, about) = match self.state.told() {
            Some(told) if self.is_old() => (format!("inferd {}", told.everything.version), String::new()),
            Some(told) => (format!("inferd {}", told.everything.version), about(told)),
            None => ("inferd".to_owned(), String::new()),
        };
        let (paint, said) = self.verdict();
        let room = columns.saturating_sub(width(&title) + width(&said) + 1);
        Line::from(vec![
            Span::styled(title, style(Paint::Strong, self.colours)),
            Span::raw(left(&about, room) + " "),
            Span::styled(said, style(paint, self.colours)),
        ])
    }

    /// How it is, in a word or two.
    fn verdict(self) -> (Paint, String) {
        match self.state.problems().len() {
            _ if self.is_paused => (Paint::Warn, "PAUSED".to_owned()),
            _ if self.is_old() => (Paint::Bad, "not reachable".to_owned()),
            _ if self.state.told().is_none() => (Paint::Faint, "connecting".to_owned()),
            0 => (Paint::Good, "no problems".to_owned()),
            count => (Paint::Bad, format!("{}: w", counted(count as u64, "problem"))),
        }
    }

    fn samples(self, spool: &Spool, columns: usize) -> Line<'static> {
        let size = if spool.pending == 0 { String::new() } else { format!(" ({})", bytes(spool.bytes)) };
        let Spool { pending, uploaded, dropped, last_error, .. } = spool;
        let counts = cut(&format!("samples: {pending} waiting{size}, {uploaded} uploaded, {dropped} dropped"), columns);
        if last_error.is_empty() {
            return Line::raw(counts);
        }
        let failing = cut(&format!("; uploads fail: {last_error}"), columns.saturating_sub(width(&counts)));
        Line::from(vec![Span::raw(counts), Span::styled(failing, style(Paint::Bad, self.colours))])
    }

    fn notices(self) -> Vec<(Paint, String)> {
        let mut notices = Vec::new();
        if let Some((since, failure)) = self.state.silent() {
            let ago = span(self.now.saturating_sub(*since));
            let below = if self.state.told().is_some() { "; below is what it said last" } else { "" };
            notices.push((Paint::Bad, format!("{}, for {ago}{below}", failure.sentence)));
            notices.push((Paint::Strong, failure.hint.clone()));
            return notices;
        }
        if let Some(failure) = self.state.no_outcomes() {
            notices.push((Paint::Warn, failure.sentence.clone()));
            notices.push((Paint::Strong, failure.hint.clone()));
        }
        if self.state.missed() > 0 {
            let missed = counted(self.state.missed(), "outcome");
            notices.push((Paint::Warn, format!("{missed} came too fast to be shown; figures from the bus count them")));
        }
        let jobs = self.state.told().into_iter().flat_map(|told| &told.everything.jobs);
        let running = jobs.filter(|job| job.state == "running");
        notices
            .extend(running.map(|job| (Paint::Strong, format!("{}: {} %, {}", job.operation, job.percent, job.step))));
        notices
    }
}

/// `, up 3 h 4 min, 41.2 MB: 1 of 2 pipelines runs`
fn about(told: &Told) -> String {
    let process = told.process.as_ref();
    let uptime = process.and_then(|process| process.uptime).map(|uptime| format!(", up {}", span(uptime)));
    let memory = process.and_then(|process| process.resident_bytes).map(|size| format!(", {}", bytes(size)));
    format!("{}{}: {}", uptime.unwrap_or_default(), memory.unwrap_or_default(), told.everything.status)
}
