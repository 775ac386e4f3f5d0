//! From `[H, W, 3] u8` RGB to the input tensor: another size, another order of channels, another scale.
//!
//! Colour is reduced to grey after resizing, rounded to a whole level as Pillow's `convert("L")` does. A pixel's scaled
//! value comes from a table of 256 entries a channel.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use inferd_core::frame::ImageSize;
use inferd_core::manifest::{Color, Filter, ImageInput, ImageLayout, Resize};
use inferd_core::outcome::Failure;

use super::Placement;
use super::image::Picture;
use crate::backend::InputMut;
use crate::failure::misfit;

/// The grey that YOLO models were trained to see around a picture.
const LETTERBOX_GREY: u8 = 114;

/// Makes tensors of images, for one model.
pub(crate) struct Shaper {
    layout: ImageLayout,
    color: Color,
    resize: Resize,
    filter: Filter,
    size: ImageSize,
    /// `(pixel * scale - mean) / std` by tensor channel and pixel value.
    tables: [[f32; 256]; 3],
    resizer: Resizer,
    /// `[H of the source, W of the result, 3] u8`: between the passes.
    across: Vec<u8>,
    scaled: Vec<u8>,
    /// `[H, W, 3] u8` RGB in the tensor's size.
    canvas: Vec<u8>,
}

impl Shaper {
    pub(super) fn new(input: &ImageInput) -> Self {
        let table = |channel: usize| {
            let value = |pixel: u8| (f32::from(pixel) * input.scale - input.mean[channel]) / input.std[channel];
            std::array::from_fn(|pixel| u8::try_from(pixel).map_or(0.0, value))
        };
        Self {
            layout: input.layout,
            color: input.color,
            resize: input.resize,
            filter: input.filter,
            size: ImageSize { width: input.width, height: input.height },
            tables: std::array::from_fn(table),
            resizer: Resizer::new(),
            across: Vec::new(),
            scaled: Vec::new(),
            canvas: Vec::new(),
        }
    }

    /// Writes the tensor and says where its picture lies in the source.
    pub(super) fn fill(&mut self, picture: &Picture<'_>, tensor: InputMut<'_>) -> Result<Placement, Failure> {
        let (window, inside, placement) = self.fit(picture.size);
        self.draw(picture, window, inside)?;
        let (layout, color, canvas, tables) = (self.layout, self.color, &self.canvas, &self.tables);
        match tensor {
            InputMut::F32(out) => {
                write(out, canvas, layout, color, |channel, pixel| tables[channel][usize::from(pixel)])
            }
            InputMut::U8(out) => write(out, canvas, layout, color, |_, pixel| pixel),
            // 0..=255 to -128..=127.
            InputMut::I8(out) => write(out, canvas, layout, color, |_, pixel| (pixel ^ 0x80).cast_signed()),
        }
        Ok(placement)
    }

    /// What of the source is used (left, top, width, height), how large it becomes, and where the tensor then lies.
    fn fit(&self, source: ImageSize) -> ([f64; 4], ImageSize, Placement) {
        let (width, height) = (f64::from(source.width), f64::from(source.height));
        let (wide, high) = (f64::from(self.size.width), f64::from(self.size.height));
        let whole = [0.0, 0.0, width, height];
        match self.resize {
            Resize::Squash => (whole, self.size, Placement::WHOLE),
            Resize::Crop => {
                let ratio = f64::max(wide / width, high / height);
                let (used_wide, used_high) = ((wide / ratio).min(width), (high / ratio).min(height));
                let (left, top) = ((width - used_wide) / 2.0, (height - used_high) / 2.0);
                let origin = [single(left / width), single(top / height)];
                let extent = [single(used_wide / width), single(used_high / height)];
                ([left, top, used_wide, used_high], self.size, Placement { origin, extent })
            }
            Resize::Letterbox => {
                let ratio = f64::min(wide / width, high / height);
                let inside = ImageSize {
                    width: whole_pixels(width * ratio, self.size.width),
                    height: whole_pixels(height * ratio, self.size.height),
                };
                let extent = [single(wide / f64::from(inside.width)), single(high / f64::from(inside.height))];
                (whole, inside, Placement { origin: [0.0, 0.0], extent })
            }
        }
    }

