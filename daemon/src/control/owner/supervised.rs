//! One configured pipeline: whether it is wanted, what it is doing, when it is tried again.
//!
//! Invariants:
//! - What was asked last counts, whatever the pipeline is at: a start while it drains starts it again, a stop while it is
//!   brought up keeps it from running.
//! - Nothing here waits. What has to be done is said by [`Supervised::look`]; what came of it is told by
//!   [`Supervised::launched`], [`Supervised::void_launch`] and [`Supervised::ended`].

use std::sync::Arc;
use std::time::Duration;

use semver::Version;

use crate::config;
use crate::control::launch::NotLaunched;
use crate::control::state::{Counts, Pipeline, PipelineState};
use crate::host::clock::Tick;
use crate::pipeline::{Handle, Serving, Snapshot};

/// The first pause before a waiting pipeline is tried again; doubled at each further one.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Why a pipeline is not started that is wanted.
const MODEL_BUSY: &str = "another version of its model is being made active";

/// What supervision needs of a pipeline that runs.
pub(super) trait Process {
    /// How it is.
    fn snapshot(&self, now: Tick) -> Snapshot;
    /// Its source in a line.
    fn source(&self) -> &str;
    /// Lets it serve what was begun and end.
    fn stop(&self);
    /// Its thread is over, whatever it says of itself.
    fn is_finished(&self) -> bool;
}

impl Process for Handle {
    fn snapshot(&self, now: Tick) -> Snapshot {
        self.status().snapshot(now)
    }

    fn source(&self) -> &str {
        &Self::source(self).line
    }

    fn stop(&self) {
        Self::stop(self);
    }

    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }
}

/// A pipeline of the configuration.
pub(super) struct Supervised<P = Handle> {
    pub(super) config: config::Pipeline,
    phase: Phase<P>,
    tries: u32,
    /// Why the last launch did not succeed; empty where it did, or there was none.
    obstacle: String,
    /// Start again with this configuration once it has ended.
    again: bool,
    /// It is gone from the configuration, and ends.
    removed: bool,
}

enum Phase<P> {
    /// Nothing runs. Wanted pipelines are tried again at the tick.
    Idle { state: PipelineState, reason: String, counts: Counts, retry_at: Option<Tick> },
    /// A blocking thread brings it up. What comes of an outdated launch is thrown away.
    Launching { outdated: bool },
    /// Its thread has been started.
    Running { process: Arc<P>, ending: Ending },
}

/// Whether a thread is on its way out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It serves.
    No,
    /// It was told to end and serves what was begun.
    Told,
    /// It has ended and is being waited for.
    Over { told: bool },
}

impl Supervised<Handle> {
    /// Which of its threads hangs, if one does.
    pub(super) fn hangs(&self, now: Tick) -> Option<String> {
        let Phase::Running { process, .. } = &self.phase else { return None };
        process.hangs(now)
    }
}

/// What the owner has to do for it now.
pub(super) enum Due<P> {
    Nothing,
    /// Bring it up.
    Launch,
    /// Wait for its thread, on another one.
    Join(Arc<P>),
}

impl<P: Process> Supervised<P> {
    pub(super) fn new(config: config::Pipeline, now: Tick) -> Self {
        let enabled = config.enabled;
        let mut supervised = Self {
            config,
            phase: idle(PipelineState::Stopped, String::new()),
            tries: 0,
            obstacle: String::new(),
            again: false,
            removed: false,
        };
        if enabled {
            supervised.want(now);
        }
        supervised
    }

    /// Lets it be launched at the next look, or once what still runs has ended.
    pub(super) fn want(&mut self, now: Tick) {
        self.tries = 0;
        match &mut self.phase {
            Phase::Idle { state, reason, retry_at, .. } => {
                *state = PipelineState::Waiting;
                reason.clear();
                *retry_at = Some(now);
            }
            Phase::Launching { outdated } => self.again = *outdated,
            Phase::Running { process, ending } => {
                self.again |= *ending != Ending::No || has_ended(process.snapshot(now).state);
            }
        }
    }

