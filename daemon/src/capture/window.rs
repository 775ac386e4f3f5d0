//! From frames to windows: what one inference looks at.
//!
//! Invariants:
//! - Windows are numbered from 0 without a gap, also when a swap changes their length or hop.
//! - Every window is cut exactly once: window n+1 begins `hop` samples after window n, or a multiple of that where windows
//!   are not wanted. At a change of the cut the samples
//!   that wait are kept and the next window begins where it would have begun, whatever channels it takes of them.
//! - The last [`RECALLABLE`] windows can be cut again, from where they began, until a gap comes: they may have been cut for
//!   a version that is replaced before it has served them.
//! - No window spans a gap: after dropped frames cutting begins anew with what comes next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use inferd_core::frame::Format;
use inferd_core::manifest::{ImuInput, Kind, Manifest, Preprocess};

use super::{Frame, SourceInfo, single};
use crate::host::clock::Tick;
use crate::host::frames::{Pool, PoolError, Slot};

/// Windows that may be in use at once: those that a runner works on and one being cut.
const SLOTS: u32 = 8;

/// Windows back from the newest that can be cut again: at least as many as an engine holds.
pub const RECALLABLE: usize = 2;

/// Windows that are left out before it is given up that an earlier one can be cut again: so much memory it may cost.
const HELD_WINDOWS: usize = 16;

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
    /// Names of its columns, of IMU, in its order; empty otherwise.
    pub channels: Arc<[String]>,
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
    /// The channels of a window whose bytes say themselves what they are.
    unnamed: Arc<[String]>,
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
        Ok(Self { source, next_seq: 0, cut, unnamed: Arc::default() })
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

    /// The next window that is wanted, if enough frames have come. What is not wanted gets no number; `wants` is asked once for
    /// each, by the time at which its last sample was taken.
    ///
    /// # Errors
    /// [`PoolError`] where there is no memory for windows.
    pub fn cut(&mut self, mut wants: impl FnMut(Tick) -> bool) -> Result<Option<Window>, PoolError> {
        let window = match &mut self.cut {
            Cut::Whole(frames) => {
                let wanted = std::iter::from_fn(|| frames.pop_front()).find(|frame| wants(frame.captured));
                wanted.map(|frame| Window {
                    seq: self.next_seq,
                    captured: frame.captured,
                    captured_unix_ns: frame.captured_unix_ns,
                    format: frame.format,
                    channels: Arc::clone(&self.unnamed),
                    slot: frame.slot,
                })
            }
            Cut::Stream(stream) => stream.cut(self.next_seq, wants)?,
        };
        self.next_seq += u64::from(window.is_some());
        Ok(window)
    }

    /// Goes back to a window: it is cut again, and all after it. `false`, and nothing is changed, where what it was cut from
    /// is gone, or where windows are whole frames.
    pub fn rewind(&mut self, seq: u64) -> bool {
        let rewound = match &mut self.cut {
            Cut::Whole(_) => false,
            Cut::Stream(stream) => stream.rewind(seq),
        };
        if rewound {
            self.next_seq = seq;
        }
        rewound
    }
}

/// Whether a window that was cut for one of two versions is of the other's length and channels, too.
pub(crate) fn cut_alike(one: &Manifest, other: &Manifest) -> bool {
    fn names(manifest: &Manifest) -> impl Iterator<Item = &str> {
        let channels = match &manifest.input.preprocess {
            Preprocess::Imu(imu) => &imu.channels[..],
            Preprocess::Audio(_) | Preprocess::Image(_) | Preprocess::Tensor => &[],
        };
        channels.iter().map(|channel| channel.name.as_str())
    }
    let length = |manifest: &Manifest| manifest.window().map(|window| window.length);
    length(one) == length(other) && names(one).eq(names(other))
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
    let allowed = if source.kind == Kind::Audio { 0.0 } else { ImuInput::RATE_TOLERANCE };
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
    /// Rows a second.
    rate_hz: f64,
    /// Names of a window's columns, of IMU.
    names: Arc<[String]>,
    /// Bytes of a row as it comes.
    source_row_bytes: usize,
    /// Where the model's channels are in a row as it comes; empty where rows are taken whole.
    columns: Vec<usize>,
    /// Bytes of a window's row.
    row_bytes: usize,
    /// Rows of a window.
    length: usize,
    /// Rows from one window to the next.
    hop: usize,
    /// Rows as they came: another version may want other columns of them.
    waiting: Vec<u8>,
    /// The row in `waiting` that the next window begins with; beyond its end where hop is larger than length.
    start: usize,
    /// The last windows, oldest first: their numbers and the rows in `waiting` that they begin with.
    begun: VecDeque<(u64, usize)>,
    captured: Tick,
    captured_unix_ns: i64,
    pool: Option<Pool>,
}

