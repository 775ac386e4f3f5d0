//! Keys, and what they change: which pipeline is chosen, what is shown and in which order.
//!
//! Invariant: the choice is a pipeline's name, so it stays with its pipeline however the rows are ordered.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::State;
use crate::view::Pipeline;

/// How far a page goes.
const PAGE: isize = 10;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Leave,
    /// Esc: out of what was opened, or else leave.
    Back,
    /// So many rows down; negative is up.
    Move(isize),
    Open(Page),
    Pause,
    Sort,
}

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    #[default]
    Pipelines,
    /// All of the chosen pipeline.
    Details,
    /// What is wrong, and what to type.
    Problems,
    Help,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Name,
    /// Those with problems first.
    Problems,
    /// The fastest first.
    Rate,
    /// The slowest first, by p99.
    Latency,
    /// The least certain first.
    Uncertain,
}

/// What the person chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The pipeline; the first row while none was chosen or it is gone.
    pipeline: Option<String>,
    pub(crate) page: Page,
    pub(crate) sort: Sort,
}

/// What a key means; `None` where it means nothing.
pub(crate) fn action(key: KeyEvent) -> Option<Action> {
    // Terminals of another kind tell of a key's release, too.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Leave);
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::Leave,
        KeyCode::Esc => Action::Back,
        KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
        KeyCode::PageUp => Action::Move(-PAGE),
        KeyCode::PageDown => Action::Move(PAGE),
        KeyCode::Home | KeyCode::Char('g') => Action::Move(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => Action::Move(isize::MAX),
        KeyCode::Enter | KeyCode::Char(' ') => Action::Open(Page::Details),
        KeyCode::Char('w') => Action::Open(Page::Problems),
        KeyCode::Char('?' | 'h') => Action::Open(Page::Help),
        KeyCode::Char('p') => Action::Pause,
        KeyCode::Char('s') => Action::Sort,
        _ => return None,
    })
}

impl Choice {
    /// Where the chosen pipeline is among the rows; `None` where there are none.
    pub(crate) fn position(&self, rows: &[&Pipeline]) -> Option<usize> {
        let chosen = rows.iter().position(|row| Some(&row.name) == self.pipeline.as_ref());
        chosen.or_else(|| (!rows.is_empty()).then_some(0))
    }

    /// Chooses the pipeline so many rows further down, or the last there is that way.
    pub(crate) fn step(&mut self, state: &State, by: isize) {
        let rows = self.rows(state);
        let Some(position) = self.position(&rows) else { return };
        let wanted = position.saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.pipeline = rows.get(wanted).map(|row| row.name.clone());
    }

    /// Shows a page, or the pipelines where it is shown already.
    pub(crate) fn open(&mut self, page: Page) {
        self.page = if self.page == page { Page::Pipelines } else { page };
    }

    /// The pipelines in their order.
    pub(crate) fn rows<'a>(&self, state: &'a State) -> Vec<&'a Pipeline> {
        let mut rows: Vec<_> = state.pipelines().iter().collect();
        let uncertain = |row: &Pipeline| state.history(&row.name).and_then(|history| history.uncertain_share());
        // Sorting is stable, and they come by name.
        match self.sort {
            Sort::Name => {}
            Sort::Problems => rows.sort_by_key(|row| trouble(state, row)),
            Sort::Rate => rows.sort_by(|one, other| other.counts.per_second.total_cmp(&one.counts.per_second)),
            Sort::Latency => {
                rows.sort_by(|one, other| other.counts.latency_p99_ms.total_cmp(&one.counts.latency_p99_ms))
            }
            Sort::Uncertain => {
                rows.sort_by(|one, other| uncertain(other).unwrap_or(-1.0).total_cmp(&uncertain(one).unwrap_or(-1.0)))
            }
        }
        rows
    }
}

/// 0 is worst.
fn trouble(state: &State, pipeline: &Pipeline) -> u8 {
    match pipeline.state.as_str() {
        "failed" => 0,
        "waiting" => 1,
        _ if !state.problems_of(pipeline).is_empty() => 2,
        _ => 3,
    }
}

