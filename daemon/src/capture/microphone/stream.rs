//! A device that records, as chunks of 20 ms.
//!
//! Invariants:
//! - A chunk is whole: its samples follow one another without a gap, and it has as many as every other.
//! - What the device or its driver lost is counted in chunks, by the time that passed without any, and the next chunk says
//!   that it does not go on where the one before it ended.
//! - A chunk's time is when its last sample was captured: by the driver's clock where that gives one, else by ours.
//! - Samples are read to where they are handed on from, and converted there; nothing is allocated for a chunk.

use std::convert::Infallible;
use std::time::Duration;

use inferd_core::frame::Format;
use nix::errno::Errno;
use nix::poll::PollFlags;

use super::convert::Layout;
use crate::capture::live::{Feed, Trouble, captured_at};
use crate::host::clock::Tick;
use crate::host::frames::Slot;

/// Chunks a second: short enough that a window is hardly late by one, long enough to cost nothing.
pub(super) const CHUNKS_PER_SECOND: u32 = 50;

/// The same as a time.
const CHUNK: Duration = Duration::from_millis(1000 / CHUNKS_PER_SECOND as u64);

/// Before a suspended device is tried again that is not awake yet.
const WAKING: Duration = Duration::from_millis(100);

/// A device that records.
pub(super) trait Recorder {
    /// Waits until there may be something to read, at most for `patience`. `false` where there is nothing by then.
    ///
    /// # Errors
    /// [`Trouble::Stopped`]; [`Trouble::Passing`] where it cannot be waited for.
    fn wait(&mut self, feed: &Feed, patience: Duration) -> Result<bool, Trouble>;

    /// Reads the frames (a sample of each channel) that are there, as many as have room.
    ///
    /// # Errors
    /// [`Errno::EPIPE`] where samples were lost, [`Errno::ESTRPIPE`] where the machine slept: see
    /// [`restart`](Self::restart). All others: it is gone.
    fn read(&mut self, space: &mut [u8]) -> Result<Read, Errno>;

    /// Records again after a break.
    ///
    /// # Errors
    /// [`Errno::EAGAIN`] where it is too early. All others: it is gone.
    fn restart(&mut self, after: Errno) -> Result<(), Errno>;
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Frames; none where there are none now.
    pub(super) frames: usize,
    /// Frames that are left to be read.
    pub(super) left: usize,
    /// When the newest of those was captured, by `CLOCK_MONOTONIC` in nanoseconds, where the driver says.
    pub(super) newest_ns: Option<u64>,
}

/// A stream of chunks.
pub(super) struct Stream<R> {
    recorder: R,
    layout: Layout,
    rate_hz: u32,
    chunk_frames: usize,
    silence: Duration,
    /// The chunk that is being filled, and its frames so far.
    begun: Option<(Slot, usize)>,
    gap: Gap,
}

/// Where the samples that were handed on end, and what is known to be missing since.
struct Gap {
    since: Tick,
    counted: u64,
}

/// Why there is nothing more to read.
enum Break {
    /// The device said so.
    Device(Errno),
    Trouble(Trouble),
}

impl From<Trouble> for Break {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Frames in a chunk.
pub(super) const fn chunk_frames(rate_hz: u32) -> u32 {
    rate_hz.div_ceil(CHUNKS_PER_SECOND)
}

impl<R: Recorder> Stream<R> {
    /// Of a device that records from now on. It is given up when it has given nothing for `silence`.
    pub(super) fn new(recorder: R, layout: Layout, rate_hz: u32, silence: Duration, feed: &Feed) -> Self {
        Self {
            recorder,
            layout,
            rate_hz,
            chunk_frames: chunk_frames(rate_hz) as usize,
            silence,
            begun: None,
            gap: Gap { since: feed.clock().now(), counted: 0 },
        }
    }

    /// Hands on chunks for as long as they come; gives why there are no more.
    pub(super) fn follow(mut self, feed: &mut Feed) -> Trouble {
        match self.record(feed) {
            Err(trouble) => trouble,
        }
    }

