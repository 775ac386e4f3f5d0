//! A pipeline's source: one table, whose keys depend on its kind.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", try_from = "SourceTable")]
pub enum Source {
    /// Files.
    Recording(Recording),
    /// A program that writes frames.
    Command(Command),
}

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

/// A program whose standard output is frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Command {
    /// The program, a path or a name on the `PATH`, and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// What it writes.
    #[serde(flatten)]
    pub format: StreamFormat,
    /// What happens when it ends. Default `loop`: it is started again.
    pub at_end: AtEnd,
    /// It is started again when it has written nothing for so long, in milliseconds. 0: it may be silent for ever. Default
    /// 10000.
    pub silence_ms: u64,
}

impl Command {
    /// The program.
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[String] {
        self.command.get(1..).unwrap_or_default()
    }

    /// How long it may be silent; zero for ever.
    pub const fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }

    /// A line for people. Not its arguments: passwords of network cameras are among them.
    pub fn line(&self) -> String {
        let once = if self.at_end == AtEnd::Stop { ", once" } else { "" };
        format!("command {}, {}{once}", self.program(), self.format.word())
    }
}

/// What a program writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum StreamFormat {
    /// JPEG files one after the other.
    Mjpeg,
    /// YUV4MPEG2, which says its own size.
    Y4m,
    /// `[H, W, 3] u8`, red first.
    Rgb24 {
        /// Columns, 1 to 8192.
        width: u32,
        /// Rows, 1 to 8192.
        height: u32,
    },
    /// `[H, W] u8`.
    Grey8 {
        /// Columns, 1 to 8192.
        width: u32,
        /// Rows, 1 to 8192.
        height: u32,
    },
    /// Planar YUV 4:2:0, as ffmpeg's `yuv420p`.
    I420 {
        /// Columns, 1 to 8192.
        width: u32,
        /// Rows, 1 to 8192.
        height: u32,
    },
    /// Signed 16-bit little-endian PCM, channels interleaved.
    Pcm {
        /// Samples per second and channel, 1000 to 192000.
        rate_hz: u32,
        /// Channels, 1 to 64; they are mixed down. Default 1.
        channels: u16,
    },
    /// A line of numbers a row, with or without a header.
    Csv {
        /// Rows per second, 0.001 to 100000.
        rate_hz: f64,
        /// Names of the values, in their order; of those that are wanted, where there is a header.
        columns: Vec<String>,
    },
    /// A JSON object or array a row.
    Json {
        /// Rows per second, 0.001 to 100000.
        rate_hz: f64,
        /// The members that are wanted, `outer.inner` for nested ones; names of an array's elements, in their order.
        columns: Vec<String>,
    },
}

impl StreamFormat {
    /// Its name in messages.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Mjpeg => "MJPEG",
            Self::Y4m => "Y4M",
            Self::Rgb24 { .. } => "RGB24",
            Self::Grey8 { .. } => "GREY8",
            Self::I420 { .. } => "I420",
            Self::Pcm { .. } => "PCM",
            Self::Csv { .. } => "CSV",
            Self::Json { .. } => "JSON",
        }
    }
}

/// A source as it is written: the keys of every kind in one table. Serde buffers an internally tagged enum and so loses
/// which key is wrong; a plain table keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    kind: SourceKind,
    path: Option<PathBuf>,
    pace: Option<Pace>,
    at_end: Option<AtEnd>,
    fps: Option<f64>,
    rate_hz: Option<f64>,
    timestamp: Option<String>,
    command: Option<Vec<String>>,
    format: Option<FormatName>,
    width: Option<u32>,
    height: Option<u32>,
    channels: Option<u16>,
    columns: Option<Vec<String>>,
    silence_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceKind {
    Recording,
    Command,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    Mjpeg,
    Y4m,
    Rgb24,
    Grey8,
    I420,
    Pcm,
    Csv,
    Json,
}