impl Sort {
    /// The next order.
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Name => Self::Problems,
            Self::Problems => Self::Rate,
            Self::Rate => Self::Latency,
            Self::Latency => Self::Uncertain,
            Self::Uncertain => Self::Name,
        }
    }

    /// For people.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Problems => "problems",
            Self::Rate => "rate",
            Self::Latency => "latency",
            Self::Uncertain => "uncertain",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture;
    use super::*;

    #[test]
    fn each_key_does_what_the_help_says() {
        let cases = [
            (KeyCode::Char('q'), Some(Action::Leave)),
            (KeyCode::Esc, Some(Action::Back)),
            (KeyCode::Up, Some(Action::Move(-1))),
            (KeyCode::Char('k'), Some(Action::Move(-1))),
            (KeyCode::Down, Some(Action::Move(1))),
            (KeyCode::Char('j'), Some(Action::Move(1))),
            (KeyCode::PageUp, Some(Action::Move(-PAGE))),
            (KeyCode::PageDown, Some(Action::Move(PAGE))),
            (KeyCode::Home, Some(Action::Move(isize::MIN))),
            (KeyCode::Char('G'), Some(Action::Move(isize::MAX))),
            (KeyCode::Enter, Some(Action::Open(Page::Details))),
            (KeyCode::Char(' '), Some(Action::Open(Page::Details))),
            (KeyCode::Char('w'), Some(Action::Open(Page::Problems))),
            (KeyCode::Char('?'), Some(Action::Open(Page::Help))),
            (KeyCode::Char('p'), Some(Action::Pause)),
            (KeyCode::Char('s'), Some(Action::Sort)),
            (KeyCode::Char('c'), None),
            (KeyCode::Tab, None),
        ];
        for (code, expected) in cases {
            assert_eq!(action(KeyEvent::new(code, KeyModifiers::NONE)), expected, "{code:?}");
        }
        let with_control = |code| action(KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL));
        assert_eq!((with_control('c'), with_control('q')), (Some(Action::Leave), None));
        let release = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action(release), None);
    }

    fn chosen(choice: &Choice, state: &State) -> String {
        let rows = choice.rows(state);
        rows[choice.position(&rows).unwrap()].name.clone()
    }

    #[test]
    fn the_choice_goes_no_further_than_there_are_rows() {
        let (state, mut choice) = (fixture::busy(), Choice::default());
        for (by, expected) in
            [(0, "belt"), (-1, "belt"), (1, "door"), (isize::MAX, "yard"), (5, "yard"), (isize::MIN, "belt")]
        {
            choice.step(&state, by);
            assert_eq!(chosen(&choice, &state), expected, "{by}");
        }
        let (nothing, mut choice) = (State::default(), Choice::default());
        choice.step(&nothing, 1);
        assert_eq!(choice.position(&choice.rows(&nothing)), None);
    }

    #[test]
    fn each_order_has_the_row_first_that_it_is_for_and_the_choice_stays_with_its_pipeline() {
        let (state, mut choice) = (fixture::busy(), Choice::default());
        choice.step(&state, 2);
        let before = chosen(&choice, &state);
        let mut firsts = Vec::new();
        for _ in 0..5 {
            firsts.push((choice.sort.word(), choice.rows(&state)[0].name.clone()));
            assert_eq!(chosen(&choice, &state), before);
            choice.sort = choice.sort.next();
        }
        assert_eq!(choice.sort, Sort::Name);
        let firsts: Vec<_> = firsts.iter().map(|(word, name)| (*word, name.as_str())).collect();
        let expected =
            [("name", "belt"), ("problems", "door"), ("rate", "hall"), ("latency", "belt"), ("uncertain", "hall")];
        assert_eq!(firsts, expected);
    }

    #[test]
    fn a_chosen_pipeline_that_is_gone_leaves_the_choice_to_the_first_row() {
        let (mut state, mut choice) = (fixture::busy(), Choice::default());
        choice.step(&state, isize::MAX);
        state.take(Duration::from_secs(61), fixture::told(&["belt", "door"]));
        assert_eq!(chosen(&choice, &state), "belt");
    }
}
