//! The daemon's end of the socket to a runner.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use inferd_core::wire::{self, FromRunner, MAX_MESSAGE_BYTES, ToRunner, WireError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};

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

    /// The next message, if one has come.
    pub(super) fn try_receive(&mut self) -> Result<Option<FromRunner>, LinkError> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        match recv(self.socket.as_raw_fd(), &mut self.incoming, flags) {
            Ok(0) | Err(Errno::ECONNRESET) => Err(LinkError::Closed),
            Ok(length) => match self.incoming.get(..length) {
                Some(packet) => Ok(Some(wire::decode(packet)?)),
                None => Err(WireError::TooLong { bytes: length }.into()),
            },
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(LinkError::Io(errno.into())),
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
