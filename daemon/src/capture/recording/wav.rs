//! RIFF WAVE with 16-bit PCM, in chunks of a tenth of a second.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;

use super::reader::{Read, Reader};
use crate::capture::error::{SourceError, during};
use crate::capture::slots::Slots;

/// Chunks a second: short enough that a window is late by at most this, long enough to cost nothing.
const CHUNKS_PER_SECOND: u32 = 10;

/// A file of sound.
pub(super) struct Wav {
    path: PathBuf,
    file: hound::WavReader<BufReader<File>>,
    rate_hz: u32,
    channels: u16,
}

impl Wav {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(during("open", path))?;
        let file = hound::WavReader::new(BufReader::new(file)).map_err(|error| of_hound(path, error))?;
        let spec = file.spec();
        if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
            let problem = format!(
                "its samples have {} bits ({:?}); 16-bit integers are expected",
                spec.bits_per_sample, spec.sample_format
            );
            return Err(SourceError::damaged(path, problem));
        }
        if spec.sample_rate == 0 || spec.channels == 0 {
            return Err(SourceError::damaged(path, "its header says no rate or no channels"));
        }
        Ok(Self { path: path.to_owned(), file, rate_hz: spec.sample_rate, channels: spec.channels })
    }

    pub(super) const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.file.duration()) / f64::from(self.rate_hz))
    }
}

impl Reader for Wav {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        let per_chunk = self.rate_hz.div_ceil(CHUNKS_PER_SECOND) as usize * usize::from(self.channels);
        let mut slot = slots.take(per_chunk * 2)?;
        let mut filled = 0;
        let space = slot.space().chunks_exact_mut(2).take(per_chunk);
        for (place, sample) in space.zip(self.file.samples::<i16>()) {
            let sample = sample.map_err(|error| of_hound(&self.path, error))?;
            place.copy_from_slice(&sample.to_le_bytes());
            filled += 2;
        }
        if filled == 0 {
            return Ok(None);
        }
        slot.set_len(filled);
        let samples = filled / 2 / usize::from(self.channels);
        let lasts = Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(self.rate_hz));
        let format = Format::Pcm { rate_hz: self.rate_hz, channels: self.channels };
        Ok(Some(Read { slot, format, lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.file.seek(0).map_err(during("read", &self.path))
    }
}

fn of_hound(path: &Path, error: hound::Error) -> SourceError {
    match error {
        hound::Error::IoError(source) => during("read", path)(source),
        other => SourceError::damaged(path, other.to_string()),
    }
}
