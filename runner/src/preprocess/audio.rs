//! From PCM to the input tensor: mixed down to one channel, scaled, then the samples themselves or features of them.
//!
//! A window of a stream has exactly the manifest's length. A golden `.wav` may be shorter (silence is added at its end)
//! or longer (the rest is ignored): recordings of single words are cut that way everywhere.

use inferd_core::frame::Format;
use inferd_core::manifest::{AudioInput, Features, Normalize, Range};
use inferd_core::outcome::Failure;

use super::features::Bank;
use super::{wav, wrong_kind};
use crate::failure::{misfit, undecodable};

/// Makes tensors of sound, for one model.
pub(crate) struct Listener {
    rate_hz: u32,
    length: usize,
    range: Range,
    normalize: Normalize,
    /// `None`: the samples themselves.
    bank: Option<Bank>,
    scaled: Vec<f32>,
}

impl Listener {
    pub(super) fn new(input: &AudioInput) -> Self {
        let bank = match &input.features {
            Features::Raw => None,
            Features::LogMel(mel) => Some(Bank::new(mel, None, input.rate_hz)),
            Features::Mfcc { mel, coefficients } => Some(Bank::new(mel, Some(*coefficients), input.rate_hz)),
        };
        Self {
            rate_hz: input.rate_hz,
            length: input.window.length as usize,
            range: input.range,
            normalize: input.normalize,
            bank,
            scaled: Vec::new(),
        }
    }

    /// Reads PCM into `samples`: one channel, in steps of 16 bits.
    pub(super) fn decode(&self, bytes: &[u8], format: Format, samples: &mut Vec<f32>) -> Result<(), Failure> {
        let (rate_hz, channels, data) = match format {
            Format::Pcm { rate_hz, channels } => (rate_hz, channels, bytes),
            Format::Wav => {
                let sound = wav::read(bytes).map_err(undecodable)?;
                (sound.rate_hz, sound.channels, sound.data)
            }
            Format::Jpeg
            | Format::Png
            | Format::Bmp
            | Format::Raw(..)
            | Format::Imu { .. }
            | Format::Tensor { .. }
            | Format::Npy
            | Format::Csv => return Err(wrong_kind(format, "sound")),
        };
        if rate_hz != self.rate_hz {
            let needed = self.rate_hz;
            return Err(misfit(format_args!(
                "the recording has {rate_hz} samples per second, the model needs {needed}"
            )));
        }
        mix_down(data, channels, samples)?;
        if format == Format::Wav {
            samples.resize(self.length, 0.0);
        }
        if samples.len() != self.length {
            return Err(misfit(format_args!(
                "the window has {} samples, the model needs {}",
                samples.len(),
                self.length
            )));
        }
        Ok(())
    }

    /// Writes the tensor from one channel of samples in steps of 16 bits.
    pub(super) fn fill(&mut self, samples: &[f32], tensor: &mut [f32]) -> Result<(), Failure> {
        let divisor = match (self.normalize, self.range) {
            // The signed largest sample, at least one step.
            (Normalize::Peak, _) => samples.iter().copied().fold(1.0, f32::max),
            (Normalize::None, Range::Unit) => 32_768.0,
            (Normalize::None, Range::Int16) => 1.0,
        };
        let Some(bank) = &mut self.bank else {
            if tensor.len() != samples.len() {
                return Err(misfit("the model's input has another size than the window"));
            }
            tensor.iter_mut().zip(samples).for_each(|(out, sample)| *out = sample / divisor);
            return Ok(());
        };
        self.scaled.clear();
        self.scaled.extend(samples.iter().map(|sample| sample / divisor));
        bank.fill(&self.scaled, tensor)
    }
}

/// The mean of the channels of interleaved 16-bit PCM.
fn mix_down(data: &[u8], channels: u16, samples: &mut Vec<f32>) -> Result<(), Failure> {
    let row_bytes = usize::from(channels) * 2;
    if row_bytes == 0 || !data.len().is_multiple_of(row_bytes) {
        return Err(undecodable(format_args!("{} bytes are no whole samples of {channels} channels", data.len())));
    }
    samples.clear();
    let share = 1.0 / f32::from(channels);
    samples.extend(data.chunks_exact(row_bytes).map(|row| {
        let (values, _) = row.as_chunks::<2>();
        values.iter().map(|value| f32::from(i16::from_le_bytes(*value))).sum::<f32>() * share
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_averaged() {
        let mut samples = Vec::new();
        let data: Vec<u8> = [100_i16, 300, -32_768, -32_768].iter().flat_map(|value| value.to_le_bytes()).collect();
        mix_down(&data, 2, &mut samples).unwrap();
        assert_eq!(samples, [200.0, -32_768.0]);
        assert!(mix_down(&data[..3], 1, &mut samples).is_err());
        assert!(mix_down(&data, 0, &mut samples).is_err());
    }
}
