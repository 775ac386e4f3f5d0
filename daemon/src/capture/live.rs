//! The life of a live source: opened, read, and opened again whenever it went away, until the pipeline stops.
//!
//! Invariants:
//! - What is not there now is waited for: with pauses that grow, and at once when something appears where it would. The
//!   pipeline says meanwhile what it waits for, and its runner stays.
//! - Windows do not span what was missed.
//! - A source that rests is closed: its device is free, its program ended. It is opened again when the rest is over.
//! - The thread ends soon after [`FrameQueue::stop`]: whatever it waits for, it waits for the bell, too.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use inferd_core::Name;
use inferd_core::frame::Format;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::error::SourceError;
use super::queue::{End, FrameQueue, Obstacle, Overflow, Stopped};
use super::rest::{Rest, Resting};
use super::slots::Slots;
use super::{Frame, Wiring};
use crate::host::attendance::Attendance;
use crate::host::backoff::Backoff;
use crate::host::clock::{Clock, Tick};
use crate::host::error::with_causes;
use crate::host::frames::Slot;
use crate::host::wake::Bell;

/// Pictures that wait between a live source and the pipeline: an old one is worth nothing.
pub(super) const QUEUE_PICTURES: usize = 4;

/// Chunks of sound, or batches of rows, that wait: some sources give what they have gathered for half a second at once, and
/// a stream with a gap gives no window for the length of one.
pub(super) const QUEUE_CHUNKS: usize = 64;

/// Frames that are in use beside those that wait: those that a runner works on, those between the two, one being filled.
pub(super) const SLOTS_BESIDE: usize = 8;

/// After something has appeared it is tried again so often, for so long: links to a device, and rights to it, come later than
/// its node.
const EAGER_PAUSE: Duration = Duration::from_millis(200);
const EAGER: Duration = Duration::from_secs(4);

/// A driver's time that is further from now is none: some give the wall clock's.
const PLAUSIBLE: Duration = Duration::from_secs(2);

/// When something was captured, by what its driver says on `CLOCK_MONOTONIC`. Never later than now: some drivers tell when a
/// picture should have been complete.
pub(super) fn captured_at(monotonic_ns: Option<u64>, clock: &Clock) -> Tick {
    let now = clock.now();
    let told = monotonic_ns.map(|ns| clock.at_monotonic_ns(ns));
    told.filter(|told| is_plausible(*told, now)).map_or(now, |told| told.min(now))
}

/// Whether a driver's time can be that of something that has just come.
pub(super) fn is_plausible(told: Tick, now: Tick) -> bool {
    told.since(now).max(now.since(told)) < PLAUSIBLE
}

/// Why a source gives no more frames.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The pipeline wants no more.
    Stopped,
    /// It is to be closed for a while.
    Resting,
    /// It may come back; the sentence says what happened.
    Passing(String),
    /// It has come to its end.
    Over(End),
}

impl Trouble {
    /// What a device did.
    pub(super) fn passing(what: impl std::fmt::Display) -> Self {
        Self::Passing(what.to_string())
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Stopped => Self::Stopped,
            SourceError::Memory(_) => Self::Over(End::Broken(with_causes(&error))),
            _ => Self::Passing(with_causes(&error)),
        }
    }
}

impl From<Stopped> for Trouble {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// A kind of live source.
pub(super) trait Live: Send + 'static {
    /// What it is while frames come.
    type Stream;

    /// What is done where it is not there, for people: `it is started again`.
    const AGAIN: &'static str;

    /// The folders that it appears in when it is plugged in.
    const APPEARS_IN: &'static [&'static str] = &[];

    /// Opens it.
    ///
    /// # Errors
    /// [`Trouble`] where it is not there, or not what it should be.
    fn open(&mut self, feed: &mut Feed) -> Result<Self::Stream, Trouble>;

    /// Hands on its frames for as long as they come.
    fn follow(&mut self, stream: Self::Stream, feed: &mut Feed) -> Trouble;
}

