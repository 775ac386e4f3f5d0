//! The commands, one function each.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use inferd_core::Name;
use inferd_core::manifest::Kind;
use semver::Version;
use tokio::sync::oneshot;

use super::supervised::Supervised;
use super::{Event, Owner, flatten};
use crate::capture::NotRecorded;
use crate::control::command::{Command, ControlError, Done, Reply};
use crate::control::state::JobKind;
use crate::host::error::with_causes;
use crate::spool::Id;

impl Owner {
    pub(super) fn command(&mut self, command: Command, reply: oneshot::Sender<Reply>) {
        tracing::info!(?command, "asked for");
        let result = match command {
            Command::Install { bundle, activate, origin } => self.install(bundle, activate, &origin),
            Command::Activate { model, version, downgrade, .. } => self.activate(model, version, downgrade),
            Command::Rollback { model, .. } => self.rollback(model),
            Command::Remove { model, version, .. } => return self.remove(model, version, reply),
            Command::StartPipeline(name) => self.start_pipeline(&name),
            Command::StopPipeline(name) => return self.stop_pipeline(name, reply),
            Command::Capture { pipeline, count } => self.capture(&pipeline, count),
            Command::Record { pipeline, sink, seconds, .. } => self.record(&pipeline, sink, seconds),
            Command::Reload => return self.reload(reply),
            Command::FlushSpool => {
                self.uploads.flush();
                Ok(Done::Now)
            }
            Command::DiscardSample(id) => return self.discard(id, reply),
            Command::CancelJob(number) => self.cancel(number),
        };
        self.answer(reply, result);
    }

    fn activate(&mut self, model: Name, version: Version, downgrade: bool) -> Reply {
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
        if !downgrade && let Some(active) = entry.active.filter(|active| version < *active) {
            let text =
                format!("model {model} {version} is older than {active}, which has become active meanwhile; ask again");
            return Err(ControlError::VersionTooOld(text));
        }
        let job = self.jobs.begin(JobKind::Activate, format!("activate {model} {version}"));
        self.swap_or_refuse(job, model, version);
        Ok(Done::Job(job))
    }

    fn rollback(&mut self, model: Name) -> Reply {
        let version = self.deps.store.rollback_target(&model)?;
        let job = self.jobs.begin(JobKind::Rollback, format!("rollback {model} {version}"));
        self.swap_or_refuse(job, model, version);
        Ok(Done::Job(job))
    }

    fn remove(&mut self, model: Name, version: Version, reply: oneshot::Sender<Reply>) {
        if let Err(busy) = self.not_busy(&model) {
            return self.answer(reply, Err(busy));
        }
        let store = Arc::clone(&self.deps.store);
        let from = model.clone();
        let work = move || store.remove(&from, &version).map_err(ControlError::from);
        self.background(work, move |done| Event::Removed { model, reply, result: flatten(done) });
    }

    /// The figures of a model go with its last version.
    pub(super) fn removed(&mut self, model: &Name, reply: oneshot::Sender<Reply>, result: Result<(), ControlError>) {
        self.forget_figures_of(model);
        self.answer(reply, result.map(|()| Done::Now));
    }

    pub(super) fn forget_figures_of(&self, model: &Name) {
        if !self.deps.store.list().iter().any(|entry| entry.name == *model) {
            self.deps.metrics.forget_model(model);
        }
    }

    fn start_pipeline(&mut self, name: &Name) -> Reply {
        let now = self.deps.clock.now();
        self.supervised(name)?.want(now);
        Ok(Done::Now)
    }

    fn capture(&mut self, name: &Name, count: u32) -> Reply {
        if !(1..=1000).contains(&count) {
            return Err(ControlError::InvalidArgument(format!("cannot keep {count} windows; 1 to 1000 are possible")));
        }
        let now = self.deps.clock.now();
        match self.supervised(name)?.serving(now) {
            Some(handle) if handle.capture(count) => Ok(Done::Now),
            Some(_) | None => {
                Err(ControlError::WrongState(format!("pipeline {name} does not run; `inferctl start {name}`")))
            }
        }
    }

    fn record(&mut self, name: &Name, sink: File, seconds: u32) -> Reply {
        if !(1..=3600).contains(&seconds) {
            return Err(ControlError::InvalidArgument(format!(
                "cannot record for {seconds} s; 1 to 3600 are possible"
            )));
        }
        let now = self.deps.clock.now();
        let Some(handle) = self.supervised(name)?.serving(now) else {
            return Err(ControlError::WrongState(format!("pipeline {name} does not run; `inferctl start {name}`")));
        };
        if handle.source().kind == Kind::Tensor {
            return Err(ControlError::InvalidArgument(format!(
                "pipeline {name} plays tensors, which are files already"
            )));
        }
        match handle.record(name, sink, Duration::from_secs(u64::from(seconds))) {
            Ok(()) => Ok(Done::Now),
            Err(busy @ NotRecorded::Busy) => Err(ControlError::Busy(format!("pipeline {name}: {busy}"))),
            Err(over @ NotRecorded::Over) => Err(ControlError::WrongState(format!("pipeline {name}: {over}"))),
            Err(error @ NotRecorded::Io(_)) => {
                Err(ControlError::Io(format!("pipeline {name}: {}", with_causes(&error))))
            }
        }
    }

    fn discard(&mut self, id: String, reply: oneshot::Sender<Reply>) {
        let unknown = ControlError::NotFound(format!("no sample {id} waits; `inferctl samples` lists what does"));
        let Ok(id) = id.parse::<Id>() else { return self.answer(reply, Err(unknown)) };
        let spool = self.deps.spool.clone();
        let work = move || match spool.discard(&id) {
            Ok(true) => Ok(()),
            Ok(false) => Err(unknown),
            Err(error) => Err(ControlError::Io(with_causes(&error))),
        };
        self.background(work, |done| Event::Done { reply, result: flatten(done) });
    }

    pub(super) fn supervised(&mut self, name: &Name) -> Result<&mut Supervised, ControlError> {
        let unknown =
            || ControlError::NotFound(format!("no pipeline `{name}` is configured; `inferctl pipelines` lists them"));
        self.pipelines.get_mut(name).ok_or_else(unknown)
    }
}
