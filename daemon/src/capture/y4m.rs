//! YUV4MPEG2 (`.y4m`): uncompressed video as ffmpeg and mjpegtools write it. 4:2:0 with 8 bits and grey are read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::{Format, ImageSize};

use super::reader::{Read, Reader, Slots, SourceError, during};

/// The longest header line that is read.
const MAX_LINE_BYTES: u64 = 1024;

/// The largest side of a picture.
const MAX_SIDE: u32 = 8192;

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
    /// Opens the file; `fps` overrides what it says of itself.
    pub(super) fn open(path: &Path, fps: Option<f64>) -> Result<(Self, f64), SourceError> {
        let mut file = BufReader::new(File::open(path).map_err(during("open", path))?);
        let line = read_line(&mut file, path)?;
        let header = Header::parse(&line).map_err(|problem| SourceError::damaged(path, problem))?;
        let data_start = file.stream_position().map_err(during("read", path))?;
        let fps = fps.or(header.fps).unwrap_or(10.0);
        let lasts = Duration::from_secs_f64(1.0 / fps);
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
                "F" => fps = ratio(value),
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

fn ratio(text: &str) -> Option<f64> {
    let (count, seconds) = text.split_once(':')?;
    let fps = count.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?;
    (fps.is_finite() && fps > 0.0).then_some(fps)
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
        assert_eq!(
            grey,
            Header { format: Format::Grey8(ImageSize { width: 2, height: 2 }), frame_bytes: 4, fps: None }
        );
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        for (line, expected) in [
            ("RIFF", "YUV4MPEG2"),
            ("YUV4MPEG2 W0 H2", "0 x 2"),
            ("YUV4MPEG2 W9999 H2", "9999"),
            ("YUV4MPEG2 W2 H2 C444p10", "444p10"),
        ] {
            assert!(Header::parse(line).unwrap_err().contains(expected), "{line}");
        }
    }
}
