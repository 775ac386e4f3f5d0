//! Pipelines: brought up when they are due, stopped when that is asked for, forgotten when they are no longer configured.

use std::sync::Arc;
use std::time::Duration;

use inferd_core::Name;
use tokio::sync::oneshot;

use super::supervised::Due;
use super::{Event, Owner};
use crate::control::command::{ControlError, Done, Reply};
use crate::control::launch::{self, NotLaunched};
use crate::control::swap::Affected;
use crate::host::clock::Tick;
use crate::host::error::with_causes;
use crate::pipeline::{self, Handle, Parts};

/// How long a stop is waited for before the answer is that it goes on.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Callers that may wait for pipelines to stop; one more is answered [`ControlError::Busy`].
const STOPS: usize = 64;

/// Somebody waits for a pipeline to stop.
pub(super) struct Stop {
    pipeline: Name,
    until: Tick,
    reply: oneshot::Sender<Reply>,
}

impl Owner {
    pub(super) fn stop_pipeline(&mut self, name: Name, reply: oneshot::Sender<Reply>) {
        let now = self.deps.clock.now();
        let stopped = self.supervised(&name).map(|pipeline| {
            pipeline.stop();
            pipeline.is_stopped()
        });
        match stopped {
            Err(error) => self.answer(reply, Err(error)),
            Ok(true) => self.answer(reply, Ok(Done::Now)),
            Ok(false) if self.stops.len() == STOPS => {
                let text = format!("pipeline {name} is being stopped, and too many wait for that already");
                self.answer(reply, Err(ControlError::Busy(text)));
            }
            Ok(false) => self.stops.push(Stop { pipeline: name, until: now.plus(STOP_WITHIN), reply }),
        }
    }

    /// Launches what is due, waits for what has ended, and forgets what is no longer configured.
    pub(super) fn look_after_pipelines(&mut self) {
        let now = self.deps.clock.now();
        let (mut due, mut over) = (Vec::new(), Vec::new());
        for (name, pipeline) in &mut self.pipelines {
            match pipeline.look(now, self.busy.contains(&pipeline.config.model)) {
                Due::Nothing => {}
                Due::Launch => due.push((name.clone(), pipeline.config.clone())),
                Due::Join(handle) => over.push((name.clone(), handle)),
            }
        }
        for (name, config) in due {
            self.launch(name, config);
        }
        for (name, handle) in over {
            self.background(move || handle.join(), |_| Event::Ended(name));
        }
        let configured = &self.config.pipelines;
        let metrics = &self.deps.metrics;
        self.pipelines.retain(|name, pipeline| {
            let keep = configured.contains_key(name) || !pipeline.is_idle();
            if !keep {
                metrics.forget_pipeline(name);
            }
            keep
        });
        self.answer_stops(|stop| now >= stop.until, Done::Draining);
    }

    fn launch(&self, name: Name, config: crate::config::Pipeline) {
        let (deps, runner, launched) = (self.deps.clone(), self.config.runner.clone(), name.clone());
        let work = move || launch::launch(&deps, &runner, &name, &config);
        self.background(work, |done| {
            // A defect may be one of this moment: it is tried again, with pauses.
            Event::Launched(launched, done.unwrap_or_else(|panicked| Err(NotLaunched::Waiting(panicked))))
        });
    }

    pub(super) fn launched(&mut self, name: &Name, result: Result<Box<Parts>, NotLaunched>) {
        let now = self.deps.clock.now();
        let Some(pipeline) = self.pipelines.get_mut(name) else { return drop_elsewhere(result) };
        if pipeline.is_launch_outdated() {
            drop_elsewhere(result);
            return pipeline.void_launch(now);
        }
        let runner = &self.config.runner;
        let result: Result<Handle, _> = result.and_then(|mut parts| {
            // They may have changed since the launch began.
            parts.settings = launch::settings(runner, self.deps.groups.as_ref()).map_err(NotLaunched::Failed)?;
            pipeline::start(*parts).map_err(|error| NotLaunched::Failed(with_causes(&error)))
        });
        match &result {
            Ok(handle) => tracing::info!(pipeline = %name, source = handle.source().line, "pipeline runs"),
            Err(NotLaunched::Waiting(reason) | NotLaunched::Failed(reason)) if pipeline.is_known_obstacle(reason) => {}
            Err(NotLaunched::Waiting(reason)) => tracing::warn!(pipeline = %name, reason, "pipeline waits"),
            Err(NotLaunched::Failed(reason)) => tracing::error!(pipeline = %name, reason, "pipeline cannot run"),
        }
        pipeline.launched(result, now);
    }

    pub(super) fn ended(&mut self, name: &Name) {
        let now = self.deps.clock.now();
        if let Some(pipeline) = self.pipelines.get_mut(name) {
            pipeline.ended(now);
        }
        self.answer_stops(|stop| stop.pipeline == *name, Done::Now);
    }

    fn answer_stops(&mut self, which: impl Fn(&Stop) -> bool, done: Done) {
        for stop in self.stops.extract_if(.., |stop| which(stop)) {
            self.answers.push((stop.reply, Ok(done)));
        }
    }

    /// The pipelines that serve a model.
    pub(super) fn serving_pipelines_of(&self, model: &Name) -> Vec<Affected> {
        let now = self.deps.clock.now();
        let of_model = self.pipelines.values().filter(|pipeline| pipeline.config.model == *model);
        let affected = of_model.filter_map(|pipeline| {
            let threshold = pipeline.config.threshold;
            pipeline.serving(now).map(|handle| Affected { handle: Arc::clone(handle), threshold })
        });
        affected.collect()
    }

    /// Launches that begin with the version that is active now come too late.
    pub(super) fn outdate_launches_of(&mut self, model: &Name) {
        for pipeline in self.pipelines.values_mut().filter(|pipeline| pipeline.config.model == *model) {
            pipeline.outdate_launch();
        }
    }

    /// A new version may be what a pipeline has been waiting for.
    pub(super) fn retry_pipelines_of(&mut self, model: &Name) {
        let now = self.deps.clock.now();
        for pipeline in self.pipelines.values_mut().filter(|pipeline| pipeline.config.model == *model) {
            pipeline.outdate_launch();
            pipeline.hurry(now);
        }
    }

    /// Whatever came of a swap: no pipeline goes on with a version that is not the active one.
    pub(super) fn follow_active(&mut self, model: &Name) {
        let now = self.deps.clock.now();
        let entry = self.deps.store.list().into_iter().find(|entry| entry.name == *model);
        let Some(active) = entry.and_then(|entry| entry.active) else { return };
        for pipeline in self.pipelines.values_mut().filter(|pipeline| pipeline.config.model == *model) {
            pipeline.follow(&active, now);
        }
    }
}

/// What was launched has a process, which is waited for when it is dropped.
fn drop_elsewhere(result: Result<Box<Parts>, NotLaunched>) {
    if let Ok(parts) = result {
        drop(tokio::task::spawn_blocking(move || drop(parts)));
    }
}
