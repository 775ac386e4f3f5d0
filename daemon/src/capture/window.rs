//! From frames to windows: what one inference looks at.
//!
//! Invariants:
//! - Windows are numbered from 0 without a gap, also when a swap changes their length or hop.
//! - Every window is cut exactly once: window n+1 begins `hop` samples after window n. At a change of the cut the samples
//!   that wait are kept and the next window begins where it would have begun.
//! - No window spans a gap: after dropped frames cutting begins anew with what comes next.

use std::collections::VecDeque;

use inferd_core::frame::Format;
use inferd_core::manifest::{Kind, Manifest, Preprocess};

use super::{Frame, SourceInfo};
use crate::host::clock::Tick;
use crate::host::frames::{Pool, PoolError, Slot};

/// Windows that may be in use at once: those that a runner works on and one being cut.
const SLOTS: u32 = 8;

/// What one inference looks at.
#[derive(Debug)]
pub struct Window {
    /// Its number in the pipeline, from 0.
    pub seq: u64,
    /// When its last frame was ready.
    pub captured: Tick,
    /// The same by the wall clock, nanoseconds since 1970.
    pub captured_unix_ns: i64,
    /// How its bytes are to be read.
    pub format: Format,
    /// Its bytes.
    pub slot: Slot,
}

/// The source does not give what the model needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another kind of data.
    #[error("the source gives {found} frames, the model needs {needed}")]
    Kind {
        /// What the source gives.
        found: &'static str,
        /// What the model needs.
        needed: &'static str,
    },
    /// Another rate.
    #[error("the source has {found} samples per second, the model needs {needed}; record or convert it at that rate")]
    Rate {
        /// The source's.
        found: String,
        /// The model's.
        needed: String,
    },
    /// Channels are missing.
    #[error(
        "the model needs the channel `{missing}`, the source has {found}; rename the column or the manifest's channel"
    )]
    Channel {
        /// The channel that the model asks for.
        missing: String,
        /// The channels that there are.
        found: String,
    },
}

/// Cuts a source's frames into the windows of a model.
#[derive(Debug)]
pub struct Windower {
    source: SourceInfo,
    next_seq: u64,
    cut: Cut,
}

#[derive(Debug)]
enum Cut {
    /// Each frame is a window.
    Whole(VecDeque<Frame>),
    /// Windows are cut from a stream.
    Stream(Stream),
}

impl Windower {
    /// A windower for this source and model.
    ///
    /// # Errors
    /// [`Mismatch`] where the source cannot feed the model.
    pub fn new(source: SourceInfo, manifest: &Manifest) -> Result<Self, Mismatch> {
        fits(&source, manifest)?;
        let cut = match Stream::of(&source, manifest) {
            Some(stream) => Cut::Stream(stream),
            None => Cut::Whole(VecDeque::with_capacity(1)),
        };
        Ok(Self { source, next_seq: 0, cut })
    }

    /// Cuts by another version's manifest from the next window on. Waiting samples stay.
    ///
    /// # Errors
    /// [`Mismatch`]; the old cut stays in force.
    pub fn change(&mut self, manifest: &Manifest) -> Result<(), Mismatch> {
        fits(&self.source, manifest)?;
        if let (Cut::Stream(old), Some(mut new)) = (&mut self.cut, Stream::of(&self.source, manifest)) {
            new.take_over(old);
            self.cut = Cut::Stream(new);
        }
        Ok(())
    }

    /// Takes a frame in.
    pub fn push(&mut self, frame: Frame) {
        match &mut self.cut {
            Cut::Whole(frames) => frames.push_back(frame),
            Cut::Stream(stream) => stream.push(&frame),
        }
    }

    /// The next window, if enough frames have come.
    ///
    /// # Errors
    /// [`PoolError`] where there is no memory for windows.
    pub fn cut(&mut self) -> Result<Option<Window>, PoolError> {
        let window = match &mut self.cut {
            Cut::Whole(frames) => frames.pop_front().map(|frame| Window {
                seq: self.next_seq,
                captured: frame.captured,
                captured_unix_ns: frame.captured_unix_ns,
                format: frame.format,
                slot: frame.slot,
            }),
            Cut::Stream(stream) => stream.cut(self.next_seq)?,
        };
        self.next_seq += u64::from(window.is_some());
        Ok(window)
    }
}

/// Checks that a source can feed a model.
///
/// # Errors
/// [`Mismatch`]
pub(crate) fn fits(source: &SourceInfo, manifest: &Manifest) -> Result<(), Mismatch> {
    if source.kind != manifest.kind() {
        return Err(Mismatch::Kind { found: source.kind.word(), needed: manifest.kind().word() });
    }
    let (needed_hz, channels) = match &manifest.input.preprocess {
        Preprocess::Audio(audio) => (f64::from(audio.rate_hz), &[][..]),
        Preprocess::Imu(imu) => (f64::from(imu.rate_hz), &imu.channels[..]),
        Preprocess::Image(_) | Preprocess::Tensor => return Ok(()),
    };
    // Sound cards are exact; sensors' own clocks are off by up to a few per cent.
    let allowed = if source.kind == Kind::Audio { 0.0 } else { 0.05 };
    if (source.rate_hz - needed_hz).abs() > needed_hz * allowed {
        let found = format!("{:.1}", source.rate_hz).trim_end_matches(".0").to_owned();
        return Err(Mismatch::Rate { found, needed: needed_hz.to_string() });
    }
    let missing = channels.iter().find(|channel| !source.channels.contains(&channel.name));
    missing.map_or(Ok(()), |channel| {
        Err(Mismatch::Channel { missing: channel.name.clone(), found: source.channels.join(", ") })
    })
}

