//! The owner of pipelines, models and jobs: one task, so that no two changes meet.
//!
//! Invariants:
//! - The task never waits for a disk, a runner or a thread: what does is done by [`Owner::background`] and comes back as an
//!   [`Event`], also where it panics.
//! - An answer leaves after the state that it is about has been published.
//! - While a model is swapped none of its pipelines is brought up; after it, all of them serve the active version.

mod act;
mod configure;
mod pipelines;
mod rollout;
mod shown;
mod supervised;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use inferd_core::Name;
use semver::Version;
use tokio::sync::{mpsc, oneshot, watch};

use super::Handle;
use super::command::{Command, ControlError, Done, Reply};
use super::jobs::Jobs;
use super::launch::{Deps, NotLaunched};
use super::pulse::Beat;
use super::state::State;
use crate::config::Config;
use crate::model::incoming::{Incoming, Offer};
use crate::model::rollout::Step;
use crate::model::store::Installed;
use crate::pipeline::Parts;
use crate::upload;
use configure::Reading;
use pipelines::Stop;
use rollout::{AtHand, HeldSwap};
use supervised::Supervised;

/// How often figures are published and waiting pipelines are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Events from other threads that may wait for the owner; one more waits where it comes from.
const EVENTS: usize = 64;

/// Time that abandoned pipelines have to kill their runners.
const ABANDONED: Duration = Duration::from_millis(400);

/// What came of work on another thread.
enum Event {
    Launched(Name, Result<Box<Parts>, NotLaunched>),
    /// A pipeline's thread has been waited for.
    Ended(Name),
    Installed {
        job: u32,
        activate: bool,
        result: Result<Installed, ControlError>,
    },
    Step {
        job: u32,
        step: Step,
        percent: u8,
    },
    Swapped {
        job: u32,
        model: Name,
        version: Version,
        result: Result<(), ControlError>,
    },
    /// What could not serve has been taken away again.
    Withdrawn {
        job: u32,
        model: Name,
        version: Version,
        error: ControlError,
    },
    Removed {
        model: Name,
        reply: oneshot::Sender<Reply>,
        result: Result<(), ControlError>,
    },
    /// An incoming bundle's file has been removed or set aside.
    ClearedAway,
    ConfigRead(Box<Result<Config, String>>),
    /// Work that has nothing to tell but to whoever asked.
    Done {
        reply: oneshot::Sender<Reply>,
        result: Result<(), ControlError>,
    },
}

/// Reads the configuration as the service would at its start, on a thread that may wait. An error is a text for people.
pub type ReadConfig = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// The owner task.
pub struct Owner {
    deps: Deps,
    config: Config,
    /// What the service was started with: sections that take effect at a start are compared with it.
    started: Config,
    uploads: upload::Handle,
    pipelines: BTreeMap<Name, Supervised>,
    /// Who waits for a pipeline to stop.
    stops: Vec<Stop>,
    jobs: Jobs,
    /// Models that a job is changing.
    busy: BTreeSet<Name>,
    /// Installs that run.
    installing: usize,
    /// Jobs that have installed a version which is not proven yet.
    unproven: BTreeSet<u32>,
    /// The incoming bundle that is being installed or activated.
    at_hand: Option<AtHand>,
    /// Its swap, while another job changes its model.
    held: Option<HeldSwap>,
    commands: mpsc::Receiver<(Command, oneshot::Sender<Reply>)>,
    events: mpsc::Receiver<Event>,
    event_sender: mpsc::Sender<Event>,
    /// Answers that leave with the next state.
    answers: Vec<(oneshot::Sender<Reply>, Reply)>,
    state: watch::Sender<Arc<State>>,
    beat: Beat,
    metrics_address: String,
    config_error: String,
    reading: Reading,
    incoming: Option<Arc<Incoming>>,
    read_config: ReadConfig,
    ready: Arc<AtomicBool>,
}

/// What the owner is connected to.
pub struct Links {
    /// Where metrics are served; empty where they are not.
    pub metrics_address: String,
    /// Uploads.
    pub uploads: upload::Handle,
    /// Told how an incoming bundle went.
    pub incoming: Option<Arc<Incoming>>,
    /// Reads the configuration.
    pub read_config: ReadConfig,
    /// Set once the service manager was told that the service is ready: only then reloads are told to it.
    pub ready: Arc<AtomicBool>,
    /// Goes on as long as the owner does.
    pub beat: Beat,
}

