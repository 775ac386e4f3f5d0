//! What waking costs on this machine: the least that a window's way through a daemon and a runner can add.
//!
//! A window's way has three wake-ups: the source wakes the pipeline, the pipeline the runner, the runner the pipeline. Here
//! the same three happen with nothing in between: a timer, an eventfd, and a process at the other end of a seqpacket
//! socket that sends back what it gets. It runs at the same time as the pipelines, so it meets the same machine.

use std::io::stdin;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

/// The argument that makes this program the other process.
pub(crate) const ECHO: &str = "echo";

/// As a window is announced and answered.
const MESSAGE_BYTES: usize = 100;

/// A pace between the pipelines' ones.
const PERIOD: Duration = Duration::from_millis(40);

/// The chain, at work until [`finish`](Self::finish).
pub(crate) struct Chain {
    pipeline: JoinHandle<anyhow::Result<Vec<f64>>>,
    runner: Child,
}

impl Chain {
    /// Starts the process and the two threads; for so long.
    ///
    /// # Errors
    /// Where the system gives none.
    pub(crate) fn start(time: Duration) -> anyhow::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let runner = Command::new(std::env::current_exe()?).arg(ECHO).stdin(Stdio::from(theirs)).spawn()?;
        let bell = Arc::new(EventFd::new()?);
        let source_bell = Arc::clone(&bell);
        // One frame is on its way at a time.
        let (frames, ready) = sync_channel(1);
        Builder::new().name("floor-source".into()).spawn(move || {
            let end = Instant::now() + time;
            while Instant::now() < end {
                std::thread::sleep(PERIOD);
                // The receiver is there until the sender is gone.
                let _ = frames.send(Instant::now());
                let _ = source_bell.write(1);
            }
            drop(frames);
            let _ = source_bell.write(1);
        })?;
        let pipeline = Builder::new().name("floor-pipeline".into()).spawn(move || carry(&bell, &ready, &ours))?;
        Ok(Self { pipeline, runner })
    }

    /// Microseconds from a frame to its answer, for every frame.
    ///
    /// # Errors
    /// Where a part failed.
    pub(crate) fn finish(mut self) -> anyhow::Result<Vec<f64>> {
        let times = self.pipeline.join().map_err(|_| anyhow::anyhow!("the chain panicked"))?;
        self.runner.wait()?;
        times
    }
}

/// The pipeline's part; closes the socket at the end.
fn carry(bell: &EventFd, ready: &Receiver<Instant>, socket: &OwnedFd) -> anyhow::Result<Vec<f64>> {
    let mut times_us = Vec::new();
    let mut message = [0; MESSAGE_BYTES];
    loop {
        wait(PollFd::new(bell.as_fd(), PollFlags::POLLIN))?;
        bell.read()?;
        // Two rings may be heard as one, the last frame's and the end's.
        loop {
            let frame = match ready.try_recv() {
                Ok(frame) => frame,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(times_us),
            };
            send(socket.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL)?;
            wait(PollFd::new(socket.as_fd(), PollFlags::POLLIN))?;
            recv(socket.as_raw_fd(), &mut message, MsgFlags::empty())?;
            times_us.push(frame.elapsed().as_secs_f64() * 1e6);
        }
    }
}

fn wait(what: PollFd<'_>) -> anyhow::Result<()> {
    poll(&mut [what], PollTimeout::NONE)?;
    Ok(())
}

/// The runner's part: sends every message back until the socket is closed.
///
/// # Errors
/// Where standard input is no such socket.
pub(crate) fn echo() -> anyhow::Result<()> {
    let socket = stdin();
    let mut message = [0; MESSAGE_BYTES];
    loop {
        let length = recv(socket.as_raw_fd(), &mut message, MsgFlags::empty())?;
        if length == 0 {
            return Ok(());
        }
        send(socket.as_raw_fd(), &message[..length], MsgFlags::MSG_NOSIGNAL)?;
    }
}