/// Starts a live source's thread. It holds `capacity` frames for the pipeline, by the overflow rule.
///
/// # Errors
/// Where the system gives no thread, or no descriptor.
pub(super) fn start(
    live: impl Live,
    capacity: usize,
    overflow: Overflow,
    Wiring { pipeline, clock, bell, rest }: Wiring,
) -> io::Result<(FrameQueue, JoinHandle<()>)> {
    let stopping = Bell::new()?;
    let queue = FrameQueue::of_device(capacity, overflow, bell, stopping.clone());
    let count = u32::try_from(capacity + SLOTS_BESIDE).unwrap_or(u32::MAX);
    let name = format!("cap-{pipeline}");
    let feed = Feed {
        pipeline,
        slots: Slots::new(count, queue.clone()),
        queue: queue.clone(),
        interrupts: Interrupts { stopping, attendance: queue.attendance().clone(), rest, clock },
        after_gap: false,
        frames: 0,
        lacks: false,
    };
    let thread = Builder::new().name(name).spawn(move || run(live, feed))?;
    Ok((queue, thread))
}

fn run<L: Live>(mut live: L, mut feed: Feed) {
    let guard = feed.queue.guard();
    if let Err(Trouble::Over(end)) = keep_open(&mut live, &mut feed) {
        feed.queue.end(end);
    }
    drop(guard);
}

fn keep_open<L: Live>(live: &mut L, feed: &mut Feed) -> Result<std::convert::Infallible, Trouble> {
    let mut backoff = Backoff::default();
    let mut has_served = false;
    let mut told = String::new();
    let mut eager_until = Tick::default();
    loop {
        feed.rest_out()?;
        // Made before it is tried to open it: what appears meanwhile is not missed.
        let mut arrivals = Arrivals::watch(L::APPEARS_IN);
        let (trouble, mut pause) = match live.open(feed) {
            Ok(stream) => {
                // Nobody would read what it gathers.
                drop(arrivals);
                if std::mem::replace(&mut has_served, true) {
                    feed.queue.count_restart();
                }
                feed.frames = 0;
                let begun = feed.clock().now();
                let trouble = live.follow(stream, feed);
                arrivals = Arrivals::watch(L::APPEARS_IN);
                feed.after_gap = true;
                // What gives nothing has not served, however long it was open.
                let pause = if feed.frames == 0 {
                    backoff.after_failed_start()
                } else {
                    told.clear();
                    backoff.after_service(feed.clock().now().since(begun), feed.frames)
                };
                (trouble, pause)
            }
            Err(trouble) => (trouble, backoff.after_failed_start()),
        };
        match trouble {
            // It is closed on purpose: no trouble is behind it.
            Trouble::Resting => (backoff, has_served) = (Backoff::default(), false),
            Trouble::Passing(reason) => {
                feed.announce::<L>(&reason, pause, &mut told);
                if feed.clock().now() < eager_until {
                    pause = pause.min(EAGER_PAUSE);
                }
                match feed.wait_for(arrivals.as_ref(), pause) {
                    Ok(true) => (backoff, eager_until) = (Backoff::default(), feed.clock().now().plus(EAGER)),
                    Err(Trouble::Resting) | Ok(false) => {}
                    Err(trouble) => return Err(trouble),
                }
            }
            Trouble::Stopped | Trouble::Over(_) => return Err(trouble),
        }
    }
}

/// What a source's thread gives frames to.
pub(super) struct Feed {
    pipeline: Name,
    queue: FrameQueue,
    slots: Slots,
    interrupts: Interrupts,
    /// The next frame does not go on where the one before it ended.
    after_gap: bool,
    /// Frames since it was opened.
    frames: u32,
    /// It is open, but says that something is lacking.
    lacks: bool,
}

impl Feed {
    pub(super) const fn pipeline(&self) -> &Name {
        &self.pipeline
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.interrupts.clock
    }

    /// Rung when the pipeline stops.
    pub(super) const fn stopping(&self) -> &Bell {
        &self.interrupts.stopping
    }

