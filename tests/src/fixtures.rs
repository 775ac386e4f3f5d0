//! The models and recordings under `tests/fixtures`, and the real ones beside the checkout where they are.

use std::path::{Path, PathBuf};

/// The three models of our own.
pub const MODELS: [&str; 3] = ["belt-inspect", "keyword", "gesture"];

/// `tests/fixtures`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The folder of a model that `inferctl bundle pack` takes.
pub fn model(name: &str, version: &str) -> PathBuf {
    folder().join("models").join(format!("{name}-{version}"))
}

/// A recording (`belt`, `belt.mjpeg`, `speech.wav`, `motion.csv`).
pub fn recording(name: &str) -> PathBuf {
    folder().join("recordings").join(name)
}

/// The recording that goes with a model.
pub fn recording_of(model: &str) -> PathBuf {
    recording(match model {
        "belt-inspect" => "belt",
        "keyword" => "speech.wav",
        _ => "motion.csv",
    })
}

/// Real models and recordings by others: `INFERD_REALDATA`, else `../shared/realdata` beside the checkout. Says loudly
/// where they are absent.
pub fn real_data(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/realdata");
    let folder = std::env::var_os("INFERD_REALDATA").map_or(beside, PathBuf::from);
    if folder.join("expected.json").exists() {
        return Some(folder);
    }
    crate::skip::say(test, &format!("no real models and recordings at {}", folder.display()));
    None
}
