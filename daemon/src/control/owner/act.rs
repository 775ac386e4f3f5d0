//! The commands, one function each.

use std::sync::Arc;

use inferd_core::Name;
use semver::Version;
use tokio::sync::oneshot;

use super::supervised::{Due, Supervised};
use super::{Dropped, Event, Owner, answer};
use crate::config::Config;
use crate::control::command::{Command, ControlError, Done, Origin, Reply};
use crate::control::launch::{self, NotLaunched};
use crate::host::error::with_causes;
use crate::host::service;
use crate::pipeline::Handle;
use crate::spool::Id;

impl Owner {
    pub(super) async fn command(&mut self, command: Command, reply: oneshot::Sender<Reply>) {
        tracing::info!(?command, "asked for");
        let result = match command {
            Command::Install { bundle, activate, origin } => Ok(self.install(bundle, activate, &origin, None)),
            Command::Activate { model, version, .. } => self.activate(model, version),
            Command::Rollback { model, .. } => self.rollback(model),
            Command::Remove { model, version, .. } => return self.remove(model, version, reply),
            Command::StartPipeline(name) => self.start_pipeline(&name),
            Command::StopPipeline(name) => self.supervised(&name).map(|pipeline| {
                pipeline.stop();
                Done::Now
            }),
            Command::Capture { pipeline, count } => self.capture(&pipeline, count),
            Command::Reload => self.reload().await,
            Command::FlushSpool => {
                self.uploads.flush();
                Ok(Done::Now)
            }
            Command::DiscardSample(id) => self.discard(&id),
            Command::CancelJob(number) => self.jobs.cancel(number).map(|()| Done::Now),
        };
        answer(reply, result);
    }

    fn install(
        &mut self,
        bundle: std::fs::File,
        activate: bool,
        origin: &Origin,
        incoming: Option<std::path::PathBuf>,
    ) -> Done {
        let job = self.jobs.begin("install".to_owned());
        tracing::info!(job, ?origin, "bundle is being installed");
        let (store, events) = (Arc::clone(&self.deps.store), self.event_sender.clone());
        tokio::task::spawn_blocking(move || {
            let result = store.install(bundle).map_err(ControlError::from);
            drop(events.blocking_send(Event::Installed { job, activate, incoming, result }));
        });
        Done::Job(job)
    }

    pub(super) fn install_dropped(&mut self, dropped: Dropped) {
        let activate = self.config.models.activate_incoming;
        self.install(dropped.bundle, activate, &Origin::Incoming, Some(dropped.path));
    }

    fn activate(&mut self, model: Name, version: Version) -> Reply {
        let entry = self.deps.store.list().into_iter().find(|entry| entry.name == model);
        let Some(entry) = entry else {
            return Err(ControlError::NotFound(format!(
                "model {model} is not installed; `inferctl models` lists what is"
            )));
        };
        if !entry.versions.iter().any(|installed| installed.version == version) {
            let text = format!("model {model} has no version {version}; `inferctl models` lists what is installed");
            return Err(ControlError::NotFound(text));
        }
        let job = self.jobs.begin(format!("activate {model} {version}"));
        self.swap(job, model, version, None);
        Ok(Done::Job(job))
    }

    fn rollback(&mut self, model: Name) -> Reply {
        let version = self.deps.store.rollback_target(&model)?;
        let job = self.jobs.begin(format!("rollback {model} {version}"));
        self.swap(job, model, version, None);
        Ok(Done::Job(job))
    }

    fn remove(&self, model: Name, version: Version, reply: oneshot::Sender<Reply>) {
        if self.busy.contains(&model) {
            let text = format!("another job changes model {model}; wait for it");
            return answer(reply, Err(ControlError::Busy(text)));
        }
        let (store, events) = (Arc::clone(&self.deps.store), self.event_sender.clone());
        tokio::task::spawn_blocking(move || {
            let result = store.remove(&model, &version).map_err(ControlError::from);
            drop(events.blocking_send(Event::Removed { reply, result }));
        });
    }

    fn start_pipeline(&mut self, name: &Name) -> Reply {
        let now = self.deps.clock.now();
        let pipeline = self.supervised(name)?;
        pipeline.want(now);
        Ok(Done::Now)
    }

    fn capture(&mut self, name: &Name, count: u32) -> Reply {
        if !(1..=1000).contains(&count) {
            return Err(ControlError::InvalidArgument(format!("cannot keep {count} windows; 1 to 1000 are possible")));
        }
        match self.supervised(name)?.handle() {
            Some(handle) if handle.capture(count) => Ok(Done::Now),
            Some(_) | None => {
                Err(ControlError::WrongState(format!("pipeline {name} does not run; `inferctl start {name}`")))
            }
        }
    }

    fn discard(&self, id: &str) -> Reply {
        let unknown = || ControlError::NotFound(format!("no sample {id} waits; `inferctl samples` lists what does"));
        let id: Id = id.parse().map_err(|_| unknown())?;
        match self.deps.spool.discard(&id) {
            Ok(true) => Ok(Done::Now),
            Ok(false) => Err(unknown()),
            Err(error) => Err(ControlError::Io(with_causes(&error))),
        }
    }