    /// Told while the source waits for something else than the queue.
    pub(super) const fn attendance(&self) -> &Attendance {
        self.interrupts.attendance()
    }

    /// What ends the waiting for a device.
    pub(super) fn interrupts(&self) -> Interrupts {
        self.interrupts.clone()
    }

    /// Whether the source is to be closed now.
    pub(super) fn rests(&self) -> bool {
        self.interrupts.rests()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.queue.is_stopped()
    }

    /// Where frames are put.
    pub(super) const fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// Hands a frame on that was `captured` then.
    ///
    /// # Errors
    /// [`Trouble::Stopped`]; [`Trouble::Resting`], and the frame is gone.
    pub(super) fn hand_on(&mut self, slot: Slot, format: Format, captured: Tick) -> Result<(), Trouble> {
        self.interrupts.rest.frame_came(self.clock().now());
        if self.rests() {
            return Err(Trouble::Resting);
        }
        if self.frames == 0 || std::mem::take(&mut self.lacks) {
            self.queue.hold_up(None);
        }
        self.frames = self.frames.saturating_add(1);
        let captured_unix_ns = self.clock().unix_ns_at(captured);
        let after_gap = std::mem::take(&mut self.after_gap);
        Ok(self.queue.push(Frame { captured, captured_unix_ns, after_gap, format, slot })?)
    }

    /// It is open, but gives nothing, for this reason, until its next frame.
    pub(super) fn lacks(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.lacks, true) {
            tracing::info!(pipeline = %self.pipeline, reason, "the source is open");
        }
        self.queue.hold_up(Some(Obstacle::Missing(reason.into())));
    }

    /// So many frames or rows could not be told from the stream.
    pub(super) fn unreadable(&mut self, count: u64) {
        if count > 0 {
            self.queue.count_unreadable(count);
            self.after_gap = true;
        }
    }

    /// The device has lost so many frames: its own buffers were full, or its bus was.
    pub(super) fn lost(&mut self, count: u64) {
        if count > 0 {
            self.queue.count_lost(count);
            self.after_gap = true;
        }
    }

    /// Waits until a descriptor is ready, at most for `patience` (zero is for ever). `false` where it is not by then.
    ///
    /// # Errors
    /// [`Trouble::Stopped`], [`Trouble::Resting`]; [`Trouble::Passing`] where it cannot be waited for.
    pub(super) fn wait(&self, fd: BorrowedFd<'_>, ready: PollFlags, patience: Duration) -> Result<bool, Trouble> {
        let patience = self.interrupts.patience(patience);
        loop {
            if self.rests() {
                return Err(Trouble::Resting);
            }
            let mut fds = [PollFd::new(fd, ready), PollFd::new(self.interrupts.stopping.as_fd(), PollFlags::POLLIN)];
            let waiting = self.interrupts.attendance.wait();
            let polled = poll(&mut fds, patience.timeout());
            drop(waiting);
            match polled {
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(Trouble::passing(format_args!("cannot be waited for: {error}"))),
                Ok(0) if !patience.is_over() => {}
                Ok(0) => return Ok(false),
                Ok(_) if fds[1].any().unwrap_or(true) => return Err(Trouble::Stopped),
                Ok(_) => return Ok(true),
            }
        }
    }

    /// Sleeps until a tick.
    ///
    /// # Errors
    /// [`Trouble::Stopped`]
    pub(super) fn sleep_until(&self, due: Tick) -> Result<(), Trouble> {
        Ok(self.queue.sleep_until(due, self.clock())?)
    }

    /// Waits for the end of a rest, where there is one.
    fn rest_out(&self) -> Result<(), Trouble> {
        let mut rested = false;
        while let Some(Resting { until, reason }) = self.interrupts.rest.now(self.clock()) {
            if !std::mem::replace(&mut rested, true) {
                tracing::info!(pipeline = %self.pipeline, reason, "the source is closed");
            }
            self.queue.hold_up(Some(Obstacle::Rest(reason.into())));
            self.queue.sleep_until(until, self.clock())?;
        }
        if rested {
            tracing::info!(pipeline = %self.pipeline, "the source is opened again");
            self.queue.hold_up(None);
        }
        Ok(())
    }

    /// What comes back at once is nothing to wait for; what is still missing is no news.
    fn announce<L: Live>(&self, reason: &str, pause: Duration, told: &mut String) {
        if reason != told {
            tracing::warn!(pipeline = %self.pipeline, reason, pause_s = pause.as_secs_f64(), "the source is gone; {}", L::AGAIN);
            reason.clone_into(told);
        }
        if !pause.is_zero() {
            let reason = format!("{reason}; {} within {} s", L::AGAIN, pause.as_secs().max(1));
            self.queue.hold_up(Some(Obstacle::Missing(reason.into())));
        }
    }

    /// Waits for the end of a pause, or until something has appeared: `true`.
    fn wait_for(&self, arrivals: Option<&Arrivals>, pause: Duration) -> Result<bool, Trouble> {
        let again = self.clock().now().plus(pause);
        let Some(arrivals) = arrivals else { return self.sleep_until(again).map(|()| false) };
        loop {
            let left = self.clock().nap(again);
            if left.is_zero() {
                return if self.queue.is_stopped() { Err(Trouble::Stopped) } else { Ok(false) };
            }
            // Rounded up: less than a millisecond would be polled for in circles.
            if self.wait(arrivals.0.as_fd(), PollFlags::POLLIN, left + Duration::from_millis(1))? {
                return Ok(true);
            }
        }
    }
}

