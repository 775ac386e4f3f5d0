//! YUV4MPEG2 (`.y4m`): uncompressed video as ffmpeg and mjpegtools write it. 4:2:0 with 8 bits and grey are read.

use std::io::{self, BufRead, Read as _};
use std::ops::RangeInclusive;

use inferd_core::frame::{Format, ImageSize, PixelFormat};

use super::FormatError;

/// The longest header line that is read.
const MAX_LINE_BYTES: u64 = 1024;

const MAX_SIDE: u32 = ImageSize::MAX_RAW_SIDE;

/// Frames per second that can be played, as in the configuration.
const FPS: RangeInclusive<f64> = 0.001..=1000.0;

/// A stream of frames.
#[derive(Debug)]
pub(in crate::capture) struct Video<R> {
    input: R,
    header: Option<Header>,
}

/// What a stream says of its frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::capture) struct Header {
    pub(in crate::capture) format: Format,
    /// Bytes of every frame.
    pub(in crate::capture) frame_bytes: usize,
    /// Frames per second, if it says.
    pub(in crate::capture) fps: Option<f64>,
}

impl<R: BufRead> Video<R> {
    pub(in crate::capture) const fn new(input: R) -> Self {
        Self { input, header: None }
    }

    /// The header; waits for it where it has not come.
    ///
    /// # Errors
    /// [`FormatError`]
    pub(in crate::capture) fn header(&mut self) -> Result<Header, FormatError> {
        if let Some(header) = self.header {
            return Ok(header);
        }
        let header = Header::parse(&read_line(&mut self.input)?).map_err(FormatError::Broken)?;
        Ok(*self.header.insert(header))
    }

    /// The stream, for whoever wants to go back in it. It is at the beginning of a frame, unless the last one was broken.
    pub(in crate::capture) const fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// What the next frame is, `None` at the end of the stream; [`read`](Self::read) reads it.
    ///
    /// # Errors
    /// [`FormatError`]
    pub(in crate::capture) fn next(&mut self) -> Result<Option<Header>, FormatError> {
        if self.header.is_none() && self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let header = self.header()?;
        let line = read_line(&mut self.input)?;
        match line.as_str() {
            "" => Ok(None),
            line if line.starts_with("FRAME") => Ok(Some(header)),
            _ => Err(FormatError::broken("a frame does not begin with FRAME")),
        }
    }

    /// Fills `space` with the frame; it has [`Header::frame_bytes`].
    ///
    /// # Errors
    /// [`FormatError`]
    pub(in crate::capture) fn read(&mut self, space: &mut [u8]) -> Result<(), FormatError> {
        self.input.read_exact(space).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FormatError::Truncated("frame"),
            _ => FormatError::Read(error),
        })
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
        let pixels = match chroma {
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => PixelFormat::I420,
            "422" => PixelFormat::I422,
            "mono" => PixelFormat::Grey8,
            other => return Err(format!("its chroma is {other}; 420, 422 or mono with 8 bits is expected")),
        };
        Ok(Self { format: Format::Raw(pixels, size), frame_bytes: pixels.frame_bytes(size), fps })
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

fn read_line(input: &mut impl BufRead) -> Result<String, FormatError> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
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
        let expected = Header {
            format: Format::Raw(PixelFormat::Grey8, ImageSize { width: 2, height: 2 }),
            frame_bytes: 4,
            fps: None,
        };
        assert_eq!(grey, expected);
        assert_eq!(Header::parse("YUV4MPEG2 W3 H2 C422").unwrap().frame_bytes, 6 + 2 * 4);
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
