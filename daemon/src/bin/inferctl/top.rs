//! `top`: what runs, live on the whole screen, until somebody leaves.
//!
//! `feed` hears the bus and the outcomes, `state` and `history` remember, `view` draws, `keys` say what a key does.
//!
//! Invariants:
//! - Everything waits side by side on one thread, and nothing in it blocks: an inferd that hangs holds up no key.
//! - New data are drawn at most every [`DRAW_EVERY`]; keys and another size of the terminal at once.
//! - However it ends but by SIGKILL, the terminal is as it was before (`screen`).

mod feed;
mod history;
mod keys;
mod process;
mod screen;
mod seen;
mod state;
mod view;

#[cfg(test)]
mod fixture;

use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep_until};

use crate::cli::{BusKind, Top};
use crate::failure::Failure;
use crate::output::Output;
use keys::{Action, Choice, Page};
use screen::Screen;
use state::{Feed, State};
use view::View;

/// The shortest time between two drawings of new data.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Feeds that wait to be taken; where there are more, the socket is not read.
const QUEUE: usize = 256;

pub(crate) async fn top(what: &Top, bus: BusKind, output: Output) -> Result<(), Failure> {
    if output.is_json() {
        return Err(Failure::failed("`top` is for people and has no JSON").hint(INSTEAD));
    }
    if !output.is_terminal() {
        return Err(Failure::failed("`top` needs a terminal on standard output").hint(INSTEAD));
    }
    let signals = Signals::listen()?;
    let screen = Screen::take()?;
    let (sender, feeds) = channel(QUEUE);
    let app = App::new(output.is_coloured());
    tokio::select! {
        ended = show(app, screen, feeds, signals) => ended,
        () = feed::bus(bus, sender.clone()) => Ok(()),
        () = feed::outcomes(&what.outcomes.socket, sender) => Ok(()),
    }
}

const INSTEAD: &str = "programs read `inferctl status --json` and `inferctl watch --json`";

/// Those by which a program is asked to end.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot listen to signals: {error}")));
        let [terminate, hang_up, interrupt] =
            [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(listen);
        Ok(Self([terminate?, hang_up?, interrupt?]))
    }

    async fn any(&mut self) {
        let [terminate, hang_up, interrupt] = &mut self.0;
        tokio::select! { _ = terminate.recv() => {}, _ = hang_up.recv() => {}, _ = interrupt.recv() => {} }
    }
}

/// Draws and hears keys until somebody leaves.
async fn show(
    mut app: App,
    mut screen: Screen,
    mut feeds: Receiver<Feed>,
    mut signals: Signals,
) -> Result<(), Failure> {
    let mut events = EventStream::new();
    let mut heard = Vec::with_capacity(QUEUE);
    let mut is_new = false;
    let mut drawn_at = app.draw(&mut screen)?;
    loop {
        tokio::select! {
            // Keys before data, so that no flood of outcomes holds them up.
            biased;
            () = signals.any() => return Ok(()),
            event = events.next() => {
                if app.handle(&read(event)?) == Next::Leave {
                    return Ok(());
                }
                drawn_at = app.draw(&mut screen)?;
                is_new = false;
            }
            () = sleep_until(drawn_at + DRAW_EVERY), if is_new => {
                drawn_at = app.draw(&mut screen)?;
                is_new = false;
            }
            _ = feeds.recv_many(&mut heard, QUEUE) => {
                app.take(heard.drain(..));
                is_new = true;
            }
        }
    }
}

fn read(event: Option<std::io::Result<Event>>) -> Result<Event, Failure> {
    let gone = |why: String| Failure::failed(format!("cannot read keys from the terminal: {why}"));
    event.ok_or_else(|| gone("it was closed".to_owned()))?.map_err(|error| gone(error.to_string()))
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Stay,
    Leave,
}

/// What is known, and what is shown of it.
struct App {
    began: Instant,
    state: State,
    /// The state and the time at which the view was paused.
    paused: Option<(State, Duration)>,
    choice: Choice,
    colours: bool,
}

