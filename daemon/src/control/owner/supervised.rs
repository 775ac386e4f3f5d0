//! One configured pipeline: whether it is wanted, what it is doing, when it is tried again.

use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::control::launch::NotLaunched;
use crate::control::state::{Counts, Pipeline, PipelineState};
use crate::host::clock::Tick;
use crate::pipeline::{Handle, Serving};

/// The first pause before a waiting pipeline is tried again; doubled at each further one.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A pipeline of the configuration.
pub(super) struct Supervised {
    pub(super) config: config::Pipeline,
    phase: Phase,
    tries: u32,
    /// Why the last launch did not succeed; empty where it did, or there was none.
    obstacle: String,
    /// Start again with this configuration once it has ended.
    again: bool,
}

enum Phase {
    /// Nothing runs. `wanted` pipelines are tried again at the tick.
    Idle {
        state: PipelineState,
        reason: String,
        counts: Counts,
        retry_at: Option<Tick>,
    },
    /// A blocking thread brings it up.
    Launching {
        stop: bool,
    },
    Running(Arc<Handle>),
}

/// What the owner has to do for it now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Launch,
}

impl Supervised {
    pub(super) fn new(config: config::Pipeline, now: Tick) -> Self {
        let enabled = config.enabled;
        let mut supervised = Self {
            config,
            phase: idle(PipelineState::Stopped, String::new()),
            tries: 0,
            obstacle: String::new(),
            again: false,
        };
        if enabled {
            supervised.want(now);
        }
        supervised
    }

    /// Lets it be launched at the next look.
    pub(super) fn want(&mut self, now: Tick) {
        if let Phase::Idle { state, retry_at, .. } = &mut self.phase {
            *state = PipelineState::Waiting;
            *retry_at = Some(now);
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

    pub(super) fn is_idle(&self) -> bool {
        matches!(&self.phase, Phase::Idle { retry_at: None, .. })
    }

    pub(super) const fn handle(&self) -> Option<&Arc<Handle>> {
        match &self.phase {
            Phase::Running(handle) => Some(handle),
            Phase::Idle { .. } | Phase::Launching { .. } => None,
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
            Phase::Launching { stop } => *stop = true,
            Phase::Running(handle) => handle.stop(),
        }
    }

    /// Its model has another active version now: a launch that began before is done again, with that one.
    pub(super) fn outdate_launch(&mut self) {
        if let Phase::Launching { stop } = &mut self.phase {
            *stop = true;
            self.again = true;
        }
    }

    /// Takes another configuration; it is stopped and started with it.
    pub(super) fn change(&mut self, config: config::Pipeline, now: Tick) {
        let wanted = config.enabled;
        self.config = config;
        self.tries = 0;
        self.stop();
        self.again = wanted;
        if wanted && matches!(self.phase, Phase::Idle { .. }) {
            self.want(now);
            self.again = false;
        }
    }

    /// Looks whether it has ended or is due.
    pub(super) fn look(&mut self, now: Tick) -> Due {
        if let Phase::Running(handle) = &self.phase {
            let snapshot = handle.status().snapshot(now);
            if !matches!(snapshot.state, PipelineState::Stopped | PipelineState::Finished | PipelineState::Failed) {
                return Due::Nothing;
            }
            handle.join();
            // A recording that broke in its middle would only be played again up to there.
            let again = snapshot.state == PipelineState::Failed && !snapshot.for_good;
            self.phase = Phase::Idle {
                state: snapshot.state,
                reason: snapshot.reason,
                counts: snapshot.counts,
                retry_at: again.then(|| now.plus(RETRY_MAX)),
            };
            if std::mem::take(&mut self.again) {
                self.want(now);
            }
        }
        match &self.phase {
            Phase::Idle { retry_at: Some(retry_at), .. } if *retry_at <= now => {
                self.phase = Phase::Launching { stop: false };
                Due::Launch
            }
            _ => Due::Nothing,
        }
    }

    /// A launch has come to its end.
    pub(super) fn launched(&mut self, result: Result<Handle, NotLaunched>, now: Tick) {
        let stopped = matches!(self.phase, Phase::Launching { stop: true });
        match result {
            Ok(handle) => {
                self.obstacle.clear();
                if stopped {
                    handle.stop();
                }
                self.tries = 0;
                self.phase = Phase::Running(Arc::new(handle));
            }
            Err(_) if stopped => {
                self.phase = idle(PipelineState::Stopped, String::new());
                if std::mem::take(&mut self.again) {
                    self.want(now);
                }
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

    /// Whether a launch that failed for this reason failed for it before, too.
    pub(super) fn is_known_obstacle(&self, reason: &str) -> bool {
        self.obstacle == reason
    }

    /// Tells it to end; gives what is to be waited for.
    pub(super) fn take_for_stop(&mut self) -> Option<Arc<Handle>> {
        self.stop();
        self.handle().cloned()
    }

    pub(super) fn snapshot(&self, now: Tick) -> Pipeline {
        let source = match &self.config.source {
            config::Source::Recording(recording) => format!("recording {}", recording.path.display()),
        };
        let (state, reason, counts, serving, source) = match &self.phase {
            Phase::Idle { state, reason, counts, .. } => (*state, reason.clone(), *counts, Serving::default(), source),
            // One more try is no news as long as the last one failed.
            Phase::Launching { .. } if !self.obstacle.is_empty() => {
                (PipelineState::Waiting, self.obstacle.clone(), Counts::default(), Serving::default(), source)
            }
            Phase::Launching { .. } => {
                (PipelineState::Starting, String::new(), Counts::default(), Serving::default(), source)
            }
            Phase::Running(handle) => {
                let snapshot = handle.status().snapshot(now);
                (snapshot.state, snapshot.reason, snapshot.counts, snapshot.serving, handle.source().line.clone())
            }
        };
        Pipeline {
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

fn idle(state: PipelineState, reason: String) -> Phase {
    Phase::Idle { state, reason, counts: Counts::default(), retry_at: None }
}
