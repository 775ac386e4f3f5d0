//! How the rest of the daemon speaks to a pipeline's thread.
//!
//! Orders are not queued. There is one place for each kind, and a newer order takes the place of one that was not obeyed
//! yet: nothing overflows, whoever orders never waits (the bus's thread does), and a stop is never behind anything.

use std::fs::File;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use inferd_core::Name;

use super::status::Status;
use crate::capture::{FrameQueue, Mismatch, NotRecorded, SourceInfo};
use crate::engine::{Runner, RunnerSettings};
use crate::host::attendance::Roll;
use crate::host::clock::Tick;
use crate::host::wake::Bell;

/// A thread that neither waits nor comes round for so long hangs. Drivers take their time to open a device, and a killed process
/// to end.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// What a pipeline is told and has not obeyed yet.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Serve what was begun, then end.
    pub(super) stop: bool,
    /// End at once; the runner is killed and windows that it has fail.
    pub(super) abandon: bool,
    /// Keep at least so many of the next windows as samples.
    pub(super) capture: u32,
    /// Start further runners like this, and wait for them so long.
    pub(super) settings: Option<RunnerSettings>,
    /// Let this proven runner take over.
    pub(super) promotion: Option<Promotion>,
}

/// A proven runner that is to take over.
#[derive(Debug)]
pub(super) struct Promotion {
    pub(super) runner: Box<Runner>,
    pub(super) answer: Answer,
}

/// Where the answer to a promotion goes.
#[derive(Debug)]
pub(super) struct Answer(SyncSender<Promoted>);

impl Answer {
    pub(super) fn send(self, promoted: Promoted) {
        // Whoever asked may have gone; the promotion holds all the same.
        let _ = self.0.send(promoted);
    }
}

/// How a promotion went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promoted {
    /// The new version serves from the next window on.
    Yes,
    /// Its windows cannot be cut from this source; the old one serves.
    Mismatch(Mismatch),
    /// Another promotion came before this one had its turn.
    Replaced,
    /// It was not its turn in time; it still comes, unless the pipeline ends or another promotion does.
    Late,
    /// The pipeline has ended meanwhile.
    Ended,
}