impl FormatName {
    /// The keys that say more about it.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Mjpeg | Self::Y4m => &[],
            Self::Rgb24 | Self::Grey8 | Self::I420 => &["width", "height"],
            Self::Pcm => &["rate_hz", "channels"],
            Self::Csv | Self::Json => &["rate_hz", "columns"],
        }
    }
}

impl TryFrom<SourceTable> for Source {
    type Error = String;

    /// Errors are worded as serde's own are.
    fn try_from(table: SourceTable) -> Result<Self, String> {
        match table.kind {
            SourceKind::Recording => table.recording().map(Self::Recording),
            SourceKind::Command => table.command().map(Self::Command),
        }
    }
}

impl SourceTable {
    fn recording(self) -> Result<Recording, String> {
        self.only(&["path", "pace", "at_end", "fps", "rate_hz", "timestamp"])?;
        Ok(Recording {
            path: needed(self.path, "path")?,
            pace: self.pace.unwrap_or_default(),
            at_end: self.at_end.unwrap_or_default(),
            fps: self.fps,
            rate_hz: self.rate_hz,
            timestamp: self.timestamp,
        })
    }

    fn command(self) -> Result<Command, String> {
        let name = needed(self.format, "format")?;
        self.only(&[&["command", "format", "at_end", "silence_ms"], name.keys()].concat())?;
        let side = |side: Option<u32>, key| needed(side, key);
        let format = match name {
            FormatName::Mjpeg => StreamFormat::Mjpeg,
            FormatName::Y4m => StreamFormat::Y4m,
            FormatName::Rgb24 => {
                StreamFormat::Rgb24 { width: side(self.width, "width")?, height: side(self.height, "height")? }
            }
            FormatName::Grey8 => {
                StreamFormat::Grey8 { width: side(self.width, "width")?, height: side(self.height, "height")? }
            }
            FormatName::I420 => {
                StreamFormat::I420 { width: side(self.width, "width")?, height: side(self.height, "height")? }
            }
            FormatName::Pcm => StreamFormat::Pcm {
                rate_hz: whole(needed(self.rate_hz, "rate_hz")?),
                channels: self.channels.unwrap_or(1),
            },
            FormatName::Csv => StreamFormat::Csv {
                rate_hz: needed(self.rate_hz, "rate_hz")?,
                columns: needed(self.columns, "columns")?,
            },
            FormatName::Json => StreamFormat::Json {
                rate_hz: needed(self.rate_hz, "rate_hz")?,
                columns: needed(self.columns, "columns")?,
            },
        };
        Ok(Command {
            command: needed(self.command, "command")?,
            format,
            at_end: self.at_end.unwrap_or(AtEnd::Loop),
            silence_ms: self.silence_ms.unwrap_or(10_000),
        })
    }

    /// Fails at a key that another kind or format has.
    fn only(&self, known: &[&str]) -> Result<(), String> {
        let given = [
            ("path", self.path.is_some()),
            ("pace", self.pace.is_some()),
            ("at_end", self.at_end.is_some()),
            ("fps", self.fps.is_some()),
            ("rate_hz", self.rate_hz.is_some()),
            ("timestamp", self.timestamp.is_some()),
            ("command", self.command.is_some()),
            ("format", self.format.is_some()),
            ("width", self.width.is_some()),
            ("height", self.height.is_some()),
            ("channels", self.channels.is_some()),
            ("columns", self.columns.is_some()),
            ("silence_ms", self.silence_ms.is_some()),
        ];
        let stray = given.into_iter().find(|(key, given)| *given && !known.contains(key));
        stray.map_or(Ok(()), |(key, _)| {
            let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
            Err(format!("unknown field `{key}`, expected one of {}", known.join(", ")))
        })
    }
}

fn needed<T>(value: Option<T>, key: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("missing field `{key}`"))
}

/// Rates of sound are whole; what is not, is a number that no range has.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and within the range")]
fn whole(rate_hz: f64) -> u32 {
    if rate_hz.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&rate_hz) { rate_hz as u32 } else { 0 }
}
