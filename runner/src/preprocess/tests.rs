//! Preprocessing against vectors that Pillow and numpy made (`tests/reference/make.py`).

use std::path::Path;

use inferd_core::frame::{ImageSize, PixelFormat};
use inferd_core::manifest::{
    AudioInput, Color, Features, Filter, ImageInput, ImageLayout, Mel, Normalize, Range, Resize, Spectrum, Taper,
    Window,
};
use proptest::prelude::*;

use super::image::{Decoder, Picture};
use super::resize::Shaper;
use super::*;

struct Reference {
    bytes: Vec<u8>,
}

impl Reference {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/reference/{name}.npy"));
        Self { bytes: std::fs::read(path).unwrap() }
    }

    fn data(&self) -> &[u8] {
        npy::read(&self.bytes).unwrap().data
    }

    fn floats(&self) -> Vec<f32> {
        npy::read(&self.bytes).unwrap().to_f32()
    }
}

fn plain(width: u32, height: u32) -> ImageInput {
    ImageInput {
        layout: ImageLayout::Nhwc,
        width,
        height,
        color: Color::Rgb,
        resize: Resize::Squash,
        filter: Filter::BilinearAntialias,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

const SIZE: ImageSize = ImageSize { width: 47, height: 33 };

fn shape(input: &ImageInput, pixels: &[u8], size: ImageSize) -> (Vec<u8>, Placement) {
    let mut tensor = vec![0; (input.width * input.height * input.color.channels()) as usize];
    let placement = Shaper::new(input).fill(&Picture { pixels, size }, InputMut::U8(&mut tensor)).unwrap();
    (tensor, placement)
}

/// No value is more than one level off, and at most this share of them is: both round to whole levels, but with other
/// weights' precision.
fn assert_close(name: &str, found: &[u8], share: f64) {
    let reference = Reference::read(name);
    let expected = reference.data();
    assert_eq!(found.len(), expected.len());
    let off: Vec<u8> = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).filter(|off| *off > 0).collect();
    assert!(off.iter().all(|off| *off == 1), "{name}: more than one level off");
    assert!(off.len() as f64 <= share * found.len() as f64, "{name}: {} of {} values are off", off.len(), found.len());
}

#[test]
fn images_are_resized_as_the_reference_does() {
    let picture = Reference::read("picture");
    for (filter, word) in [(Filter::BilinearAntialias, "antialias"), (Filter::Bilinear, "bilinear")] {
        for (width, height) in [(16, 12), (96, 64)] {
            let name = format!("{word}_{width}x{height}");
            let (found, placement) = shape(&ImageInput { filter, ..plain(width, height) }, picture.data(), SIZE);
            // The formula of four neighbours keeps fractions to the end; the library rounds in between.
            let share = if filter == Filter::Bilinear { 1.0 } else { 0.05 };
            assert_close(&name, &found, share);
            assert_eq!(placement, Placement::WHOLE);
        }
    }
    let cropped = ImageInput { resize: Resize::Crop, ..plain(16, 16) };
    let (found, placement) = shape(&cropped, picture.data(), SIZE);
    assert_close("crop_16x16", &found, 0.05);
    let seen = placement.to_source([0.0, 0.0, 1.0, 1.0]);
    assert!(seen.iter().zip([7.0 / 47.0, 0.0, 40.0 / 47.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{seen:?}");
    let boxed = ImageInput { resize: Resize::Letterbox, ..plain(20, 20) };
    let (found, placement) = shape(&boxed, picture.data(), SIZE);
    assert_close("letterbox_20x20", &found, 0.05);
    assert_eq!(placement.to_source([0.0, 0.0, 1.0, 0.7]), [0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn colours_are_reduced_to_grey_as_the_reference_does() {
    let picture = Reference::read("picture");
    let grey = ImageInput { color: Color::Grey, ..plain(47, 33) };
    assert_eq!(shape(&grey, picture.data(), SIZE).0, Reference::read("grey").data());
}

#[test]
fn pixels_are_ordered_and_scaled_as_the_manifest_says() {
    let pixels = [10, 20, 30, 40, 50, 60];
    let size = ImageSize { width: 2, height: 1 };
    let input = |layout, color| ImageInput {
        layout,
        color,
        scale: 0.5,
        mean: [1.0, 2.0, 3.0],
        std: [1.0, 2.0, 4.0],
        ..plain(2, 1)
    };
    for (layout, color, expected) in [
        (ImageLayout::Nhwc, Color::Rgb, vec![4.0, 4.0, 3.0, 19.0, 11.5, 6.75]),
        (ImageLayout::Nchw, Color::Rgb, vec![4.0, 19.0, 4.0, 11.5, 3.0, 6.75]),
        (ImageLayout::Nhwc, Color::Bgr, vec![14.0, 4.0, 0.5, 29.0, 11.5, 4.25]),
        (ImageLayout::Nchw, Color::Grey, vec![8.0, 23.0]),
    ] {
        let mut tensor = vec![0.0; expected.len()];
        let mut shaper = Shaper::new(&input(layout, color));
        shaper.fill(&Picture { pixels: &pixels, size }, InputMut::F32(&mut tensor)).unwrap();
        assert_eq!(tensor, expected, "{layout:?} {color:?}");
    }
    let mut tensor = [0; 6];
    let mut shaper = Shaper::new(&plain(2, 1));
    shaper.fill(&Picture { pixels: &pixels, size }, InputMut::I8(&mut tensor)).unwrap();
    assert_eq!(tensor, [-118, -108, -98, -88, -78, -68]);
}

#[test]
fn raw_frames_are_decoded_by_their_stated_size() {
    let size = ImageSize { width: 3, height: 3 };
    let mut decoder = Decoder::default();
    let grey = decoder.decode(&[1, 2, 3, 4, 5, 6, 7, 8, 9], Format::Raw(PixelFormat::Grey8, size)).unwrap();
    assert_eq!(&grey.pixels[..6], [1, 1, 1, 2, 2, 2]);
    // BT.601 limited: luma 81, chroma 90 and 240 are pure red; odd sides have half a chroma sample more.
    let luma = [81; 9];
    for (pixels, red) in [
        (PixelFormat::Rgb24, [255, 0, 0].repeat(9)),
        (PixelFormat::Bgr24, [0, 0, 255].repeat(9)),
        (PixelFormat::I420, [luma.as_slice(), &[90; 4], &[240; 4]].concat()),
        (PixelFormat::I422, [luma.as_slice(), &[90; 6], &[240; 6]].concat()),
        (PixelFormat::Nv12, [luma.as_slice(), &[90, 240].repeat(4)].concat()),
        (PixelFormat::Yuyv, [81, 90, 81, 240].repeat(6)),
        (PixelFormat::Uyvy, [90, 81, 240, 81].repeat(6)),
    ] {
        let picture = decoder.decode(&red, Format::Raw(pixels, size)).unwrap();
        let is_red = |rgb: &[u8]| rgb[0] >= 253 && rgb[1] <= 2 && rgb[2] <= 2;
        assert!(picture.pixels.len() == 27 && picture.pixels.chunks(3).all(is_red), "{pixels:?} {:?}", picture.pixels);
        for length in [red.len() - 1, red.len() + 1] {
            assert!(decoder.decode(&vec![0; length], Format::Raw(pixels, size)).is_err(), "{pixels:?}");
        }
    }
}

#[test]
fn packed_and_planar_pixels_are_the_same_picture() {
    let mut decoder = Decoder::default();
    for size in [ImageSize { width: 3, height: 2 }, ImageSize { width: 64, height: 5 }] {
        for pixels in [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Bgr24] {
            let bytes: Vec<u8> = (0..251).step_by(37).cycle().take(pixels.frame_bytes(size)).collect();
            let packed = decoder.decode(&bytes, Format::Raw(pixels, size)).unwrap().pixels.to_vec();
            let (same, planes) = pixels.as_in_files(size, &bytes);
            let planar = decoder.decode(&planes, Format::Raw(same, size)).unwrap();
            assert_eq!(packed, planar.pixels, "{pixels:?} {size:?}");
        }
    }
}

#[test]
fn images_that_claim_to_be_huge_are_refused_before_memory_is_reserved() {
    let huge = ImageSize { width: 16_385, height: 1 };
    let area = ImageSize { width: 16_384, height: 16_384 };
    let mut decoder = Decoder::default();
    for size in [huge, area, ImageSize { width: 0, height: 5 }, ImageSize { width: u32::MAX, height: u32::MAX }] {
        for pixels in [PixelFormat::Rgb24, PixelFormat::Grey8, PixelFormat::I420, PixelFormat::Yuyv] {
            assert!(decoder.decode(&[], Format::Raw(pixels, size)).is_err(), "{pixels:?}");
        }
    }
    // A BMP header of 60000 x 60000 pixels without any.
    let mut bmp = b"BM".to_vec();
    bmp.extend([0; 8]);
    bmp.extend([54_u32, 40, 60_000, 60_000].iter().flat_map(|word| word.to_le_bytes()));
    bmp.extend([1, 0, 24, 0]);
    bmp.extend([0; 24]);
    assert!(decoder.decode(&bmp, Format::Bmp).is_err());
}

fn listener(features: Features, range: Range, normalize: Normalize) -> audio::Listener {
    let window = Window { length: 4000, hop: 4000 };
    audio::Listener::new(&AudioInput { rate_hz: 16_000, range, normalize, features, window })
}

fn mfcc() -> Features {
    let mel = Mel {
        frame_length: 480,
        frame_step: 320,
        fft_length: 512,
        taper: Taper::HannPeriodic,
        spectrum: Spectrum::Magnitude,
        bands: 40,
        low_hz: 20.0,
        high_hz: 4000.0,
        log_offset: 1e-6,
    };
    Features::Mfcc { mel, coefficients: 10 }
}

fn log_mel() -> Features {
    Features::LogMel(Mel {
        frame_length: 400,
        frame_step: 160,
        fft_length: 400,
        taper: Taper::HammingSymmetric,
        spectrum: Spectrum::Power,
        bands: 32,
        low_hz: 60.0,
        high_hz: 7600.0,
        log_offset: 1e-9,
    })
}

#[test]
fn sound_features_equal_the_reference() {
    let sound = Reference::read("sound");
    let pcm = Format::Pcm { rate_hz: 16_000, channels: 1 };
    for (name, features, range, normalize) in [
        ("mfcc", mfcc(), Range::Int16, Normalize::Peak),
        ("mfcc", mfcc(), Range::Unit, Normalize::Peak),
        ("log_mel", log_mel(), Range::Unit, Normalize::None),
    ] {
        let (mut listener, mut samples) = (listener(features, range, normalize), Vec::new());
        listener.decode(sound.data(), pcm, &mut samples).unwrap();
        let expected = Reference::read(name).floats();
        let mut tensor = vec![0.0; expected.len()];
        // Twice: the second window must not see traces of the first.
        for _ in 0..2 {
            listener.fill(&samples, &mut tensor).unwrap();
        }
        for (found, expected) in tensor.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1e-2), "{name}: {found} {expected}");
        }
    }
}

#[test]
fn sound_that_does_not_fit_is_refused() {
    let mut samples = Vec::new();
    let listener = listener(Features::Raw, Range::Unit, Normalize::None);
    for (rate_hz, channels, bytes, says) in [
        (44_100, 1, 8_000, "44100 samples per second, the model needs 16000"),
        (16_000, 1, 7_998, "3999 samples"),
        (16_000, 2, 8_000, "2000 samples"),
        (16_000, 1, 7_999, "whole samples"),
        (16_000, 0, 8_000, "whole samples"),
    ] {
        let failure = listener.decode(&vec![0; bytes], Format::Pcm { rate_hz, channels }, &mut samples).unwrap_err();
        assert!(failure.reason.contains(says), "{}", failure.reason);
    }
}

#[test]
fn silence_has_features() {
    let mut listener = listener(mfcc(), Range::Int16, Normalize::Peak);
    let mut tensor = vec![f32::NAN; 13 * 10];
    let (twelve_frames, _) = tensor.split_at_mut(12 * 10);
    listener.fill(&[0.0; 4000], twelve_frames).unwrap();
    assert!(twelve_frames.iter().all(|value| value.is_finite()));
    assert!(listener.fill(&[0.0; 4000], &mut tensor).is_err());
    assert!(listener.fill(&[0.0; 4000], &mut tensor[..110]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_an_image_or_a_failure(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..3_usize) {
        let starts: [&[u8]; 3] = [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"BM"];
        let formats = [Format::Jpeg, Format::Png, Format::Bmp];
        let _ = Decoder::default().decode(&[starts[kind], &bytes].concat(), formats[kind]);
    }

    #[test]
    fn any_size_is_fitted(width in 1_u32..300, height in 1_u32..300, mode in 0..3_usize) {
        let resize = [Resize::Squash, Resize::Crop, Resize::Letterbox][mode];
        let pixels = vec![200; (width * height * 3) as usize];
        let (tensor, placement) = shape(&ImageInput { resize, ..plain(24, 17) }, &pixels, ImageSize { width, height });
        prop_assert!(tensor.iter().all(|value| *value == 200 || (resize == Resize::Letterbox && *value == 114)));
        prop_assert!(placement.extent.iter().all(|extent| *extent > 0.0));
    }
}