    /// Waiting pipelines are tried at once, and those that failed: what they failed of may be mended.
    pub(super) fn hurry(&mut self, now: Tick) {
        if let Phase::Idle { state, retry_at, .. } = &mut self.phase
            && (retry_at.is_some() || *state == PipelineState::Failed)
        {
            *retry_at = Some(now);
        }
    }

    /// Nothing runs, and nothing will by itself.
    pub(super) fn is_idle(&self) -> bool {
        matches!(&self.phase, Phase::Idle { retry_at: None, .. })
    }

    /// Nothing runs, and what is being launched will not: for others it is stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_idle() || self.is_giving_up()
    }

    const fn is_giving_up(&self) -> bool {
        matches!(self.phase, Phase::Launching { outdated: true }) && !self.again
    }

    /// The pipeline, if it has a thread.
    pub(super) const fn running(&self) -> Option<&Arc<P>> {
        match &self.phase {
            Phase::Running { process, .. } => Some(process),
            Phase::Idle { .. } | Phase::Launching { .. } => None,
        }
    }

    /// The pipeline, if it serves and was not told to end.
    pub(super) fn serving(&self, now: Tick) -> Option<&Arc<P>> {
        match &self.phase {
            Phase::Running { process, ending: Ending::No } if !has_ended(process.snapshot(now).state) => Some(process),
            Phase::Running { .. } | Phase::Idle { .. } | Phase::Launching { .. } => None,
        }
    }

    /// Stops it, or gives up waiting.
    pub(super) fn stop(&mut self) {
        self.again = false;
        match &mut self.phase {
            Phase::Idle { state, reason, retry_at, .. } => {
                *retry_at = None;
                *state = PipelineState::Stopped;
                reason.clear();
            }
            Phase::Launching { outdated } => *outdated = true,
            Phase::Running { process, ending: ending @ Ending::No } => {
                *ending = Ending::Told;
                process.stop();
            }
            Phase::Running { ending: Ending::Told | Ending::Over { .. }, .. } => {}
        }
    }

    /// Its model gets another active version: a launch that began before is done again, with that one.
    pub(super) fn outdate_launch(&mut self) {
        if let Phase::Launching { outdated: outdated @ false } = &mut self.phase {
            *outdated = true;
            self.again = true;
        }
    }

    /// Whether what a launch brings is not wanted any more.
    pub(super) const fn is_launch_outdated(&self) -> bool {
        !matches!(self.phase, Phase::Launching { outdated: false })
    }

    /// Its model's active version is this one. Where it serves another, as after a promotion that it missed, it is started
    /// again.
    pub(super) fn follow(&mut self, active: &Version, now: Tick) {
        if let Some(process) = self.serving(now)
            && process.snapshot(now).serving.version.is_some_and(|serves| serves != *active)
        {
            self.stop();
            self.again = true;
        }
    }

    /// Takes another configuration; it is stopped and started with it.
    pub(super) fn change(&mut self, config: config::Pipeline, now: Tick) {
        let wanted = config.enabled;
        self.config = config;
        self.removed = false;
        self.stop();
        if wanted {
            self.want(now);
        }
    }

    /// It is in the configuration as it was. One that had been removed and has not ended yet is as if it were new.
    pub(super) fn keep(&mut self, now: Tick) {
        if std::mem::take(&mut self.removed) && self.config.enabled {
            self.want(now);
        }
    }

    /// It is gone from the configuration.
    pub(super) fn remove(&mut self) {
        self.removed = true;
        self.stop();
    }

    /// Looks whether it has ended or is due. While its model is `busy` with a swap it is not brought up: it would be with
    /// the version that is on its way out.
    pub(super) fn look(&mut self, now: Tick, busy: bool) -> Due<P> {
        match &mut self.phase {
            Phase::Running { process, ending: ending @ (Ending::No | Ending::Told) }
                if process.is_finished() || has_ended(process.snapshot(now).state) =>
            {
                *ending = Ending::Over { told: *ending == Ending::Told };
                Due::Join(Arc::clone(process))
            }
            Phase::Idle { reason, retry_at: Some(retry_at), .. } if *retry_at <= now => {
                if busy {
                    MODEL_BUSY.clone_into(reason);
                    return Due::Nothing;
                }
                self.phase = Phase::Launching { outdated: false };
                Due::Launch
            }
            Phase::Running { .. } | Phase::Idle { .. } | Phase::Launching { .. } => Due::Nothing,
        }
    }

    /// Its thread has been waited for.
    pub(super) fn ended(&mut self, now: Tick) {
        let Phase::Running { process, ending: Ending::Over { told } } = &self.phase else { return };
        let Snapshot { state, reason, for_good, counts, .. } = process.snapshot(now);
        let (state, reason) = if has_ended(state) {
            (state, reason)
        } else {
            (PipelineState::Failed, "its thread panicked; this is a defect of inferd, see the log".to_owned())
        };
        // A recording that broke in its middle would only be played again up to there.
        let retry = state == PipelineState::Failed && !told && !for_good;
        self.phase = Phase::Idle { state, reason, counts, retry_at: retry.then(|| now.plus(RETRY_MAX)) };
        self.start_again(now);
    }

    /// A launch has come to its end and is what is wanted.
    pub(super) fn launched(&mut self, result: Result<P, NotLaunched>, now: Tick) {
        match result {
            Ok(process) => {
                self.obstacle.clear();
                self.tries = 0;
                self.phase = Phase::Running { process: Arc::new(process), ending: Ending::No };
            }
            Err(NotLaunched::Failed(reason)) => {
                self.obstacle.clone_from(&reason);
                self.phase = idle(PipelineState::Failed, reason);
            }
            Err(NotLaunched::Waiting(reason)) => {
                self.obstacle.clone_from(&reason);
                let pause = RETRY_FIRST.saturating_mul(1 << self.tries.min(10)).min(RETRY_MAX);
                self.tries += 1;
                self.phase = Phase::Idle {
                    state: PipelineState::Waiting,
                    reason,
                    counts: Counts::default(),
                    retry_at: Some(now.plus(pause)),
                };
            }
        }
    }

    /// A launch has come to its end and is not wanted any more.
    pub(super) fn void_launch(&mut self, now: Tick) {
        if matches!(self.phase, Phase::Launching { .. }) {
            self.phase = idle(PipelineState::Stopped, String::new());
            self.start_again(now);
        }
    }

    fn start_again(&mut self, now: Tick) {
        if std::mem::take(&mut self.again) {
            self.want(now);
        }
    }

    /// Whether a launch that failed for this reason failed for it before, too.
    pub(super) fn is_known_obstacle(&self, reason: &str) -> bool {
        self.obstacle == reason
    }

    /// Tells it to end; gives what is to be waited for.
    pub(super) fn take_for_stop(&mut self) -> Option<Arc<P>> {
        self.stop();
        self.running().cloned()
    }

    pub(super) fn snapshot(&self, now: Tick) -> Pipeline {
        let source = self.config.source.line();
        let (state, reason, counts, serving, source) = match &self.phase {
            Phase::Idle { state, reason, counts, .. } => (*state, reason.clone(), *counts, Serving::default(), source),
            Phase::Launching { .. } if self.is_giving_up() => {
                (PipelineState::Stopped, String::new(), Counts::default(), Serving::default(), source)
            }
            // One more try is no news as long as the last one failed.
            Phase::Launching { .. } if !self.obstacle.is_empty() => {
                (PipelineState::Waiting, self.obstacle.clone(), Counts::default(), Serving::default(), source)
            }
            Phase::Launching { .. } => {
                (PipelineState::Starting, String::new(), Counts::default(), Serving::default(), source)
            }
            Phase::Running { process, .. } => {
                let snapshot = process.snapshot(now);
                (snapshot.state, snapshot.reason, snapshot.counts, snapshot.serving, process.source().to_owned())
            }
        };
        Pipeline {
            enabled: self.config.enabled,
            state,
            reason,
            model: self.config.model.clone(),
            version: serving.version,
            source,
            counts,
            runner_pid: serving.runner_pid,
            sandbox: serving.sandbox,
            backend: serving.backend,
        }
    }
}

const fn has_ended(state: PipelineState) -> bool {
    matches!(state, PipelineState::Stopped | PipelineState::Finished | PipelineState::Failed)
}

fn idle<P>(state: PipelineState, reason: String) -> Phase<P> {
    Phase::Idle { state, reason, counts: Counts::default(), retry_at: None }
}

#[cfg(test)]
mod tests;