    fn supervised(&mut self, name: &Name) -> Result<&mut Supervised, ControlError> {
        let unknown =
            || ControlError::NotFound(format!("no pipeline `{name}` is configured; `inferctl pipelines` lists them"));
        self.pipelines.get_mut(name).ok_or_else(unknown)
    }

    /// Reads the configuration again. A wrong one changes nothing.
    pub(super) async fn reload(&mut self) -> Reply {
        service::reloading();
        let (sender, answer) = oneshot::channel();
        let asked = self.reload.send(sender).await;
        let read = match asked {
            Ok(()) => answer.await.unwrap_or_else(|_| Err("inferd is stopping".to_owned())),
            Err(_) => Err("inferd is stopping".to_owned()),
        };
        self.deps.metrics.reloaded(read.is_ok());
        let result = match read {
            Ok(config) => {
                self.config_error.clear();
                self.take_config(config);
                Ok(Done::Now)
            }
            Err(problems) => {
                tracing::error!(problems, "the configuration is wrong; the one before it stays in force");
                self.config_error.clone_from(&problems);
                Err(ControlError::ConfigInvalid(problems))
            }
        };
        service::ready(&self.snapshot().status);
        result
    }

    /// Changes what differs: pipelines at once, runners at their next start, the rest at the next start of the service.
    fn take_config(&mut self, config: Config) {
        let old = std::mem::replace(&mut self.config, config);
        for section in sections_for_restart(&old, &self.config) {
            tracing::warn!(section, "this section takes effect at the next start of inferd");
        }
        self.adopt_pipelines();
        tracing::info!(pipelines = self.config.pipelines.len(), "configuration is in force");
    }

    /// Brings the supervised pipelines in line with the configuration.
    pub(super) fn adopt_pipelines(&mut self) {
        let now = self.deps.clock.now();
        for (name, pipeline) in &mut self.pipelines {
            match self.config.pipelines.get(name) {
                Some(config) if *config == pipeline.config => {}
                Some(config) => pipeline.change(config.clone(), now),
                None => pipeline.stop(),
            }
        }
        for (name, config) in &self.config.pipelines {
            self.pipelines.entry(name.clone()).or_insert_with(|| Supervised::new(config.clone(), now));
        }
    }

    /// Launches what is due and forgets what has ended and is no longer configured.
    pub(super) fn look_after_pipelines(&mut self) {
        let now = self.deps.clock.now();
        let mut due = Vec::new();
        for (name, pipeline) in &mut self.pipelines {
            if pipeline.look(now) == Due::Launch {
                due.push((name.clone(), pipeline.config.clone()));
            }
        }
        for (name, config) in due {
            let (deps, runner, events) = (self.deps.clone(), self.config.runner.clone(), self.event_sender.clone());
            tokio::task::spawn_blocking(move || {
                let result = launch::launch(&deps, &runner, &name, &config);
                drop(events.blocking_send(Event::Launched(name, result)));
            });
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
    }

    pub(super) fn launched(&mut self, name: &Name, result: Result<Handle, NotLaunched>) {
        let now = self.deps.clock.now();
        let Some(pipeline) = self.pipelines.get_mut(name) else { return };
        match &result {
            Ok(handle) => tracing::info!(pipeline = %name, source = handle.source().line, "pipeline runs"),
            Err(NotLaunched::Waiting(reason) | NotLaunched::Failed(reason)) if pipeline.is_known_obstacle(reason) => {}
            Err(NotLaunched::Waiting(reason)) => tracing::warn!(pipeline = %name, reason, "pipeline waits"),
            Err(NotLaunched::Failed(reason)) => tracing::error!(pipeline = %name, reason, "pipeline cannot run"),
        }
        pipeline.launched(result, now);
    }

    pub(super) fn running_pipelines_of(&self, model: &Name) -> Vec<Arc<Handle>> {
        let of_model = self.pipelines.values().filter(|pipeline| pipeline.config.model == *model);
        of_model.filter_map(Supervised::handle).cloned().collect()
    }

    /// A new version may be what a pipeline has been waiting for.
    pub(super) fn retry_pipelines_of(&mut self, model: &Name) {
        let now = self.deps.clock.now();
        for pipeline in self.pipelines.values_mut().filter(|pipeline| pipeline.config.model == *model) {
            pipeline.outdate_launch();
            pipeline.hurry(now);
        }
    }
}

/// Sections whose change needs a restart of the service.
fn sections_for_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("service", old.service != new.service),
        ("bus", old.bus != new.bus),
        ("metrics", old.metrics != new.metrics),
        ("models", old.models != new.models),
        ("spool", old.spool != new.spool),
        ("upload", old.upload != new.upload),
        ("sinks", old.sinks != new.sinks),
    ]
    .into_iter()
    .filter_map(|(section, differs)| differs.then_some(section))
    .collect()
}