impl App {
    fn new(colours: bool) -> Self {
        Self { began: Instant::now(), state: State::default(), paused: None, choice: Choice::default(), colours }
    }

    fn take(&mut self, feeds: impl Iterator<Item = Feed>) {
        let now = self.began.elapsed();
        feeds.for_each(|feed| self.state.take(now, feed));
    }

    fn draw(&self, screen: &mut Screen) -> Result<Instant, Failure> {
        screen.draw(|frame| self.view().draw(frame))?;
        Ok(Instant::now())
    }

    fn view(&self) -> View<'_> {
        let (state, now) = match &self.paused {
            Some((state, at)) => (state, *at),
            None => (&self.state, self.began.elapsed()),
        };
        View { state, choice: &self.choice, now, is_paused: self.paused.is_some(), colours: self.colours }
    }

    fn handle(&mut self, event: &Event) -> Next {
        let Event::Key(key) = event else { return Next::Stay };
        match keys::action(*key) {
            Some(Action::Leave) => return Next::Leave,
            Some(Action::Back) if self.choice.page == Page::Pipelines => return Next::Leave,
            Some(Action::Back) => self.choice.page = Page::Pipelines,
            Some(Action::Move(by)) => {
                let state = self.paused.as_ref().map_or(&self.state, |(state, _)| state);
                self.choice.step(state, by);
            }
            Some(Action::Open(page)) => self.choice.open(page),
            Some(Action::Sort) => self.choice.sort = self.choice.sort.next(),
            Some(Action::Pause) => self.pause(),
            None => {}
        }
        Next::Stay
    }

    fn pause(&mut self) {
        let frozen = || (self.state.clone(), self.began.elapsed());
        self.paused = if self.paused.is_some() { None } else { Some(frozen()) };
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;

    fn press(app: &mut App, code: KeyCode) -> Next {
        app.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn app() -> App {
        App { state: fixture::busy(), ..App::new(false) }
    }

    #[tokio::test]
    async fn without_a_terminal_it_says_what_programs_read() {
        let what = || Top { outcomes: crate::cli::Outcomes { socket: "/nowhere/outcomes.sock".into() } };
        for (output, said) in [(Output::plain(), "needs a terminal"), (Output::new(true), "has no JSON")] {
            let failure = top(&what(), BusKind::System, output).await.unwrap_err();
            assert!(failure.sentence.contains(said), "{failure:?}");
            assert!(failure.hint.contains("status --json") && failure.hint.contains("watch"), "{failure:?}");
        }
    }

    #[tokio::test]
    async fn esc_goes_back_first_and_then_leaves() {
        let mut app = app();
        for open in [KeyCode::Enter, KeyCode::Char('?'), KeyCode::Char('w')] {
            assert_eq!(press(&mut app, open), Next::Stay);
            assert_ne!(app.choice.page, Page::Pipelines);
            assert_eq!(press(&mut app, KeyCode::Esc), Next::Stay);
            assert_eq!(app.choice.page, Page::Pipelines);
        }
        assert_eq!(press(&mut app, KeyCode::Esc), Next::Leave);
    }

    #[tokio::test]
    async fn q_leaves_from_every_page() {
        for open in [KeyCode::Tab, KeyCode::Enter, KeyCode::Char('?'), KeyCode::Char('w')] {
            let mut app = app();
            press(&mut app, open);
            assert_eq!(press(&mut app, KeyCode::Char('q')), Next::Leave);
        }
    }

    #[tokio::test]
    async fn a_paused_view_shows_nothing_new_until_it_goes_on() {
        let mut app = app();
        press(&mut app, KeyCode::Char('p'));
        app.take([fixture::told(&["belt"])].into_iter());
        assert_eq!(app.view().state.pipelines().len(), 5);
        press(&mut app, KeyCode::Char('p'));
        assert_eq!(app.view().state.pipelines().len(), 1);
    }
}
