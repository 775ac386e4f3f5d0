//! What is shown of given news, at the widths that people have, and what keys do.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::draw::{self, Look};
use super::feed::{News, Outcome};
use super::keys::{self, Key};
use super::state::{Order, Page, State, Step};
use crate::fixture;
use crate::view::{Everything, Pipeline};

fn screen(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::everything(frame, state, Look::new(false))).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content.chunks(usize::from(width));
    let text = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned());
    text.collect::<Vec<_>>().join("\n")
}

fn outcome(pipeline: &str, window: u64, verdict: &str, confidence: f64) -> News {
    News::Outcome(Outcome {
        pipeline: pipeline.into(),
        time: format!("2026-01-01T12:00:{:02}.250Z", window % 60),
        window,
        verdict: verdict.into(),
        label: "scratch".into(),
        confidence,
        latency_ms: 3.2,
    })
}

/// As it is after so many seconds, ten windows in each, every tenth of which is uncertain.
fn everything(second: u32) -> Everything {
    let mut everything = fixture::everything();
    let extra = u64::from(second);
    for pipeline in &mut everything.pipelines {
        let counts = &mut pipeline.counts;
        counts.windows += extra * 10;
        counts.uncertain += extra;
        counts.latency_p99_ms *= 1.0 + f64::from(second % 8) / 8.0;
    }
    everything
}

fn after(seconds: u32) -> State {
    let mut state = State::default();
    for second in 0..seconds {
        for window in 0..10 {
            let window = u64::from(second) * 10 + window;
            state.learn(outcome("belt", window, if window % 10 == 0 { "uncertain" } else { "event" }, 0.9));
        }
        state.learn(News::Everything(Box::new(everything(second))));
    }
    state
}

#[test]
fn the_list_at_80_columns() {
    insta::assert_snapshot!(screen(&after(30), 80, 24));
}

#[test]
fn the_list_at_120_columns() {
    insta::assert_snapshot!(screen(&after(30), 120, 40));
}

#[test]
fn details_at_80_columns() {
    let mut state = after(30);
    state.obey(Key::Details);
    insta::assert_snapshot!(screen(&state, 80, 24));
}

#[test]
fn help_at_80_columns() {
    let mut state = after(1);
    state.obey(Key::Help);
    insta::assert_snapshot!(screen(&state, 80, 24));
}

#[test]
fn an_inferd_that_is_gone_is_said_and_what_was_known_stays() {
    let mut state = after(3);
    state.learn(News::Gone("inferd cannot be reached on the system bus: it does not run".into()));
    state.learn(News::Outcomes(Some("no outcomes at /run/inferd/outcomes.sock: Permission denied".into())));
    insta::assert_snapshot!(screen(&state, 80, 24));
    state.learn(News::Everything(Box::new(everything(4))));
    assert!(!screen(&state, 80, 24).contains("cannot be reached"));
}

#[test]
fn before_the_first_answer_it_says_what_it_waits_for() {
    let mut state = State::default();
    assert!(screen(&state, 80, 24).contains("asking inferd"));
    state.learn(News::Gone("inferd cannot be reached on the system bus: it does not run".into()));
    let shown = screen(&state, 80, 24);
    assert!(shown.contains("it does not run; looking again"), "{shown}");
}

#[test]
fn any_size_shows_what_fits() {
    for page in [Page::List, Page::Details, Page::Help] {
        let mut state = after(2);
        state.page = page;
        for (width, height) in [(1, 1), (2, 3), (10, 5), (40, 10), (79, 24), (300, 100)] {
            screen(&state, width, height);
        }
    }
    let narrow = screen(&after(30), 40, 10);
    assert!(narrow.contains("> belt") && narrow.contains("running"), "{narrow}");
}

