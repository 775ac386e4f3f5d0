//! What was found: checks, each with a level and what to do, as text for people and as JSON for programs.
//!
//! Invariants:
//! - A check that is a warning or a problem says what to do in at least one line that can be typed.
//! - Commands are never broken over lines: they are copied.

use serde::Serialize;

use crate::figures::counted;
use crate::output::{Output, Paint};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// It works, and will not always.
    Warning,
    /// It does not work.
    Problem,
    /// It could not be looked at; the message says why.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was looked at: a word, and of what there are several, which (`pipeline belt`).
    pub(crate) name: String,
    pub(crate) level: Level,
    pub(crate) message: String,
    /// What to type, in this order.
    pub(crate) next: Vec<String>,
}

impl Check {
    pub(crate) fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), level: Level::Ok, message: message.into(), next: Vec::new() }
    }

    pub(crate) fn warning(name: impl Into<String>, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Warning, next: vec![next.into()], ..Self::ok(name, message) }
    }

    pub(crate) fn problem(name: impl Into<String>, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Problem, next: vec![next.into()], ..Self::ok(name, message) }
    }

    /// It could not be looked at.
    pub(crate) fn skipped(name: impl Into<String>, why: &str) -> Self {
        Self { level: Level::Skipped, ..Self::ok(name, format!("not looked at: {why}")) }
    }

    /// With another line to type after the first.
    pub(crate) fn then(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }
}

/// All checks, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Of this program.
    version: &'static str,
    ok: u64,
    warnings: u64,
    problems: u64,
    skipped: u64,
    checks: Vec<Check>,
}

impl Report {
    pub(crate) fn of(version: &'static str, checks: Vec<Check>) -> Self {
        let count = |level| checks.iter().filter(|check| check.level == level).count() as u64;
        Self {
            version,
            ok: count(Level::Ok),
            warnings: count(Level::Warning),
            problems: count(Level::Problem),
            skipped: count(Level::Skipped),
            checks,
        }
    }

    pub(crate) const fn has_problems(&self) -> bool {
        self.problems > 0
    }

    /// A line a check, broken at `width` columns where one is given.
    pub(crate) fn text(&self, output: Output, width: Option<usize>) -> String {
        let names = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
        let mut text = String::new();
        for check in &self.checks {
            text += &line(output, check, names.min(MAX_NAME), width);
        }
        text + "\n" + &self.summary(output) + "\n"
    }

    fn summary(&self, output: Output) -> String {
        let mut parts = vec![format!("{} ok", self.ok)];
        let mut add = |count: u64, text: String, paint: Option<Paint>| {
            if count > 0 {
                parts.push(paint.map_or_else(|| text.clone(), |paint| output.paint(paint, &text)));
            }
        };
        add(self.warnings, counted(self.warnings, "warning"), Some(Paint::Warn));
        add(self.problems, counted(self.problems, "problem"), Some(Paint::Bad));
        add(self.skipped, format!("{} not looked at", self.skipped), None);
        parts.join(", ")
    }
}

/// Columns of the level and the space after it.
const LEVEL: usize = 9;

/// A longer name has a line of its own.
const MAX_NAME: usize = 16;

/// A message gets that many columns at least, however narrow the terminal is.
const MIN_MESSAGE: usize = 24;

fn line(output: Output, check: &Check, names: usize, width: Option<usize>) -> String {
    let (word, paint) = match check.level {
        Level::Ok => ("ok", Paint::Good),
        Level::Warning => ("warning", Paint::Warn),
        Level::Problem => ("problem", Paint::Bad),
        Level::Skipped => ("skipped", Paint::Faint),
    };
    let indent = LEVEL + names + 2;
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(MIN_MESSAGE));
    let next_line = format!("\n{:indent$}", "");
    let message = wrapped(&check.message, room).join(&next_line);
    let between = if check.name.chars().count() > names { next_line.as_str() } else { "  " };
    let level = output.paint(paint, format!("{word:<LEVEL$}"));
    let mut text = format!("{level}{:<names$}{between}{message}\n", check.name);
    for next in &check.next {
        text += &format!("{:LEVEL$}  {}\n", "", output.paint(Paint::Strong, next));
    }
    text
}

/// Lines of at most `room` columns, broken between words; a longer word has a line of its own.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    // Line breaks of others' texts are no lines of ours.
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count().saturating_add(word.chars().count()) < room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_no_word_is_lost() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("extraordinarily long", 5), ["extraordinarily", "long"]);
        assert_eq!(wrapped("two\nlines", usize::MAX), ["two lines"]);
        assert_eq!(wrapped("", 5), [""]);
    }

    #[test]
    fn colours_are_for_terminals() {
        let report = Report::of("1", vec![Check::warning("clock", "is off", "date")]);
        assert!(report.text(Output::coloured(), None).contains("\x1b[33mwarning"));
        assert!(!report.text(Output::plain(), None).contains('\x1b'));
    }

    #[test]
    fn a_problem_and_nothing_else_makes_the_exit_status_1() {
        let report = |check| Report::of("1", vec![check]);
        assert!(report(Check::problem("a", "b", "c")).has_problems());
        assert!(!report(Check::warning("a", "b", "c")).has_problems());
        assert!(!report(Check::skipped("a", "b")).has_problems());
    }
}
