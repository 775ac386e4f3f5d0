//! Log-mel energies and MFCC by the formulas of `tf.signal` (`linear_to_mel_weight_matrix`,
//! `mfccs_from_log_mel_spectrograms`), as the manifest documents them. Every table is computed once; sums are kept in
//! 64 bits, so that quiet bands, whose logarithm is steep, equal the reference.

use std::f64::consts::PI;
use std::sync::Arc;

use inferd_core::manifest::{Mel, Spectrum, Taper};
use inferd_core::outcome::Failure;
use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::failure::misfit;

/// The tables of one model's features and the buffers of one frame.
pub(super) struct Bank {
    step: usize,
    taper: Vec<f64>,
    spectrum: Spectrum,
    log_offset: f64,
    bands: Vec<Band>,
    /// `[coefficients, bands]`; empty for log-mel.
    cosines: Vec<Vec<f64>>,
    fft: Arc<dyn RealToComplex<f64>>,
    frame: Vec<f64>,
    bins: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    powers: Vec<f64>,
    energies: Vec<f64>,
}

/// A triangle over the spectrum: weights of the bins from `first`.
struct Band {
    first: usize,
    weights: Vec<f64>,
}

impl Bank {
    pub(super) fn new(mel: &Mel, coefficients: Option<u32>, rate_hz: u32) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(mel.fft_length as usize);
        let bands = bands(mel, rate_hz, fft.complex_len());
        Self {
            step: mel.frame_step as usize,
            taper: taper(mel.taper, mel.frame_length as usize),
            spectrum: mel.spectrum,
            log_offset: f64::from(mel.log_offset),
            cosines: coefficients.map_or_else(Vec::new, |count| cosines(count, mel.bands)),
            frame: fft.make_input_vec(),
            bins: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            powers: vec![0.0; fft.complex_len()],
            energies: vec![0.0; bands.len()],
            bands,
            fft,
        }
    }

    /// Writes `[frames, bands]` or `[frames, coefficients]`; frames are not filled up at the end of the window.
    pub(super) fn fill(&mut self, samples: &[f32], tensor: &mut [f32]) -> Result<(), Failure> {
        let columns = if self.cosines.is_empty() { self.bands.len() } else { self.cosines.len() };
        let frames = samples.len().checked_sub(self.taper.len()).map_or(0, |rest| rest / self.step + 1);
        if frames * columns != tensor.len() {
            return Err(misfit("the model's input has another size than the window's features"));
        }
        let rows = tensor.chunks_exact_mut(columns);
        for (frame, row) in samples.windows(self.taper.len()).step_by(self.step).zip(rows) {
            self.measure(frame)?;
            self.write(row);
        }
        Ok(())
    }

    /// Log energies of one frame's bands.
    fn measure(&mut self, samples: &[f32]) -> Result<(), Failure> {
        let (tapered, rest) = self.frame.split_at_mut(self.taper.len());
        for ((out, sample), weight) in tapered.iter_mut().zip(samples).zip(&self.taper) {
            *out = f64::from(*sample) * weight;
        }
        // The transform uses its input as working space, so the zeros have to be put back.
        rest.fill(0.0);
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.bins, &mut self.scratch)
            .map_err(|error| misfit(format_args!("cannot transform the sound: {error}")))?;
        for (power, bin) in self.powers.iter_mut().zip(&self.bins) {
            *power = match self.spectrum {
                Spectrum::Magnitude => bin.norm(),
                Spectrum::Power => bin.norm_sqr(),
            };
        }
        for (energy, band) in self.energies.iter_mut().zip(&self.bands) {
            let powers = &self.powers[band.first..];
            let sum: f64 = band.weights.iter().zip(powers).map(|(weight, power)| weight * power).sum();
            *energy = (sum + self.log_offset).ln();
        }
        Ok(())
    }

    fn write(&self, row: &mut [f32]) {
        if self.cosines.is_empty() {
            row.iter_mut().zip(&self.energies).for_each(|(out, energy)| *out = single(*energy));
        }
        for (out, cosines) in row.iter_mut().zip(&self.cosines) {
            *out = single(cosines.iter().zip(&self.energies).map(|(cosine, energy)| cosine * energy).sum());
        }
    }
}

fn taper(taper: Taper, length: usize) -> Vec<f64> {
    let turn = |n: usize, steps: usize| (2.0 * PI * real(n) / real(steps.max(1))).cos();
    let weight = |n: usize| match taper {
        Taper::HannPeriodic => 0.5 - 0.5 * turn(n, length),
        Taper::HannSymmetric => 0.5 - 0.5 * turn(n, length - 1),
        Taper::HammingSymmetric => 0.54 - 0.46 * turn(n, length - 1),
        Taper::Rectangular => 1.0,
    };
    (0..length).map(weight).collect()
}

/// Triangles that are linear in mel, over the bins of the spectrum without the constant part.
fn bands(mel: &Mel, rate_hz: u32, bins: usize) -> Vec<Band> {
    let nyquist = f64::from(rate_hz) / 2.0;
    let places: Vec<f64> = (0..bins).map(|bin| to_mel(nyquist * real(bin) / real((bins - 1).max(1)))).collect();
    let (low, high) = (to_mel(f64::from(mel.low_hz)), to_mel(f64::from(mel.high_hz)));
    let edge = |index: u32| low + (high - low) * f64::from(index) / f64::from(mel.bands + 1);
    (0..mel.bands)
        .map(|band| {
            let (lower, centre, upper) = (edge(band), edge(band + 1), edge(band + 2));
            let weight = |place: f64| f64::min((place - lower) / (centre - lower), (upper - place) / (upper - centre));
            let inside = |bin: &usize| weight(places[*bin]) > 0.0;
            let first = (1..bins).find(inside).unwrap_or(bins);
            let weights = (first..bins).take_while(inside).map(|bin| weight(places[bin])).collect();
            Band { first, weights }
        })
        .collect()
}

fn to_mel(hz: f64) -> f64 {
    1127.0 * (hz / 700.0).ln_1p()
}

/// The DCT-II, scaled by `1/sqrt(2 bands)`.
fn cosines(coefficients: u32, bands: u32) -> Vec<Vec<f64>> {
    let count = f64::from(bands);
    let scale = 2.0 / (2.0 * count).sqrt();
    let row = |k: u32| (0..bands).map(|n| scale * (PI / count * (f64::from(n) + 0.5) * f64::from(k)).cos()).collect();
    (0..coefficients).map(row).collect()
}

#[expect(clippy::cast_precision_loss, reason = "lengths of frames are far below 2^52")]
fn real(value: usize) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "the tensor holds 32-bit floats")]
fn single(value: f64) -> f32 {
    value as f32
}
