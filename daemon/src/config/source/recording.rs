//! A recording: files, played.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A recording, played.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recording {
    /// A folder of images or `.npy` tensors (in the order of their names), or a `.mjpeg`, `.y4m`, `.wav`, `.csv` or `.npy` file.
    pub path: PathBuf,
    /// How fast. Default `realtime`.
    pub pace: Pace,
    /// What happens after the last frame. Default `stop`.
    pub at_end: AtEnd,
    /// Frames per second of images and tensors, 0.001 to 1000. Default: a Y4M's own, else 10.
    pub fps: Option<f64>,
    /// Rows per second of a CSV that has no timestamp column, 0.001 to 100000.
    pub rate_hz: Option<f64>,
    /// The CSV column with seconds. Default `t`, where there is one and `rate_hz` is not given.
    pub timestamp: Option<String>,
}

impl Recording {
    /// What is played: `path`, or the file in that folder where `inferctl record` made it.
    pub fn content(&self) -> PathBuf {
        let made = self.path.join("recording.json").is_file();
        let files = ["frames.y4m", "sound.wav", "motion.csv"].map(|name| self.path.join(name));
        files.into_iter().find(|file| made && file.is_file()).unwrap_or_else(|| self.path.clone())
    }
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// At its own pace; waits for the model rather than drop a window.
    #[default]
    Realtime,
    /// As fast as the model takes it.
    Fast,
    /// At its own pace like a device: what the model cannot take in time is dropped, newest kept, and counted.
    Live,
}

/// What happens after the last frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtEnd {
    /// The pipeline is finished.
    #[default]
    Stop,
    /// It starts over; the stream goes on without a seam.
    Loop,
}