/// What both ends share. `None` once the thread has ended.
#[derive(Debug)]
struct Shared(Mutex<Option<Orders>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Orders>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's end. Dropping it says that no order will be obeyed any more.
pub(super) struct Inbox(Arc<Shared>);

impl Inbox {
    /// All orders that came since the last time.
    pub(super) fn take(&self) -> Orders {
        self.0.lock().replace(Orders::default()).unwrap_or_default()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Out of the lock: a promotion that comes too late holds a process that is ended with it.
        let left = self.0.lock().take();
        drop(left);
    }
}

/// The other end. Dropping it does not stop the pipeline.
#[derive(Debug)]
pub struct Handle {
    source: SourceInfo,
    frames: FrameQueue,
    status: Arc<Status>,
    orders: Arc<Shared>,
    bell: Bell,
    thread: Mutex<Option<JoinHandle<()>>>,
    rolls: Mutex<Rolls>,
}

/// Its threads, each with what it is called.
pub(super) type Rolls = [(&'static str, Roll); 2];

pub(super) fn pair(
    source: SourceInfo,
    frames: FrameQueue,
    status: Arc<Status>,
    bell: Bell,
    rolls: Rolls,
) -> (Handle, Inbox) {
    let orders = Arc::new(Shared(Mutex::new(Some(Orders::default()))));
    let inbox = Inbox(Arc::clone(&orders));
    let rolls = Mutex::new(rolls);
    (Handle { source, frames, status, orders, bell, thread: Mutex::new(None), rolls }, inbox)
}

impl Handle {
    pub(super) fn with_thread(self, thread: JoinHandle<()>) -> Self {
        Self { thread: Mutex::new(Some(thread)), ..self }
    }

    /// Which of its threads hangs, if one does, as a sentence. To be asked now and then: it counts from the first look.
    pub fn hangs(&self, now: Tick) -> Option<String> {
        if self.is_finished() {
            return None;
        }
        let mut rolls = self.rolls.lock().unwrap_or_else(PoisonError::into_inner);
        let absent = rolls.iter_mut().map(|(who, roll)| (*who, roll.absent_for(now)));
        // All of them are looked at each time.
        let longest = absent.max_by_key(|(_, absent)| *absent).filter(|(_, absent)| *absent > HANGS_AFTER);
        longest.map(|(who, absent)| format!("{who} has not come round for {} s", absent.as_secs()))
    }

    /// What its source gives.
    pub const fn source(&self) -> &SourceInfo {
        &self.source
    }

    /// How it is.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Lets it serve what was begun and end.
    pub fn stop(&self) {
        self.order(|orders| orders.stop = true);
    }

    /// Ends it at once, with its runner, whatever that is at.
    pub fn abandon(&self) {
        self.order(|orders| orders.abandon = true);
    }

    /// Keeps at least the next `count` windows as samples; `false` where the pipeline has ended.
    pub fn capture(&self, count: u32) -> bool {
        self.order(|orders| orders.capture = orders.capture.max(count))
    }

    /// Starts further runners by these settings; the deadline counts at once. Nothing where the pipeline has ended.
    pub fn settings(&self, settings: RunnerSettings) {
        self.order(|orders| orders.settings = Some(settings));
    }

    /// Lets a proven runner take over between two windows; waits until that has happened. Blocks.
    pub fn promote(&self, runner: Runner, patience: Duration) -> Promoted {
        let (sender, answer) = sync_channel(1);
        let promotion = Promotion { runner: Box::new(runner), answer: Answer(sender) };
        let mut replaced = None;
        if !self.order(|orders| replaced = orders.promotion.replace(promotion)) {
            return Promoted::Ended;
        }
        if let Some(replaced) = replaced {
            replaced.answer.send(Promoted::Replaced);
        }
        match answer.recv_timeout(patience) {
            Ok(promoted) => promoted,
            Err(RecvTimeoutError::Timeout) => Promoted::Late,
            Err(RecvTimeoutError::Disconnected) => Promoted::Ended,
        }
    }

    /// Lets what its source gives be recorded into `sink`, for a while.
    ///
    /// # Errors
    /// [`NotRecorded`]
    pub fn record(&self, name: &Name, sink: File, lasts: Duration) -> Result<(), NotRecorded> {
        self.frames.record(name, &self.source, sink, lasts)
    }

    /// Whether the thread is over, also by a panic.
    pub fn is_finished(&self) -> bool {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the thread to end. Blocks.
    pub fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("a pipeline's thread panicked; this is a defect of inferd");
        }
    }

    /// Changes what waits to be obeyed; `false` where nobody obeys any more.
    fn order(&self, change: impl FnOnce(&mut Orders)) -> bool {
        let taken = self.orders.lock().as_mut().map(change).is_some();
        self.bell.ring();
        taken
    }
}

#[cfg(test)]
mod tests {
    use inferd_core::manifest::Kind;

    use super::*;
    use crate::capture::Overflow;
    use crate::host::attendance::Attendance;

    fn ends() -> (Handle, Inbox) {
        let source = SourceInfo { kind: Kind::Image, rate_hz: 0.0, channels: Vec::new(), line: String::new() };
        let bell = Bell::new().unwrap();
        let frames = FrameQueue::new(1, Overflow::Block, bell.clone());
        let rolls = [("its thread", Attendance::default()), ("its source", frames.attendance().clone())]
            .map(|(who, attendance)| (who, Roll::new(attendance, Tick::default())));
        pair(source, frames, Arc::new(Status::new(Arc::default())), bell, rolls)
    }

    #[test]
    fn a_thread_that_does_not_come_round_hangs_and_is_named() {
        let (handle, _inbox) = ends();
        let at = |seconds| Tick::default().plus(Duration::from_secs(seconds));
        // It has a thread that has not ended.
        let (go_on, goes_on) = sync_channel::<()>(1);
        let thread =
            std::thread::Builder::new().name("lives".into()).spawn(move || assert!(goes_on.recv().is_err())).unwrap();
        let handle = handle.with_thread(thread);
        for roll in handle.rolls.lock().unwrap().iter_mut() {
            assert_eq!(roll.1.absent_for(at(0)), Duration::ZERO);
        }
        assert_eq!(handle.hangs(at(60)), None);
        // Whatever a source asks of its queue is a sign of life.
        assert!(!handle.frames.is_stopped());
        assert_eq!(handle.hangs(at(61)), Some("its thread has not come round for 61 s".to_owned()));
        assert!(!handle.frames.is_stopped());
        assert_eq!(handle.hangs(at(119)), Some("its thread has not come round for 119 s".to_owned()));
        let queue = handle.frames.clone();
        let _waits = queue.attendance().wait();
        assert_eq!(handle.hangs(at(1000)), Some("its thread has not come round for 1000 s".to_owned()));
        drop(go_on);
        handle.join();
        assert_eq!(handle.hangs(at(2000)), None, "it has ended");
    }

    #[test]
    fn orders_of_a_kind_are_one_and_none_waits_for_another() {
        let (handle, inbox) = ends();
        for count in [3, 100, 5] {
            // A thousand of them would not hold up the stop.
            assert!(handle.capture(count));
        }
        handle.stop();
        let orders = inbox.take();
        assert!(orders.stop && !orders.abandon);
        assert_eq!(orders.capture, 100);
        let orders = inbox.take();
        assert!(!orders.stop && orders.capture == 0, "an order is obeyed once");
    }

    #[test]
    fn a_pipeline_that_has_ended_takes_no_order() {
        let (handle, inbox) = ends();
        drop(inbox);
        assert!(!handle.capture(1));
    }
}
