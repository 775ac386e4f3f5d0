//! From a window's bytes to the input tensor, by the manifest.
//!
//! Two steps, timed apart: `decode` gives pixels, samples or rows ([`Window`]), `fill` writes the tensor.
//!
//! Invariants:
//! - Lengths that the bytes state are checked against the bytes before anything is reserved for them.
//! - What needs no decoding is not copied: the tensor is filled from the shared frame itself.
//! - Golden files (`.npy`, `.wav`, `.csv`) are read here too; a stream never carries them.

mod audio;
mod features;
mod image;
mod imu;
mod jpeg;
pub(crate) mod npy;
mod resize;
mod tensor;
mod wav;

use inferd_core::Shape;
use inferd_core::frame::{Dtype, Format};
use inferd_core::manifest::{Input, Preprocess};
use inferd_core::outcome::Failure;

use crate::backend::InputMut;
use crate::failure::{misfit, undecodable};

/// Where the tensor's picture lies in the source image, in parts of the source's width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    /// The tensor's left and top edge.
    pub(crate) origin: [f32; 2],
    /// The tensor's width and height; above 1 where the tensor shows more than the source (letterbox).
    pub(crate) extent: [f32; 2],
}

impl Placement {
    /// The tensor shows the whole source and nothing else.
    pub(crate) const WHOLE: Self = Self { origin: [0.0, 0.0], extent: [1.0, 1.0] };

    /// An area (left, top, right, bottom) of the tensor as an area of the source, cut off at the source's edges.
    pub(crate) fn to_source(self, area: [f32; 4]) -> [f32; 4] {
        let [x, y] = self.origin;
        let [width, height] = self.extent;
        let [left, top, right, bottom] = area;
        [x + left * width, y + top * height, x + right * width, y + bottom * height].map(|edge| edge.clamp(0.0, 1.0))
    }
}

/// Prepares windows for one model.
pub(crate) struct Preprocessor {
    kind: Kind,
    shape: Shape,
    dtype: Dtype,
}

enum Kind {
    Image { decoder: image::Decoder, shaper: Box<resize::Shaper> },
    Audio { samples: Vec<f32>, listener: Box<audio::Listener> },
    Imu { rows: Vec<f32>, axes: imu::Axes },
    Tensor,
}

impl Preprocessor {
    pub(crate) fn new(input: &Input) -> Self {
        let kind = match &input.preprocess {
            Preprocess::Image(image) => {
                Kind::Image { decoder: image::Decoder::default(), shaper: Box::new(resize::Shaper::new(image)) }
            }
            Preprocess::Audio(audio) => {
                Kind::Audio { samples: Vec::new(), listener: Box::new(audio::Listener::new(audio)) }
            }
            Preprocess::Imu(imu) => Kind::Imu { rows: Vec::new(), axes: imu::Axes::new(imu) },
            Preprocess::Tensor => Kind::Tensor,
        };
        Self { kind, shape: input.shape, dtype: input.dtype }
    }

    /// Reads the bytes of a window.
    pub(crate) fn decode<'a>(&'a mut self, bytes: &'a [u8], format: Format) -> Result<Window<'a>, Failure> {
        if format == Format::Npy {
            let array = npy::read(bytes).map_err(undecodable)?;
            return Ok(Window::Tensor(tensor::Given::array(&array, self.dtype, self.shape)?));
        }
        match (&mut self.kind, format) {
            (Kind::Image { decoder, shaper }, _) => Ok(Window::Picture(decoder.decode(bytes, format)?, shaper)),
            (Kind::Audio { samples, listener }, _) => {
                listener.decode(bytes, format, samples)?;
                Ok(Window::Sound(samples, listener))
            }
            (Kind::Imu { rows, axes }, _) => {
                axes.decode(bytes, format, rows)?;
                Ok(Window::Motion(rows, axes))
            }
            (Kind::Tensor, Format::Tensor { dtype, shape }) => {
                Ok(Window::Tensor(tensor::Given::stream(bytes, dtype, shape, (self.dtype, self.shape))?))
            }
            (Kind::Tensor, _) => Err(wrong_kind(format, "a tensor")),
        }
    }
}

/// A decoded window and what makes a tensor of it.
pub(crate) enum Window<'a> {
    Picture(image::Picture<'a>, &'a mut resize::Shaper),
    Sound(&'a [f32], &'a mut audio::Listener),
    Motion(&'a [f32], &'a imu::Axes),
    Tensor(tensor::Given<'a>),
}

impl Window<'_> {
    /// Writes the tensor.
    pub(crate) fn fill(self, tensor: InputMut<'_>) -> Result<Placement, Failure> {
        match self {
            Self::Picture(picture, shaper) => return shaper.fill(&picture, tensor),
            Self::Sound(samples, listener) => listener.fill(samples, floats(tensor)?)?,
            Self::Motion(rows, axes) => axes.fill(rows, floats(tensor)?)?,
            Self::Tensor(given) => given.fill(tensor)?,
        }
        Ok(Placement::WHOLE)
    }
}

fn floats(tensor: InputMut<'_>) -> Result<&mut [f32], Failure> {
    match tensor {
        InputMut::F32(values) => Ok(values),
        InputMut::U8(_) | InputMut::I8(_) => Err(misfit("audio and imu models take floats; set `input.dtype`")),
    }
}

/// The window is of a kind that this model does not look at.
fn wrong_kind(format: Format, expected: &str) -> Failure {
    misfit(format_args!("the window is a {}, the model needs {expected}", format.word()))
}

#[cfg(test)]
mod tests;
