//! The private protocol between the daemon and one runner: two enums over one `SOCK_SEQPACKET` socket.
//!
//! Invariants:
//! - One message is one packet of at most [`MAX_MESSAGE_BYTES`]; a longer or undecodable one ends the runner.
//! - The daemon speaks first: one [`ToRunner::Load`], answered by one [`FromRunner::Ready`] or [`FromRunner::Refused`].
//! - After that every [`ToRunner::Golden`] and every [`ToRunner::Infer`] is answered exactly once, in order.
//! - Frames never travel in a message. They lie in a memory file that the daemon alone can write (sealed against
//!   growing, shrinking and further writers); a message names the place. File descriptors ride on the message that
//!   mentions them, in the order in which it does.
//! - The runner is the untrusted side: the daemon checks every number it sends before it uses it.
//!
//! Layout: the postcard encoding of the enum, nothing before or after it. Both sides come from one build, so there is no
//! version negotiation: [`PROTOCOL`] only turns a mixed installation into a clear error. For that two things stay as they
//! are for good: a [`ToRunner::Load`] begins with its variant (0) and the protocol, and [`FromRunner::Refused`] is variant 1
//! with one text.

mod spec;

use serde::{Deserialize, Serialize};

use crate::frame::Format;
use crate::outcome::Failure;
use crate::prediction::{Prediction, StageTimes};

pub use spec::{Decoding, ModelSpec};

/// Changes with every change of an encoding; a test holds both together.
pub const PROTOCOL: u32 = 4;

/// The largest message. Linux lets a socket hold about 208 KiB by default; half of that always fits.
pub const MAX_MESSAGE_BYTES: usize = 104 * 1024;

/// The most file descriptors on one message.
pub const MAX_FDS: usize = 3;

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToRunner {
    /// Load this model and get ready. Carries one descriptor: the artifact, read-only. Stays variant 0.
    Load(Box<Load>),
    /// From now on windows may lie in this memory file. Carries one descriptor: the file. Replaces the one before.
    Pool {
        /// Names the file in later messages.
        pool: u32,
        /// Its length.
        bytes: u64,
    },
    /// Run this golden sample. Carries read-only files: the input, then every expected output.
    Golden(GoldenRun),
    /// Run this window.
    Infer(WindowRef),
}

/// Everything a runner is told about its model. Fits one message whatever the manifest says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// [`PROTOCOL`] of the sender. Stays the first field.
    pub protocol: u32,
    /// What goes in and what comes out.
    pub model: ModelSpec,
    /// Length of the artifact.
    pub artifact_bytes: u64,
    /// How the runner is to be confined.
    pub limits: Limits,
    /// Runs before the runner says that it is ready, so that the first real window is as fast as the rest.
    pub warm_up_runs: u32,
}

/// What a runner may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space in bytes (`RLIMIT_AS`), without the memory file that frames lie in.
    pub memory_bytes: u64,
    /// Compute threads of the backend.
    pub threads: u32,
    /// What must confine the runner for it to serve.
    pub sandbox: SandboxPolicy,
}

/// What must confine a runner for it to serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxPolicy {
    /// All that inferd knows how to ask for.
    Full,
    /// At least the filter of system calls, which by itself refuses every path, socket and program; Landlock where the kernel has
    /// it. Kernels of small boards often have not.
    #[default]
    Filtered,
    /// Whatever there is.
    BestEffort,
}

/// One golden sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenRun {
    /// Index in the manifest.
    pub index: u32,
    /// How the input file is to be read; [`Format::Npy`] goes to the model as it is, all others through preprocessing.
    pub format: Format,
    /// Length of the input file.
    pub input_bytes: u64,
    /// Lengths of the expected outputs, `.npy` files: one for each tensor that the task reads, in the manifest's order.
    pub expected_bytes: Vec<u64>,
}

/// A window's place in the shared memory file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowRef {
    /// The window's number, given back with the answer.
    pub seq: u64,
    /// Which memory file.
    pub pool: u32,
    /// First byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// How to read them.
    pub format: Format,
}

/// What a runner says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromRunner {
    /// Loaded, warm, sealed.
    Ready(Ready),
    /// This model cannot be served. The runner ends after this. Stays variant 1.
    Refused {
        /// A sentence for a person: what does not fit and what to do.
        reason: String,
    },
    /// How a golden sample went.
    Golden {
        /// The sample's index.
        index: u32,
        /// How it went.
        result: GoldenResult,
    },
    /// A window's result.
    Done {
        /// The window's number.
        seq: u64,
        /// The decoded output.
        prediction: Prediction,
        /// Where the time went.
        times: StageTimes,
    },
    /// A window that could not be served; the runner goes on.
    Failed {
        /// The window's number.
        seq: u64,
        /// Where and why.
        failure: Failure,
    },
}

