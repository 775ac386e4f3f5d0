//! How the bytes of a frame or a window are to be read. The daemon passes them on; only a runner looks inside.

use serde::{Deserialize, Serialize};

use crate::Shape;

/// The type of a tensor's elements, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit IEEE float.
    F32,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
}

impl Dtype {
    /// Bytes per element.
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::U8 | Self::I8 => 1,
        }
    }
}

/// Width and height of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSize {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The encoding of a window's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Format {
    /// A JPEG file; it says its own size.
    Jpeg,
    /// A PNG file; it says its own size.
    Png,
    /// A Windows bitmap file; it says its own size.
    Bmp,
    /// `[H, W, 3] u8`, RGB, 0..=255, rows without padding.
    Rgb24(ImageSize),
    /// `[H, W] u8`, luma, 0..=255, rows without padding.
    Grey8(ImageSize),
    /// Planar YUV 4:2:0, BT.601 limited range: `[H, W] u8` luma, then two planes of `[ceil(H/2), ceil(W/2)] u8`.
    I420(ImageSize),
    /// `[T, C] i16`, little endian, interleaved PCM.
    Pcm {
        /// Samples per second and channel.
        rate_hz: u32,
        /// Interleaved channels, at least 1.
        channels: u16,
    },
    /// `[T, C] f32`, little endian, in the units of the recording or the device.
    Imu {
        /// Rows per second.
        rate_hz: f32,
        /// Values in a row, at least 1.
        channels: u16,
    },
    /// A tensor as the model takes it, row-major, little endian.
    Tensor {
        /// Element type.
        dtype: Dtype,
        /// Extents, outermost first.
        shape: Shape,
    },
    /// A NumPy `.npy` file with a tensor as the model takes it. Golden samples only; a stream carries [`Format::Tensor`].
    Npy,
    /// A RIFF WAVE file, PCM s16. Golden samples only; a stream carries [`Format::Pcm`].
    Wav,
    /// Comma-separated rows with a header. Golden samples only; a stream carries [`Format::Imu`].
    Csv,
}

impl Format {
    /// What the bytes are, in a word, for messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG image",
            Self::Png => "PNG image",
            Self::Bmp => "BMP image",
            Self::Rgb24(_) => "RGB24 image",
            Self::Grey8(_) => "grey image",
            Self::I420(_) => "I420 image",
            Self::Pcm { .. } => "PCM audio",
            Self::Imu { .. } => "IMU samples",
            Self::Tensor { .. } => "tensor",
            Self::Npy => "NumPy file",
            Self::Wav => "WAV file",
            Self::Csv => "CSV file",
        }
    }

    /// The format that a file's name announces by its ending, if it is one that inferd reads.
    pub fn of_file(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "png" => Some(Self::Png),
            "bmp" => Some(Self::Bmp),
            "npy" => Some(Self::Npy),
            "wav" => Some(Self::Wav),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}
