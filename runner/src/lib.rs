//! The runner: the process that serves one model version, and the same code as a library.
//!
//! A window travels [`preprocess`] → [`backend`] → [`postprocess`], led by [`Engine`]; [`serve`] puts the daemon's
//! socket in front of it and [`sandbox`] walls around it.
//!
//! Invariants:
//! - The artifact and every window are untrusted. Both are parsed only after the process has sealed itself; before
//!   that nothing but the daemon's own message is read.
//! - A bad window is a [`Failure`](inferd_core::outcome::Failure) and the runner goes on; a bad model is a
//!   [`LoadError`] and the runner ends after saying so; a bad message from the daemon ends the runner.
//! - Once sealed, the process opens no path and no socket; everything it reads comes as a file descriptor. Before that only
//!   the backend looks at `/proc` and `/sys`, for the machine's caches and CPUs.
//! - No thread is started, ever.

mod backend;
mod engine;
mod failure;
mod files;
mod frames;
mod link;
mod log;
mod memory;
mod postprocess;
mod preprocess;
pub mod sandbox;
pub mod serve;

pub use backend::{BackendName, LoadError};
pub use engine::Engine;