    fn record(&mut self, feed: &mut Feed) -> Result<Infallible, Trouble> {
        let mut heard = feed.clock().now();
        loop {
            let left = self.silence.saturating_sub(feed.clock().now().since(heard));
            if left.is_zero() || !self.recorder.wait(feed, left)? {
                return Err(Trouble::passing(format_args!("has given nothing for {} s", self.silence.as_secs_f64())));
            }
            match self.take(feed) {
                Ok(false) => {}
                Ok(true) => heard = feed.clock().now(),
                Err(Break::Device(errno)) => self.mend(errno, feed)?,
                Err(Break::Trouble(trouble)) => return Err(trouble),
            }
        }
    }

    /// Takes all that is there; gives whether there was anything.
    fn take(&mut self, feed: &mut Feed) -> Result<bool, Break> {
        let mut any = false;
        loop {
            let (mut slot, filled) = match self.begun.take() {
                Some(begun) => begun,
                None => (feed.slots().take(self.layout.room() * self.chunk_frames).map_err(Trouble::from)?, 0),
            };
            let frame_bytes = self.layout.frame_bytes();
            let space = &mut slot.space()[filled * frame_bytes..self.chunk_frames * frame_bytes];
            let read = self.recorder.read(space).map_err(Break::Device)?;
            any |= read.frames > 0;
            let filled = filled + read.frames;
            if filled == self.chunk_frames {
                self.hand_on(slot, &read, feed)?;
            } else {
                self.begun = Some((slot, filled));
            }
            if read.frames == 0 || read.left == 0 {
                return Ok(any);
            }
        }
    }

    fn hand_on(&mut self, mut slot: Slot, read: &Read, feed: &mut Feed) -> Result<(), Trouble> {
        let captured =
            Tick::from_ns(captured_at(read.newest_ns, feed.clock()).as_ns().saturating_sub(self.lasting_ns(read.left)));
        self.layout.convert(slot.space(), self.chunk_frames);
        slot.set_len(self.chunk_frames * self.layout.frame_bytes_out());
        self.gap = Gap { since: captured, counted: 0 };
        feed.hand_on(slot, Format::Pcm { rate_hz: self.rate_hz, channels: self.layout.channels_out() }, captured)
    }

    /// How long so many frames last.
    fn lasting_ns(&self, frames: usize) -> u64 {
        (frames as u64).saturating_mul(1_000_000_000) / u64::from(self.rate_hz.max(1))
    }

    /// Lets it record again, where that is possible. The chunk that was begun is gone already.
    fn mend(&mut self, errno: Errno, feed: &mut Feed) -> Result<(), Trouble> {
        let gone = |errno: Errno| Trouble::passing(format_args!("is gone: {}", errno.desc()));
        if !matches!(errno, Errno::EPIPE | Errno::ESTRPIPE) {
            return Err(gone(errno));
        }
        let restarted = self.recorder.restart(errno);
        self.gap.count(errno, feed);
        match restarted {
            // The bell alone: the device has nothing to say before it is awake.
            Err(Errno::EAGAIN) => feed.wait(feed.stopping().as_fd(), PollFlags::POLLIN, WAKING).map(drop),
            restarted => restarted.map_err(gone),
        }
    }
}

impl Gap {
    /// Counts what is missing by now. Several breaks may follow each other before there is a chunk again.
    fn count(&mut self, errno: Errno, feed: &mut Feed) {
        let missing = feed.clock().now().since(self.since).as_nanos() / CHUNK.as_nanos();
        let missing = u64::try_from(missing).unwrap_or(u64::MAX).max(1);
        let chunks = missing.saturating_sub(self.counted);
        self.counted = missing;
        feed.lost(chunks);
        let why = if errno == Errno::EPIPE { "its buffer was full" } else { "the machine slept" };
        tracing::debug!(pipeline = %feed.pipeline(), chunks, "the microphone has lost sound: {why}");
    }
}

#[cfg(test)]
mod tests;
