//! A runner that does not keep to the protocol, for tests of what the daemon makes of it. It serves five windows as it
//! should and then does what the name of its model's input tensor says.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context as _, bail};
use inferd_core::prediction::{Prediction, StageTimes};
use inferd_core::wire::{self, FromRunner, MAX_MESSAGE_BYTES, Ready, SandboxReport, ToRunner};
use nix::sys::socket::{MsgFlags, recvmsg, sendmsg};

/// Windows that are served well before it happens.
const GOOD_WINDOWS: u32 = 5;

fn main() -> anyhow::Result<()> {
    let socket = std::io::stdin().as_raw_fd();
    let Some(ToRunner::Load(load)) = receive(socket)? else { bail!("the first message is no load") };
    let trick = load.model.input.tensor.unwrap_or_default();
    if trick == "answers a load with a window" {
        say(socket, &done(0))?;
    }
    say(socket, &ready())?;
    let mut served = 0;
    while let Some(message) = receive(socket)? {
        let ToRunner::Infer(window) = message else { continue };
        served += 1;
        if served > GOOD_WINDOWS {
            misbehave(socket, &trick, window.seq)?;
        } else {
            say(socket, &done(window.seq))?;
        }
    }
    Ok(())
}

fn misbehave(socket: RawFd, trick: &str, seq: u64) -> anyhow::Result<()> {
    match trick {
        "sends bytes of no message" => send(socket, &[0xFF; 64]),
        "sends a packet that is too long" => send(socket, &vec![0; MAX_MESSAGE_BYTES + 4096]),
        "answers another window" => say(socket, &done(seq + 1)),
        "answers twice" => say(socket, &done(seq)).and_then(|()| say(socket, &done(seq))),
        "sends an empty packet" => send(socket, &[]),
        "says that it is ready again" => say(socket, &ready()),
        "ends" => std::process::exit(3),
        "aborts" => std::process::abort(),
        // It takes the window and says nothing.
        "hangs" => Ok(()),
        other => bail!("no trick is called `{other}`"),
    }
}

fn ready() -> FromRunner {
    let sandbox = SandboxReport { no_new_privs: true, landlock_abi: 1, seccomp: true, rlimits: true };
    FromRunner::Ready(Ready { backend: "rogue".into(), sandbox, load_ns: 1, warm_ns: 1 })
}

fn done(seq: u64) -> FromRunner {
    FromRunner::Done { seq, prediction: Prediction::Raw(vec![1.0]), times: StageTimes::default() }
}

fn say(socket: RawFd, message: &FromRunner) -> anyhow::Result<()> {
    let mut packet = Vec::new();
    wire::encode(message, &mut packet)?;
    send(socket, &packet)
}

fn send(socket: RawFd, packet: &[u8]) -> anyhow::Result<()> {
    sendmsg::<()>(socket, &[IoSlice::new(packet)], &[], MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// The next message, its descriptors left unread; `None` where the daemon has closed.
fn receive(socket: RawFd) -> anyhow::Result<Option<ToRunner>> {
    let mut packet = vec![0; MAX_MESSAGE_BYTES];
    let mut parts = [IoSliceMut::new(&mut packet)];
    let bytes = recvmsg::<()>(socket, &mut parts, None, MsgFlags::empty())?.bytes;
    if bytes == 0 {
        return Ok(None);
    }
    wire::decode(&packet[..bytes]).map(Some).context("the daemon's message cannot be decoded")
}
