//! What is attached, for people: `inferctl sources`.

use super::{camera, imu, microphone};

/// A device that a source may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// `camera`, `microphone` or `imu`: the `kind` of the source that it would be.
    pub kind: &'static str,
    /// Its node, or what ALSA calls it.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Where it is plugged in; empty where that is not known.
    pub place: String,
    /// What it gives, a line each.
    pub formats: Vec<String>,
    /// Why inferd cannot use it; empty where it can.
    pub problem: String,
    /// The `source = …` of a pipeline that uses it, in TOML; empty where it cannot.
    pub source: String,
}

/// Every camera, microphone and sensor of motion. Opens each for a moment; blocks.
pub fn attached() -> Vec<Attached> {
    let mut all = camera::attached();
    all.extend(microphone::attached());
    all.extend(imu::attached());
    all
}

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
