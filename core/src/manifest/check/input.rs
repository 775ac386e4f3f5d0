//! The input tensor, the window, and which of both's tables belong to which kind.

use super::{Dtype, Found, audio, image, imu, raw};
use crate::manifest::{Input, Kind, Preprocess, Window};

/// A window of ten minutes at 48 kHz: more cannot be meant.
const MAX_WINDOW: u32 = 48_000 * 600;

pub(super) fn check(raw: &raw::Input, window: Option<Window>, found: &mut Found<'_>) -> Input {
    for (kind, present) in
        [(Kind::Image, raw.image.is_some()), (Kind::Audio, raw.audio.is_some()), (Kind::Imu, raw.imu.is_some())]
    {
        found.unless(!present || raw.kind == kind, &format!("input.{}", kind.word()), || {
            format!("does not belong to an input of kind `{}`", raw.kind.word())
        });
    }
    if let Some(name) = &raw.tensor {
        found.name("input.tensor", name);
    }
    let streams = matches!(raw.kind, Kind::Audio | Kind::Imu);
    found.unless(streams || window.is_none(), "window", || {
        format!("does not belong to an input of kind `{}`: each frame is one window", raw.kind.word())
    });
    let preprocess = match raw.kind {
        Kind::Image => Preprocess::Image(image::check(raw, found)),
        Kind::Audio => {
            let window = check_window(window, found);
            audio::check(raw, window, found).map_or(Preprocess::Tensor, Preprocess::Audio)
        }
        Kind::Imu => {
            let window = check_window(window, found);
            imu::check(raw, window, found).map_or(Preprocess::Tensor, Preprocess::Imu)
        }
        Kind::Tensor => {
            found.unless(raw.layout.is_none(), "input.layout", || {
                "does not belong to an input of kind `tensor`: it is taken as it is".into()
            });
            Preprocess::Tensor
        }
    };
    let floats_only = streams && raw.dtype != Dtype::F32;
    found.unless(!floats_only, "input.dtype", || format!("must be \"f32\" for an input of kind `{}`", raw.kind.word()));
    Input { tensor: raw.tensor.clone(), shape: raw.shape, dtype: raw.dtype, preprocess }
}

fn check_window(window: Option<Window>, found: &mut Found<'_>) -> Window {
    let usual = Window { length: 1, hop: 1 };
    let Some(window) = window else {
        found.problem("window", "is missing: `length` and `hop` in samples are expected for audio and imu");
        return usual;
    };
    let sane = |value: u32| (1..=MAX_WINDOW).contains(&value);
    found.unless(sane(window.length), "window.length", || format!("must be 1 to {MAX_WINDOW} samples"));
    found.unless(sane(window.hop), "window.hop", || format!("must be 1 to {MAX_WINDOW} samples"));
    window
}
