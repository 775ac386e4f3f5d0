//! Recording what a source gives, while it goes on as ever: frames are copied as they come, and written by a thread of its own
//! to a descriptor of whoever asked.
//!
//! Invariants:
//! - The source never waits: at most [`WAITING_BYTES`] wait for the writer; what does not fit is left out and counted.
//! - The thread ends when the time is over, when the pipeline ends, or when nobody has read for [`PATIENCE`].

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use inferd_core::Name;
use inferd_core::recorded::{End, FrameHead, Head, Line};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Frame, SourceInfo};

/// Bytes that may wait for the writer.
const WAITING_BYTES: usize = 64 << 20;

/// Frames that may wait for the writer.
const WAITING_FRAMES: usize = 256;

/// How long nobody may read.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether somebody still reads, while no frame comes.
const LOOK: Duration = Duration::from_secs(1);

/// A frame on its way to the writer.
#[derive(Debug)]
struct Copied {
    head: FrameHead,
    bytes: Vec<u8>,
}

/// What a source's thread gives copies to.
#[derive(Debug)]
pub(super) struct Tap {
    sender: SyncSender<Copied>,
    waiting_bytes: Arc<AtomicUsize>,
    /// Frames left out since the last copied one, and in all.
    missed: u64,
    missed_in_all: Arc<AtomicU64>,
    until: Instant,
}

impl Tap {
    /// Whether the writer is still there.
    pub(super) fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.waiting_bytes) > 1
    }

    /// Copies a frame; `false` where nobody wants any more.
    pub(super) fn copy(&mut self, frame: &Frame) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        let bytes = frame.slot.bytes();
        let waiting = self.waiting_bytes.load(Ordering::Relaxed);
        // One frame of any size may wait.
        if waiting > 0 && waiting.saturating_add(bytes.len()) > WAITING_BYTES {
            self.miss();
            return true;
        }
        let head = FrameHead {
            format: frame.format,
            captured_ns: frame.captured.as_ns(),
            captured_unix_ns: frame.captured_unix_ns,
            after_gap: frame.after_gap || self.missed > 0,
            missed: self.missed,
            bytes: bytes.len() as u64,
        };
        let length = bytes.len();
        // Counted before it is sent: the writer takes it off again.
        self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        match self.sender.try_send(Copied { head, bytes: bytes.to_vec() }) {
            Ok(()) => {
                self.missed = 0;
                true
            }
            Err(std::sync::mpsc::TrySendError::Full(_)) => {
                self.waiting_bytes.fetch_sub(length, Ordering::Relaxed);
                self.miss();
                true
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => false,
        }
    }

    fn miss(&mut self) {
        self.missed += 1;
        self.missed_in_all.fetch_add(1, Ordering::Relaxed);
    }
}

/// Begins a recording of `lasts` into `sink`; the tap is for the source's queue.
///
/// # Errors
/// Where the descriptor cannot be set up, or the system gives no thread.
pub(super) fn begin(pipeline: &Name, info: &SourceInfo, sink: File, lasts: Duration) -> io::Result<Tap> {
    let flags = OFlag::from_bits_retain(fcntl(sink.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(sink.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    let (sender, frames) = sync_channel(WAITING_FRAMES);
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let head = Head {
        inferd: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: pipeline.to_string(),
        source: info.line.clone(),
        kind: info.kind,
        rate_hz: info.rate_hz,
        channels: info.channels.clone(),
    };
    let until = Instant::now() + lasts;
    let missed_in_all = Arc::new(AtomicU64::new(0));
    let (waiting, missed) = (Arc::clone(&waiting_bytes), Arc::clone(&missed_in_all));
    let writer = Writer { sink, frames, waiting_bytes: waiting, missed_in_all: missed, until };
    let name = pipeline.clone();
    Builder::new().name(format!("rec-{pipeline}")).spawn(move || {
        if let Err(error) = writer.run(head) {
            tracing::warn!(pipeline = %name, %error, "a recording broke off");
        }
    })?;
    Ok(Tap { sender, waiting_bytes, missed: 0, missed_in_all, until })
}

struct Writer {
    sink: File,
    frames: Receiver<Copied>,
    waiting_bytes: Arc<AtomicUsize>,
    missed_in_all: Arc<AtomicU64>,
    until: Instant,
}

impl Writer {
    fn run(mut self, head: Head) -> io::Result<()> {
        self.line(&Line::Head(head))?;
        let mut end = End { frames: 0, missed: 0, reason: String::new() };
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match self.frames.recv_timeout(left.min(LOOK)) {
                Ok(copied) => {
                    self.waiting_bytes.fetch_sub(copied.bytes.len(), Ordering::Relaxed);
                    end.frames += 1;
                    self.line(&Line::Frame(copied.head))?;
                    self.all(&copied.bytes)?;
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => break,
                Err(RecvTimeoutError::Timeout) => self.is_read()?,
                Err(RecvTimeoutError::Disconnected) => {
                    if Instant::now() < self.until {
                        end.reason = "the pipeline ended".to_owned();
                    }
                    break;
                }
            }
        }
        end.missed = self.missed_in_all.load(Ordering::Relaxed);
        self.line(&Line::End(end))
    }

    /// Whether somebody still has the other end.
    ///
    /// # Errors
    /// Where nobody has.
    fn is_read(&self) -> io::Result<()> {
        let mut sink = [PollFd::new(self.sink.as_fd(), PollFlags::empty())];
        match poll(&mut sink, PollTimeout::ZERO) {
            Ok(ready) if ready > 0 => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.all(&text)
    }

    /// Writes it all, for as long as somebody reads.
    fn all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.sink.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.sink.as_fd(), PollFlags::POLLOUT)], timeout) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "nobody has read it for 10 s")),
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