/// A runner's report when it is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The backend that serves (`tract`).
    pub backend: String,
    /// What confines the runner from here on.
    pub sandbox: SandboxReport,
    /// Time to parse and optimise the artifact.
    pub load_ns: u64,
    /// Time of the last warm-up run.
    pub warm_ns: u64,
}

/// What the kernel really granted. Reported as found, never as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxReport {
    /// No privileges can be gained by exec any more.
    pub no_new_privs: bool,
    /// Landlock denies every path (and, from ABI 4, TCP); the ABI in force, 0 where the kernel has none.
    pub landlock_abi: u32,
    /// The system-call allowlist is in force.
    pub seccomp: bool,
    /// The resource limits are in force.
    pub rlimits: bool,
}

impl SandboxReport {
    /// Everything that inferd knows how to ask for is in force.
    pub const fn is_full(&self) -> bool {
        self.no_new_privs && self.landlock_abi > 0 && self.seccomp && self.rlimits
    }

    /// Whether that is enough.
    pub const fn satisfies(&self, policy: SandboxPolicy) -> bool {
        match policy {
            SandboxPolicy::Full => self.is_full(),
            SandboxPolicy::Filtered => self.no_new_privs && self.seccomp && self.rlimits,
            SandboxPolicy::BestEffort => true,
        }
    }

    /// `full`, `partial` or `none`.
    pub const fn level(&self) -> &'static str {
        if self.is_full() {
            "full"
        } else if self.seccomp || self.landlock_abi > 0 {
            "partial"
        } else {
            "none"
        }
    }
}

/// How a golden sample went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GoldenResult {
    /// It was decoded without an error, and every output was compared with the expected one.
    Compared {
        /// Largest absolute difference in any of them.
        max_difference: f32,
    },
    /// It could not be run or compared.
    Failed(Failure),
}

/// A message that cannot be sent or understood.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It would not fit into one packet.
    #[error("message of {bytes} bytes is over the limit of {MAX_MESSAGE_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The bytes are not of this protocol.
    #[error("message cannot be decoded")]
    Malformed(#[source] postcard::Error),
    /// The sender comes from another build.
    #[error(
        "this program speaks protocol {PROTOCOL}, the other one {found}: install inferd and inferd-runner from one package"
    )]
    Protocol {
        /// The sender's [`PROTOCOL`].
        found: u32,
    },
}

/// Writes `message` into `buffer`, which is cleared first and keeps its capacity.
///
/// # Errors
/// [`WireError::TooLong`] where it would not fit into one packet.
pub fn encode<T: Serialize>(message: &T, buffer: &mut Vec<u8>) -> Result<(), WireError> {
    buffer.clear();
    let written = postcard::to_extend(message, std::mem::take(buffer)).map_err(WireError::Malformed)?;
    *buffer = written;
    if buffer.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong { bytes: buffer.len() });
    }
    Ok(())
}

/// Reads one message; bytes left over are an error too.
///
/// # Errors
/// [`WireError::Malformed`] or [`WireError::TooLong`].
pub fn decode<'a, T: Deserialize<'a>>(packet: &'a [u8]) -> Result<T, WireError> {
    if packet.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong { bytes: packet.len() });
    }
    match postcard::take_from_bytes(packet) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(WireError::Malformed(postcard::Error::DeserializeUnexpectedEnd)),
        Err(error) => Err(WireError::Malformed(error)),
    }
}

/// Reads a message to a runner. The protocol of a [`ToRunner::Load`] is looked at before the rest: what another build sends
/// cannot be decoded, and the reason would not be told.
///
/// # Errors
/// [`WireError`]
pub fn decode_to_runner(packet: &[u8]) -> Result<ToRunner, WireError> {
    // Peeled one by one: the second number of other messages may not fit.
    let first = postcard::take_from_bytes::<u32>(packet);
    let protocol = first.and_then(|(variant, rest)| Ok((variant, postcard::take_from_bytes::<u32>(rest)?.0)));
    match protocol {
        Ok((0, found)) if found != PROTOCOL => Err(WireError::Protocol { found }),
        Ok(_) | Err(_) => decode(packet),
    }
}

#[cfg(test)]
mod tests;
