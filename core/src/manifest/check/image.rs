//! Pictures: axes, channels, normalisation.

use super::{Dtype, Found, raw};
use crate::manifest::{ImageInput, ImageLayout};

/// A picture of 4096 pixels a side: more cannot be meant.
const MAX_SIDE: u32 = 4096;

pub(super) fn check(raw: &raw::Input, found: &mut Found<'_>) -> ImageInput {
    let image = raw.image.as_ref().map_or_else(Default::default, Clone::clone);
    let (layout, [height, width, channels]) = image_axes(raw, found);
    found.unless(channels == image.color.channels(), "input.shape", || {
        format!("{} has {channels} channels in this layout, but `color` has {}", raw.shape, image.color.channels())
    });
    found.unless(width <= MAX_SIDE && height <= MAX_SIDE, "input.shape", || {
        format!("{} is over {MAX_SIDE} pixels a side", raw.shape)
    });
    let normalised =
        (image.scale, &image.mean[..], &image.std[..]) != (raw::Image::default().scale, &[0.0][..], &[1.0][..]);
    found.unless(raw.dtype == Dtype::F32 || !normalised, "input.image", || {
        "`scale`, `mean` and `std` belong to a model that takes floats: bytes take the pixels as they are".into()
    });
    found.finite("input.image.scale", &[image.scale]);
    let mean = per_channel("input.image.mean", &image.mean, found);
    let std = per_channel("input.image.std", &image.std, found);
    found.unless(std.iter().all(|&value| value > 0.0), "input.image.std", || "must be above 0".into());
    ImageInput {
        layout,
        width,
        height,
        color: image.color,
        resize: image.resize,
        filter: image.filter,
        scale: image.scale,
        mean,
        std,
    }
}

fn image_axes(raw: &raw::Input, found: &mut Found<'_>) -> (ImageLayout, [u32; 3]) {
    let layout = match raw.layout {
        Some(raw::Layout::Nhwc) => ImageLayout::Nhwc,
        Some(raw::Layout::Nchw) => ImageLayout::Nchw,
        Some(raw::Layout::Ntfc | raw::Layout::Ntc | raw::Layout::Nct) | None => {
            found.problem("input.layout", "must be \"NHWC\" or \"NCHW\" for an input of kind `image`");
            ImageLayout::Nhwc
        }
    };
    let &[1, first, second, third] = raw.shape.extents() else {
        found.problem("input.shape", format!("{} must be four extents that begin with a batch of 1", raw.shape));
        return (layout, [1, 1, 3]);
    };
    match layout {
        ImageLayout::Nhwc => (layout, [first, second, third]),
        ImageLayout::Nchw => (layout, [second, third, first]),
    }
}

fn per_channel(key: &str, values: &[f32], found: &mut Found<'_>) -> [f32; 3] {
    found.finite(key, values);
    match *values {
        [all] => [all; 3],
        [first, second, third] => [first, second, third],
        _ => {
            found.problem(key, format!("has {} values; 1 or 3 are expected", values.len()));
            [1.0; 3]
        }
    }
}
