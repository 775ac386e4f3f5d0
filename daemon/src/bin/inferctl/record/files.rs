//! The files of a recording: one of the formats that a recording source plays, `timing.csv` beside pictures, and
//! `recording.json`, which says what it is.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use inferd_core::frame::{Format, ImageSize, PixelFormat};
use inferd_core::recorded::{End, FrameHead, Head};
use serde_json::json;

use super::{Recorded, cannot};
use crate::failure::Failure;

/// Files that are being written.
pub(super) struct Files {
    folder: PathBuf,
    head: Head,
    content: Content,
    /// When the first and the last frame were ready.
    first: Option<FrameHead>,
    last_ns: u64,
    /// Seconds since the first frame at which something is missing before a frame.
    gaps: Vec<f64>,
}

enum Content {
    /// No frame has come yet.
    Nothing,
    /// A file a picture, and when each was taken.
    Pictures { timing: csv::Writer<File>, count: u64 },
    /// Raw pictures of one size, and when each was taken.
    Video { file: BufWriter<File>, format: Format, timing: csv::Writer<File>, count: u64 },
    /// Sound.
    Sound { wav: hound::WavWriter<BufWriter<File>>, format: Format },
    /// Rows of values.
    Rows(csv::Writer<File>),
}

impl Files {
    pub(super) fn begin(folder: &Path, head: &Head) -> Result<Self, Failure> {
        let (folder, head) = (folder.to_owned(), head.clone());
        Ok(Self { folder, head, content: Content::Nothing, first: None, last_ns: 0, gaps: Vec::new() })
    }

    /// Writes a frame.
    pub(super) fn add(&mut self, frame: &FrameHead, bytes: &[u8]) -> Result<(), Failure> {
        if matches!(self.content, Content::Nothing) {
            self.content = self.open(frame)?;
        }
        let first = *self.first.get_or_insert(*frame);
        self.last_ns = frame.captured_ns;
        let at = seconds(frame.captured_ns.saturating_sub(first.captured_ns));
        if frame.after_gap && at > 0.0 {
            self.gaps.push(at);
        }
        let written = match &mut self.content {
            Content::Nothing => Ok(()),
            Content::Pictures { timing, count } => {
                let name = format!("{count:06}.{}", ending(frame.format));
                *count += 1;
                picture(&self.folder.join(&name), frame.format, bytes)
                    .and_then(|()| Ok(timing.write_record([name, format!("{at:.6}")])?))
            }
            Content::Video { format, .. } if *format != frame.format => {
                return Err(changed(&self.folder));
            }
            Content::Video { file, timing, count, .. } => {
                *count += 1;
                frame_of_video(file, frame.format, bytes)
                    .and_then(|()| Ok(timing.write_record([(*count - 1).to_string(), format!("{at:.6}")])?))
            }
            Content::Sound { format, .. } if *format != frame.format => return Err(changed(&self.folder)),
            Content::Sound { wav, .. } => sound(wav, bytes),
            Content::Rows(rows) => rows_of(rows, frame, &first, bytes),
        };
        written.map_err(|error| cannot("write", &self.folder, &error))
    }

    /// Completes the files.
    pub(super) fn finish(mut self, head: Head, end: End) -> Result<Recorded, Failure> {
        let closed = match std::mem::replace(&mut self.content, Content::Nothing) {
            Content::Nothing => Ok(()),
            Content::Pictures { mut timing, .. } => timing.flush(),
            Content::Video { mut file, mut timing, .. } => file.flush().and_then(|()| timing.flush()),
            Content::Sound { wav, .. } => wav.finalize().map_err(std::io::Error::other),
            Content::Rows(mut rows) => rows.flush(),
        };
        closed.map_err(|error| cannot("write", &self.folder, &error))?;
        let first = self.first.map_or((0, 0), |first| (first.captured_ns, first.captured_unix_ns));
        let lasted = seconds(self.last_ns.saturating_sub(first.0));
        let about = json!({
            "inferd": head.inferd, "pipeline": head.pipeline, "source": head.source, "kind": head.kind,
            "began_unix_ns": first.1, "seconds": lasted, "frames": end.frames, "missed": end.missed,
            "gaps_s": self.gaps, "ended_early": end.reason,
        });
        let text = serde_json::to_string_pretty(&about).unwrap_or_default() + "\n";
        // Written last: a folder without it is a recording that broke off.
        create(&self.folder.join("recording.json"))
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| cannot("write", &self.folder, &error))?;
        Ok(Recorded { head, end, seconds: lasted })
    }

    fn open(&self, frame: &FrameHead) -> Result<Content, Failure> {
        let make = |name: &str| create(&self.folder.join(name)).map_err(|error| cannot("write", &self.folder, &error));
        let timing = |titles: [&str; 2]| -> Result<csv::Writer<File>, Failure> {
            let mut writer = csv::Writer::from_writer(make("timing.csv")?);
            writer.write_record(titles).map_err(|error| cannot("write", &self.folder, &error.into()))?;
            Ok(writer)
        };
        Ok(match frame.format {
            Format::Raw(pixels, size) if in_video(pixels).is_some() => {
                let mut file = BufWriter::new(make("frames.y4m")?);
                write!(file, "{}", y4m_header(pixels, size)).map_err(|error| cannot("write", &self.folder, &error))?;
                Content::Video { file, format: frame.format, timing: timing(["frame", "t"])?, count: 0 }
            }
            Format::Pcm { rate_hz, channels } => {
                let spec = hound::WavSpec {
                    channels,
                    sample_rate: rate_hz,
                    bits_per_sample: 16,
                    sample_format: hound::SampleFormat::Int,
                };
                let wav = hound::WavWriter::new(BufWriter::new(make("sound.wav")?), spec)
                    .map_err(|error| cannot("write", &self.folder, &std::io::Error::other(error)))?;
                Content::Sound { wav, format: frame.format }
            }
            Format::Imu { .. } => {
                let mut rows = csv::Writer::from_writer(make("motion.csv")?);
                let titles = std::iter::once("t").chain(self.head.channels.iter().map(String::as_str));
                rows.write_record(titles).map_err(|error| cannot("write", &self.folder, &error.into()))?;
                Content::Rows(rows)
            }
            _ => Content::Pictures { timing: timing(["file", "t"])?, count: 0 },
        })
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

fn changed(folder: &Path) -> Failure {
    Failure::failed(format!("the source has changed its format; what it gave before is in {}", folder.display()))
}

#[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds is exact in a double")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

const fn ending(format: Format) -> &'static str {
    match format {
        Format::Jpeg => "jpg",
        Format::Png => "png",
        Format::Tensor { .. } | Format::Npy => "npy",
        _ => "bmp",
    }
}