    /// Draws the used part of the picture into the canvas, at the top left.
    fn draw(&mut self, picture: &Picture<'_>, used: [f64; 4], inside: ImageSize) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| misfit(format_args!("cannot resize the image: {error}"));
        let bytes = |size: ImageSize| size.width as usize * size.height as usize * 3;
        let boxed = inside != self.size;
        let target = if boxed { &mut self.scaled } else { &mut self.canvas };
        target.resize(bytes(inside), 0);
        // Of the library's functions only those for this kind of pixel are linked: with all of them it is 3 MB larger.
        let source = TypedImageRef::<U8x3>::from_buffer(picture.size.width, picture.size.height, picture.pixels)
            .map_err(|error| failed(&error))?;
        let mut drawn =
            TypedImage::<U8x3>::from_buffer(inside.width, inside.height, target).map_err(|error| failed(&error))?;
        let [left, top, width, height] = used;
        let options = ResizeOptions::new().resize_alg(algorithm(self.filter));
        if self.filter == Filter::BilinearAntialias {
            // Two passes, across first: each rounds to a whole level, and Pillow goes in this order. In the library's
            // own order one value in seven comes out a level apart, which small models feel.
            self.across.resize(bytes(ImageSize { width: inside.width, height: picture.size.height }), 0);
            let mut across = TypedImage::<U8x3>::from_buffer(inside.width, picture.size.height, &mut self.across)
                .map_err(|error| failed(&error))?;
            let rows = options.crop(left, 0.0, width, f64::from(picture.size.height));
            self.resizer.resize_typed(&source, &mut across, &rows).map_err(|error| failed(&error))?;
            let columns = options.crop(0.0, top, f64::from(inside.width), height);
            self.resizer.resize_typed(&across, &mut drawn, &columns).map_err(|error| failed(&error))?;
        } else {
            let options = options.crop(left, top, width, height);
            self.resizer.resize_typed(&source, &mut drawn, &options).map_err(|error| failed(&error))?;
        }
        if boxed {
            self.canvas.clear();
            self.canvas.resize(bytes(self.size), LETTERBOX_GREY);
            let rows = self.canvas.chunks_exact_mut(self.size.width as usize * 3);
            for (row, drawn) in rows.zip(self.scaled.chunks_exact(inside.width as usize * 3)) {
                row[..drawn.len()].copy_from_slice(drawn);
            }
        }
        Ok(())
    }
}

const fn algorithm(filter: Filter) -> ResizeAlg {
    match filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Bilinear => ResizeAlg::Interpolation(FilterType::Bilinear),
        Filter::BilinearAntialias => ResizeAlg::Convolution(FilterType::Bilinear),
    }
}

/// Writes `canvas` into a tensor; `value` turns a tensor channel's pixel into an element.
fn write<T>(out: &mut [T], canvas: &[u8], layout: ImageLayout, color: Color, value: impl Fn(usize, u8) -> T) {
    let (pixels, _) = canvas.as_chunks::<3>();
    let order: &[usize] = match color {
        Color::Rgb => &[0, 1, 2],
        Color::Bgr => &[2, 1, 0],
        Color::Grey => {
            for (out, pixel) in out.iter_mut().zip(pixels) {
                *out = value(0, luma(*pixel));
            }
            return;
        }
    };
    match layout {
        ImageLayout::Nhwc => {
            for (out, pixel) in out.chunks_exact_mut(3).zip(pixels) {
                for (channel, (out, &from)) in out.iter_mut().zip(order).enumerate() {
                    *out = value(channel, pixel[from]);
                }
            }
        }
        ImageLayout::Nchw => {
            for (channel, (plane, &from)) in out.chunks_exact_mut(pixels.len()).zip(order).enumerate() {
                for (out, pixel) in plane.iter_mut().zip(pixels) {
                    *out = value(channel, pixel[from]);
                }
            }
        }
    }
}

/// 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) in 16-bit fixed point, rounded.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000;
    u8::try_from(sum >> 16).unwrap_or(u8::MAX)
}

/// Rounded down, at least one pixel, at most `limit`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is positive and clamped")]
fn whole_pixels(length: f64, limit: u32) -> u32 {
    // A whole number of pixels may come out a hair below itself.
    ((length + 1e-6).floor() as u32).clamp(1, limit)
}

#[expect(clippy::cast_possible_truncation, reason = "parts of an image need no more digits")]
fn single(value: f64) -> f32 {
    value as f32
}
