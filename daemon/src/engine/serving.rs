//! The runner that serves a pipeline: what is in flight, deadlines, restarts, promotion. Owned by the pipeline's thread;
//! only starting a runner and waiting for the end of one happen elsewhere, because they take time.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use inferd_core::outcome::{FailedStage, Failure, Inference};
use inferd_core::wire::{FromRunner, ToRunner, WindowRef};

use super::RunnerSettings;
use super::flights::Flights;
use super::link::{LinkError, word};
use super::process::{Runner, StartError};
use crate::capture::{self, Window};
use crate::host::backoff::{self, Backoff};
use crate::host::clock::{Clock, Tick};
use crate::host::wake::Bell;
use crate::model::store::LoadedVersion;

/// Why a runner was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Restart {
    /// It ended by itself, or something killed it.
    Died,
    /// It did not answer in time.
    Hung,
    /// It broke the protocol.
    Protocol,
    /// It could not be started again.
    StartFailed,
}

impl Restart {
    /// All reasons, in the order in which they are documented.
    pub const ALL: [Self; 4] = [Self::Died, Self::Hung, Self::Protocol, Self::StartFailed];

    /// The word used in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::Hung => "hung",
            Self::Protocol => "protocol",
            Self::StartFailed => "start-failed",
        }
    }
}

/// A window, come back.
#[derive(Debug)]
pub struct Served {
    /// The window.
    pub window: Window,
    /// The version that served it.
    pub version: Arc<LoadedVersion>,
    /// What came of it.
    pub result: Result<Inference, Failure>,
}

/// What comes back from an engine.
#[derive(Debug)]
pub enum Back {
    /// A window, with what came of it.
    Served(Served),
    /// Windows that no runner had when a version took over that cuts others: they are to be cut again, oldest first. No
    /// window is taken in before they are fetched.
    Recalled(Vec<Window>),
}

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// A runner serves.
    Serving,
    /// A runner is being started.
    Starting,
    /// The last start failed; the next try comes by itself.
    Waiting(String),
}

/// Keeps one runner serving.
#[derive(Debug)]
pub struct Engine {
    settings: RunnerSettings,
    clock: Clock,
    bell: Bell,
    launch: Launch,
    version: Arc<LoadedVersion>,
    state: State,
    flights: Flights,
    /// A proven runner that takes over as soon as no window is with the old one.
    candidate: Option<Runner>,
    backoff: Backoff,
    /// Restarts that nobody has asked for yet.
    restarts: Vec<Restart>,
    /// Windows that have come back and were not fetched yet, oldest first.
    came_back: VecDeque<Served>,
    /// Windows that are to be cut again, younger than those.
    recalled: Vec<Window>,
}

/// How a runner is started; blocks. Tests have their own.
#[derive(Clone)]
struct Launch(Arc<StartRunner>);

type StartRunner = dyn Fn(&RunnerSettings, Arc<LoadedVersion>) -> Result<Runner, StartError> + Send + Sync;

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Launch")
    }
}

#[derive(Debug)]
enum State {
    Serving { runner: Runner, since: Tick, windows: u32 },
    Starting(Receiver<Result<Runner, StartError>>),
    Waiting { until: Tick, reason: String },
}

impl State {
    /// Ends the runner that there is, or that has come up meanwhile, without waiting for that. One that is still being
    /// started is ended by the thread that does so.
    fn retire(self) {
        match self {
            Self::Serving { runner, .. } => runner.retire(),
            Self::Starting(receiver) => {
                if let Ok(Ok(runner)) = receiver.try_recv() {
                    runner.retire();
                }
            }
            Self::Waiting { .. } => {}
        }
    }
}

impl Engine {
    /// An engine that goes on with a runner that was started and proven elsewhere.
    pub fn new(settings: RunnerSettings, runner: Runner, clock: Clock, bell: Bell) -> Self {
        let version = Arc::clone(runner.version());
        let since = clock.now();
        Self {
            settings,
            clock,
            bell,
            launch: Launch(Arc::new(Runner::start)),
            version,
            state: State::Serving { runner, since, windows: 0 },
            flights: Flights::default(),
            candidate: None,
            backoff: Backoff::default(),
            restarts: Vec::new(),
            came_back: VecDeque::new(),
            recalled: Vec::new(),
        }
    }

    /// Starts further runners by these settings. The deadline counts at once, the rest at the next start.
    pub fn change_settings(&mut self, settings: RunnerSettings) {
        self.settings = settings;
    }

    /// Whether another window may be submitted. Not while a candidate waits for its turn, nor before recalled windows were
    /// fetched.
    pub fn has_room(&self) -> bool {
        self.candidate.is_none() && self.recalled.is_empty() && self.flights.has_room()
    }

