//! The runner that serves a pipeline: what is in flight, deadlines, restarts, promotion. Owned by the pipeline's thread;
//! only starting a runner happens elsewhere, because that takes time.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use inferd_core::outcome::{FailedStage, Failure, Inference};
use inferd_core::wire::{FromRunner, ToRunner, WindowRef};

use super::RunnerSettings;
use super::link::LinkError;
use super::process::{Runner, StartError};
use crate::capture::Window;
use crate::host::clock::{Clock, Tick};
use crate::host::wake::Bell;
use crate::model::store::LoadedVersion;

/// Windows that a runner has at once: one that it computes, one that waits for it, so that it never waits for us.
const IN_FLIGHT: usize = 2;

/// A window is given to a runner at most this often: one that kills runners must not do so for ever.
const MAX_ATTEMPTS: u32 = 2;

/// The pause before the second restart in a row; doubled at each further one. The first has none.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// The longest pause between restarts.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A runner that has served this long, or this many windows, is forgiven earlier trouble: it is replaced at once. What
/// dies or hangs sooner is in a loop, and loops are slowed down.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);
const FORGIVEN_AFTER_WINDOWS: u32 = 20;

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
    version: Arc<LoadedVersion>,
    state: State,
    /// Windows that wait for a runner, oldest first.
    pending: VecDeque<Flight>,
    /// Windows that the runner has, oldest first.
    in_flight: VecDeque<Flight>,
    /// A proven runner that takes over as soon as `in_flight` is empty.
    candidate: Option<Runner>,
    /// Restarts since the last one that was forgiven.
    failures: u32,
    /// Restarts that nobody has asked for yet.
    restarts: Vec<Restart>,
    /// Windows that have come back and were not fetched yet, oldest first.
    came_back: VecDeque<Served>,
}

#[derive(Debug)]
enum State {
    Serving { runner: Runner, since: Tick, windows: u32 },
    Starting(Receiver<Result<Runner, StartError>>),
    Backoff { until: Tick, reason: String },
}

