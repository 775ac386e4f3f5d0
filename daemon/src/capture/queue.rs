//! The queue between a source's thread and its pipeline's thread.
//!
//! Capacity: [`FrameQueue::new`] says it, in frames. Overflow: a recording waits ([`Overflow::Block`]), so that no window is
//! ever lost; a live source drops its oldest waiting frame ([`Overflow::KeepNewest`]) and counts it.
//!
//! Waking a thread takes longer than handing over a frame, so nobody is woken in vain. The pipeline is for the first frame in
//! an empty queue, and to be told of dropped ones; for the others it comes by itself, whenever its runner has room. A source
//! is only while it waits for room, not while it sleeps until a frame is due.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inferd_core::Name;

use super::record::{self, Tap};
use super::{Frame, SourceInfo};
use crate::host::attendance::Attendance;
use crate::host::clock::{Clock, Tick};
use crate::host::wake::Bell;

/// What happens to a frame when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The source waits.
    Block,
    /// The oldest waiting frame is dropped.
    KeepNewest,
}

/// How a source came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A recording was played to its end.
    Finished,
    /// It broke; the sentence says how.
    Broken(String),
}

/// The queue. Cheap to clone; both threads hold one.
#[derive(Clone, Debug)]
pub struct FrameQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    capacity: usize,
    overflow: Overflow,
    bell: Bell,
    /// Rung for a source that waits for its device rather than for the queue.
    stopping: Option<Bell>,
    state: Mutex<State>,
    room: Condvar,
    attendance: Attendance,
    /// Who records. Apart from `state`: what is copied for it holds up nobody.
    tap: Mutex<Option<Tap>>,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    figures: Figures,
    obstacle: Option<Obstacle>,
    end: Option<End>,
    stopped: bool,
    /// The source waits for room.
    is_held_up: bool,
}

/// Why a source gives nothing for a while; each is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// What it needs is not there.
    Missing(Arc<str>),
    /// It is closed on purpose.
    Rest(Arc<str>),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(reason) | Self::Rest(reason)) = self;
        f.write_str(reason)
    }
}

/// What has come of a source's frames since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Frames taken in.
    pub accepted: u64,
    /// Of them, dropped because newer ones came before there was room.
    pub overflown: u64,
    /// Frames, or rows of sensor values, that could not be told from the stream.
    pub unreadable: u64,
    /// Frames, or rows, that the device or its driver lost: they never came here. Of sound, chunks of 20 ms, by the time that
    /// passed without any: at least one for each interruption.
    pub lost: u64,
    /// How often the source was started again.
    pub restarts: u64,
}

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// Somebody else records it.
    #[error("it is being recorded already")]
    Busy,
    /// It gives no more.
    #[error("its source has come to its end")]
    Over,
    /// The system said no.
    #[error("it cannot be recorded")]
    Io(#[from] io::Error),
}

