//! Sound: rate, features, and the shape that they make.

use super::{Found, raw};
use crate::manifest::{AudioInput, Features, Mel, Spectrum, Taper, Window};

pub(super) fn check(raw: &raw::Input, window: Window, found: &mut Found<'_>) -> Option<AudioInput> {
    let audio = found.required(
        raw.audio.as_ref(),
        "input.audio",
        "a table [input.audio] with `rate_hz` at least is expected",
    )?;
    found.unless(matches!(raw.layout, None | Some(raw::Layout::Ntfc)), "input.layout", || {
        "must be \"NTFC\" or absent for an input of kind `audio`".into()
    });
    found.unless((1_000..=384_000).contains(&audio.rate_hz), "input.audio.rate_hz", || {
        format!("is {}; 1000 to 384000 samples per second are expected", audio.rate_hz)
    });
    let features = match audio.features {
        raw::Features::Raw => {
            refuse_mel_keys(audio, found);
            Features::Raw
        }
        raw::Features::LogMel => {
            found.unless(audio.coefficients.is_none(), "input.audio.coefficients", || {
                "belongs to `features = \"mfcc\"`".into()
            });
            Features::LogMel(check_mel(audio, window, found)?)
        }
        raw::Features::Mfcc => {
            let mel = check_mel(audio, window, found)?;
            let coefficients = audio.coefficients.unwrap_or(13);
            found.unless((1..=mel.bands).contains(&coefficients), "input.audio.coefficients", || {
                format!("is {coefficients}; 1 to `mel_bins` ({}) are expected", mel.bands)
            });
            Features::Mfcc { mel, coefficients }
        }
    };
    check_audio_size(raw, &features, window, found);
    Some(AudioInput { rate_hz: audio.rate_hz, range: audio.range, normalize: audio.normalize, features, window })
}

fn refuse_mel_keys(audio: &raw::Audio, found: &mut Found<'_>) {
    let given = [
        ("frame_length", audio.frame_length.is_some()),
        ("frame_step", audio.frame_step.is_some()),
        ("fft_length", audio.fft_length.is_some()),
        ("taper", audio.taper.is_some()),
        ("spectrum", audio.spectrum.is_some()),
        ("mel_bins", audio.mel_bins.is_some()),
        ("mel_low_hz", audio.mel_low_hz.is_some()),
        ("mel_high_hz", audio.mel_high_hz.is_some()),
        ("log_offset", audio.log_offset.is_some()),
        ("coefficients", audio.coefficients.is_some()),
    ];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        found.problem(&format!("input.audio.{key}"), "has no meaning with `features = \"raw\"`");
    }
}

fn check_mel(audio: &raw::Audio, window: Window, found: &mut Found<'_>) -> Option<Mel> {
    let why = "log-mel and mfcc features need it, in samples";
    let frame_length = found.required(audio.frame_length, "input.audio.frame_length", why);
    let frame_step = found.required(audio.frame_step, "input.audio.frame_step", why);
    let (frame_length, frame_step) = (frame_length?, frame_step?);
    let nyquist = half_of(audio.rate_hz);
    let mel = Mel {
        frame_length,
        frame_step,
        fft_length: audio.fft_length.unwrap_or_else(|| frame_length.min(1 << 20).next_power_of_two()),
        taper: audio.taper.unwrap_or(Taper::HannPeriodic),
        spectrum: audio.spectrum.unwrap_or(Spectrum::Magnitude),
        bands: audio.mel_bins.unwrap_or(40),
        low_hz: audio.mel_low_hz.unwrap_or(20.0),
        high_hz: audio.mel_high_hz.unwrap_or_else(|| nyquist.min(4000.0)),
        log_offset: audio.log_offset.unwrap_or(1e-6),
    };
    check_frames(&mel, window, found);
    found.unless((1..=512).contains(&mel.bands), "input.audio.mel_bins", || "must be 1 to 512".into());
    found.unless(mel.low_hz >= 0.0 && mel.low_hz < mel.high_hz, "input.audio.mel_low_hz", || {
        format!("is {}; 0 up to `mel_high_hz` ({}) is expected", mel.low_hz, mel.high_hz)
    });
    found.unless(mel.high_hz <= nyquist, "input.audio.mel_high_hz", || {
        format!("is {}, but at this rate there is nothing above {nyquist} Hz", mel.high_hz)
    });
    found.unless(mel.log_offset > 0.0 && mel.log_offset.is_finite(), "input.audio.log_offset", || {
        "must be above 0: the logarithm of silence has no value".into()
    });
    Some(mel)
}

fn check_frames(mel: &Mel, window: Window, found: &mut Found<'_>) {
    found.unless(mel.frame_step > 0, "input.audio.frame_step", || "must be at least 1".into());
    found.unless((1..=window.length).contains(&mel.frame_length), "input.audio.frame_length", || {
        format!("is {}; 1 to the window's {} samples are expected", mel.frame_length, window.length)
    });
    found.unless((mel.frame_length..=1 << 20).contains(&mel.fft_length), "input.audio.fft_length", || {
        format!("is {}; at least `frame_length` ({}) is expected", mel.fft_length, mel.frame_length)
    });
}

/// Rates below 2^24 are exact in a float.
#[expect(clippy::cast_precision_loss, reason = "checked rates are at most 384000")]
fn half_of(rate_hz: u32) -> f32 {
    rate_hz as f32 / 2.0
}

fn check_audio_size(raw: &raw::Input, features: &Features, window: Window, found: &mut Found<'_>) {
    let frames = |mel: &Mel| if mel.frame_step == 0 { 0 } else { mel.frames(window.length) };
    let (rows, columns) = match features {
        Features::Raw => (1, window.length),
        Features::LogMel(mel) => (frames(mel), mel.bands),
        Features::Mfcc { mel, coefficients } => (frames(mel), *coefficients),
    };
    let made = u64::from(rows) * u64::from(columns);
    found.unless(made == raw.shape.elements() as u64, "input.shape", || {
        format!(
            "{} has {} values, but these features make {rows} x {columns} = {made}",
            raw.shape,
            raw.shape.elements()
        )
    });
}
