//! How the bytes of a frame or a window are to be read. The daemon passes them on; only a runner looks inside.

use std::borrow::Cow;

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

impl ImageSize {
    /// The largest side of a raw picture that is taken from a stream or a device.
    pub const MAX_RAW_SIDE: u32 = 8192;

    /// Half of both sides, rounded up: the size of a chroma plane of 4:2:0.
    const fn halved(self) -> Self {
        Self { width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }
}

/// How the pixels of a raw picture lie. 8 bits a component; YUV is BT.601, limited range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFormat {
    /// `[H, W, 3] u8`, RGB, 0..=255.
    Rgb24,
    /// `[H, W, 3] u8`, BGR, 0..=255.
    Bgr24,
    /// `[H, W] u8`, luma, 0..=255.
    Grey8,
    /// Planar YUV 4:2:0: `[H, W] u8` luma, then two planes (U, V) of `[ceil(H/2), ceil(W/2)] u8`.
    I420,
    /// Planar YUV 4:2:2: `[H, W] u8` luma, then two planes (U, V) of `[H, ceil(W/2)] u8`.
    I422,
    /// YUV 4:2:0: `[H, W] u8` luma, then one plane of `[ceil(H/2), ceil(W/2), 2] u8`, U first.
    Nv12,
    /// Packed YUV 4:2:2: `[H, ceil(W/2), 4] u8`, Y U Y V.
    Yuyv,
    /// Packed YUV 4:2:2: `[H, ceil(W/2), 4] u8`, U Y V Y.
    Uyvy,
}

/// A part of a raw picture whose rows are equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Bytes of a row, without padding.
    pub row_bytes: usize,
    /// Rows.
    pub rows: usize,
}

impl PixelFormat {
    /// What such a picture is, in a word, for messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rgb24 => "RGB24 image",
            Self::Bgr24 => "BGR24 image",
            Self::Grey8 => "grey image",
            Self::I420 => "I420 image",
            Self::I422 => "I422 image",
            Self::Nv12 => "NV12 image",
            Self::Yuyv => "YUYV image",
            Self::Uyvy => "UYVY image",
        }
    }

    /// What it is called in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Rgb24 => "rgb24",
            Self::Bgr24 => "bgr24",
            Self::Grey8 => "grey8",
            Self::I420 => "i420",
            Self::I422 => "i422",
            Self::Nv12 => "nv12",
            Self::Yuyv => "yuyv",
            Self::Uyvy => "uyvy",
        }
    }

    /// The planes of a picture, in their order; those that it has not are empty.
    pub const fn planes(self, size: ImageSize) -> [Plane; 3] {
        const NONE: Plane = Plane { row_bytes: 0, rows: 0 };
        const fn plane(row_bytes: usize, rows: u32) -> Plane {
            Plane { row_bytes, rows: rows as usize }
        }
        let (width, half) = (size.width as usize, size.halved());
        let luma = plane(width, size.height);
        match self {
            Self::Rgb24 | Self::Bgr24 => [plane(width * 3, size.height), NONE, NONE],
            Self::Grey8 => [luma, NONE, NONE],
            Self::I420 => [luma, plane(half.width as usize, half.height), plane(half.width as usize, half.height)],
            Self::I422 => [luma, plane(half.width as usize, size.height), plane(half.width as usize, size.height)],
            Self::Nv12 => [luma, plane(half.width as usize * 2, half.height), NONE],
            Self::Yuyv | Self::Uyvy => [plane(half.width as usize * 4, size.height), NONE, NONE],
        }
    }

    /// The same picture as files have it: packed YUV as planes, BGR as RGB. No value changes. `bytes` must have
    /// [`frame_bytes`](Self::frame_bytes).
    pub fn as_in_files(self, size: ImageSize, bytes: &[u8]) -> (Self, Cow<'_, [u8]>) {
        let pick = |from: usize, step: usize| bytes.iter().skip(from).step_by(step).copied();
        match self {
            Self::Rgb24 | Self::Grey8 | Self::I420 | Self::I422 => (self, Cow::Borrowed(bytes)),
            Self::Bgr24 => (
                Self::Rgb24,
                bytes.as_chunks::<3>().0.iter().flat_map(|&[b, g, r]| [r, g, b]).collect::<Vec<u8>>().into(),
            ),
            Self::Nv12 => {
                let luma = self.planes(size)[0];
                let begin = luma.row_bytes * luma.rows;
                let planes: Vec<u8> =
                    bytes.iter().take(begin).copied().chain(pick(begin, 2)).chain(pick(begin + 1, 2)).collect();
                (Self::I420, planes.into())
            }
            Self::Yuyv | Self::Uyvy => {
                let [y, u, v] = if self == Self::Yuyv { [0, 1, 3] } else { [1, 0, 2] };
                let row = self.planes(size)[0].row_bytes;
                // Of an odd width the last pixel has a neighbour that is not part of the picture.
                let luma = bytes
                    .chunks_exact(row.max(1))
                    .flat_map(|row| row.iter().skip(y).step_by(2).take(size.width as usize));
                let planes: Vec<u8> = luma.copied().chain(pick(u, 4)).chain(pick(v, 4)).collect();
                (Self::I422, planes.into())
            }
        }
    }

    /// Bytes of a picture without padding.
    pub fn frame_bytes(self, size: ImageSize) -> usize {
        self.planes(size).iter().map(|plane| plane.row_bytes.saturating_mul(plane.rows)).fold(0, usize::saturating_add)
    }
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
    /// Pixels as they are; rows without padding.
    Raw(PixelFormat, ImageSize),
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
            Self::Raw(pixels, _) => pixels.word(),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: ImageSize = ImageSize { width: 3, height: 2 };

    #[test]
    fn a_raw_picture_has_as_many_bytes_as_its_planes() {
        for (pixels, bytes) in [
            (PixelFormat::Rgb24, 18),
            (PixelFormat::Bgr24, 18),
            (PixelFormat::Grey8, 6),
            (PixelFormat::I420, 6 + 2 * 2),
            (PixelFormat::I422, 6 + 2 * 4),
            (PixelFormat::Nv12, 6 + 4),
            (PixelFormat::Yuyv, 16),
            (PixelFormat::Uyvy, 16),
        ] {
            assert_eq!(pixels.frame_bytes(SIZE), bytes, "{pixels:?}");
        }
        let huge = ImageSize { width: u32::MAX, height: u32::MAX };
        assert!(PixelFormat::Rgb24.frame_bytes(huge) > usize::MAX / 2, "no overflow");
    }

    #[test]
    fn files_have_the_same_picture() {
        for (pixels, bytes, expected, same) in [
            (PixelFormat::Bgr24, "bgrbgrbgrBGRBGRBGR", PixelFormat::Rgb24, "rgbrgbrgbRGBRGBRGB"),
            (PixelFormat::Nv12, "yyyYYYuvuv", PixelFormat::I420, "yyyYYYuuvv"),
            // The letters in brackets stand where a fourth pixel would be.
            (PixelFormat::Yuyv, "1u2v3U)VaubvcU)V", PixelFormat::I422, "123abcuUuUvVvV"),
            (PixelFormat::Uyvy, "u1v2U3V)uavbUcV)", PixelFormat::I422, "123abcuUuUvVvV"),
        ] {
            let (found, planes) = pixels.as_in_files(SIZE, bytes.as_bytes());
            assert_eq!((found, std::str::from_utf8(&planes).unwrap()), (expected, same), "{pixels:?}");
            assert_eq!(found.frame_bytes(SIZE), planes.len());
        }
    }
}