    /// Whether no window is on its way.
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.came_back.is_empty() && self.recalled.is_empty()
    }

    /// Takes a window; it comes back from [`poll`](Self::poll).
    pub fn submit(&mut self, window: Window) {
        self.flights.submit(window);
        self.send_waiting();
    }

    /// Lets another runner take over after the windows that are on their way.
    pub fn promote(&mut self, runner: Runner) {
        if let Some(outdone) = self.candidate.replace(runner) {
            outdone.retire();
        }
        self.take_over();
    }

    /// Whether a promoted runner still waits for its turn.
    pub const fn is_promoting(&self) -> bool {
        self.candidate.is_some()
    }

    /// What has come back next. Call until it gives `None`, then sleep until [`wake_at`](Self::wake_at), a readable
    /// [`socket`](Self::socket) or the bell.
    pub fn poll(&mut self) -> Option<Back> {
        self.start_when_due();
        if let State::Serving { runner, .. } = &mut self.state {
            match runner.link.try_receive() {
                Ok(Some(message)) => self.answered(message),
                Ok(None) => self.check_deadline(),
                Err(error) => self.lose_runner(&error),
            }
        }
        self.take_over();
        self.send_waiting();
        if let Some(served) = self.came_back.pop_front() {
            return Some(Back::Served(served));
        }
        let recalled = std::mem::take(&mut self.recalled);
        (!recalled.is_empty()).then_some(Back::Recalled(recalled))
    }

    /// Ends what is on its way: every window comes back, unserved ones with this reason. Nothing is to be asked of the
    /// engine afterwards.
    pub fn give_up(&mut self, reason: &str) -> Vec<Served> {
        let unserved: Vec<Window> = self.recalled.drain(..).chain(self.flights.recall()).collect();
        for window in unserved {
            self.give_back(window, Err(Failure { stage: FailedStage::RunnerDied, reason: reason.to_owned() }));
        }
        self.came_back.drain(..).collect()
    }

    /// Readable when the runner has answered or ended.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Serving { runner, .. } => Some(runner.link.as_fd()),
            State::Starting(_) | State::Waiting { .. } => None,
        }
    }

    /// When [`poll`](Self::poll) has something to do even if nothing happens.
    pub fn wake_at(&self) -> Option<Tick> {
        match &self.state {
            State::Serving { .. } => self.flights.due(self.settings.deadline),
            State::Starting(_) => None,
            State::Waiting { until, .. } => Some(*until),
        }
    }

    /// The runner, while one serves.
    pub const fn runner(&self) -> Option<&Runner> {
        match &self.state {
            State::Serving { runner, .. } => Some(runner),
            State::Starting(_) | State::Waiting { .. } => None,
        }
    }

    /// The version that serves, or will when its runner is back.
    pub const fn version(&self) -> &Arc<LoadedVersion> {
        &self.version
    }

    /// How it is.
    pub fn health(&self) -> Health {
        match &self.state {
            State::Serving { .. } => Health::Serving,
            State::Starting(_) => Health::Starting,
            State::Waiting { reason, .. } => Health::Waiting(reason.clone()),
        }
    }

    /// Restarts since the last call.
    pub fn take_restarts(&mut self) -> Vec<Restart> {
        std::mem::take(&mut self.restarts)
    }

    fn send_waiting(&mut self) {
        let State::Serving { runner, .. } = &mut self.state else { return };
        while let Some(window) = self.flights.next_to_send() {
            match send(runner, window, self.settings.deadline) {
                Ok(()) => self.flights.sent(self.clock.now()),
                // It has ended. What it answered before lies in the socket and is read first; the window waits.
                Err(LinkError::Closed) => return,
                Err(error) => {
                    self.flights.sent(self.clock.now());
                    return self.lose_runner(&error);
                }
            }
        }
    }

    fn answered(&mut self, message: FromRunner) {
        match self.understand(message) {
            Ok(result) => {
                if let State::Serving { windows, .. } = &mut self.state {
                    *windows = windows.saturating_add(1);
                }
                if let Some(window) = self.flights.done(self.clock.now()) {
                    self.give_back(window, result);
                }
            }
            Err(problem) => self.lose_runner(&LinkError::Protocol(problem)),
        }
    }

    /// What a message says of the window that is computed, where it may say that.
    fn understand(&self, message: FromRunner) -> Result<Result<Inference, Failure>, String> {
        let (seq, result) = match message {
            FromRunner::Done { seq, prediction, times } => {
                prediction.check(&self.version.manifest.output)?;
                (seq, Ok(Inference { prediction, times }))
            }
            FromRunner::Failed { seq, failure } => (seq, Err(failure)),
            other @ (FromRunner::Ready(_) | FromRunner::Refused { .. } | FromRunner::Golden { .. }) => {
                return Err(format!("it sent {} while it served", word(&other)));
            }
        };
        match self.flights.computed() {
            Some(expected) if expected == seq => Ok(result),
            Some(expected) => Err(format!("it answered window {seq}, expected was {expected}")),
            None => Err(format!("it answered window {seq}, which it did not have")),
        }
    }

    fn give_back(&mut self, window: Window, result: Result<Inference, Failure>) {
        self.came_back.push_back(Served { window, version: Arc::clone(&self.version), result });
    }

    fn check_deadline(&mut self) {
        let deadline = self.settings.deadline;
        if self.flights.due(deadline).is_some_and(|due| self.clock.now() >= due) {
            self.lose_runner(&LinkError::Late(deadline));
        }
    }

    /// Ends the runner and arranges for the next. A window that it hung on is given up at once.
    fn lose_runner(&mut self, error: &LinkError) {
        let (restart, stage) = match error {
            LinkError::Closed | LinkError::Io(_) => (Restart::Died, FailedStage::RunnerDied),
            LinkError::Late(_) => (Restart::Hung, FailedStage::Deadline),
            LinkError::Protocol(_) => (Restart::Protocol, FailedStage::RunnerDied),
        };
        tracing::warn!(model = %self.version.id, reason = restart.word(), error = %error, "runner is replaced");
        self.restarts.push(restart);
        if let Some(window) = self.flights.interrupted(restart == Restart::Hung) {
            self.give_back(window, Err(Failure { stage, reason: error.to_string() }));
        }
        let pause = match &self.state {
            State::Serving { since, windows, .. } => {
                self.backoff.after_service(self.clock.now().since(*since), *windows)
            }
            State::Starting(_) | State::Waiting { .. } => self.backoff.after_failed_start(),
        };
        self.restart(pause, "the runner keeps failing; see the log".to_owned());
    }

    /// Ends the runner that there is and starts the next, at once or after a pause.
    fn restart(&mut self, pause: Duration, reason: String) {
        let waiting = State::Waiting { until: self.clock.now().plus(pause), reason };
        std::mem::replace(&mut self.state, waiting).retire();
        self.start_when_due();
    }

    fn start(&self) -> State {
        let (sender, receiver) = sync_channel(1);
        let (launch, settings) = (self.launch.clone(), self.settings.clone());
        let (version, bell) = (Arc::clone(&self.version), self.bell.clone());
        let started = Builder::new().name("start-runner".into()).spawn(move || {
            // The engine may have gone meanwhile; the runner ends then.
            let _ = sender.send(launch.0(&settings, version));
            bell.ring();
        });
        match started {
            Ok(_) => State::Starting(receiver),
            Err(error) => State::Waiting {
                until: self.clock.now().plus(backoff::LONGEST),
                reason: format!("the system gives no thread: {error}"),
            },
        }
    }

    fn start_when_due(&mut self) {
        match &self.state {
            State::Waiting { until, .. } if self.clock.now() >= *until => self.state = self.start(),
            State::Starting(receiver) => match receiver.try_recv() {
                Ok(Ok(runner)) => self.state = State::Serving { runner, since: self.clock.now(), windows: 0 },
                Ok(Err(error)) => self.start_failed(&error),
                Err(TryRecvError::Disconnected) => {
                    let pause = self.backoff.after_failed_start();
                    self.restart(pause, "starting a runner panicked; this is a defect of inferd".to_owned());
                }
                Err(TryRecvError::Empty) => {}
            },
            State::Serving { .. } | State::Waiting { .. } => {}
        }
    }

    fn start_failed(&mut self, error: &StartError) {
        tracing::error!(model = %self.version.id, error = error as &dyn std::error::Error, "runner cannot be started");
        self.restarts.push(Restart::StartFailed);
        let pause = self.backoff.after_failed_start();
        self.restart(pause, error.to_string());
    }

    /// The swap itself: between two windows, in one assignment. Windows that wait for a runner go to the new one, unless it
    /// needs others.
    fn take_over(&mut self) {
        if self.flights.any_sent() {
            return;
        }
        let Some(runner) = self.candidate.take() else { return };
        let version = Arc::clone(runner.version());
        if !capture::cut_alike(&self.version.manifest, &version.manifest) {
            self.recalled.extend(self.flights.recall());
        }
        self.version = version;
        self.backoff = Backoff::default();
        let serving = State::Serving { runner, since: self.clock.now(), windows: 0 };
        std::mem::replace(&mut self.state, serving).retire();
    }
}

fn send(runner: &mut Runner, window: &Window, patience: Duration) -> Result<(), LinkError> {
    let slot = &window.slot;
    if runner.announced_pool != Some(slot.pool_id()) {
        let message = ToRunner::Pool { pool: slot.pool_id(), bytes: slot.pool_bytes() };
        runner.link.send(&message, &[slot.pool_file()], patience)?;
        runner.announced_pool = Some(slot.pool_id());
    }
    let message = ToRunner::Infer(WindowRef {
        seq: window.seq,
        pool: slot.pool_id(),
        offset: slot.offset(),
        len: slot.bytes().len() as u64,
        format: window.format,
    });
    runner.link.send(&message, &[], patience)
}

#[cfg(test)]
mod tests;
