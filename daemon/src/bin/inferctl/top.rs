//! `top`: what runs, live, on the whole terminal.
//!
//! Invariants:
//! - The terminal is as it was when this ends: by a key, a signal, an error or a panic.
//! - Nothing that waits for inferd waits on the loop that reads keys and draws: [`feed`]'s tasks do, and send what they have.
//! - Drawn when something has changed, at most four times a second, and at once after a key.
//! - Figures are inferd's own; what is not known is `-`.

mod draw;
mod feed;
mod keys;
mod state;

#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::BusKind;
use crate::failure::Failure;
use crate::output::Output;
use draw::Look;
use keys::Keys;
use state::{State, Step};

/// The shortest time between two drawings that nobody asked for by a key.
const FRAME: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Where inferd serves outcomes
    #[arg(long, env = "INFERD_OUTCOMES_SOCKET", default_value = "/run/inferd/outcomes.sock", value_name = "PATH")]
    pub(crate) socket: PathBuf,
}

pub(crate) async fn top(what: Top, bus: BusKind, output: &Output) -> Result<(), Failure> {
    if output.is_json() || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::failed("top is for a person at a terminal")
            .hint("programs use `inferctl status --json` for figures, `inferctl watch --json` for outcomes"));
    }
    let mut terminal = ratatui::try_init().map_err(|error| broken(&error))?;
    let ended = follow(&mut terminal, &what, bus, Look::new(output.has_colours())).await;
    let restored = ratatui::try_restore().map_err(|error| broken(&error));
    ended.and(restored)
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::failed(format!("the terminal cannot be used: {error}")).hint("`inferctl status` needs none")
}

async fn follow(terminal: &mut DefaultTerminal, what: &Top, bus: BusKind, look: Look) -> Result<(), Failure> {
    let mut keys = Keys::read().map_err(|error| broken(&error))?;
    let mut news = feed::begin(bus, what.socket.clone());
    let listen = |kind| signal(kind).map_err(|error| broken(&error));
    let mut terminated = listen(SignalKind::terminate())?;
    let mut hung_up = listen(SignalKind::hangup())?;
    let mut frame = interval(FRAME);
    frame.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = State::default();
    let mut stale = true;
    loop {
        tokio::select! {
            key = keys.next() => match key {
                None => return Ok(()),
                Some(key) => {
                    if state.obey(key) == Step::Leave {
                        return Ok(());
                    }
                    draw(terminal, &state, look)?;
                    stale = false;
                }
            },
            Some(news) = news.recv() => stale |= state.learn(news),
            _ = frame.tick() => if std::mem::take(&mut stale) { draw(terminal, &state, look)? },
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
    }
}

fn draw(terminal: &mut DefaultTerminal, state: &State, look: Look) -> Result<(), Failure> {
    terminal.draw(|frame| draw::everything(frame, state, look)).map(drop).map_err(|error| broken(&error))
}
