//! YUV4MPEG2 (`.y4m`): uncompressed video as ffmpeg and mjpegtools write it. 4:2:0 with 8 bits and grey are read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::{Format, ImageSize};

use super::reader::{Read, Reader, Slots, SourceError, during};

/// The longest header line that is read.
const MAX_LINE_BYTES: u64 = 1024;

/// The largest side of a picture.
const MAX_SIDE: u32 = 8192;

/// Frames per second that can be played, as in the configuration.
const FPS: RangeInclusive<f64> = 0.001..=1000.0;

/// A file of frames.
#[derive(Debug)]
pub(super) struct Y4m {
    path: PathBuf,
    file: BufReader<File>,
    data_start: u64,
    format: Format,
    frame_bytes: usize,
    lasts: Duration,
}

#[derive(Debug, PartialEq)]
struct Header {
    format: Format,
    frame_bytes: usize,
    fps: Option<f64>,
}

impl Y4m {
    /// Opens the file; `fps` overrides what it says of itself, `usual_fps` counts where it says nothing.
    pub(super) fn open(path: &Path, fps: Option<f64>, usual_fps: f64) -> Result<(Self, f64), SourceError> {
        let mut file = BufReader::new(File::open(path).map_err(during("open", path))?);
        let line = read_line(&mut file, path)?;
        let header = Header::parse(&line).map_err(|problem| SourceError::damaged(path, problem))?;
        let data_start = file.stream_position().map_err(during("read", path))?;
        let fps = fps.or(header.fps).unwrap_or(usual_fps);
        let lasts = Duration::try_from_secs_f64(1.0 / fps)
            .map_err(|error| SourceError::damaged(path, format!("its frames cannot be timed at {fps} fps: {error}")))?;
        let (format, frame_bytes) = (header.format, header.frame_bytes);
        Ok((Self { path: path.to_owned(), file, data_start, format, frame_bytes, lasts }, fps))
    }
}

impl Header {
    /// Reads `YUV4MPEG2 W320 H240 F30:1 Ip A1:1 C420jpeg`.
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("YUV4MPEG2") {
            return Err("it does not begin with YUV4MPEG2".into());
        }
        let (mut width, mut height, mut fps, mut chroma) = (0, 0, None, "420");
        for word in words {
            let (key, value) = word.split_at_checked(1).unwrap_or_default();
            match key {
                "W" => width = value.parse().unwrap_or(0),
                "H" => height = value.parse().unwrap_or(0),
                "F" => fps = frames_per_second(value)?,
                "C" => chroma = value,
                _ => {}
            }
        }
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(format!("its pictures are {width} x {height}; 1 to {MAX_SIDE} a side are expected"));
        }
        let size = ImageSize { width, height };
        let luma = width as usize * height as usize;
        let (format, frame_bytes) = match chroma {
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => {
                (Format::I420(size), luma + 2 * (width.div_ceil(2) as usize * height.div_ceil(2) as usize))
            }
            "mono" => (Format::Grey8(size), luma),
            other => return Err(format!("its chroma is {other}; 420 or mono with 8 bits is expected")),
        };
        Ok(Self { format, frame_bytes, fps })
    }
}

/// Reads `30000:1001`; 0:0 is how writers say that they do not know.
fn frames_per_second(text: &str) -> Result<Option<f64>, String> {
    if text == "0:0" {
        return Ok(None);
    }
    let number = |text: &str| text.parse::<f64>().ok();
    let ratio = text.split_once(':').and_then(|(count, seconds)| Some(number(count)? / number(seconds)?));
    match ratio {
        Some(fps) if FPS.contains(&fps) => Ok(Some(fps)),
        _ => Err(format!(
            "its header says F{text}; {} to {} frames per second are played, as a ratio like F30:1",
            FPS.start(),
            FPS.end()
        )),
    }
}

fn read_line(file: &mut BufReader<File>, path: &Path) -> Result<String, SourceError> {
    let mut line = Vec::new();
    file.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(during("read", path))?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

impl Reader for Y4m {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        let line = read_line(&mut self.file, &self.path)?;
        if line.is_empty() {
            return Ok(None);
        }
        if !line.starts_with("FRAME") {
            return Err(SourceError::damaged(&self.path, "a frame does not begin with FRAME"));
        }
        let mut slot = slots.take(self.frame_bytes)?;
        let space = &mut slot.space()[..self.frame_bytes];
        self.file
            .read_exact(space)
            .map_err(|_| SourceError::damaged(&self.path, "it ends in the middle of a frame"))?;
        slot.set_len(self.frame_bytes);
        Ok(Some(Read { slot, format: self.format, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.file.seek(SeekFrom::Start(self.data_start)).map_err(during("read", &self.path))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_common_writers_are_understood() {
        let header = Header::parse("YUV4MPEG2 W321 H241 F30000:1001 Ip A0:0 C420jpeg XYSCSS=420JPEG").unwrap();
        assert_eq!(header.frame_bytes, 321 * 241 + 2 * 161 * 121);
        assert!((header.fps.unwrap() - 29.97).abs() < 0.001);
        let grey = Header::parse("YUV4MPEG2 W2 H2 Cmono").unwrap();
        let expected = Header { format: Format::Grey8(ImageSize { width: 2, height: 2 }), frame_bytes: 4, fps: None };
        assert_eq!(grey, expected);
        assert_eq!(Header::parse("YUV4MPEG2 W2 H2 F0:0 Cmono").unwrap(), expected, "the writer does not know it");
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        for (line, expected) in [
            ("RIFF", "YUV4MPEG2"),
            ("YUV4MPEG2 W0 H2", "0 x 2"),
            ("YUV4MPEG2 W9999 H2", "9999"),
            ("YUV4MPEG2 W2 H2 C444p10", "444p10"),
            ("YUV4MPEG2 W2 H2 F1:1e300", "F1:1e300"),
            ("YUV4MPEG2 W2 H2 F1:99999999999999999999", "F1:99999999999999999999"),
            ("YUV4MPEG2 W2 H2 F1e300:1", "0.001 to 1000"),
            ("YUV4MPEG2 W2 H2 F30:0", "F30:0"),
            ("YUV4MPEG2 W2 H2 F-5:1", "F-5:1"),
            ("YUV4MPEG2 W2 H2 Fnan:1", "Fnan:1"),
            ("YUV4MPEG2 W2 H2 F25", "like F30:1"),
        ] {
            assert!(Header::parse(line).unwrap_err().contains(expected), "{line}");
        }
    }
}