impl Stream {
    /// `None` where each frame is a window.
    fn of(source: &SourceInfo, manifest: &Manifest) -> Option<Self> {
        let window = manifest.window()?;
        let (names, columns, format) = match &manifest.input.preprocess {
            Preprocess::Imu(imu) => {
                let names: Arc<[String]> = imu.channels.iter().map(|channel| channel.name.clone()).collect();
                let column = |wanted: &String| source.channels.iter().position(|name| name == wanted);
                let columns: Vec<usize> = names.iter().filter_map(column).collect();
                let channels = u16::try_from(columns.len()).unwrap_or(u16::MAX);
                // The source's own rate: what is kept of a window says when its rows were, not when they should have been.
                (names, columns, Format::Imu { rate_hz: single(source.rate_hz), channels })
            }
            Preprocess::Audio(audio) => {
                (Arc::default(), Vec::new(), Format::Pcm { rate_hz: audio.rate_hz, channels: 1 })
            }
            Preprocess::Image(_) | Preprocess::Tensor => return None,
        };
        let is_sound = columns.is_empty();
        Some(Self {
            format,
            rate_hz: source.rate_hz,
            names,
            source_row_bytes: if is_sound { 2 } else { source.channels.len() * 4 },
            row_bytes: if is_sound { 2 } else { columns.len() * 4 },
            columns,
            length: window.length as usize,
            hop: window.hop as usize,
            waiting: Vec::new(),
            start: 0,
            begun: VecDeque::with_capacity(RECALLABLE + 1),
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
            self.begun.clear();
            self.start = 0;
        }
        self.drop_served();
        let bytes = frame.slot.bytes();
        let whole_rows = bytes.len() / self.source_row_bytes * self.source_row_bytes;
        self.waiting.extend_from_slice(&bytes[..whole_rows]);
    }

    /// Sound says with its first frame how many channels it has.
    fn widen(&mut self, channels: u16) {
        if let Format::Pcm { channels: known, .. } = &mut self.format {
            *known = channels;
            self.row_bytes = 2 * usize::from(channels);
            self.source_row_bytes = self.row_bytes;
        }
    }

    /// Gives back the room of what will not be looked at again, once that is half of all.
    fn drop_served(&mut self) {
        let rows = self.waiting.len() / self.source_row_bytes;
        let served = self.begun.front().map_or(self.start, |&(_, start)| start).min(rows);
        if served > rows / 2 {
            self.waiting.drain(..served * self.source_row_bytes);
            self.start -= served;
            self.begun.iter_mut().for_each(|(_, start)| *start -= served);
        }
    }

    fn cut(&mut self, seq: u64, mut wants: impl FnMut(Tick) -> bool) -> Result<Option<Window>, PoolError> {
        if self.rows().is_none() {
            return Ok(None);
        }
        let bytes = self.length * self.row_bytes;
        let pool = match &self.pool {
            Some(pool) if pool.slot_bytes() >= bytes => pool,
            _ => self.pool.insert(Pool::new(SLOTS, bytes)?),
        };
        // All slots are in use only while a runner is behind: the window is cut when one comes back.
        let Some(mut slot) = pool.try_take() else { return Ok(None) };
        while self.rows().is_some() && !wants(self.taken()) {
            self.skip();
        }
        let Some(rows) = self.rows() else { return Ok(None) };
        pick(rows, self.source_row_bytes, &self.columns, &mut slot.space()[..bytes]);
        slot.set_len(bytes);
        self.begun.push_back((seq, self.start));
        if self.begun.len() > RECALLABLE {
            self.begun.pop_front();
        }
        self.start += self.hop;
        Ok(Some(Window {
            seq,
            captured: self.captured,
            captured_unix_ns: self.captured_unix_ns,
            format: self.format,
            channels: Arc::clone(&self.names),
            slot,
        }))
    }

    /// The rows of the next window, if they have come.
    fn rows(&self) -> Option<&[u8]> {
        self.waiting.get(self.start * self.source_row_bytes..(self.start + self.length) * self.source_row_bytes)
    }

    /// When the last row of the next window was taken: what came at once was not taken at once.
    fn taken(&self) -> Tick {
        let later = (self.waiting.len() / self.source_row_bytes).saturating_sub(self.start + self.length);
        let later = u32::try_from(later).map_or(f64::MAX, f64::from) / self.rate_hz;
        let before = Duration::try_from_secs_f64(later).unwrap_or(Duration::ZERO);
        Tick::default().plus(self.captured.since(Tick::default().plus(before)))
    }

    /// Leaves the next window out. What earlier ones were cut from is held for a while, not for as long as none is wanted.
    fn skip(&mut self) {
        self.start += self.hop;
        let held = self.start.saturating_sub(HELD_WINDOWS * self.hop.max(self.length));
        while self.begun.front().is_some_and(|(_, start)| *start < held) {
            self.begun.pop_front();
        }
    }

    fn rewind(&mut self, seq: u64) -> bool {
        let Some(at) = self.begun.iter().position(|(begun, _)| *begun == seq) else { return false };
        self.start = self.begun[at].1;
        self.begun.truncate(at);
        true
    }

    /// Goes on with another's waiting rows.
    fn take_over(&mut self, old: &mut Self) {
        if let Format::Pcm { channels, .. } = old.format {
            self.widen(channels);
        }
        self.captured = old.captured;
        self.captured_unix_ns = old.captured_unix_ns;
        self.waiting = std::mem::take(&mut old.waiting);
        self.begun = std::mem::take(&mut old.begun);
        self.start = old.start;
    }
}

/// Copies some columns of four bytes of each row, in their order; whole rows where none are named.
fn pick(rows: &[u8], row_bytes: usize, columns: &[usize], into: &mut [u8]) {
    if columns.is_empty() {
        return into.copy_from_slice(rows);
    }
    let values = rows.chunks_exact(row_bytes).flat_map(|row| columns.iter().map(|column| &row[column * 4..][..4]));
    for (place, value) in into.chunks_exact_mut(4).zip(values) {
        place.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests;
