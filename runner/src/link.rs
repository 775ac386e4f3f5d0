//! The runner's end of the daemon's socket: one packet in, one packet out, file descriptors on the way in.
//!
//! Invariants:
//! - Standard input is the socket, a `SOCK_SEQPACKET` one. Calls block; the daemon keeps the deadlines.
//! - Buffers are made once. A packet without descriptors costs no allocation but what its message holds.
//! - Received descriptors close on exec and are owned from the moment they arrive, so none leaks on an error.

#![expect(unsafe_code, reason = "the kernel hands over descriptors as numbers; owning one is a claim")]

use std::io::{IoSliceMut, Stdin, stdin};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use inferd_core::wire::{self, FromRunner, MAX_FDS, MAX_MESSAGE_BYTES, ToRunner, WireError};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};

/// The conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("cannot receive from the daemon on standard input; inferd-runner is started by inferd, not by hand")]
    Receive(#[source] Errno),
    #[error("cannot send to the daemon")]
    Send(#[source] Errno),
    #[error("the daemon's message is over {MAX_MESSAGE_BYTES} bytes")]
    Truncated,
    #[error("the daemon's message breaks the protocol")]
    Wire(#[from] WireError),
    #[error("the daemon's message carries {found} descriptors, {expected} are expected")]
    Descriptors { expected: usize, found: usize },
}

/// The descriptors that rode on a message.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<OwnedFd>);

impl Files {
    /// The descriptors, which must be exactly `N`.
    pub(crate) fn exactly<const N: usize>(self) -> Result<[OwnedFd; N], LinkError> {
        let found = self.0.len();
        <[OwnedFd; N]>::try_from(self.0).map_err(|_| LinkError::Descriptors { expected: N, found })
    }

    /// The first descriptor and the others, of which there must be `others`.
    pub(crate) fn first_and(self, others: usize) -> Result<(OwnedFd, Vec<OwnedFd>), LinkError> {
        let wrong = LinkError::Descriptors { expected: others.saturating_add(1), found: self.0.len() };
        let mut files = self.0.into_iter();
        match files.next() {
            Some(first) if files.len() == others => Ok((first, files.collect())),
            Some(_) | None => Err(wrong),
        }
    }
}

/// The socket with its buffers.
pub(crate) struct Link {
    socket: Stdin,
    packet: Vec<u8>,
    control: Vec<u8>,
    answer: Vec<u8>,
}

impl Link {
    /// The link over standard input.
    pub(crate) fn over_stdin() -> Self {
        Self {
            socket: stdin(),
            packet: vec![0; MAX_MESSAGE_BYTES],
            control: nix::cmsg_space!([RawFd; MAX_FDS]),
            answer: Vec::with_capacity(MAX_MESSAGE_BYTES),
        }
    }

    /// Waits for the daemon's next message and its descriptors; `None` once the daemon has closed its end.
    pub(crate) fn receive(&mut self) -> Result<Option<(ToRunner, Files)>, LinkError> {
        let fd = self.socket.as_raw_fd();
        let mut parts = [IoSliceMut::new(&mut self.packet)];
        let received = loop {
            self.control.resize(self.control.capacity(), 0);
            match recvmsg::<()>(fd, &mut parts, Some(&mut self.control), MsgFlags::MSG_CMSG_CLOEXEC) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                other => break other.map_err(LinkError::Receive)?,
            }
        };
        let mut files = Vec::new();
        for control in received.cmsgs().map_err(LinkError::Receive)? {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                files.extend(numbers.into_iter().map(|number| {
                    // SAFETY: the kernel has just made this descriptor for this message; nobody else knows it.
                    unsafe { OwnedFd::from_raw_fd(number) }
                }));
            }
        }
        if received.flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(LinkError::Truncated);
        }
        let bytes = received.bytes;
        if bytes == 0 && files.is_empty() {
            return Ok(None);
        }
        let message = wire::decode_to_runner(self.packet.get(..bytes).unwrap_or_default())?;
        Ok(Some((message, Files(files))))
    }

    /// Sends one message.
    pub(crate) fn send(&mut self, message: &FromRunner) -> Result<(), LinkError> {
        wire::encode(message, &mut self.answer)?;
        loop {
            match send(self.socket.as_raw_fd(), &self.answer, MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EINTR) => {}
                other => return other.map(drop).map_err(LinkError::Send),
            }
        }
    }
}
