//! From an encoded or raw image to `[H, W, 3] u8`, RGB, 0..=255.
//!
//! Invariants:
//! - At most [`MAX_SIDE`] pixels a side and [`MAX_PIXELS`] in all, checked on the header before pixels are reserved.
//! - A damaged or cut-off image is an error, never a picture that is half grey; [`super::jpeg`] names two exceptions.
//! - JPEG, grey and YUV images land in one buffer that is reused. RGB frames are used where they lie.
//!
//! JPEG pixels differ from libjpeg's by a few levels where colour is subsampled, because the standard leaves the
//! interpolation open: a score may move by some thousandths, so a golden JPEG needs a wider tolerance than a PNG.

use std::io::Cursor;

use image::{ImageFormat, ImageReader, Limits};
use inferd_core::frame::{Format, ImageSize, PixelFormat, Plane};
use inferd_core::outcome::Failure;
use yuv::{
    YuvBiPlanarImage, YuvConversionMode, YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv_nv12_to_rgb, yuv420_to_rgb,
    yuv422_to_rgb,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{jpeg, wrong_kind};
use crate::failure::undecodable;

/// Raw YUV is ITU-R BT.601 with limited range, as cameras give it.
const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt601;
const RANGE: YuvRange = YuvRange::Limited;

/// The widest and highest image that is decoded.
const MAX_SIDE: u32 = 16_384;

/// The largest image that is decoded: 64 megapixels, 192 MiB.
const MAX_PIXELS: usize = 64 << 20;

/// An image as `[H, W, 3] u8`, RGB.
pub(crate) struct Picture<'a> {
    pub(super) pixels: &'a [u8],
    pub(super) size: ImageSize,
}

/// Decodes images into a buffer that it keeps.
#[derive(Default)]
pub(super) struct Decoder {
    pixels: Vec<u8>,
    /// A JPEG file as it is given to its decoder.
    file: Vec<u8>,
    /// Packed YUV as planes.
    planes: Vec<u8>,
}

impl Decoder {
    pub(super) fn decode<'a>(&'a mut self, bytes: &'a [u8], format: Format) -> Result<Picture<'a>, Failure> {
        let size = match format {
            Format::Raw(pixels, size) => {
                pixels_in(size)?;
                exactly(bytes, pixels.frame_bytes(size), format)?;
                if pixels == PixelFormat::Rgb24 {
                    return Ok(Picture { pixels: bytes, size });
                }
                self.raw(bytes, pixels, size)?;
                size
            }
            Format::Jpeg => self.jpeg(bytes)?,
            Format::Png => self.file(bytes, format, ImageFormat::Png)?,
            Format::Bmp => self.file(bytes, format, ImageFormat::Bmp)?,
            Format::Pcm { .. }
            | Format::Imu { .. }
            | Format::Tensor { .. }
            | Format::Npy
            | Format::Wav
            | Format::Csv => return Err(wrong_kind(format, "an image")),
        };
        Ok(Picture { pixels: &self.pixels, size })
    }

    fn jpeg(&mut self, bytes: &[u8]) -> Result<ImageSize, Failure> {
        let failed = |error| undecodable(format_args!("unreadable JPEG image: {error:?}"));
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(MAX_SIDE as usize)
            .set_max_height(MAX_SIDE as usize)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let guarded = jpeg::guarded(bytes, &mut self.file);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(guarded), options);
        decoder.decode_headers().map_err(failed)?;
        let (width, height) = decoder.dimensions().ok_or_else(|| undecodable("JPEG image without a size"))?;
        let size = checked_size(width, height)?;
        self.pixels.resize(pixels_in(size)? * 3, 0);
        if decoder.output_buffer_size() != Some(self.pixels.len()) {
            return Err(undecodable("JPEG image that cannot be turned into RGB"));
        }
        decoder.decode_into(&mut self.pixels).map_err(failed)?;
        Ok(size)
    }

    fn file(&mut self, bytes: &[u8], format: Format, kind: ImageFormat) -> Result<ImageSize, Failure> {
        let failed = |error| undecodable(format_args!("unreadable {}: {error}", format.word()));
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        // Up to four channels of 16 bits before the conversion to RGB.
        limits.max_alloc = Some(MAX_PIXELS as u64 * 8);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
        reader.limits(limits.clone());
        let (width, height) = reader.into_dimensions().map_err(failed)?;
        let size = ImageSize { width, height };
        pixels_in(size)?;
        let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
        reader.limits(limits);
        self.pixels = reader.decode().map_err(failed)?.into_rgb8().into_raw();
        Ok(size)
    }

    /// `bytes` has exactly what `pixels` and `size` say.
    fn raw(&mut self, bytes: &[u8], pixels: PixelFormat, size: ImageSize) -> Result<(), Failure> {
        let rgb_stride = size.width * 3;
        self.pixels.resize(rgb_stride as usize * size.height as usize, 0);
        let rgb = &mut self.pixels[..];
        let converted = match pixels {
            PixelFormat::Rgb24 => {
                rgb.copy_from_slice(bytes);
                Ok(())
            }
            PixelFormat::Bgr24 => {
                for (into, from) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(bytes.as_chunks::<3>().0) {
                    *into = [from[2], from[1], from[0]];
                }
                Ok(())
            }
            PixelFormat::Grey8 => {
                for (into, &luma) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(bytes) {
                    *into = [luma; 3];
                }
                Ok(())
            }
            PixelFormat::I420 => yuv420_to_rgb(&planar(bytes, pixels, size), rgb, rgb_stride, RANGE, MATRIX),
            PixelFormat::I422 => yuv422_to_rgb(&planar(bytes, pixels, size), rgb, rgb_stride, RANGE, MATRIX),
            PixelFormat::Nv12 => {
                let image = bi_planar(bytes, pixels, size);
                yuv_nv12_to_rgb(&image, rgb, rgb_stride, RANGE, MATRIX, YuvConversionMode::Balanced)
            }
            // The crate's conversions of packed YUV are off by up to two; those of planes are exact to one.
            PixelFormat::Yuyv | PixelFormat::Uyvy => {
                unpack(bytes, pixels, size, &mut self.planes);
                yuv422_to_rgb(&planar(&self.planes, PixelFormat::I422, size), rgb, rgb_stride, RANGE, MATRIX)
            }
        };
        converted.map_err(|error| undecodable(format_args!("unreadable {}: {error}", pixels.word())))
    }
}

