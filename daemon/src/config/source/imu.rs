//! Sensors of motion that the kernel knows (Linux IIO).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// One or several IIO devices, as rows of values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Imu {
    /// Which ones: names or labels (`lsm6ds3_accel`), or paths (`/dev/iio:device0`). Several are joined by time. Default:
    /// those that have the model's channels.
    pub devices: Vec<String>,
    /// Rows per second, 0.001 to 100000. Default: the model's.
    pub rate_hz: Option<f64>,
    /// The device's channel for a channel of the model (`ax = "accel_x"`). Default: both have the same name.
    pub names: BTreeMap<String, String>,
    /// The trigger that makes the device measure. Default: the device's own.
    pub trigger: Option<String>,
    /// It is opened again when it has given nothing for so long, in milliseconds. Default 5000.
    pub silence_ms: u64,
}

impl Imu {
    /// How long it may be silent.
    pub const fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }

    /// A line for people.
    pub fn line(&self) -> String {
        match self.devices.as_slice() {
            [] => "imu (by the model's channels)".to_owned(),
            devices => format!("imu {}", devices.join(" + ")),
        }
    }
}
