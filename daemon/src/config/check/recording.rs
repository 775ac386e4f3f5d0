//! Rules for a recording: it is there, it is of a kind that is played, and the keys given fit that kind.

use std::fs;
use std::path::Path;

use inferd_core::frame::Format;

use super::{Findings, cannot_use};
use crate::config::Recording;

/// What a recording is made of, as far as its keys care.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Images or tensors.
    Frames,
    /// A WAV file, which states its own rate.
    Sound,
    /// A CSV file.
    Rows,
}

/// Why a recording cannot be played.
enum Unusable {
    /// It is nothing that can be played.
    Never(String),
    /// It may be there later: a share that is not mounted is absent, or an empty folder.
    Now(String),
}

pub(super) fn check(key: &str, recording: &Recording, found: &mut Findings) {
    // It would be looked for in whichever folder inferd was started in, and by others in theirs.
    if !recording.path.is_absolute() {
        return found.absolute(&format!("{key}.path"), &recording.path);
    }
    match content(&recording.content()) {
        Ok(content) => check_keys(key, recording, content, found),
        Err(Unusable::Never(message)) => found.add(format!("{key}.path"), message),
        Err(Unusable::Now(message)) => found.absent(format!("{key}.path"), message),
    }
    if let Some(fps) = recording.fps {
        found.range(format!("{key}.fps"), fps, 0.001..=1000.0, " frames a second");
    }
    if let Some(rate_hz) = recording.rate_hz {
        found.range(format!("{key}.rate_hz"), rate_hz, 0.001..=100_000.0, " rows a second");
    }
    if recording.rate_hz.is_some() && recording.timestamp.is_some() {
        found.add(format!("{key}.timestamp"), "stands beside `rate_hz`; one of them is expected");
    }
    if recording.timestamp.as_deref() == Some("") {
        found.add(format!("{key}.timestamp"), "is empty; the name of a column is expected");
    }
}

fn check_keys(key: &str, recording: &Recording, content: Content, found: &mut Findings) {
    let path = recording.path.display();
    if recording.fps.is_some() && content != Content::Frames {
        found.add(format!("{key}.fps"), format!("does not fit {path}: it is for images and tensors; remove it"));
    }
    for (name, given) in [("rate_hz", recording.rate_hz.is_some()), ("timestamp", recording.timestamp.is_some())] {
        if given && content != Content::Rows {
            found.add(format!("{key}.{name}"), format!("does not fit {path}: it is for a CSV file; remove it"));
        }
    }
}

fn content(path: &Path) -> Result<Content, Unusable> {
    let expected = "an existing recording that inferd may read";
    let unusable = |error: std::io::Error| Unusable::Now(cannot_use(path, expected, &error));
    let meta = fs::metadata(path).map_err(unusable)?;
    if meta.is_dir() {
        return content_of_folder(path);
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let content = match ending.as_str() {
        "mjpeg" | "mjpg" | "y4m" | "npy" => Content::Frames,
        "wav" => Content::Sound,
        "csv" => Content::Rows,
        _ => {
            let known = "a folder of images or tensors, or a .mjpeg, .y4m, .wav, .csv or .npy file";
            return Err(Unusable::Never(format!("is {}; {known} is expected", path.display())));
        }
    };
    // Opening a pipe would wait for its other end.
    if !meta.is_file() {
        return Err(Unusable::Never(format!("is {}, which is no regular file", path.display())));
    }
    fs::File::open(path).map_err(unusable)?;
    Ok(content)
}

fn content_of_folder(path: &Path) -> Result<Content, Unusable> {
    let unusable = |error: std::io::Error| Unusable::Now(cannot_use(path, "a folder that inferd may list", &error));
    for entry in fs::read_dir(path).map_err(unusable)? {
        let name = entry.map_err(unusable)?.file_name();
        let format = Format::of_file(&name.to_string_lossy());
        if matches!(format, Some(Format::Jpeg | Format::Png | Format::Bmp | Format::Npy)) {
            return Ok(Content::Frames);
        }
    }
    Err(Unusable::Now(format!("is {}, a folder without a .jpg, .png, .bmp or .npy file", path.display())))
}
