//! From a source to frames, and from frames to windows. Each source has a named thread of its own that never waits for
//! anything but its data, its pace and its queue.
//!
//! The daemon cuts streams into frames and windows but never looks into a picture or a tensor: file headers are read,
//! contents are passed on.

mod attached;
mod batch;
mod camera;
mod command;
mod error;
mod format;
mod imu;
mod live;
mod microphone;
mod mqtt;
mod pace;
mod queue;
mod record;
mod recording;
mod rest;
mod slots;
mod window;

use std::io;
use std::thread::JoinHandle;

use inferd_core::Name;
use inferd_core::frame::ImageSize;
use inferd_core::manifest::{Kind, Manifest, Preprocess};

use crate::config;
use crate::host::clock::{Clock, Tick};
use crate::host::frames::Slot;
use crate::host::wake::Bell;
pub use attached::{Attached, attached};
pub use error::SourceError;
pub(crate) use pace::Pace;
pub use queue::{End, Figures, FrameQueue, NotRecorded, Obstacle, Overflow};
pub use rest::Rest;
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

/// A source that can be started: what it gives is known.
pub trait Source: Send {
    /// What it gives.
    fn info(&self) -> &SourceInfo;

    /// Whether a break is the end: it would break in the same way again.
    fn ends_for_good(&self) -> bool;

    /// Starts the thread that puts its frames into a queue. The thread ends soon after [`FrameQueue::stop`].
    ///
    /// # Errors
    /// Where the system gives no thread, or no descriptor.
    fn start(self: Box<Self>, wiring: Wiring) -> io::Result<(FrameQueue, JoinHandle<()>)>;
}

/// What a source is started with.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The pipeline's name.
    pub pipeline: Name,
    /// Time.
    pub clock: Clock,
    /// Rung whenever the pipeline should look.
    pub bell: Bell,
    /// When a live source is closed on purpose.
    pub rest: Rest,
}

#[cfg(test)]
impl Wiring {
    /// For a source that never rests.
    fn of_test(clock: Clock) -> Self {
        let bell = Bell::new().expect("there are descriptors");
        Self { pipeline: "test".parse().expect("a name"), clock, bell, rest: Rest::never() }
    }
}

/// What a model needs, as far as a device can be set to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Of pictures: the tensor's size.
    pub size: Option<ImageSize>,
    /// Of sound and motion: samples or rows a second.
    pub rate_hz: Option<f64>,
    /// Of motion: the channels' names.
    pub channels: Vec<String>,
}

impl Needs {
    /// What this version needs.
    pub fn of(manifest: &Manifest) -> Self {
        match &manifest.input.preprocess {
            Preprocess::Image(image) => {
                Self { size: Some(ImageSize { width: image.width, height: image.height }), ..Self::default() }
            }
            Preprocess::Audio(audio) => Self { rate_hz: Some(f64::from(audio.rate_hz)), ..Self::default() },
            Preprocess::Imu(imu) => Self {
                rate_hz: Some(f64::from(imu.rate_hz)),
                channels: imu.channels.iter().map(|channel| channel.name.clone()).collect(),
                ..Self::default()
            },
            Preprocess::Tensor => Self::default(),
        }
    }
}

/// Opens what the configuration names. Devices are looked for once it is started: they may be plugged in later.
///
/// # Errors
/// [`SourceError`] where it is not there, or not what it should be.
pub fn open(source: &config::Source, needs: &Needs) -> Result<Box<dyn Source>, SourceError> {
    Ok(match source {
        config::Source::Recording(recording) => Box::new(recording::open(recording)?),
        config::Source::Command(command) => Box::new(command::open(command)?),
        config::Source::Camera(camera) => Box::new(camera::open(camera, needs)),
        config::Source::Microphone(microphone) => Box::new(microphone::open(microphone, needs)),
        config::Source::Imu(imu) => Box::new(imu::open(imu, needs)),
        config::Source::Mqtt(mqtt) => Box::new(mqtt::open(mqtt)),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "frames carry 32-bit floats, rates of seven digits too")]
const fn single(value: f64) -> f32 {
    value as f32
}