#[derive(Debug)]
struct Flight {
    window: Window,
    attempts: u32,
    sent: Tick,
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
            version,
            state: State::Serving { runner, since, windows: 0 },
            pending: VecDeque::with_capacity(IN_FLIGHT),
            in_flight: VecDeque::with_capacity(IN_FLIGHT),
            candidate: None,
            failures: 0,
            restarts: Vec::new(),
            came_back: VecDeque::with_capacity(IN_FLIGHT),
        }
    }

    /// Starts further runners by these settings. The deadline counts at once, the rest at the next start.
    pub fn change_settings(&mut self, settings: RunnerSettings) {
        self.settings = settings;
    }

    /// Whether another window may be submitted. Not while a candidate waits for its turn.
    pub fn has_room(&self) -> bool {
        self.candidate.is_none() && self.pending.len() + self.in_flight.len() < IN_FLIGHT
    }

    /// Whether no window is on its way.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.in_flight.is_empty() && self.came_back.is_empty()
    }

    /// Takes a window; it comes back from [`poll`](Self::poll).
    pub fn submit(&mut self, window: Window) {
        self.pending.push_back(Flight { window, attempts: 0, sent: Tick::default() });
        self.send_pending();
    }

    /// Lets another runner take over after the windows that are on their way.
    pub fn promote(&mut self, runner: Runner) {
        self.candidate = Some(runner);
        self.take_over();
    }

    /// Whether a promoted runner still waits for its turn.
    pub const fn is_promoting(&self) -> bool {
        self.candidate.is_some()
    }

    /// The next window that has come back. Call until it gives `None`, then sleep until [`wake_at`](Self::wake_at), a
    /// readable [`socket`](Self::socket) or the bell.
    pub fn poll(&mut self) -> Option<Served> {
        self.start_when_due();
        if let State::Serving { runner, .. } = &mut self.state {
            match runner.link.try_receive() {
                Ok(Some(message)) => self.answered(message),
                Ok(None) => self.check_deadline(),
                Err(error) => self.lose_runner(&error),
            }
        }
        self.take_over();
        self.send_pending();
        self.came_back.pop_front()
    }

    /// Readable when the runner has answered or ended.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Serving { runner, .. } => Some(runner.link.as_fd()),
            State::Starting(_) | State::Backoff { .. } => None,
        }
    }

    /// When [`poll`](Self::poll) has something to do even if nothing happens.
    pub fn wake_at(&self) -> Option<Tick> {
        match &self.state {
            State::Serving { .. } => self.in_flight.front().map(|flight| flight.sent.plus(self.settings.deadline)),
            State::Starting(_) => None,
            State::Backoff { until, .. } => Some(*until),
        }
    }

    /// The runner, while one serves.
    pub const fn runner(&self) -> Option<&Runner> {
        match &self.state {
            State::Serving { runner, .. } => Some(runner),
            State::Starting(_) | State::Backoff { .. } => None,
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
            State::Backoff { reason, .. } => Health::Waiting(reason.clone()),
        }
    }

    /// Restarts since the last call.
    pub fn take_restarts(&mut self) -> Vec<Restart> {
        std::mem::take(&mut self.restarts)
    }

    fn send_pending(&mut self) {
        while self.in_flight.len() < IN_FLIGHT {
            let State::Serving { runner, .. } = &mut self.state else { return };
            let Some(mut flight) = self.pending.pop_front() else { return };
            flight.sent = self.clock.now();
            flight.attempts += 1;
            let sent = send(runner, &flight.window, self.settings.deadline);
            self.in_flight.push_back(flight);
            if let Err(error) = sent {
                return self.lose_runner(&error);
            }
        }
    }

    fn answered(&mut self, message: FromRunner) {
        let (seq, result) = match message {
            FromRunner::Done { seq, prediction, times } => (seq, Ok(Inference { prediction, times })),
            FromRunner::Failed { seq, failure } => (seq, Err(failure)),
            other @ (FromRunner::Ready(_) | FromRunner::Refused { .. } | FromRunner::Golden { .. }) => {
                self.lose_runner(&LinkError::Protocol(format!("it sent {other:?} while it served")));
                return;
            }
        };
        match self.in_flight.front().map(|flight| flight.window.seq) {
            Some(expected) if expected == seq => {
                self.give_back(result);
                if let State::Serving { windows, .. } = &mut self.state {
                    *windows = windows.saturating_add(1);
                }
                if let Some(next) = self.in_flight.front_mut() {
                    // Its time begins when the runner can begin with it.
                    next.sent = self.clock.now();
                }
            }
            expected => {
                let problem = format!("it answered window {seq}, expected was {expected:?}");
                self.lose_runner(&LinkError::Protocol(problem));
            }
        }
    }

    /// The oldest window in flight is done.
    fn give_back(&mut self, result: Result<Inference, Failure>) {
        if let Some(flight) = self.in_flight.pop_front() {
            self.came_back.push_back(Served { window: flight.window, version: Arc::clone(&self.version), result });
        }
    }

    fn check_deadline(&mut self) {
        let deadline = self.settings.deadline;
        if self.in_flight.front().is_some_and(|flight| self.clock.now().since(flight.sent) >= deadline) {
            self.lose_runner(&LinkError::Late(deadline));
        }
    }

    /// Ends the runner and arranges for the next. The oldest window in flight is what it died of: it is given up when
    /// that was its last attempt, and at once when the runner hung on it.
    fn lose_runner(&mut self, error: &LinkError) {
        let (restart, stage) = match error {
            LinkError::Closed | LinkError::Io(_) => (Restart::Died, FailedStage::RunnerDied),
            LinkError::Late(_) => (Restart::Hung, FailedStage::Deadline),
            LinkError::Protocol(_) => (Restart::Protocol, FailedStage::RunnerDied),
        };
        tracing::warn!(model = %self.version.id, reason = restart.word(), error = %error, "runner is replaced");
        self.restarts.push(restart);
        if let Some(computed) = self.in_flight.front()
            && (computed.attempts >= MAX_ATTEMPTS || restart == Restart::Hung)
        {
            self.give_back(Err(Failure { stage, reason: error.to_string() }));
        } else if let Some(computed) = self.in_flight.pop_front() {
            self.pending.push_front(computed);
        }
        self.requeue_untouched();
        self.replace_runner();
    }

    /// Behind the window that was being computed nothing has had its attempt yet.
    fn requeue_untouched(&mut self) {
        let at = usize::from(self.pending.front().is_some_and(|flight| flight.attempts > 0));
        while let Some(flight) = self.in_flight.pop_back() {
            self.pending.insert(at, Flight { attempts: flight.attempts - 1, ..flight });
        }
    }

    fn replace_runner(&mut self) {
        let now = self.clock.now();
        if let State::Serving { since, windows, .. } = &self.state
            && (now.since(*since) > FORGIVEN_AFTER || *windows >= FORGIVEN_AFTER_WINDOWS)
        {
            self.failures = 0;
        }
        // The old state is dropped here, and with it the old process.
        self.state = match self.failures {
            0 => self.start(),
            failures => {
                let pause = BACKOFF_FIRST.saturating_mul(1 << (failures - 1).min(16)).min(BACKOFF_MAX);
                State::Backoff { until: now.plus(pause), reason: "the runner keeps failing; see the log".into() }
            }
        };
        self.failures += 1;
    }

    fn start(&self) -> State {
        let (sender, receiver) = sync_channel(1);
        let (settings, version, bell) = (self.settings.clone(), Arc::clone(&self.version), self.bell.clone());
        let started = Builder::new().name("start-runner".into()).spawn(move || {
            // The engine may have gone meanwhile; the runner ends then.
            let _ = sender.send(Runner::start(&settings, version));
            bell.ring();
        });
        match started {
            Ok(_) => State::Starting(receiver),
            Err(error) => State::Backoff {
                until: self.clock.now().plus(BACKOFF_MAX),
                reason: format!("the system gives no thread: {error}"),
            },
        }
    }

    fn start_when_due(&mut self) {
        match &self.state {
            State::Backoff { until, .. } if self.clock.now() >= *until => self.state = self.start(),
            State::Starting(receiver) => match receiver.try_recv() {
                Ok(Ok(runner)) => self.state = State::Serving { runner, since: self.clock.now(), windows: 0 },
                Ok(Err(error)) => self.start_failed(&error),
                Err(TryRecvError::Disconnected) => self.replace_runner(),
                Err(TryRecvError::Empty) => {}
            },
            State::Serving { .. } | State::Backoff { .. } => {}
        }
    }

    fn start_failed(&mut self, error: &StartError) {
        tracing::error!(model = %self.version.id, error = error as &dyn std::error::Error, "runner cannot be started");
        self.restarts.push(Restart::StartFailed);
        self.failures = self.failures.max(1);
        self.replace_runner();
        if let State::Backoff { reason, .. } = &mut self.state {
            *reason = error.to_string();
        }
    }

    /// The swap itself: between two windows, in one assignment.
    fn take_over(&mut self) {
        if !self.in_flight.is_empty() {
            return;
        }
        if let Some(runner) = self.candidate.take() {
            self.version = Arc::clone(runner.version());
            self.failures = 0;
            self.state = State::Serving { runner, since: self.clock.now(), windows: 0 };
        }
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
