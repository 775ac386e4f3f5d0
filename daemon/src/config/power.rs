//! How a pipeline spares power: windows that are left out, hours without it, a slower pace where it is hot.

mod hours;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use hours::{Hours, Span};

/// How a pipeline spares power. By default it does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Power {
    /// Most windows a second, 0.001 to 1000; what comes faster is left out. Default: all are served.
    pub max_per_second: Option<f64>,
    /// When the source is read, in local time (`Mon-Fri 07:00-19:00`). Default: always.
    pub active: Hours,
    /// With `off_s`: the source is read for so long, from its first frame on; seconds, 1 to 86400. Default: always.
    pub on_s: Option<f64>,
    /// With `on_s`: and then is closed for so long; seconds, 1 to 86400.
    pub off_s: Option<f64>,
    /// With `slow_to_per_second`: degrees Celsius of the hottest zone, 30 to 120, above which it is slowed down. Default:
    /// never.
    pub slow_above_c: Option<f64>,
    /// With `slow_above_c`: most windows a second there, 0.001 to 1000.
    pub slow_to_per_second: Option<f64>,
}

impl Power {
    /// How long the source is read and then closed, where it is.
    pub fn cycle(&self) -> Option<(Duration, Duration)> {
        Some((Duration::from_secs_f64(self.on_s?), Duration::from_secs_f64(self.off_s?)))
    }
}