fn planar(bytes: &[u8], pixels: PixelFormat, size: ImageSize) -> YuvPlanarImage<'_, u8> {
    let [luma, u, v] = pixels.planes(size);
    let (y_plane, rest) = bytes.split_at(luma.row_bytes * luma.rows);
    let (u_plane, v_plane) = rest.split_at(u.row_bytes * u.rows);
    YuvPlanarImage {
        y_plane,
        y_stride: size.width,
        u_plane,
        u_stride: stride(u),
        v_plane,
        v_stride: stride(v),
        width: size.width,
        height: size.height,
    }
}

fn bi_planar(bytes: &[u8], pixels: PixelFormat, size: ImageSize) -> YuvBiPlanarImage<'_, u8> {
    let [luma, chroma, _] = pixels.planes(size);
    let (y_plane, uv_plane) = bytes.split_at(luma.row_bytes * luma.rows);
    let (width, height) = (size.width, size.height);
    YuvBiPlanarImage { y_plane, y_stride: width, uv_plane, uv_stride: stride(chroma), width, height }
}

/// Puts packed YUV 4:2:2 into planes, as I422 has them.
fn unpack(bytes: &[u8], pixels: PixelFormat, size: ImageSize, planes: &mut Vec<u8>) {
    let [y, u, v] = if pixels == PixelFormat::Yuyv { [0, 1, 3] } else { [1, 0, 2] };
    planes.resize(PixelFormat::I422.frame_bytes(size), 0);
    let [luma, chroma, _] = PixelFormat::I422.planes(size);
    let (luma_plane, rest) = planes.split_at_mut(luma.row_bytes * luma.rows);
    let (u_plane, v_plane) = rest.split_at_mut(chroma.row_bytes * chroma.rows);
    let rows = bytes.chunks_exact(pixels.planes(size)[0].row_bytes);
    let chroma_rows = u_plane.chunks_exact_mut(chroma.row_bytes).zip(v_plane.chunks_exact_mut(chroma.row_bytes));
    for ((row, luma_row), (u_row, v_row)) in rows.zip(luma_plane.chunks_exact_mut(luma.row_bytes)).zip(chroma_rows) {
        let pairs = row.as_chunks::<4>().0;
        for (group, two) in pairs.iter().zip(luma_row.chunks_mut(2)) {
            two[0] = group[y];
            // Of an odd width the last pixel has no neighbour.
            if let Some(second) = two.get_mut(1) {
                *second = group[y + 2];
            }
        }
        for ((group, u_value), v_value) in pairs.iter().zip(u_row).zip(v_row) {
            (*u_value, *v_value) = (group[u], group[v]);
        }
    }
}

/// Sides that are decoded have rows of far less than 4 GiB.
fn stride(plane: Plane) -> u32 {
    u32::try_from(plane.row_bytes).unwrap_or(u32::MAX)
}

fn checked_size(width: usize, height: usize) -> Result<ImageSize, Failure> {
    let side = |side: usize| u32::try_from(side).map_err(|_| undecodable("the image is too large"));
    Ok(ImageSize { width: side(width)?, height: side(height)? })
}

/// Pixels in an image of this size, if it is one that is decoded.
fn pixels_in(size: ImageSize) -> Result<usize, Failure> {
    let ImageSize { width, height } = size;
    let pixels = width as usize * height as usize;
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(undecodable(format_args!(
            "an image of {width} x {height} pixels; 1 to {MAX_SIDE} a side and {MAX_PIXELS} in all are decoded"
        )));
    }
    Ok(pixels)
}

fn exactly(bytes: &[u8], expected: usize, format: Format) -> Result<(), Failure> {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(undecodable(format_args!("a {} of this size has {expected} bytes, not {}", format.word(), bytes.len())))
}
