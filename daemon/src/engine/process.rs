//! One runner process: started, loaded, ready; ended for certain when dropped.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use inferd_core::wire::{FromRunner, Load, ModelSpec, PROTOCOL, Ready, ToRunner};

use super::RunnerSettings;
use super::link::{Link, LinkError, word};
use super::reaper::{self, Child};
use crate::host::error::with_causes;
use crate::model::store::LoadedVersion;

/// Runs before a runner says that it is ready: the first touches all memory, the third is steady.
const WARM_UP_RUNS: u32 = 3;

/// A runner could not be brought to serve a version.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be started.
    #[error("cannot start the runner {program}; check `runner.program`")]
    Spawn {
        /// Its path.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It says that it cannot serve this model.
    #[error("{0}")]
    Refused(String),
    /// It died, was late or broke the protocol before it was ready.
    #[error("the runner failed while it loaded {model}")]
    Failed {
        /// The version.
        model: String,
        /// How.
        #[source]
        source: LinkError,
    },
    /// A golden sample gave another output than the bundle says.
    #[error("{0}")]
    Golden(String),
}

/// A runner that is ready. Dropping it ends the process and waits for that.
#[derive(Debug)]
pub struct Runner {
    pub(super) link: Link,
    pub(super) version: Arc<LoadedVersion>,
    pub(super) ready: Ready,
    /// The frame memory that it knows.
    pub(super) announced_pool: Option<u32>,
    process: Process,
}

impl Runner {
    /// Starts a process and waits until it is loaded, warm and sealed.
    ///
    /// # Errors
    /// [`StartError`]; the process has ended then.
    pub fn start(settings: &RunnerSettings, version: Arc<LoadedVersion>) -> Result<Self, StartError> {
        let begun = Instant::now();
        let spawn_failed = |source| StartError::Spawn { program: settings.program.display().to_string(), source };
        let (mut link, theirs) = Link::pair().map_err(spawn_failed)?;
        let child = Command::new(&settings.program)
            .env_clear()
            .arg0(format!("inferd-runner: {} {}", version.id.name, version.id.version))
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(spawn_failed)?;
        let process = Process(Some(in_its_group(child, settings)));
        let failed = |source| StartError::Failed { model: version.id.to_string(), source };
        let load = ToRunner::Load(Box::new(Load {
            protocol: PROTOCOL,
            model: ModelSpec::from(&*version.manifest),
            artifact_bytes: version.artifact.bytes,
            limits: settings.limits,
            warm_up_runs: WARM_UP_RUNS,
        }));
        link.send(&load, &[version.artifact.fd.as_fd()], settings.start_timeout).map_err(failed)?;
        let left = settings.start_timeout.saturating_sub(begun.elapsed());
        match link.receive(left).map_err(failed)? {
            FromRunner::Ready(ready) => Ok(Self { link, version, ready, announced_pool: None, process }),
            FromRunner::Refused { reason } => Err(StartError::Refused(reason)),
            other @ (FromRunner::Golden { .. } | FromRunner::Done { .. } | FromRunner::Failed { .. }) => {
                Err(failed(LinkError::Protocol(format!("it answered a load with {}", word(&other)))))
            }
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.0.as_ref().map_or(0, |child| child.process.id())
    }

    /// The version that it serves.
    pub const fn version(&self) -> &Arc<LoadedVersion> {
        &self.version
    }

    /// What it said when it was ready.
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Ends the process without waiting until it is gone: for a thread that has windows to serve.
    pub(super) fn retire(mut self) {
        if let Some(child) = self.process.0.take() {
            reaper::end(child);
        }
    }

    /// A runner whose other end of the link is held by a test; there is no process.
    #[cfg(test)]
    pub(super) fn fake(link: Link, version: Arc<LoadedVersion>, ready: Ready) -> Self {
        Self { link, version, ready, announced_pool: None, process: Process(None) }
    }
}

/// Before it is told of a model: all that it takes for that is counted there.
fn in_its_group(process: std::process::Child, settings: &RunnerSettings) -> Child {
    let group = settings.group.as_ref().and_then(|(groups, limits)| {
        let placed = groups.place(process.id(), *limits);
        placed
            .inspect_err(|error| tracing::warn!(error = with_causes(error), "a runner stays in the daemon's group"))
            .ok()
    });
    Child { process, _group: group }
}

/// A child that is ended when dropped: a runner holds nothing that would have to be saved, so it is killed, and waited for,
/// so that no zombie stays. `None` once somebody else does that.
#[derive(Debug)]
struct Process(Option<Child>);

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Both fail only where the process is gone already.
            let _ = child.process.kill();
            let _ = child.process.wait();
        }
    }
}