/// A stream of rows (PCM samples of all channels, or sensor values) that windows are cut from.
#[derive(Debug)]
struct Stream {
    /// How a window's bytes are to be read.
    format: Format,
    /// Bytes of a row as it comes.
    source_row_bytes: usize,
    /// Where the model's channels are in a row as it comes; empty where rows are taken whole.
    columns: Vec<usize>,
    row_bytes: usize,
    length_bytes: usize,
    hop_bytes: usize,
    /// Rows that wait, from the start of the next window (less what is still to be skipped).
    waiting: Vec<u8>,
    /// Where the next window begins in `waiting`; beyond its end where hop is larger than length.
    start: usize,
    captured: Tick,
    captured_unix_ns: i64,
    pool: Option<Pool>,
}

impl Stream {
    /// `None` where each frame is a window.
    fn of(source: &SourceInfo, manifest: &Manifest) -> Option<Self> {
        let window = manifest.window()?;
        let (columns, format, row_bytes, source_row_bytes) = match &manifest.input.preprocess {
            Preprocess::Imu(imu) => {
                let columns: Vec<usize> = imu
                    .channels
                    .iter()
                    .filter_map(|channel| source.channels.iter().position(|name| *name == channel.name))
                    .collect();
                let channels = u16::try_from(columns.len()).unwrap_or(u16::MAX);
                let row_bytes = columns.len() * 4;
                (columns, Format::Imu { rate_hz: imu.rate_hz, channels }, row_bytes, source.channels.len() * 4)
            }
            Preprocess::Audio(audio) => (Vec::new(), Format::Pcm { rate_hz: audio.rate_hz, channels: 1 }, 2, 2),
            Preprocess::Image(_) | Preprocess::Tensor => return None,
        };
        Some(Self {
            format,
            source_row_bytes,
            columns,
            row_bytes,
            length_bytes: window.length as usize * row_bytes,
            hop_bytes: window.hop as usize * row_bytes,
            waiting: Vec::new(),
            start: 0,
            captured: Tick::default(),
            captured_unix_ns: 0,
            pool: None,
        })
    }

    fn push(&mut self, frame: &Frame) {
        if let Format::Pcm { channels, .. } = frame.format {
            self.widen(channels);
        }
        self.captured = frame.captured;
        self.captured_unix_ns = frame.captured_unix_ns;
        if frame.after_gap {
            self.waiting.clear();
            self.start = 0;
        }
        self.drop_served();
        let bytes = frame.slot.bytes();
        if self.columns.is_empty() {
            self.waiting.extend_from_slice(bytes);
            return;
        }
        for row in bytes.chunks_exact(self.source_row_bytes) {
            for &column in &self.columns {
                self.waiting.extend_from_slice(&row[column * 4..column * 4 + 4]);
            }
        }
    }

    /// Sound says with its first frame how many channels it has.
    fn widen(&mut self, channels: u16) {
        if let Format::Pcm { channels: known, .. } = &mut self.format
            && *known != channels
        {
            let (old, new) = (usize::from(*known), usize::from(channels));
            *known = channels;
            self.length_bytes = self.length_bytes / old * new;
            self.hop_bytes = self.hop_bytes / old * new;
            self.row_bytes = 2 * new;
            self.start = self.start / old * new;
        }
    }

    /// Gives back the room of what no window will look at again, once that is half of all.
    fn drop_served(&mut self) {
        let served = self.start.min(self.waiting.len());
        if served > self.waiting.len() / 2 {
            self.waiting.drain(..served);
            self.start -= served;
        }
    }

    fn cut(&mut self, seq: u64) -> Result<Option<Window>, PoolError> {
        let Some(rows) = self.waiting.get(self.start..self.start + self.length_bytes) else { return Ok(None) };
        let pool = match &self.pool {
            Some(pool) if pool.slot_bytes() >= self.length_bytes => pool,
            _ => self.pool.insert(Pool::new(SLOTS, self.length_bytes)?),
        };
        // All slots are in use only while a runner is behind: the window is cut when one comes back.
        let Some(mut slot) = pool.try_take() else { return Ok(None) };
        slot.space()[..self.length_bytes].copy_from_slice(rows);
        slot.set_len(self.length_bytes);
        self.start += self.hop_bytes;
        Ok(Some(Window {
            seq,
            captured: self.captured,
            captured_unix_ns: self.captured_unix_ns,
            format: self.format,
            slot,
        }))
    }

    /// Goes on with another's waiting rows, where both take the same rows.
    fn take_over(&mut self, old: &mut Self) {
        if let Format::Pcm { channels, .. } = old.format {
            self.widen(channels);
        }
        self.captured = old.captured;
        self.captured_unix_ns = old.captured_unix_ns;
        if self.columns == old.columns && self.row_bytes == old.row_bytes {
            self.waiting = std::mem::take(&mut old.waiting);
            self.start = old.start;
        }
    }
}

#[cfg(test)]
mod tests;
