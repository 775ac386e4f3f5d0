//! What the tests of this room share: a runner whose other end a test holds, versions and windows without files.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use inferd_core::frame::Format;
use inferd_core::manifest::Manifest;
use inferd_core::prediction::{Prediction, StageTimes};
use inferd_core::wire::{
    self, FromRunner, Limits, MAX_MESSAGE_BYTES, Ready, SandboxPolicy, SandboxReport, ToRunner, WindowRef,
};
use inferd_core::{Digest, ModelId};
use nix::sys::socket::{MsgFlags, recvmsg, sendmsg};

use super::RunnerSettings;
use super::link::Link;
use super::process::Runner;
use crate::capture::Window;
use crate::host::clock::Tick;
use crate::host::frames::Pool;
use crate::model::store::{LoadedVersion, SealedFile};

/// The runner's end of a link.
pub(crate) struct Peer(OwnedFd);

impl Peer {
    /// A link and its other end.
    pub(super) fn linked() -> (Link, Self) {
        let (link, theirs) = Link::pair().unwrap();
        (link, Self(theirs))
    }

    /// A runner that is ready, and its end.
    pub(crate) fn runner(version: &Arc<LoadedVersion>) -> (Runner, Self) {
        let (link, peer) = Self::linked();
        let sandbox = SandboxReport { no_new_privs: true, landlock_abi: 1, seccomp: true, rlimits: true };
        let ready = Ready { backend: "fake".into(), sandbox, load_ns: 1, warm_ns: 1 };
        (Runner::fake(link, Arc::clone(version), ready), peer)
    }

    pub(crate) fn say(&self, message: &FromRunner) {
        let mut packet = Vec::new();
        wire::encode(message, &mut packet).unwrap();
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&packet)], &[], MsgFlags::MSG_NOSIGNAL, None).unwrap();
    }

    /// Answers a window as it should be.
    pub(crate) fn serve(&self, seq: u64) {
        let prediction = Prediction::Raw(vec![1.0]);
        self.say(&FromRunner::Done { seq, prediction, times: StageTimes::default() });
    }

    /// Numbers of the windows that came.
    pub(crate) fn windows(&self) -> Vec<u64> {
        self.received().iter().map(|window| window.seq).collect()
    }

    /// The windows that came.
    pub(crate) fn received(&self) -> Vec<WindowRef> {
        let mut packet = vec![0; MAX_MESSAGE_BYTES];
        let mut windows = Vec::new();
        loop {
            let mut parts = [IoSliceMut::new(&mut packet)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let Ok(received) = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, None, flags) else { return windows };
            let bytes = received.bytes;
            match wire::decode(&packet[..bytes]) {
                Ok(ToRunner::Infer(window)) => windows.push(window),
                Ok(_) => {}
                Err(_) => return windows,
            }
        }
    }
}

/// A version of motion whose windows have this many rows of channel `a`.
pub(crate) fn version(number: &str, length: u32) -> Arc<LoadedVersion> {
    motion(number, length, "\"a\"")
}

/// The same with other channels, in quotes.
pub(crate) fn motion(number: &str, length: u32, channels: &str) -> Arc<LoadedVersion> {
    let count = channels.split(',').count();
    let text = format!(
        "format = 1\nname = \"fake\"\nversion = \"{number}\"\nlicence = \"MIT\"\nartifact = {{ file = \"model.onnx\" }}\n\
         input = {{ kind = \"imu\", shape = [1, {length}, {count}], layout = \"NTC\", imu = {{ rate_hz = 10.0, channels = [{channels}] }} }}\n\
         window = {{ length = {length}, hop = {length} }}\noutput = {{ task = \"raw\" }}\n"
    );
    let manifest = Manifest::parse(&text, &mut |_| Err(String::new())).unwrap();
    let id = ModelId {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        digest: Digest::from_bytes([u8::try_from(length).unwrap(); 32]),
    };
    let artifact = SealedFile { fd: File::open("/dev/null").unwrap().into(), bytes: 0 };
    Arc::new(LoadedVersion { id: Arc::new(id), manifest: Arc::new(manifest), labels: Arc::default(), artifact })
}

/// A window of one byte.
pub(crate) fn window(seq: u64) -> Window {
    let mut slot = Pool::new(1, 1).unwrap().try_take().unwrap();
    slot.set_len(1);
    let format = Format::Imu { rate_hz: 10.0, channels: 1 };
    Window { seq, captured: Tick::default(), captured_unix_ns: 0, format, channels: Arc::default(), slot }
}

/// Settings with a deadline of a second. No program is started by them.
pub(crate) fn settings() -> RunnerSettings {
    let second = std::time::Duration::from_secs(1);
    let limits = Limits { memory_bytes: 1, threads: 1, sandbox: SandboxPolicy::BestEffort };
    RunnerSettings { program: "/absent".into(), limits, group: None, start_timeout: second, deadline: second }
}
