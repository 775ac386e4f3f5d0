//! A camera that the kernel knows (V4L2).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use inferd_core::frame::PixelFormat;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Deserialize as Derive, Serialize};

/// A V4L2 camera. What is not given is chosen by what the model needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Camera {
    /// Which one: its path (`/dev/video0`, `/dev/v4l/by-id/…`), its name, or its bus (`usb-0000:00:14.0-2`). Default: the
    /// first one.
    pub device: Option<String>,
    /// Columns, 1 to 8192. Default: the smallest that the model does not have to enlarge.
    pub width: Option<u32>,
    /// Rows, 1 to 8192.
    pub height: Option<u32>,
    /// Pictures a second, 0.001 to 1000. Default: what the camera gives at that size, at most 30.
    pub fps: Option<f64>,
    /// How pictures are encoded. Default: the cheapest that is fast enough.
    pub format: Option<CameraFormat>,
    /// Its controls by name, as `v4l2-ctl -l` lists them. Default: left as they are.
    pub controls: BTreeMap<String, ControlValue>,
    /// It is opened again when it has given nothing for so long, in milliseconds. Default 5000.
    pub silence_ms: u64,
}

impl Camera {
    /// How long it may be silent.
    pub const fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }

    /// A line for people.
    pub fn line(&self) -> String {
        format!("camera {}", self.device.as_deref().unwrap_or("(the first one)"))
    }
}

/// How a camera encodes its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Derive)]
#[serde(rename_all = "lowercase")]
pub enum CameraFormat {
    /// JPEG.
    Mjpeg,
    /// Pixels as they are.
    #[serde(untagged)]
    Raw(PixelFormat),
}

impl CameraFormat {
    /// What it is called in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Mjpeg => "mjpeg",
            Self::Raw(pixels) => pixels.key(),
        }
    }
}

/// The value of a camera's control: a number, or a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ControlValue(pub i64);

impl<'de> Deserialize<'de> for ControlValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = ControlValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, true or false")
            }

            fn visit_bool<E>(self, value: bool) -> Result<ControlValue, E> {
                Ok(ControlValue(i64::from(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<ControlValue, E> {
                Ok(ControlValue(value))
            }
        }
        from.deserialize_any(Number)
    }
}
