//! The owner of pipelines, models and jobs: one task, so that no two changes meet.

mod act;
mod supervised;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use inferd_core::Name;
use semver::Version;
use tokio::sync::{mpsc, oneshot, watch};

use super::Handle;
use super::command::{Command, ControlError, Done, Reply};
use super::jobs::Jobs;
use super::launch::{Deps, NotLaunched};
use super::state::{self, State};
use super::swap::Swap;
use crate::config::Config;
use crate::model::rollout::Step;
use crate::model::store::Installed;
use crate::upload;
use supervised::Supervised;

/// How often figures are published and waiting pipelines are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Events from blocking threads that may wait for the owner; a thread with one more waits.
const EVENTS: usize = 64;

/// Time that abandoned pipelines have to kill their runners.
const ABANDONED: Duration = Duration::from_millis(500);

/// The most samples that the state lists.
const LISTED_SAMPLES: usize = 1000;

/// What came of work on a blocking thread.
pub(super) enum Event {
    Launched(Name, Result<crate::pipeline::Handle, NotLaunched>),
    Installed { job: u32, activate: bool, incoming: Option<PathBuf>, result: Result<Installed, ControlError> },
    Step { job: u32, step: Step },
    Swapped { job: u32, model: Name, version: Version, incoming: Option<PathBuf>, result: Result<(), ControlError> },
    Removed { model: Name, reply: oneshot::Sender<Reply>, result: Result<(), ControlError> },
}

/// A bundle that was dropped in, to be installed; told with [`Owner::incoming_done`] how that went.
#[derive(Debug)]
pub struct Dropped {
    /// Where it lies.
    pub path: PathBuf,
    /// The bundle.
    pub bundle: File,
}

/// The owner task.
pub struct Owner {
    deps: Deps,
    config: Config,
    uploads: upload::Handle,
    pipelines: BTreeMap<Name, Supervised>,
    jobs: Jobs,
    /// Models that a job is changing.
    busy: BTreeSet<Name>,
    commands: mpsc::Receiver<(Command, oneshot::Sender<Reply>)>,
    events: mpsc::Receiver<Event>,
    event_sender: mpsc::Sender<Event>,
    state: watch::Sender<Arc<State>>,
    metrics_address: String,
    config_error: String,
    /// Told how an incoming bundle went.
    incoming: mpsc::Sender<(PathBuf, Result<(), String>)>,
    reload: mpsc::Sender<oneshot::Sender<Result<Config, String>>>,
}

/// What the owner is connected to.
pub struct Links {
    /// Where metrics are served; empty where they are not.
    pub metrics_address: String,
    /// Uploads.
    pub uploads: upload::Handle,
    /// Told how an incoming bundle went.
    pub incoming: mpsc::Sender<(PathBuf, Result<(), String>)>,
    /// Asked to read the configuration again.
    pub reload: mpsc::Sender<oneshot::Sender<Result<Config, String>>>,
}

impl Owner {
    /// The owner, before it runs, and the handle that the bus holds.
    pub fn new(config: Config, deps: Deps, links: Links) -> (Self, Handle) {
        let (state, newest) = watch::channel(Arc::default());
        let (handle, commands) = Handle::new(newest);
        let (event_sender, events) = mpsc::channel(EVENTS);
        let owner = Self {
            deps,
            config,
            uploads: links.uploads,
            pipelines: BTreeMap::new(),
            jobs: Jobs::default(),
            busy: BTreeSet::new(),
            commands,
            events,
            event_sender,
            state,
            metrics_address: links.metrics_address,
            config_error: String::new(),
            incoming: links.incoming,
            reload: links.reload,
        };
        (owner, handle)
    }

