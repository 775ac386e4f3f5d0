//! How sound becomes the input tensor.

use serde::{Deserialize, Serialize};

use super::Window;

/// From PCM to a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioInput {
    /// Samples per second that the model was trained on; several channels are mixed down to one.
    pub rate_hz: u32,
    /// Scale of a sample.
    pub range: Range,
    /// What is done to a window's level.
    pub normalize: Normalize,
    /// What is computed from the samples.
    pub features: Features,
    /// Samples in a window and from one window to the next.
    pub window: Window,
}

/// Scale of audio samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    /// -1..1: the 16-bit value / 32768.
    Unit,
    /// The 16-bit value as it is.
    Int16,
}

/// What is done to a window's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// Nothing.
    None,
    /// Divided by the window's largest (signed) sample, which counts as at least one step of 16 bits. This is what the
    /// MLPerf Tiny keyword spotter was trained with (its `prepare_words_list` divides by `reduce_max`, not by `abs`).
    Peak,
}

/// What is computed from audio samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Features {
    /// The samples themselves: `[1, length]`, or any shape of that many elements.
    Raw,
    /// Log-mel energies `[frames, bands]`.
    LogMel(Mel),
    /// The first `coefficients` of the DCT-II of the log-mel energies, scaled by `1/sqrt(2 * bands)`: `[frames, coefficients]`
    /// (`tf.signal.mfccs_from_log_mel_spectrograms`).
    Mfcc {
        /// The energies.
        mel: Mel,
        /// How many coefficients are kept, from the 0th.
        coefficients: u32,
    },
}

/// Log-mel energies by the formulas of `tf.signal`: frames without padding at the end, a taper, an FFT, triangular bands
/// that are linear in mel (`1127 ln(1 + f/700)`), then `ln(energy + log_offset)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mel {
    /// Samples in a frame.
    pub frame_length: u32,
    /// Samples from one frame to the next.
    pub frame_step: u32,
    /// Points of the FFT; frames are filled up with zeros.
    pub fft_length: u32,
    /// Weights over a frame.
    pub taper: Taper,
    /// What of the spectrum is summed up.
    pub spectrum: Spectrum,
    /// Bands.
    pub bands: u32,
    /// Lower edge of the first band.
    pub low_hz: f32,
    /// Upper edge of the last band.
    pub high_hz: f32,
    /// Added before the logarithm.
    pub log_offset: f32,
}

impl Mel {
    /// Frames in a window of `length` samples.
    pub const fn frames(&self, length: u32) -> u32 {
        if length < self.frame_length { 0 } else { (length - self.frame_length) / self.frame_step + 1 }
    }
}

/// Weights over an audio frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taper {
    /// `0.5 - 0.5 cos(2 pi n / N)`: `tf.signal.hann_window`, `scipy.signal.get_window("hann")`.
    HannPeriodic,
    /// `0.5 - 0.5 cos(2 pi n / (N - 1))`: `numpy.hanning`.
    HannSymmetric,
    /// `0.54 - 0.46 cos(2 pi n / (N - 1))`: `numpy.hamming`.
    HammingSymmetric,
    /// No weights.
    Rectangular,
}

/// What of the spectrum is summed up into bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spectrum {
    /// `|X|`
    Magnitude,
    /// `|X|^2`
    Power,
}