impl Owner {
    /// The owner, before it runs, and the handle that the bus holds.
    pub fn new(config: Config, deps: Deps, links: Links) -> (Self, Handle) {
        let (state, newest) = watch::channel(Arc::default());
        let (handle, commands) = Handle::new(newest);
        let (event_sender, events) = mpsc::channel(EVENTS);
        let owner = Self {
            deps,
            started: config.clone(),
            config,
            uploads: links.uploads,
            pipelines: BTreeMap::new(),
            stops: Vec::new(),
            jobs: Jobs::default(),
            busy: BTreeSet::new(),
            installing: 0,
            unproven: BTreeSet::new(),
            at_hand: None,
            held: None,
            commands,
            events,
            event_sender,
            answers: Vec::new(),
            state,
            beat: links.beat,
            metrics_address: links.metrics_address,
            config_error: String::new(),
            reading: Reading::default(),
            incoming: links.incoming,
            read_config: links.read_config,
            ready: links.ready,
        };
        (owner, handle)
    }

    /// Runs until `stop` is told, then drains: pipelines serve what was begun for as long as it says. Gives the uploads back,
    /// to be ended later.
    pub async fn run(mut self, mut offers: mpsc::Receiver<Offer>, stop: oneshot::Receiver<Duration>) -> upload::Handle {
        self.adopt_pipelines();
        let changed = Arc::clone(&self.deps.changed);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut stop = stop;
        let patience = loop {
            tokio::select! {
                patience = &mut stop => break patience.unwrap_or(TICK),
                Some((command, reply)) = self.commands.recv() => self.command(command, reply),
                Some(event) = self.events.recv() => self.event(event),
                Some(offer) = offers.recv(), if self.takes_incoming() => self.install_incoming(offer),
                () = changed.notified() => {}
                _ = tick.tick() => {}
            }
            self.look_after_pipelines();
            self.publish();
            self.send_answers();
            self.beat.go_on(self.hanging());
        };
        self.drain(patience).await;
        self.uploads
    }

    /// The first pipeline of which a thread hangs.
    fn hanging(&self) -> Option<String> {
        let now = self.deps.clock.now();
        let mut all = self.pipelines.iter();
        all.find_map(|(name, pipeline)| Some(format!("pipeline {name}: {}", pipeline.hangs(now)?)))
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Launched(name, result) => self.launched(&name, result),
            Event::Ended(name) => self.ended(&name),
            Event::Step { job, step, percent } => self.jobs.step(job, step, percent),
            Event::Installed { job, activate, result } => self.installed(job, activate, result),
            Event::Swapped { job, model, version, result } => self.swapped(job, model, version, result),
            Event::Withdrawn { job, model, version, error } => self.withdrawn(job, &model, &version, error),
            Event::Removed { model, reply, result } => self.removed(&model, reply, result),
            Event::ClearedAway => self.at_hand = None,
            Event::ConfigRead(read) => self.config_read(*read),
            Event::Done { reply, result } => self.answer(reply, result.map(|()| Done::Now)),
        }
    }

    /// Does work that waits where that is allowed; what comes of it, a panic too, comes back as an event.
    fn background<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        event: impl FnOnce(Result<T, String>) -> Event + Send + 'static,
    ) {
        let events = self.event_sender.clone();
        let work = tokio::task::spawn_blocking(work);
        tokio::spawn(async move {
            let done =
                work.await.map_err(|_| "a part of inferd panicked, which is a defect of it; see the log".to_owned());
            // The owner outlives its work but at the very end, when nobody reads any more.
            let _ = events.send(event(done)).await;
        });
    }

    /// Answers once the state is published.
    fn answer(&mut self, reply: oneshot::Sender<Reply>, result: Reply) {
        self.answers.push((reply, result));
    }

    fn send_answers(&mut self) {
        for (reply, result) in self.answers.drain(..) {
            // Whoever asked may have gone; what was done stays done.
            let _ = reply.send(result);
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

/// What panicked changed nothing that is known of.
fn flatten<T>(done: Result<Result<T, ControlError>, String>) -> Result<T, ControlError> {
    done.unwrap_or_else(|panicked| Err(ControlError::Internal(panicked)))
}

#[cfg(test)]
mod tests;