/// The pipeline wants no more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl FrameQueue {
    /// An empty queue that rings `bell` whenever the pipeline should look.
    pub fn new(capacity: usize, overflow: Overflow, bell: Bell) -> Self {
        Self::make(capacity, overflow, bell, None)
    }

    /// The same, for a source that waits for a device: [`stop`](Self::stop) rings `stopping`, too.
    pub fn of_device(capacity: usize, overflow: Overflow, bell: Bell, stopping: Bell) -> Self {
        Self::make(capacity, overflow, bell, Some(stopping))
    }

    fn make(capacity: usize, overflow: Overflow, bell: Bell, stopping: Option<Bell>) -> Self {
        let state = Mutex::new(State { frames: VecDeque::with_capacity(capacity), ..State::default() });
        let (room, tap, attendance) = (Condvar::new(), Mutex::default(), Attendance::default());
        Self(Arc::new(Inner { capacity, overflow, bell, stopping, state, room, attendance, tap }))
    }

    /// The source's thread comes round whenever it comes here, or waits.
    pub fn attendance(&self) -> &Attendance {
        &self.0.attendance
    }

    /// Puts a frame in, by the overflow rule. Called by the source.
    ///
    /// # Errors
    /// [`Stopped`] once the pipeline has called [`stop`](Self::stop); the frame is gone.
    pub fn push(&self, mut frame: Frame) -> Result<(), Stopped> {
        self.0.attendance.come_round();
        let mut tap = self.lock_tap();
        if let Some(copying) = tap.as_mut()
            && !copying.copy(&frame)
        {
            *tap = None;
        }
        drop(tap);
        let mut state = self.lock();
        let dropped_before = state.figures.overflown;
        match self.0.overflow {
            Overflow::Block => {
                let full = |state: &mut State| {
                    state.is_held_up = state.frames.len() >= self.0.capacity && !state.stopped;
                    state.is_held_up
                };
                let _waiting = self.0.attendance.wait();
                state = self.0.room.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
            }
            Overflow::KeepNewest => {
                while state.frames.len() >= self.0.capacity {
                    state.frames.pop_front();
                    state.figures.overflown += 1;
                    let next = state.frames.front_mut().unwrap_or(&mut frame);
                    next.after_gap = true;
                }
            }
        }
        if state.stopped {
            return Err(Stopped);
        }
        state.figures.accepted += 1;
        let wakes = state.frames.is_empty() || state.figures.overflown > dropped_before;
        state.frames.push_back(frame);
        drop(state);
        if wakes {
            self.0.bell.ring();
        }
        Ok(())
    }

    /// Lets what the source gives from now on be recorded into `sink`, for a while. Called from anywhere.
    ///
    /// # Errors
    /// [`NotRecorded`]
    pub fn record(&self, pipeline: &Name, info: &SourceInfo, sink: File, lasts: Duration) -> Result<(), NotRecorded> {
        let state = self.lock();
        if state.stopped || state.end.is_some() {
            return Err(NotRecorded::Over);
        }
        drop(state);
        let mut tap = self.lock_tap();
        if tap.as_ref().is_some_and(Tap::is_wanted) {
            return Err(NotRecorded::Busy);
        }
        *tap = Some(record::begin(pipeline, info, sink, lasts)?);
        Ok(())
    }

    /// Says that no frame will follow. Called by the source.
    pub fn end(&self, end: End) {
        *self.lock_tap() = None;
        self.lock().end = Some(end);
        self.0.bell.ring();
    }

    /// For as long as the source's thread does. A panic of it ends the queue: a pipeline must never wait for frames that cannot
    /// come.
    pub(super) fn guard(&self) -> PanicGuard {
        PanicGuard(self.clone())
    }

    /// The oldest frame. Called by the pipeline.
    pub fn pop(&self) -> Option<Frame> {
        let mut state = self.lock();
        let frame = state.frames.pop_front()?;
        let wakes = state.is_held_up;
        drop(state);
        if wakes {
            self.0.room.notify_one();
        }
        Some(frame)
    }

    /// How the source ended, once all its frames have been taken. Called by the pipeline.
    pub fn ended(&self) -> Option<End> {
        let state = self.lock();
        if state.frames.is_empty() { state.end.clone() } else { None }
    }

    /// Counts what could not be read. Called by the source.
    pub fn count_unreadable(&self, count: u64) {
        self.lock().figures.unreadable += count;
    }

    /// Counts what the device has lost. Called by the source.
    pub fn count_lost(&self, count: u64) {
        self.lock().figures.lost += count;
    }

    /// Counts that the source is started again. Called by the source.
    pub fn count_restart(&self) {
        self.lock().figures.restarts += 1;
    }

    /// Says why the source gives nothing, or that it goes on. Called by the source.
    pub fn hold_up(&self, obstacle: Option<Obstacle>) {
        let mut state = self.lock();
        if state.obstacle != obstacle {
            state.obstacle = obstacle;
            drop(state);
            self.0.bell.ring();
        }
    }

    /// Figures so far, and why the source gives nothing, if it does not. Called by the pipeline.
    pub fn look(&self) -> (Figures, Option<Obstacle>) {
        let state = self.lock();
        (state.figures, state.obstacle.clone())
    }

    /// Lets the source end: a waiting or later [`push`](Self::push) fails. Frames that wait stay.
    pub fn stop(&self) {
        self.lock().stopped = true;
        *self.lock_tap() = None;
        self.0.room.notify_all();
        if let Some(stopping) = &self.0.stopping {
            stopping.ring();
        }
    }

    /// Whether [`stop`](Self::stop) was called. Called by the source.
    pub fn is_stopped(&self) -> bool {
        self.0.attendance.come_round();
        self.lock().stopped
    }

    /// Sleeps until a tick, but wakes up at once when the pipeline stops. Called by the source.
    ///
    /// # Errors
    /// [`Stopped`]
    pub fn sleep_until(&self, due: Tick, clock: &Clock) -> Result<(), Stopped> {
        let _waiting = self.0.attendance.wait();
        let mut state = self.lock();
        while !state.stopped {
            let left = clock.nap(due);
            if left.is_zero() {
                return Ok(());
            }
            state = self.0.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(Stopped)
    }

    /// Whether the source waits for room.
    #[cfg(test)]
    pub(super) fn is_held_up(&self) -> bool {
        self.lock().is_held_up
    }

    fn lock_tap(&self) -> MutexGuard<'_, Option<Tap>> {
        self.0.tap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`FrameQueue::guard`].
