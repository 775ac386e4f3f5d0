//! A pipeline's source: one table, whose keys depend on its kind.

mod camera;
mod command;
mod imu;
mod microphone;
mod mqtt;
mod recording;
mod table;

use serde::{Deserialize, Serialize};

pub use camera::{Camera, CameraFormat, ControlValue};
pub use command::{Command, StreamFormat};
pub use imu::Imu;
pub use microphone::Microphone;
pub use mqtt::{Broker, MessageFormat, Mqtt};
pub use recording::{AtEnd, Pace, Recording};
use table::SourceTable;

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", try_from = "SourceTable")]
pub enum Source {
    /// Files.
    Recording(Recording),
    /// A program that writes frames.
    Command(Command),
    /// A camera.
    Camera(Camera),
    /// A microphone.
    Microphone(Microphone),
    /// Sensors of motion.
    Imu(Imu),
    /// Sensors on the network.
    Mqtt(Mqtt),
}

impl Source {
    /// A line for people.
    pub fn line(&self) -> String {
        match self {
            Self::Recording(recording) => format!("recording {}", recording.path.display()),
            Self::Command(command) => command.line(),
            Self::Camera(camera) => camera.line(),
            Self::Microphone(microphone) => microphone.line(),
            Self::Imu(imu) => imu.line(),
            Self::Mqtt(mqtt) => mqtt.line(),
        }
    }
}
