//! Windows that are the input tensor already.

use std::borrow::Cow;

use inferd_core::Shape;
use inferd_core::frame::Dtype;
use inferd_core::outcome::Failure;

use super::npy::Array;
use crate::backend::InputMut;
use crate::failure::misfit;

/// A tensor's bytes, little endian, of the model's type and size.
pub(crate) struct Given<'a> {
    bytes: Cow<'a, [u8]>,
    dtype: Dtype,
}

impl<'a> Given<'a> {
    /// A tensor from a stream; it must be exactly what the model takes.
    pub(super) fn stream(bytes: &'a [u8], dtype: Dtype, shape: Shape, model: (Dtype, Shape)) -> Result<Self, Failure> {
        if (dtype, shape) != model {
            let (needed_type, needed) = model;
            return Err(misfit(format_args!(
                "the window is a tensor {shape} of {dtype:?}, the model needs {needed} of {needed_type:?}"
            )));
        }
        let expected = shape.elements() * dtype.size_bytes();
        if bytes.len() != expected {
            return Err(misfit(format_args!("the tensor has {} bytes, {expected} are needed", bytes.len())));
        }
        Ok(Self { bytes: Cow::Borrowed(bytes), dtype })
    }

    /// A golden `.npy` file; extents of 1 may be missing or more.
    pub(super) fn array(array: &Array<'a>, dtype: Dtype, shape: Shape) -> Result<Self, Failure> {
        let long = |extents: &[usize]| extents.iter().copied().filter(|extent| *extent != 1).collect::<Vec<_>>();
        let needed: Vec<usize> = shape.extents().iter().map(|&extent| extent as usize).collect();
        if long(&array.shape) != long(&needed) {
            return Err(misfit(format_args!("the file holds a tensor {:?}, the model needs {shape}", array.shape)));
        }
        let bytes = match (array.dtype(), dtype) {
            (Some(found), needed) if found == needed => Cow::Borrowed(array.data),
            (_, Dtype::F32) => Cow::Owned(array.to_f32().iter().flat_map(|value| value.to_le_bytes()).collect()),
            (_, Dtype::U8 | Dtype::I8) => {
                return Err(misfit(format_args!("the file holds another type than the model's {dtype:?}")));
            }
        };
        Ok(Self { bytes, dtype })
    }

    /// Writes the tensor.
    pub(super) fn fill(&self, tensor: InputMut<'_>) -> Result<(), Failure> {
        if tensor.dtype() != self.dtype || tensor.len() * self.dtype.size_bytes() != self.bytes.len() {
            return Err(misfit("the tensor does not fit the model's input"));
        }
        match tensor {
            InputMut::F32(out) => {
                let (chunks, _) = self.bytes.as_chunks::<4>();
                out.iter_mut().zip(chunks).for_each(|(out, chunk)| *out = f32::from_le_bytes(*chunk));
            }
            InputMut::U8(out) => out.copy_from_slice(&self.bytes),
            InputMut::I8(out) => {
                out.iter_mut().zip(self.bytes.iter()).for_each(|(out, byte)| *out = byte.cast_signed())
            }
        }
        Ok(())
    }
}