#[test]
fn many_pipelines_scroll_so_that_the_chosen_one_is_seen() {
    let mut everything = fixture::everything();
    everything.pipelines =
        (0..100).map(|number| Pipeline { name: format!("p{number:03}"), ..Pipeline::default() }).collect();
    let mut state = State::default();
    state.learn(News::Everything(Box::new(everything)));
    for _ in 0..150 {
        state.obey(Key::Down);
    }
    let shown = screen(&state, 80, 24);
    assert!(shown.contains("> p099") && shown.contains("p098") && !shown.contains("p000"), "{shown}");
    for _ in 0..150 {
        state.obey(Key::Up);
    }
    assert!(screen(&state, 80, 24).contains("> p000"));
}

#[test]
fn shares_are_those_since_the_first_look_and_begin_anew_with_the_pipeline() {
    let state = after(30);
    let history = state.history("belt").unwrap();
    assert_eq!(history.uncertain(), Some(10.0));
    assert_eq!(history.confidence().map(|sure| (sure * 100.0).round()), Some(90.0));
    let mut state = state;
    let mut again = fixture::everything();
    again.pipelines[0].counts.windows = 3;
    again.pipelines[0].counts.uncertain = 0;
    state.learn(News::Everything(Box::new(again)));
    assert_eq!(state.history("belt").unwrap().uncertain(), None, "nothing was served since");
}

#[test]
fn what_is_remembered_is_bounded() {
    let state = after(500);
    let history = state.history("belt").unwrap();
    assert_eq!((history.latencies().len(), history.outcomes.len()), (120, 32));
    // Of a pipeline that is gone nothing is.
    let mut state = state;
    state.learn(News::Everything(Box::default()));
    assert!(state.history("belt").is_none() && state.chosen().is_none());
}

#[test]
fn paused_nothing_changes() {
    let mut state = after(3);
    let before = screen(&state, 80, 24);
    state.obey(Key::Pause);
    assert!(!state.learn(News::Gone("gone".into())));
    assert_eq!(
        screen(&state, 80, 24).lines().take(20).collect::<Vec<_>>(),
        before.lines().take(20).collect::<Vec<_>>()
    );
    assert!(screen(&state, 80, 24).contains("PAUSED"));
    state.obey(Key::Pause);
    assert!(state.learn(News::Gone("gone".into())));
}

#[test]
fn keys_do_what_the_help_says() {
    let press = |code| Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
    let cases = [
        (press(KeyCode::Char('q')), Some(Key::Leave)),
        (Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::Leave)),
        (press(KeyCode::Char('c')), None),
        (press(KeyCode::Esc), Some(Key::Back)),
        (press(KeyCode::Char('j')), Some(Key::Down)),
        (press(KeyCode::Up), Some(Key::Up)),
        (press(KeyCode::Enter), Some(Key::Details)),
        (press(KeyCode::Char('s')), Some(Key::Sort)),
        (press(KeyCode::Char('?')), Some(Key::Help)),
        (Event::Resize(80, 24), Some(Key::Redraw)),
        (Event::Key(KeyEvent { kind: KeyEventKind::Release, ..KeyEvent::from(KeyCode::Char('q')) }), None),
        (Event::FocusGained, None),
    ];
    for (event, expected) in cases {
        assert_eq!(keys::meaning(&event), expected, "{event:?}");
    }
}

#[test]
fn pages_are_entered_and_left() {
    let mut state = after(3);
    for (key, page) in
        [(Key::Details, Page::Details), (Key::Details, Page::List), (Key::Help, Page::Help), (Key::Back, Page::List)]
    {
        assert_eq!(state.obey(key), Step::GoOn);
        assert_eq!(state.page, page);
    }
    assert_eq!(state.obey(Key::Back), Step::Leave);
    assert_eq!(state.obey(Key::Leave), Step::Leave);
}

#[test]
fn the_worst_comes_first_but_by_name() {
    let mut state = after(3);
    let names = |state: &State| state.pipelines().iter().map(|pipeline| pipeline.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&state), state.order), (vec!["belt".into(), "door".into()], Order::Name));
    let mut everything = everything(4);
    everything.pipelines[1].counts.per_second = 99.0;
    state.learn(News::Everything(Box::new(everything)));
    state.obey(Key::Sort);
    assert_eq!((names(&state), state.order), (vec!["door".into(), "belt".into()], Order::Rate));
}
