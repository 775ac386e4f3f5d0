//! Which of the formats, sizes and rates that a camera offers is the cheapest that does what is wanted.
//!
//! The order of what matters: a size that the model need not enlarge (or the nearest to the configured one); a rate that is
//! reached; few pixels; a format that costs little. So raw pictures come before JPEG, which costs the runner most, unless the
//! bus has no room for them at that rate.

use inferd_core::frame::{ImageSize, PixelFormat};

use crate::config::CameraFormat;
use crate::host::v4l2::{FourCc, Rates, Sizes};

/// The fastest that a camera is set to where nobody says.
const USUAL_FPS: f64 = 30.0;

/// Where nobody says, raw pictures are taken rather than JPEG as long as there are so many a second.
const ENOUGH_FPS: f64 = 15.0;

/// A rate that is so near to the wanted one is the wanted one: 29.97 is 30.
const NEAR: f64 = 0.99;

/// Sizes that are looked at where a camera does any: scaling is its work then.
const COMMON_SIZES: [(u32, u32); 6] = [(320, 240), (640, 480), (800, 600), (1280, 720), (1640, 1232), (1920, 1080)];

/// Formats of cameras that a runner decodes, the cheapest first: by bytes, then by what the conversion to RGB costs.
const FORMATS: [(&[u8; 4], CameraFormat); 13] = [
    (b"NV12", CameraFormat::Raw(PixelFormat::Nv12)),
    (b"NM12", CameraFormat::Raw(PixelFormat::Nv12)),
    (b"YU12", CameraFormat::Raw(PixelFormat::I420)),
    (b"YM12", CameraFormat::Raw(PixelFormat::I420)),
    (b"YUYV", CameraFormat::Raw(PixelFormat::Yuyv)),
    (b"UYVY", CameraFormat::Raw(PixelFormat::Uyvy)),
    (b"422P", CameraFormat::Raw(PixelFormat::I422)),
    (b"RGB3", CameraFormat::Raw(PixelFormat::Rgb24)),
    (b"BGR3", CameraFormat::Raw(PixelFormat::Bgr24)),
    (b"MJPG", CameraFormat::Mjpeg),
    (b"JPEG", CameraFormat::Mjpeg),
    // Colours are worth more than the decoding of a JPEG.
    (b"GREY", CameraFormat::Raw(PixelFormat::Grey8)),
    (b"Y800", CameraFormat::Raw(PixelFormat::Grey8)),
];

/// What is wanted of a camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// By the configuration.
    pub(super) size: Option<ImageSize>,
    /// The model's.
    pub(super) model: Option<ImageSize>,
    /// By the configuration.
    pub(super) fps: Option<f64>,
    /// By the configuration.
    pub(super) format: Option<CameraFormat>,
}

/// A format in a size, and its rates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) fourcc: FourCc,
    pub(super) size: ImageSize,
    pub(super) rates: Rates,
}

/// What a camera is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) fourcc: FourCc,
    pub(super) format: CameraFormat,
    pub(super) size: ImageSize,
    /// Pictures a second; `None` leaves them to the camera.
    pub(super) fps: Option<f64>,
}

/// What the pictures of a format are, where a runner decodes them.
pub(super) fn known(fourcc: FourCc) -> Option<CameraFormat> {
    FORMATS.iter().find(|(known, _)| **known == fourcc.0).map(|(_, format)| *format)
}

/// The sizes to ask a camera about: those that it lists, some of those between, or the wanted one where it lists none.
pub(super) fn candidates(sizes: &[Sizes], wanted: &Wanted) -> Vec<ImageSize> {
    let near = wanted.size.or(wanted.model).unwrap_or(ImageSize { width: 640, height: 480 });
    if sizes.is_empty() {
        return vec![near];
    }
    let common = COMMON_SIZES.map(|(width, height)| ImageSize { width, height });
    let mut found: Vec<ImageSize> = Vec::new();
    for size in sizes {
        match *size {
            Sizes::Discrete(size) => found.push(size),
            Sizes::Stepwise { least, most, step } => {
                let near = if wanted.size.is_some() { &[near][..] } else { &common };
                found.extend(near.iter().map(|size| ImageSize {
                    width: stepped(size.width, (least.width, most.width, step.width)),
                    height: stepped(size.height, (least.height, most.height, step.height)),
                }));
            }
        }
    }
    // Some list a size twice, or one without rows.
    let mut kept: Vec<ImageSize> = Vec::with_capacity(found.len());
    for size in found {
        let side = 1..=ImageSize::MAX_RAW_SIDE;
        if side.contains(&size.width) && side.contains(&size.height) && !kept.contains(&size) {
            kept.push(size);
        }
    }
    kept
}

