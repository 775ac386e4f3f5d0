//! Runner processes: starting one, proving it, talking to it, and keeping one serving.
//!
//! Invariants:
//! - A runner is untrusted. It gets a socket, the model's file and read-only frame memory; whatever it answers is checked;
//!   when it dies, is late or breaks the protocol it is killed, counted and replaced, and the daemon goes on.
//! - Every window that was submitted comes back exactly once, in order, with a prediction or with the reason why there is
//!   none. A runner's death costs no window: those in flight are submitted again, each at most once more. Windows that
//!   no runner has when a version takes over that cuts others come back to be cut again.
//! - A promoted runner takes over between two windows: the old one first answers what it was given.

#[cfg(test)]
pub(crate) mod fake;
mod flights;
mod link;
mod process;
mod prove;
mod reaper;
mod serving;

use std::path::PathBuf;

use inferd_core::wire::Limits;

use crate::host::groups::{GroupLimits, Groups};

pub use link::LinkError;
pub use process::{Runner, StartError};
pub use prove::{Step, prove};
pub use serving::{Back, Engine, Health, Restart, Served};

/// How runners are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSettings {
    /// The program.
    pub program: PathBuf,
    /// What it may use.
    pub limits: Limits,
    /// Where the kernel holds it to limits of its own; `None` where there are no such groups.
    pub group: Option<(Groups, GroupLimits)>,
    /// Time to load, warm up and prove a model.
    pub start_timeout: std::time::Duration,
    /// Time for one window.
    pub deadline: std::time::Duration,
}