    /// Runs until `stop` is told, then drains: pipelines serve what was begun. Gives the uploads back, to be ended last.
    pub async fn run(
        mut self,
        mut dropped: mpsc::Receiver<Dropped>,
        stop: oneshot::Receiver<Duration>,
    ) -> upload::Handle {
        self.adopt_pipelines();
        let changed = Arc::clone(&self.deps.changed);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut stop = stop;
        let patience = loop {
            tokio::select! {
                patience = &mut stop => break patience.unwrap_or(TICK),
                Some((command, reply)) = self.commands.recv() => self.command(command, reply).await,
                Some(event) = self.events.recv() => self.event(event).await,
                Some(bundle) = dropped.recv() => self.install_dropped(bundle),
                () = changed.notified() => {}
                _ = tick.tick() => {}
            }
            self.look_after_pipelines();
            self.publish();
        };
        self.drain(patience).await;
        self.uploads
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Launched(name, result) => self.launched(&name, result),
            Event::Step { job, step } => self.jobs.step(job, step),
            Event::Installed { job, activate, incoming, result } => {
                self.deps.metrics.installed(result.is_ok());
                self.installed(job, activate, incoming, result).await;
            }
            Event::Swapped { job, model, version, incoming, result } => {
                self.deps.metrics.swapped(&model, result.is_ok());
                self.busy.remove(&model);
                if result.is_ok() {
                    tracing::info!(%model, %version, "version is active");
                    self.retry_pipelines_of(&model);
                }
                let told = result.clone().map_err(|error| error.to_string());
                self.incoming_done(incoming, told).await;
                self.jobs.end(job, result);
            }
            Event::Removed { model, reply, result } => {
                if !self.deps.store.list().iter().any(|entry| entry.name == model) {
                    self.deps.metrics.forget_model(&model);
                }
                answer(reply, result.map(|()| Done::Now));
            }
        }
    }

    /// A swap needs a version on disk; an install may be followed by one.
    async fn installed(
        &mut self,
        job: u32,
        activate: bool,
        incoming: Option<PathBuf>,
        result: Result<Installed, ControlError>,
    ) {
        let installed = match result {
            Ok(installed) => installed,
            Err(error) => {
                self.incoming_done(incoming, Err(error.to_string())).await;
                return self.jobs.end(job, Err(error));
            }
        };
        tracing::info!(model = %installed.id, bytes = installed.bytes, already = installed.already, "version is installed");
        self.jobs.rename(job, format!("install {} {}", installed.id.name, installed.id.version));
        if activate || installed.first {
            self.swap(job, installed.id.name, installed.id.version, incoming);
        } else {
            // It may have replaced a damaged version that a pipeline could not load.
            self.retry_pipelines_of(&installed.id.name);
            self.incoming_done(incoming, Ok(())).await;
            self.jobs.end(job, Ok(()));
        }
    }

    async fn incoming_done(&self, path: Option<PathBuf>, result: Result<(), String>) {
        if let Some(path) = path {
            // The watcher may have ended: then nobody cleans up, and the bundle is looked at again at the next start.
            let _ = self.incoming.send((path, result)).await;
        }
    }

    fn swap(&mut self, job: u32, model: Name, version: Version, incoming: Option<PathBuf>) {
        if !self.busy.insert(model.clone()) {
            let result = Err(ControlError::Busy(format!("another job changes model {model}; wait for it")));
            self.deps.metrics.swapped(&model, false);
            let sender = self.incoming.clone();
            if let (Some(path), Err(error)) = (incoming, &result) {
                let why = error.to_string();
                tokio::spawn(async move { sender.send((path, Err(why))).await });
            }
            return self.jobs.end(job, result);
        }
        let swap = Swap {
            deps: self.deps.clone(),
            runner: self.config.runner.clone(),
            model: model.clone(),
            version: version.clone(),
            pipelines: self.running_pipelines_of(&model),
            cancelled: self.jobs.cancel_flag(job),
        };
        let events = self.event_sender.clone();
        tokio::task::spawn_blocking(move || {
            // The owner outlives its jobs but at the very end, when nobody reads any more.
            let result = swap.run(|step| drop(events.blocking_send(Event::Step { job, step })));
            drop(events.blocking_send(Event::Swapped { job, model, version, incoming, result }));
        });
    }

    /// Publishes the state, if it has changed.
    fn publish(&self) {
        let state = self.snapshot();
        for (name, pipeline) in &state.pipelines {
            self.deps.metrics.pipeline_is(name, pipeline.state.word());
        }
        self.state.send_if_modified(|published| {
            let modified = **published != state;
            if modified {
                *published = Arc::new(state);
            }
            modified
        });
    }

    fn snapshot(&self) -> State {
        let now = self.deps.clock.now();
        let pipelines: BTreeMap<_, _> =
            self.pipelines.iter().map(|(name, pipeline)| (name.clone(), pipeline.snapshot(now))).collect();
        State {
            status: state::status_line(&pipelines, &self.config_error),
            models: self
                .deps
                .store
                .list()
                .into_iter()
                .map(|entry| (entry.name.clone(), state::Model::from(entry)))
                .collect(),
            pipelines,
            jobs: self.jobs.snapshot(),
            spool: self.spool(),
            metrics_address: self.metrics_address.clone(),
            config_error: self.config_error.clone(),
        }
    }

    fn spool(&self) -> state::Spool {
        let counts = self.deps.spool.counts();
        let uploads = self.uploads.status();
        let samples = self.deps.spool.list(LISTED_SAMPLES);
        state::Spool {
            pending: counts.pending,
            bytes: counts.bytes,
            uploaded: uploads.uploaded,
            dropped: counts.dropped_in_all(),
            last_error: uploads.last_error,
            samples: samples.iter().map(|entry| state::Sample::from(&**entry)).collect(),
        }
    }

    async fn drain(&mut self, patience: Duration) {
        let running: Vec<_> = self.pipelines.values_mut().filter_map(Supervised::take_for_stop).collect();
        let joining = running.clone();
        let mut joined = tokio::task::spawn_blocking(move || joining.iter().for_each(|handle| handle.join()));
        if tokio::time::timeout(patience, &mut joined).await.is_err() {
            tracing::error!("pipelines did not end in {patience:?}; windows in flight are lost");
            running.iter().for_each(|handle| handle.abandon());
            // Killing a process takes no time; what does is not worth waiting for.
            let _ = tokio::time::timeout(ABANDONED, joined).await;
        }
    }
}

/// Whoever asked may have gone; what was done stays done.
fn answer(reply: oneshot::Sender<Reply>, result: Reply) {
    let _ = reply.send(result);
}

impl From<&crate::spool::Entry> for state::Sample {
    fn from(entry: &crate::spool::Entry) -> Self {
        Self {
            id: entry.id.to_string(),
            pipeline: entry.pipeline.clone(),
            reason: entry.reason.why.word().to_owned(),
            time: entry.time.clone(),
            label: entry.label.clone().unwrap_or_default(),
            confidence: entry.confidence,
            bytes: entry.bytes,
        }
    }
}
