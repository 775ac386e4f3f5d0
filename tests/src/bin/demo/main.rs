//! `make demo`: inferd's main job in half a minute, to be looked at, and proved at the end.
//!
//! Three recordings play at once, each into its own model. Unsure windows are uploaded to a small HTTP server. Every model is
//! swapped from 1.0.0 to 1.1.0 while its stream runs. Then the outcomes that were counted, the metrics and what the server
//! received are compared; the exit status is 0 only where all of it was true.
//!
//! Everything is temporary and private: a folder, a bus, free ports of the loopback. `KEEP=1` leaves it running afterwards.
//!
//! - [`show`]: what happens, in order
//! - [`stage`]: the running system and what has come from it so far
//! - [`figures`]: what the outcomes of one pipeline say
//! - [`screen`], [`view`]: how it looks
//! - [`proof`]: what must be true at the end

mod figures;
mod interrupt;
mod proof;
mod screen;
mod show;
mod stage;
mod view;

use std::process::ExitCode;

/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    match show::run(std::env::var_os("KEEP").is_some_and(|keep| keep != "0" && !keep.is_empty())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Ctrl-C reaches every program on this terminal: what failed because of it is no failure to report.
        Err(_) if interrupt::came() => {
            eprintln!("\nstopped by Ctrl-C");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