/// The next step that is not smaller, within the limits.
fn stepped(side: u32, (least, most, step): (u32, u32, u32)) -> u32 {
    let step = step.max(1);
    let steps = side.saturating_sub(least).div_ceil(step);
    let up = least.saturating_add(steps.saturating_mul(step));
    if up > most { most } else { up }
}

/// What to set the camera to, the best first. Those that follow are for cameras that cannot do what they list.
pub(super) fn choices(offers: &[Offer], wanted: &Wanted) -> Vec<Choice> {
    let mut ranked: Vec<(Rank, Choice)> = offers
        .iter()
        .filter_map(|offer| {
            let format = known(offer.fourcc)?;
            if wanted.format.is_some_and(|only| only != format) {
                return None;
            }
            let (fps, missing) = rate(&offer.rates, wanted.fps);
            let cost = FORMATS.iter().position(|(known, _)| **known == offer.fourcc.0).unwrap_or(FORMATS.len());
            let choice = Choice { fourcc: offer.fourcc, format, size: offer.size, fps };
            let (misfit, pixels) = size_rank(offer.size, wanted);
            Some(((misfit, missing, pixels, cost), choice))
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.dedup_by_key(|(_, choice)| (choice.fourcc, choice.size.width, choice.size.height));
    ranked.into_iter().map(|(_, choice)| choice).collect()
}

/// Least is best: misfit of the size, thousandths of the rate that are missing, pixels, cost of the format.
type Rank = (u64, u32, u64, usize);

fn size_rank(size: ImageSize, wanted: &Wanted) -> (u64, u64) {
    let pixels = u64::from(size.width) * u64::from(size.height);
    match (wanted.size, wanted.model) {
        (Some(exact), _) => {
            let off = size.width.abs_diff(exact.width) + size.height.abs_diff(exact.height);
            (u64::from(off), pixels)
        }
        (None, Some(model)) if size.width >= model.width && size.height >= model.height => (0, pixels),
        // All are too small for the model: the largest is the best.
        (None, Some(_)) => (1, u64::MAX - pixels),
        (None, None) => (u64::from(size.width.abs_diff(640) + size.height.abs_diff(480)), pixels),
    }
}

/// The rate to set, and how much of the wanted one is missing, in thousandths.
fn rate(rates: &Rates, wanted: Option<f64>) -> (Option<f64>, u32) {
    let set = match rates {
        Rates::Unknown => wanted,
        Rates::Range { slowest, fastest } => Some(wanted.unwrap_or(USUAL_FPS).clamp(*slowest, fastest.max(*slowest))),
        Rates::Listed(rates) => listed(rates, wanted),
    };
    let enough = wanted.unwrap_or(ENOUGH_FPS);
    let reached = set.map_or(1.0, |set| (set / enough).min(1.0));
    (set, if reached >= NEAR { 0 } else { thousandths(1.0 - reached) })
}

/// The slowest that reaches the wanted one, else the fastest; where nobody says, the fastest usual one.
fn listed(rates: &[f64], wanted: Option<f64>) -> Option<f64> {
    let slowest_from = |least: f64| rates.iter().copied().filter(|rate| *rate >= least * NEAR).reduce(f64::min);
    match wanted {
        Some(fps) => slowest_from(fps).or_else(|| rates.iter().copied().reduce(f64::max)),
        None => {
            let usual = rates.iter().copied().filter(|rate| *rate <= USUAL_FPS / NEAR).reduce(f64::max);
            usual.or_else(|| slowest_from(0.0))
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of one")]
fn thousandths(part: f64) -> u32 {
    (part * 1000.0).round() as u32
}

#[cfg(test)]
mod tests;
