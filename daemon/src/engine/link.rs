//! The daemon's end of the socket to a runner.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use inferd_core::wire::{self, FromRunner, GoldenResult, MAX_MESSAGE_BYTES, ToRunner, WireError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};

use crate::host::error::one_line;

/// The longest text of a runner that is passed on.
const MAX_TEXT_BYTES: usize = 2 << 10;

/// The runner cannot be talked to any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It has closed its end: it died.
    #[error("the runner has ended")]
    Closed,
    /// It sent what is not of the protocol, or at the wrong moment.
    #[error("the runner broke the protocol: {0}")]
    Protocol(String),
    /// It did not answer, or did not take a message, in time.
    #[error("the runner did not answer within {0:?}")]
    Late(Duration),
    /// The system said no.
    #[error("cannot talk to the runner")]
    Io(#[source] std::io::Error),
}

impl From<WireError> for LinkError {
    fn from(error: WireError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// A connected socket with its buffers.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Link {
    /// Our end, and the runner's.
    pub(super) fn pair() -> std::io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((
            Self { socket: ours, outgoing: Vec::with_capacity(4096), incoming: vec![0; MAX_MESSAGE_BYTES + 1] },
            theirs,
        ))
    }

    /// Sends a message with its descriptors; a runner that does not take it within `patience` is late.
    pub(super) fn send(
        &mut self,
        message: &ToRunner,
        fds: &[BorrowedFd<'_>],
        patience: Duration,
    ) -> Result<(), LinkError> {
        wire::encode(message, &mut self.outgoing)?;
        let fds: [i32; wire::MAX_FDS] = std::array::from_fn(|i| fds.get(i).map_or(-1, AsRawFd::as_raw_fd));
        let count = fds.iter().take_while(|fd| **fd >= 0).count();
        let rights = [ControlMessage::ScmRights(&fds[..count])];
        let control = if count == 0 { &[][..] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            match sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&self.outgoing)], control, flags, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT, patience)?,
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(LinkError::Closed),
                Err(errno) => return Err(LinkError::Io(errno.into())),
            }
        }
    }

    /// The next message, if one has come; its texts are [`cleaned`]. What a runner said before it ended is read first.
    pub(super) fn try_receive(&mut self) -> Result<Option<FromRunner>, LinkError> {
        match self.receive_packet() {
            Ok(0) => Err(LinkError::Closed),
            Ok(length) => match self.incoming.get(..length) {
                Some(packet) => Ok(Some(cleaned(wire::decode(packet)?))),
                None => Err(WireError::TooLong { bytes: length }.into()),
            },
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(LinkError::Io(errno.into())),
        }
    }

    fn receive_packet(&mut self) -> Result<usize, Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        match recv(self.socket.as_raw_fd(), &mut self.incoming, flags) {
            // Told once, before anything else, where the other end was closed with messages of ours unread. Its own may
            // still lie here; after them there is the end.
            Err(Errno::ECONNRESET) => recv(self.socket.as_raw_fd(), &mut self.incoming, flags),
            other => other,
        }
    }

    /// The next message; waits for it.
    pub(super) fn receive(&mut self, patience: Duration) -> Result<FromRunner, LinkError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(message) = self.try_receive()? {
                return Ok(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LinkError::Late(patience));
            }
            self.wait(PollFlags::POLLIN, left).or_else(|error| match error {
                LinkError::Late(_) => Ok(()),
                other => Err(other),
            })?;
        }
    }

    fn wait(&self, events: PollFlags, patience: Duration) -> Result<(), LinkError> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), events)], timeout) {
            Ok(0) => Err(LinkError::Late(patience)),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(LinkError::Io(errno.into())),
        }
    }

    /// Readable when a message has come or the runner has ended.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a message is, for a sentence: its contents are not to be trusted, and long.
pub(super) const fn word(message: &FromRunner) -> &'static str {
    match message {
        FromRunner::Ready(_) => "that it is ready",
        FromRunner::Refused { .. } => "a refusal",
        FromRunner::Golden { .. } => "the result of a golden sample",
        FromRunner::Done { .. } => "a window's prediction",
        FromRunner::Failed { .. } => "a window's failure",
    }
}

/// The message with texts that can be shown: at most 2 KiB, without control characters. A NUL would end the connection to
/// the bus, an escape sequence would reach a terminal.
fn cleaned(mut message: FromRunner) -> FromRunner {
    match &mut message {
        FromRunner::Ready(ready) => clean(&mut ready.backend),
        FromRunner::Refused { reason } => clean(reason),
        FromRunner::Failed { failure, .. } | FromRunner::Golden { result: GoldenResult::Failed(failure), .. } => {
            clean(&mut failure.reason);
        }
        FromRunner::Golden { result: GoldenResult::Compared { .. }, .. } | FromRunner::Done { .. } => {}
    }
    message
}

fn clean(text: &mut String) {
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    if text.contains(char::is_control) {
        *text = one_line(text);
    }
}

#[cfg(test)]
mod tests {
    use inferd_core::outcome::{FailedStage, Failure};

    use super::*;
    use crate::engine::fake::Peer;

    fn failed(seq: u64, reason: &str) -> FromRunner {
        FromRunner::Failed { seq, failure: Failure { stage: FailedStage::Decode, reason: reason.to_owned() } }
    }

    #[test]
    fn what_a_runner_said_before_it_ended_is_heard() {
        let (mut link, peer) = Peer::linked();
        // It ends with a message of ours unread, which the system reports before all else.
        link.send(&ToRunner::Pool { pool: 1, bytes: 1 }, &[], Duration::ZERO).unwrap();
        peer.say(&failed(7, "unreadable"));
        peer.say(&failed(8, "unreadable"));
        drop(peer);
        assert_eq!(link.try_receive().unwrap(), Some(failed(7, "unreadable")));
        assert_eq!(link.try_receive().unwrap(), Some(failed(8, "unreadable")));
        assert!(matches!(link.try_receive(), Err(LinkError::Closed)));
    }

    #[test]
    fn texts_are_short_and_can_be_shown() {
        let long = format!("{}é{}", "x".repeat(MAX_TEXT_BYTES - 1), "y".repeat(100));
        for (text, expected) in [
            ("no JPEG", "no JPEG".to_owned()),
            ("a\0b\nc\u{1b}[31m", "a b c [31m".to_owned()),
            (&*long, "x".repeat(MAX_TEXT_BYTES - 1)),
        ] {
            let (mut link, peer) = Peer::linked();
            peer.say(&failed(0, text));
            assert_eq!(link.try_receive().unwrap(), Some(failed(0, &expected)));
            peer.say(&FromRunner::Refused { reason: text.to_owned() });
            assert_eq!(link.try_receive().unwrap(), Some(FromRunner::Refused { reason: expected }));
        }
    }
}
