//! A source as it is written: the keys of every kind in one table. Serde buffers an internally tagged enum and so loses which
//! key is wrong; a plain table keeps it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inferd_core::frame::{ImageSize, PixelFormat};
use serde::Deserialize;

use super::{
    AtEnd, Camera, CameraFormat, Command, ControlValue, Imu, MessageFormat, Microphone, Mqtt, Pace, Recording, Source,
    StreamFormat,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceTable {
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
    device: Option<String>,
    controls: Option<BTreeMap<String, ControlValue>>,
    channel: Option<u16>,
    devices: Option<Vec<String>>,
    names: Option<BTreeMap<String, String>>,
    trigger: Option<String>,
    url: Option<String>,
    topic: Option<String>,
    qos: Option<u8>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SourceKind {
    Recording,
    Command,
    Camera,
    Microphone,
    Imu,
    Mqtt,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    Mjpeg,
    Y4m,
    Rgb24,
    Bgr24,
    Grey8,
    I420,
    I422,
    Nv12,
    Yuyv,
    Uyvy,
    Pcm,
    Csv,
    Json,
    F32,
}

impl FormatName {
    /// The keys that say more about it, for a command.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Mjpeg | Self::Y4m | Self::F32 => &[],
            Self::Pcm => &["rate_hz", "channels"],
            Self::Csv | Self::Json => &["rate_hz", "columns"],
            _ => &["width", "height"],
        }
    }

    /// How pixels lie, of raw video.
    const fn pixels(self) -> Option<PixelFormat> {
        Some(match self {
            Self::Rgb24 => PixelFormat::Rgb24,
            Self::Bgr24 => PixelFormat::Bgr24,
            Self::Grey8 => PixelFormat::Grey8,
            Self::I420 => PixelFormat::I420,
            Self::I422 => PixelFormat::I422,
            Self::Nv12 => PixelFormat::Nv12,
            Self::Yuyv => PixelFormat::Yuyv,
            Self::Uyvy => PixelFormat::Uyvy,
            Self::Mjpeg | Self::Y4m | Self::Pcm | Self::Csv | Self::Json | Self::F32 => return None,
        })
    }
}

impl TryFrom<SourceTable> for Source {
    type Error = String;

    /// Errors are worded as serde's own are.
    fn try_from(table: SourceTable) -> Result<Self, String> {
        match table.kind {
            SourceKind::Recording => table.recording().map(Self::Recording),
            SourceKind::Command => table.command().map(Self::Command),
            SourceKind::Camera => table.camera().map(Self::Camera),
            SourceKind::Microphone => table.microphone().map(Self::Microphone),
            SourceKind::Imu => table.imu().map(Self::Imu),
            SourceKind::Mqtt => table.mqtt().map(Self::Mqtt),
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
        let format = match name {
            FormatName::Mjpeg => StreamFormat::Mjpeg,
            FormatName::Y4m => StreamFormat::Y4m,
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
            FormatName::F32 => {
                return Err("`format` of a command is not `f32`, which only messages of `mqtt` have".into());
            }
            raw => StreamFormat::Raw {
                pixels: needed(raw.pixels(), "format")?,
                size: ImageSize { width: needed(self.width, "width")?, height: needed(self.height, "height")? },
            },
        };
        Ok(Command {
            command: needed(self.command, "command")?,
            format,
            at_end: self.at_end.unwrap_or(AtEnd::Loop),
            silence_ms: self.silence_ms.unwrap_or(10_000),
        })
    }

    fn camera(self) -> Result<Camera, String> {
        self.only(&["device", "width", "height", "fps", "format", "controls", "silence_ms"])?;
        let format = match self.format {
            None => None,
            Some(FormatName::Mjpeg) => Some(CameraFormat::Mjpeg),
            Some(name) => {
                let known = "`mjpeg`, `yuyv`, `uyvy`, `nv12`, `i420`, `i422`, `rgb24`, `bgr24`, `grey8`";
                let stray = || format!("`format` of a camera is one of {known}");
                Some(CameraFormat::Raw(name.pixels().ok_or_else(stray)?))
            }
        };
        Ok(Camera {
            device: self.device,
            width: self.width,
            height: self.height,
            fps: self.fps,
            format,
            controls: self.controls.unwrap_or_default(),
            silence_ms: self.silence_ms.unwrap_or(5000),
        })
    }

    fn microphone(self) -> Result<Microphone, String> {
        self.only(&["device", "rate_hz", "channel", "silence_ms"])?;
        Ok(Microphone {
            device: self.device,
            rate_hz: self.rate_hz.map(whole),
            channel: self.channel,
            silence_ms: self.silence_ms.unwrap_or(2000),
        })
    }

    fn imu(self) -> Result<Imu, String> {
        self.only(&["devices", "rate_hz", "names", "trigger", "silence_ms"])?;
        Ok(Imu {
            devices: self.devices.unwrap_or_default(),
            rate_hz: self.rate_hz,
            names: self.names.unwrap_or_default(),
            trigger: self.trigger,
            silence_ms: self.silence_ms.unwrap_or(5000),
        })
    }

    fn mqtt(self) -> Result<Mqtt, String> {
        self.only(&[
            "url",
            "topic",
            "format",
            "columns",
            "rate_hz",
            "qos",
            "username",
            "password_file",
            "ca_file",
            "certificate_file",
            "key_file",
            "client_id",
            "silence_ms",
        ])?;
        let format = match self.format {
            None | Some(FormatName::Json) => MessageFormat::Json,
            Some(FormatName::Csv) => MessageFormat::Csv,
            Some(FormatName::F32) => MessageFormat::F32,
            Some(_) => return Err("`format` of a message is one of `json`, `csv`, `f32`".into()),
        };
        Ok(Mqtt {
            url: needed(self.url, "url")?,
            topic: needed(self.topic, "topic")?,
            format,
            columns: needed(self.columns, "columns")?,
            rate_hz: needed(self.rate_hz, "rate_hz")?,
            qos: self.qos.unwrap_or_default(),
            username: self.username,
            password_file: self.password_file,
            ca_file: self.ca_file,
            certificate_file: self.certificate_file,
            key_file: self.key_file,
            client_id: self.client_id,
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
            ("device", self.device.is_some()),
            ("controls", self.controls.is_some()),
            ("channel", self.channel.is_some()),
            ("devices", self.devices.is_some()),
            ("names", self.names.is_some()),
            ("trigger", self.trigger.is_some()),
            ("url", self.url.is_some()),
            ("topic", self.topic.is_some()),
            ("qos", self.qos.is_some()),
            ("username", self.username.is_some()),
            ("password_file", self.password_file.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("certificate_file", self.certificate_file.is_some()),
            ("key_file", self.key_file.is_some()),
            ("client_id", self.client_id.is_some()),
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