/// The chroma of YUV4MPEG2 for pixels that it has.
const fn in_video(pixels: PixelFormat) -> Option<&'static str> {
    match pixels {
        PixelFormat::Grey8 => Some("Cmono"),
        PixelFormat::I420 | PixelFormat::Nv12 => Some("C420jpeg"),
        PixelFormat::I422 | PixelFormat::Yuyv | PixelFormat::Uyvy => Some("C422"),
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => None,
    }
}

/// `man 5 yuv4mpeg`. When frames were taken is in `timing.csv`.
fn y4m_header(pixels: PixelFormat, size: ImageSize) -> String {
    let ImageSize { width, height } = size;
    let chroma = in_video(pixels).unwrap_or_default();
    format!("YUV4MPEG2 W{width} H{height} F0:0 Ip A1:1 {chroma} XCOLORRANGE=LIMITED\n")
}

fn frame_of_video(file: &mut impl std::io::Write, format: Format, bytes: &[u8]) -> std::io::Result<()> {
    let Format::Raw(pixels, size) = format else { return Ok(()) };
    if bytes.len() != pixels.frame_bytes(size) {
        return Err(std::io::Error::other("a frame is not as large as its format says"));
    }
    file.write_all(b"FRAME\n")?;
    file.write_all(&pixels.as_in_files(size, bytes).1)
}

fn picture(path: &Path, format: Format, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = BufWriter::new(create(path)?);
    match format {
        Format::Raw(pixels, size) => bitmap(&mut file, pixels, size, bytes)?,
        _ => file.write_all(bytes)?,
    }
    file.flush()
}

/// A Windows bitmap: a header of 54 bytes, then rows of BGR from the top (a negative height says so), padded to four bytes.
fn bitmap(file: &mut impl std::io::Write, pixels: PixelFormat, size: ImageSize, bytes: &[u8]) -> std::io::Result<()> {
    let row_bytes = size.width as usize * 3;
    if bytes.len() != pixels.frame_bytes(size) || bytes.len() != row_bytes * size.height as usize {
        return Err(std::io::Error::other("a frame is not as large as its format says"));
    }
    let padding = row_bytes.next_multiple_of(4) - row_bytes;
    let image_bytes = u32::try_from((row_bytes + padding) * size.height as usize).map_err(std::io::Error::other)?;
    let height = i32::try_from(size.height).map_err(std::io::Error::other)?;
    let mut header = b"BM".to_vec();
    for word in [54 + image_bytes, 0, 54, 40, size.width, (-height).cast_unsigned(), 1 | 24 << 16, 0, image_bytes] {
        header.extend(word.to_le_bytes());
    }
    header.resize(54, 0);
    file.write_all(&header)?;
    for row in bytes.chunks_exact(row_bytes) {
        if pixels == PixelFormat::Bgr24 {
            file.write_all(row)?;
        } else {
            let swapped: Vec<u8> = row.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]).collect();
            file.write_all(&swapped)?;
        }
        file.write_all(&[0; 3][..padding])?;
    }
    Ok(())
}

fn sound(wav: &mut hound::WavWriter<BufWriter<File>>, bytes: &[u8]) -> std::io::Result<()> {
    for sample in bytes.as_chunks::<2>().0 {
        wav.write_sample(i16::from_le_bytes(*sample)).map_err(std::io::Error::other)?;
    }
    Ok(())
}

/// A row's time is told back from the last row's, which is the frame's.
fn rows_of(rows: &mut csv::Writer<File>, frame: &FrameHead, first: &FrameHead, bytes: &[u8]) -> std::io::Result<()> {
    let Format::Imu { rate_hz, channels } = frame.format else { return Ok(()) };
    let values = bytes.as_chunks::<4>().0;
    let count = values.len() / usize::from(channels).max(1);
    // Seconds since the first frame, whose first rows are older than itself.
    let last = seconds(frame.captured_ns.saturating_sub(first.captured_ns));
    let begin = first.bytes as f64 / 4.0 / f64::from(channels).max(1.0) / f64::from(rate_hz);
    for (number, row) in values.chunks_exact(usize::from(channels).max(1)).enumerate() {
        let before_last = (count - 1 - number) as f64 / f64::from(rate_hz);
        let time = format!("{:.6}", begin + last - before_last);
        let texts = row.iter().map(|value| f32::from_le_bytes(*value).to_string());
        rows.write_record(std::iter::once(time).chain(texts))?;
    }
    Ok(())
}
