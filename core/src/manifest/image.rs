//! How an image becomes the input tensor.

use serde::{Deserialize, Serialize};

/// From an image to `[1, H, W, C]` or `[1, C, H, W]`: resize to `width` x `height`, then per channel
/// `(pixel * scale - mean) / std` on pixels 0..=255. `u8` inputs take the pixels as they are, `i8` inputs less 128.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInput {
    /// Order of the axes.
    pub layout: ImageLayout,
    /// Columns of the tensor.
    pub width: u32,
    /// Rows of the tensor.
    pub height: u32,
    /// Channels and their order.
    pub color: Color,
    /// What happens to another aspect ratio.
    pub resize: Resize,
    /// How pixels are interpolated.
    pub filter: Filter,
    /// Factor on the pixel value.
    pub scale: f32,
    /// Subtracted per channel, after the factor, in tensor order; only the first counts for grey.
    pub mean: [f32; 3],
    /// Divisor per channel, in tensor order; only the first counts for grey.
    pub std: [f32; 3],
}

/// Order of an image tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageLayout {
    /// `[1, H, W, C]`
    #[serde(rename = "NHWC")]
    Nhwc,
    /// `[1, C, H, W]`
    #[serde(rename = "NCHW")]
    Nchw,
}

/// Channels of an image tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Three channels, red first.
    Rgb,
    /// Three channels, blue first.
    Bgr,
    /// One channel, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
    Grey,
}

impl Color {
    /// Number of channels.
    pub const fn channels(self) -> u32 {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// What happens to an image of another aspect ratio than the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Stretched to fit.
    Squash,
    /// Shorter side fitted, the middle kept.
    Crop,
    /// Longer side fitted, top-left, the rest filled with grey 114 (the YOLO convention).
    Letterbox,
}

/// How pixels are interpolated when an image is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Bilinear over the four neighbours, as OpenCV's `INTER_LINEAR`.
    Bilinear,
    /// Bilinear with support scaled to the reduction, as Pillow's `BILINEAR` and torchvision's `antialias=True`.
    BilinearAntialias,
    /// The nearest pixel.
    Nearest,
}