pub(super) struct PanicGuard(FrameQueue);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        self.0.attendance().leave();
        if std::thread::panicking() {
            self.0.end(End::Broken("reading the source panicked; this is a defect of inferd".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inferd_core::frame::Format;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::host::frames::Pool;

    fn frame(pool: &Pool, number: u8) -> Frame {
        let mut slot = pool.try_take().expect("the test's pool is large enough");
        slot.space()[0] = number;
        slot.set_len(1);
        Frame { captured: Tick::default(), captured_unix_ns: 0, after_gap: false, format: Format::Jpeg, slot }
    }

    fn numbers(queue: &FrameQueue) -> Vec<u8> {
        std::iter::from_fn(|| queue.pop()).map(|frame| frame.slot.bytes()[0]).collect()
    }

    #[test]
    fn a_live_queue_keeps_the_newest_and_counts_the_rest() {
        let pool = Pool::new(8, 16).unwrap();
        let queue = FrameQueue::new(2, Overflow::KeepNewest, Bell::new().unwrap());
        for number in 0..5 {
            queue.push(frame(&pool, number)).unwrap();
        }
        assert_eq!(queue.look().0, Figures { accepted: 5, overflown: 3, ..Figures::default() });
        let gaps: Vec<bool> = queue.lock().frames.iter().map(|frame| frame.after_gap).collect();
        assert_eq!(gaps, [true, false], "the first that is left says that others are missing before it");
        assert_eq!(numbers(&queue), [3, 4]);
    }

    #[test]
    fn only_the_first_frame_of_an_empty_queue_wakes_the_pipeline() {
        let pool = Pool::new(8, 16).unwrap();
        let bell = Bell::new().unwrap();
        let queue = FrameQueue::new(4, Overflow::Block, bell.clone());
        let rings = |number| {
            bell.hush();
            queue.push(frame(&pool, number)).unwrap();
            poll(&mut [PollFd::new(bell.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
        };
        assert_eq!([rings(0), rings(1), rings(2)], [true, false, false]);
        assert_eq!(numbers(&queue), [0, 1, 2]);
        assert!(rings(3));
    }

    #[test]
    fn a_recording_waits_for_room_and_loses_nothing() {
        let pool = Pool::new(8, 16).unwrap();
        let queue = FrameQueue::new(2, Overflow::Block, Bell::new().unwrap());
        let source = queue.clone();
        let pushing = std::thread::Builder::new().name("source".into()).spawn(move || {
            for number in 0..20 {
                let slot = pool.take(Duration::from_secs(5)).expect("slots come back as they are read");
                drop(slot);
                source.push(frame(&pool, number)).unwrap();
            }
            source.end(End::Finished);
        });
        let mut seen = Vec::new();
        while queue.ended().is_none() {
            seen.extend(numbers(&queue));
        }
        pushing.unwrap().join().unwrap();
        assert_eq!(seen, (0..20).collect::<Vec<u8>>());
        assert_eq!(queue.look().0, Figures { accepted: 20, ..Figures::default() });
    }

    #[test]
    fn stopping_frees_a_waiting_source() {
        let pool = Pool::new(8, 16).unwrap();
        let queue = FrameQueue::new(1, Overflow::Block, Bell::new().unwrap());
        queue.push(frame(&pool, 0)).unwrap();
        let source = queue.clone();
        let waiting =
            std::thread::Builder::new().name("source".into()).spawn(move || source.push(frame(&pool, 1))).unwrap();
        while !queue.is_held_up() {
            std::thread::yield_now();
        }
        queue.stop();
        assert_eq!(waiting.join().unwrap(), Err(Stopped));
        assert_eq!(numbers(&queue), [0], "what was taken in stays");
    }

    #[test]
    fn stopping_ends_a_sources_sleep() {
        let queue = FrameQueue::new(1, Overflow::Block, Bell::new().unwrap());
        let source = queue.clone();
        // Without the stop this would take an hour.
        let sleep = move || source.sleep_until(Tick::from_ns(3_600_000_000_000), &Clock::system());
        let sleeping = std::thread::Builder::new().name("source".into()).spawn(sleep).unwrap();
        queue.stop();
        assert_eq!(sleeping.join().unwrap(), Err(Stopped));
    }
}
