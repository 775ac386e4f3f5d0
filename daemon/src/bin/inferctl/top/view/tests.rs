use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::super::fixture::{self, NOW};
use super::super::seen::{Line as OutcomeLine, Seen};
use super::super::state::Feed;
use super::*;
use crate::cli::BusKind;
use crate::failure::Failure;

/// The screen of a state.
fn drawn(state: &State, choice: &Choice, (columns, lines): (u16, u16), colours: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    let view = View { state, choice, now: NOW, is_paused: false, colours };
    terminal.draw(|frame| view.draw(frame)).unwrap();
    terminal
}

/// Its text, without blanks at the ends of lines.
fn screen(state: &State, choice: &Choice, size: (u16, u16)) -> String {
    let terminal = drawn(state, choice, size, false);
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(size.0));
    let lines = lines.map(|cells| cells.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn on(page: Page) -> Choice {
    let mut choice = Choice::default();
    choice.open(page);
    choice
}

fn silent(state: &mut State) {
    state.take(Duration::from_secs(48), Feed::Silent(Failure::unreachable(BusKind::System, "it does not run")));
}

#[test]
fn pipelines_on_a_usual_terminal() {
    insta::assert_snapshot!(screen(&fixture::busy(), &Choice::default(), (80, 24)));
}

#[test]
fn pipelines_on_a_wide_terminal() {
    insta::assert_snapshot!(screen(&fixture::busy(), &Choice::default(), (120, 40)));
}

#[test]
fn pipelines_on_a_narrow_terminal() {
    insta::assert_snapshot!(screen(&fixture::busy(), &Choice::default(), (40, 10)));
}

#[test]
fn a_failed_pipeline_says_why_and_what_to_do() {
    let (state, mut choice) = (fixture::busy(), Choice::default());
    choice.step(&state, 1);
    insta::assert_snapshot!(screen(&state, &choice, (80, 24)));
}

#[test]
fn all_of_a_pipeline() {
    insta::assert_snapshot!(screen(&fixture::busy(), &on(Page::Details), (80, 40)));
}

#[test]
fn what_is_wrong() {
    insta::assert_snapshot!(screen(&fixture::busy(), &on(Page::Problems), (80, 24)));
}

#[test]
fn problems_that_do_not_fit_are_not_left_out_in_silence() {
    let screen = screen(&fixture::busy(), &on(Page::Problems), (80, 12));
    assert!(screen.contains("more than fits: `inferctl status`"), "{screen}");
}

#[test]
fn the_help() {
    insta::assert_snapshot!(screen(&fixture::busy(), &on(Page::Help), (80, 24)));
}

#[test]
fn an_inferd_that_is_gone_is_said_above_what_it_told_last() {
    let mut state = fixture::busy();
    silent(&mut state);
    insta::assert_snapshot!(screen(&state, &Choice::default(), (80, 24)));
}

#[test]
fn an_inferd_that_was_never_there_leaves_nothing_but_what_to_do() {
    let mut state = State::default();
    silent(&mut state);
    insta::assert_snapshot!(screen(&state, &Choice::default(), (80, 10)));
}

#[test]
fn many_pipelines_scroll_to_the_chosen_one() {
    let names: Vec<_> = (0..60).map(|number| format!("line-{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (mut state, mut choice) = (State::default(), Choice::default());
    state.take(NOW, fixture::told(&names));
    choice.step(&state, 30);
    insta::assert_snapshot!(screen(&state, &choice, (80, 24)));
    choice.step(&state, isize::MAX);
    assert!(screen(&state, &choice, (80, 24)).contains("> line-59"));
}

#[test]
fn outcomes_that_cannot_be_read_say_why() {
    let mut state = State::default();
    state.take(NOW, fixture::told(&["belt"]));
    let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let failure = Failure::no_outcomes(std::path::Path::new("/run/inferd/outcomes.sock"), &refused);
    state.take(NOW, Feed::Outcomes(Err(failure)));
    state.take(NOW, Feed::Missed(3));
    insta::assert_snapshot!(screen(&state, &Choice::default(), (80, 24)));
}

#[test]
fn every_page_is_drawn_at_every_size() {
    let (busy, mut gone) = (fixture::busy(), State::default());
    silent(&mut gone);
    for state in [&busy, &gone, &State::default()] {
        for page in [Page::Pipelines, Page::Details, Page::Problems, Page::Help] {
            for columns in (1..90).step_by(11) {
                for lines in (1..32).step_by(3) {
                    screen(state, &on(page), (columns, lines));
                }
            }
        }
    }
}

#[test]
fn without_colours_there_is_none_and_the_choice_is_still_seen() {
    let has_colours = |colours| {
        let terminal = drawn(&fixture::busy(), &Choice::default(), (80, 24), colours);
        let cells = terminal.backend().buffer().content();
        assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
        cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(has_colours(true) && !has_colours(false));
}

#[test]
fn no_text_of_a_model_or_a_source_steers_the_terminal() {
    let mut state = fixture::busy();
    let line = r#"{"pipeline":"belt","time":"T\u001b[2J","verdict":"event","label":"\u001b]0;x\u0007","latency_ms":1}"#;
    let Some(OutcomeLine::Outcome(seen)) = OutcomeLine::read(line) else { panic!("{line} is an outcome") };
    assert!(seen != Seen::default());
    state.take(NOW, Feed::Outcome(seen));
    for page in [Page::Pipelines, Page::Details] {
        let screen = screen(&state, &on(page), (120, 40));
        assert!(screen.contains("]0;x"), "it is shown:\n{screen}");
        assert!(!screen.chars().any(|each| each.is_control() && each != '\n'), "{screen:?}");
    }
}
