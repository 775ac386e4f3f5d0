//! A command: a program whose standard output is frames.

use std::time::Duration;

use inferd_core::frame::{ImageSize, PixelFormat};
use serde::Serialize;

use super::AtEnd;

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
    /// Raw video.
    #[serde(untagged)]
    Raw {
        /// How pixels lie.
        #[serde(rename = "format")]
        pixels: PixelFormat,
        /// Columns and rows, 1 to 8192 each.
        #[serde(flatten)]
        size: ImageSize,
    },
}

impl StreamFormat {
    /// Its name in messages.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Mjpeg => "MJPEG",
            Self::Y4m => "Y4M",
            Self::Pcm { .. } => "PCM",
            Self::Csv { .. } => "CSV",
            Self::Json { .. } => "JSON",
            Self::Raw { pixels, .. } => pixels.word(),
        }
    }
}
