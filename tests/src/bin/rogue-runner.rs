//! A runner that does not keep to the protocol, for tests of what the daemon makes of it. It serves five windows as it
//! should and then does what the description in its model's manifest says; some tricks come before the first window.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context as _, bail};
use inferd_core::manifest::{Manifest, Task};
use inferd_core::outcome::{FailedStage, Failure};
use inferd_core::prediction::{MAX_VALUES, Prediction, StageTimes};
use inferd_core::wire::{self, FromRunner, GoldenResult, MAX_MESSAGE_BYTES, Ready, SandboxReport, ToRunner};
use nix::sys::socket::{MsgFlags, recvmsg, sendmsg};

/// Windows that are served well before it happens.
const GOOD_WINDOWS: u32 = 5;

/// A text that must not reach a bus or a terminal as it is.
const UNSHOWABLE: &str = "a\0b\u{1b}[2Jc\n";

fn main() -> anyhow::Result<()> {
    let socket = std::io::stdin().as_raw_fd();
    let Some(ToRunner::Load(load)) = receive(socket)? else { bail!("the first message is no load") };
    let rogue = Rogue { socket, manifest: load.manifest };
    rogue.load()?;
    let mut served = 0;
    while let Some(message) = receive(socket)? {
        match message {
            ToRunner::Infer(window) => {
                served += 1;
                if served > GOOD_WINDOWS {
                    rogue.misbehave(window.seq)?;
                } else {
                    rogue.say(&rogue.done(window.seq))?;
                }
            }
            ToRunner::Golden(run) => rogue.golden(run.index)?,
            ToRunner::Load(_) | ToRunner::Pool { .. } => {}
        }
    }
    Ok(())
}

struct Rogue {
    socket: RawFd,
    manifest: Manifest,
}

impl Rogue {
    fn trick(&self) -> &str {
        &self.manifest.description
    }

    fn load(&self) -> anyhow::Result<()> {
        match self.trick() {
            "answers a load with a window" => self.say(&self.done(0))?,
            "refuses in words that cannot be shown" => {
                return self.say(&FromRunner::Refused { reason: UNSHOWABLE.repeat(4_000) });
            }
            "hangs at load" => return wait_for_the_end(self.socket),
            "dies at load" => std::process::exit(3),
            _ => {}
        }
        self.say(&self.ready())
    }

    fn golden(&self, index: u32) -> anyhow::Result<()> {
        match self.trick() {
            "hangs at golden" => wait_for_the_end(self.socket),
            "fails at golden in words that cannot be shown" => {
                self.say(&FromRunner::Golden { index, result: GoldenResult::Failed(unshowable()) })
            }
            _ => self.say(&FromRunner::Golden { index, result: GoldenResult::Compared { max_difference: 0.0 } }),
        }
    }

    fn misbehave(&self, seq: u64) -> anyhow::Result<()> {
        let answer = |prediction| self.say(&FromRunner::Done { seq, prediction, times: StageTimes::default() });
        match self.trick() {
            "sends bytes of no message" => send(self.socket, &[0xFF; 64]),
            "sends a packet that is too long" => send(self.socket, &vec![0; MAX_MESSAGE_BYTES + 4096]),
            "answers another window" => self.say(&self.done(seq + 1)),
            "answers twice" => self.say(&self.done(seq)).and_then(|()| self.say(&self.done(seq))),
            "answers NaN" => answer(Prediction::Raw(vec![f32::NAN])),
            "answers another kind" => answer(Prediction::Anomaly(1.0)),
            "answers too many values" => answer(Prediction::Raw(vec![1.0; MAX_VALUES + 1])),
            "answers too many classes" => answer(Prediction::Classes(vec![0.5; 3])),
            "fails in words that cannot be shown" => self.say(&FromRunner::Failed { seq, failure: unshowable() }),
            "sends an empty packet" => send(self.socket, &[]),
            "says that it is ready again" => self.say(&self.ready()),
            "ends" => std::process::exit(3),
            "aborts" => std::process::abort(),
            // It takes the window and says nothing.
            "hangs" => Ok(()),
            "serves" | "has a backend that cannot be shown" => self.say(&self.done(seq)),
            other => bail!("no trick is called `{other}`"),
        }
    }

    fn ready(&self) -> FromRunner {
        let sandbox = SandboxReport { no_new_privs: true, landlock_abi: 1, seccomp: true, rlimits: true };
        let backend = if self.trick() == "has a backend that cannot be shown" { UNSHOWABLE } else { "rogue" };
        FromRunner::Ready(Ready { backend: backend.to_owned(), sandbox, load_ns: 1, warm_ns: 1 })
    }

    fn done(&self, seq: u64) -> FromRunner {
        let prediction = match self.manifest.output.task {
            Task::Classification { .. } => Prediction::Classes(vec![0.5; self.manifest.output.labels.len()]),
            Task::Detection(_) | Task::Anomaly(_) | Task::Regression | Task::Raw => Prediction::Raw(vec![1.0]),
        };
        FromRunner::Done { seq, prediction, times: StageTimes::default() }
    }

    fn say(&self, message: &FromRunner) -> anyhow::Result<()> {
        let mut packet = Vec::new();
        wire::encode(message, &mut packet)?;
        send(self.socket, &packet)
    }
}

fn unshowable() -> Failure {
    Failure { stage: FailedStage::Decode, reason: UNSHOWABLE.to_owned() }
}

/// Says nothing until the daemon has had enough.
fn wait_for_the_end(socket: RawFd) -> anyhow::Result<()> {
    while receive(socket)?.is_some() {}
    Ok(())
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
