//! What a source has given, on its way to whoever records it: a line of JSON, and after a frame's line its bytes.
//!
//! The daemon writes it to the descriptor that it was given (`Record` on the bus); `inferctl record` makes files of it.

use serde::{Deserialize, Serialize};

use crate::frame::Format;
use crate::manifest::Kind;

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The first one.
    Head(Head),
    /// A frame, whose bytes follow.
    Frame(FrameHead),
    /// The last one. Where it is missing, the stream broke off.
    End(End),
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The daemon's version.
    pub inferd: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its source in a line.
    pub source: String,
    /// What its frames are.
    pub kind: Kind,
    /// Samples or rows per second, of audio and IMU; 0 otherwise.
    pub rate_hz: f64,
    /// Names of the columns, of IMU; empty otherwise.
    pub channels: Vec<String>,
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameHead {
    /// How its bytes are to be read.
    pub format: Format,
    /// When it was ready, nanoseconds on a clock that only goes forward.
    pub captured_ns: u64,
    /// The same by the wall clock, nanoseconds since 1970.
    pub captured_unix_ns: i64,
    /// It does not go on where the one before it ended.
    pub after_gap: bool,
    /// Frames before it that the recording lacks: its reader was too slow.
    pub missed: u64,
    /// How many bytes follow.
    pub bytes: u64,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Frames in all.
    pub frames: u64,
    /// Frames that the recording lacks.
    pub missed: u64,
    /// Why it ended before its time; empty where it did not.
    pub reason: String,
}
