//! How the rest of the daemon speaks to a pipeline's thread.
//!
//! Orders: a queue of 16; the one who orders waits where it is full, which no thread on the data path does.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::status::Status;
use crate::capture::{Mismatch, SourceInfo};
use crate::engine::Runner;
use crate::host::wake::Bell;

const ORDERS: usize = 16;

/// What a pipeline is told.
pub(super) enum Order {
    /// Serve what was begun, then end.
    Stop,
    /// End at once; the runner is killed and windows that it has are lost.
    Abandon,
    /// Keep the next windows as samples.
    Capture(u32),
    /// Let this proven runner take over.
    Promote(Box<Runner>, Answer),
}

/// Where the answer to a promotion goes.
pub(super) struct Answer(SyncSender<Result<(), Mismatch>>);

impl Answer {
    pub(super) fn send(self, result: Result<(), Mismatch>) {
        // Whoever asked may have gone; the promotion holds all the same.
        let _ = self.0.send(result);
    }
}

/// The thread's end.
pub(super) struct Inbox(Receiver<Order>);

impl Inbox {
    pub(super) fn next(&self) -> Option<Order> {
        self.0.try_recv().ok()
    }
}

/// The other end. Dropping it does not stop the pipeline.
#[derive(Debug)]
pub struct Handle {
    source: SourceInfo,
    status: Arc<Status>,
    orders: SyncSender<Order>,
    bell: Bell,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stop => "Stop",
            Self::Abandon => "Abandon",
            Self::Capture(_) => "Capture",
            Self::Promote(..) => "Promote",
        })
    }
}

/// How a promotion went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promoted {
    /// The new version serves from the next window on.
    Yes,
    /// Its windows cannot be cut from this source; the old one serves.
    Mismatch(Mismatch),
    /// The pipeline has ended meanwhile.
    Ended,
}

pub(super) fn pair(source: SourceInfo, status: Arc<Status>, bell: Bell) -> (Handle, Inbox) {
    let (orders, inbox) = sync_channel(ORDERS);
    (Handle { source, status, orders, bell, thread: Mutex::new(None) }, Inbox(inbox))
}

impl Handle {
    pub(super) fn with_thread(self, thread: JoinHandle<()>) -> Self {
        Self { thread: Mutex::new(Some(thread)), ..self }
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
        self.order(Order::Stop);
    }

    /// Ends it at once, with its runner, whatever that is at.
    pub fn abandon(&self) {
        self.order(Order::Abandon);
    }

    /// Keeps the next `count` windows as samples.
    pub fn capture(&self, count: u32) {
        self.order(Order::Capture(count));
    }

    /// Lets a proven runner take over between two windows; waits until the pipeline has taken it.
    pub fn promote(&self, runner: Runner, patience: Duration) -> Promoted {
        let (sender, answer) = sync_channel(1);
        if !self.order(Order::Promote(Box::new(runner), Answer(sender))) {
            return Promoted::Ended;
        }
        match answer.recv_timeout(patience) {
            Ok(Ok(())) => Promoted::Yes,
            Ok(Err(mismatch)) => Promoted::Mismatch(mismatch),
            Err(_) => Promoted::Ended,
        }
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

    fn order(&self, order: Order) -> bool {
        let taken = self.orders.send(order).is_ok();
        self.bell.ring();
        taken
    }
}
