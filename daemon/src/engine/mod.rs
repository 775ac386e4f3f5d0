//! Runner processes: starting one, proving it, talking to it, and keeping one serving.
//!
//! Invariants:
//! - A runner is untrusted. It gets a socket, the model's file and read-only frame memory; whatever it answers is checked;
//!   when it dies, is late or breaks the protocol it is killed, counted and replaced, and the daemon goes on.
//! - Every window that was submitted comes back exactly once, in order, with a prediction or with the reason why there is
//!   none. A runner's death costs no window: those in flight are submitted again, each at most once more.
//! - A promoted runner takes over between two windows: the old one first answers what it was given.

mod link;
mod process;
mod prove;
mod serving;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use inferd_core::ModelId;
use inferd_core::frame::Format;
use inferd_core::manifest::Manifest;
use inferd_core::wire::Limits;

pub use link::LinkError;
pub use process::{Runner, StartError};
pub use prove::{Step, prove};
pub use serving::{Engine, Health, Restart, Served};

/// What a runner is started from: a verified version, held in memory files, so that a restart needs no disk and nothing
/// on the disk can change it any more.
#[derive(Debug)]
pub struct Version {
    /// Which version.
    pub id: Arc<ModelId>,
    /// Its checked manifest.
    pub manifest: Arc<Manifest>,
    /// Its labels, by class index.
    pub labels: Arc<[String]>,
    /// The artifact.
    pub artifact: Content,
    /// The golden samples.
    pub golden: Vec<GoldenSample>,
}

/// A sealed, read-only memory file.
#[derive(Debug)]
pub struct Content {
    /// The file.
    pub file: OwnedFd,
    /// Its length.
    pub bytes: u64,
}

impl AsFd for Content {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A golden sample's files.
#[derive(Debug)]
pub struct GoldenSample {
    /// The input's name in the bundle, for messages.
    pub name: String,
    /// How the input is to be read.
    pub format: Format,
    /// The input.
    pub input: Content,
    /// The expected output, `.npy`.
    pub expected: Content,
    /// Largest absolute difference that passes.
    pub tolerance: f32,
}

/// How runners are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerSettings {
    /// The program.
    pub program: PathBuf,
    /// What it may use.
    pub limits: Limits,
    /// Time to load, warm up and prove a model.
    pub start_timeout: std::time::Duration,
    /// Time for one window.
    pub deadline: std::time::Duration,
}
