//! How rows of sensor values become the input tensor.

use serde::{Deserialize, Serialize};

use super::Window;

/// From rows of sensor values to `[1, T, C]` or `[1, C, T]`: per channel `(value + offset) * scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImuInput {
    /// Rows per second that the model was trained on.
    pub rate_hz: f32,
    /// The channels in tensor order.
    pub channels: Vec<ImuChannel>,
    /// Order of the axes.
    pub layout: ImuLayout,
    /// Rows in a window and from one window to the next.
    pub window: Window,
}

impl ImuInput {
    /// How far a source's rate may be from [`ImuInput::rate_hz`], as a part of it: a sensor's own clock is off by up to a few
    /// per cent, and no gesture changes by that. The daemon and the runner both go by this one.
    pub const RATE_TOLERANCE: f64 = 0.05;
}

/// One sensor axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImuChannel {
    /// Its name in the recording's header or the device's channel list.
    pub name: String,
    /// Added first.
    pub offset: f32,
    /// Factor after that.
    pub scale: f32,
}

/// Order of an IMU tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImuLayout {
    /// `[1, T, C]`: one row after the other.
    #[serde(rename = "NTC")]
    Ntc,
    /// `[1, C, T]`: one channel after the other.
    #[serde(rename = "NCT")]
    Nct,
}