/// What ends the waiting for a device: the pipeline stops, or the source is to rest.
#[derive(Clone, Debug)]
pub(super) struct Interrupts {
    stopping: Bell,
    attendance: Attendance,
    rest: Rest,
    clock: Clock,
}

impl Interrupts {
    /// Told while the source waits for something else than the queue.
    pub(super) const fn attendance(&self) -> &Attendance {
        &self.attendance
    }

    /// Rung when the pipeline stops.
    pub(super) const fn stopping(&self) -> &Bell {
        &self.stopping
    }

    /// Whether the source is to be closed now.
    pub(super) fn rests(&self) -> bool {
        self.rest.is_due(&self.clock)
    }

    /// For something that may take so long (zero is for ever) from now on.
    pub(super) fn patience(&self, patience: Duration) -> Patience<'_> {
        let ends = (!patience.is_zero()).then(|| Instant::now() + patience);
        Patience { interrupts: self, ends }
    }
}

/// How long a device is waited for. It is waited for in parts, between which one looks whether the source is to rest.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    interrupts: &'a Interrupts,
    ends: Option<Instant>,
}

impl Patience<'_> {
    /// How long the next part lasts; `None` is for ever.
    pub(super) fn part(&self) -> Option<Duration> {
        let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        let part = [left, self.interrupts.rest.look_within(&self.interrupts.clock)].into_iter().flatten().min();
        // Rounded up: less than a millisecond would be waited for in circles.
        part.map(|part| part + Duration::from_millis(1))
    }

    /// The same, for `poll`.
    pub(super) fn timeout(&self) -> PollTimeout {
        self.part().map_or(PollTimeout::NONE, |part| PollTimeout::try_from(part).unwrap_or(PollTimeout::MAX))
    }

    /// Whether it has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| ends <= Instant::now())
    }
}

/// Tells when something appears in folders, or may be opened now.
struct Arrivals(Inotify);

impl Arrivals {
    /// `None` where there is nothing to watch: then there are the pauses.
    fn watch(folders: &[&str]) -> Option<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        // Permissions are given after a device has appeared.
        let what = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ATTRIB;
        let watched = folders.iter().filter(|folder| inotify.add_watch(**folder, what).is_ok()).count();
        (watched > 0).then_some(Self(inotify))
    }
}

#[cfg(test)]
mod tests;
