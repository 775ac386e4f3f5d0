//! From a source to frames, and from frames to windows. Each source has a named thread of its own that never waits for
//! anything but its data, its pace and its queue.
//!
//! The daemon cuts streams into frames and windows but never looks into a picture or a tensor: file headers are read,
//! contents are passed on.

mod csv;
mod images;
mod mjpeg;
mod npy;
mod queue;
mod reader;
mod recording;
mod wav;
mod window;
mod y4m;

use inferd_core::manifest::Kind;

use crate::host::clock::Tick;
use crate::host::frames::Slot;
pub use queue::{End, FrameQueue, Overflow};
pub use reader::SourceError;
pub use recording::{Player, open};
pub use window::{Mismatch, RECALLABLE, Window, Windower};
pub(crate) use window::{cut_alike, fits};

/// One unit from a source.
#[derive(Debug)]
pub struct Frame {
    /// When it was ready.
    pub captured: Tick,
    /// The same by the wall clock, nanoseconds since 1970.
    pub captured_unix_ns: i64,
    /// Frames before it were dropped: it does not go on where the one before it ended.
    pub after_gap: bool,
    /// How its bytes are to be read.
    pub format: inferd_core::frame::Format,
    /// Its bytes.
    pub slot: Slot,
}

/// What a source gives, known before its first frame.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceInfo {
    /// What its frames are.
    pub kind: Kind,
    /// Samples or rows per second, of audio and IMU; 0 otherwise.
    pub rate_hz: f64,
    /// Names of the columns, of IMU; empty otherwise.
    pub channels: Vec<String>,
    /// A line for people (`recording /data/belt, 120 images, 10 fps, loop`).
    pub line: String,
}
