//! Any program whose standard output is frames: rpicam-vid, GStreamer, ffmpeg, a vendor's tool, a script.
//!
//! Invariants:
//! - The program runs while the pipeline does, in a process group of its own; nothing of it is left when the source's thread
//!   ends.
//! - One that ends, hangs or writes what cannot be read is started again, with pauses; the pipeline waits meanwhile and its
//!   runner stays. Windows do not span the gap.

mod output;
mod process;

use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread::JoinHandle;

use inferd_core::frame::Format;
use inferd_core::manifest::Kind;

use super::error::SourceError;
use super::format::{FormatError, Pictures, Rows, Syntax, Video};
use super::live::{self, Feed, Live, Trouble};
use super::queue::{End, FrameQueue, Overflow};
use super::slots::Slots;
use super::{Source, SourceInfo, Wiring};
use crate::config::{self, AtEnd, StreamFormat};
use crate::host::error::with_causes;
use crate::host::frames::Slot;
use output::Output;
use process::Process;

/// Chunks of sound a second: short enough that a window is hardly late by one, long enough to cost nothing.
const CHUNKS_PER_SECOND: u32 = 50;

/// Rows that are handed on at once, at most: what came together, goes together.
const ROWS_PER_FRAME: usize = 64;

/// A program that is there.
pub(super) struct Command {
    config: config::Command,
    program: PathBuf,
    info: SourceInfo,
}

/// Finds the program.
///
/// # Errors
/// [`SourceError::Command`] where it is not there.
pub(super) fn open(config: &config::Command) -> Result<Command, SourceError> {
    let program = process::find(config.program()).map_err(|problem| broken(config, problem))?;
    let (kind, rate_hz, channels) = match config.format {
        StreamFormat::Pcm { rate_hz, .. } => (Kind::Audio, f64::from(rate_hz), Vec::new()),
        StreamFormat::Csv { rate_hz, ref columns } | StreamFormat::Json { rate_hz, ref columns } => {
            (Kind::Imu, rate_hz, columns.clone())
        }
        _ => (Kind::Image, 0.0, Vec::new()),
    };
    let info = SourceInfo { kind, rate_hz, channels, line: config.line() };
    Ok(Command { config: config.clone(), program, info })
}

/// A process that writes frames.
pub(super) struct Running {
    process: Process,
    stream: Stream,
}

fn broken(config: &config::Command, problem: impl Into<String>) -> SourceError {
    SourceError::Command { program: config.program().to_owned(), problem: problem.into() }
}

impl Source for Command {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// What failed now may work later: a camera that was busy, a network that was down.
    fn ends_for_good(&self) -> bool {
        false
    }

    fn start(self: Box<Self>, wiring: Wiring) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        // What is to be read to its end waits for the model; what goes on for ever does not.
        let overflow = if self.config.at_end == AtEnd::Stop { Overflow::Block } else { Overflow::KeepNewest };
        let capacity = if self.info.kind == Kind::Image { live::QUEUE_PICTURES } else { live::QUEUE_CHUNKS };
        live::start(*self, capacity, overflow, wiring)
    }
}

impl Live for Command {
    type Stream = Running;

    const AGAIN: &'static str = "it is started again";

    fn open(&mut self, feed: &mut Feed) -> Result<Running, Trouble> {
        let failed = |error| self.broken(format!("cannot be started: {}", with_causes(&error)));
        let mut process = Process::start(&self.program, self.config.arguments()).map_err(failed)?;
        let (stdout, stderr) = process.take_output().map_err(failed)?;
        let who = format!("{}: {}", feed.pipeline(), self.config.program());
        let output = Output::new(stdout, stderr, who, feed.interrupts(), self.config.silence());
        Ok(Running { process, stream: Stream::new(&self.config.format, output) })
    }

    fn follow(&mut self, Running { process, mut stream }: Running, feed: &mut Feed) -> Trouble {
        match read_to_end(&mut stream, feed) {
            Err(trouble) => trouble,
            Ok(_) if feed.is_stopped() => Trouble::Stopped,
            Ok(_) if feed.rests() => Trouble::Resting,
            Ok(given_up) => self.ended(process, &mut stream, given_up),
        }
    }
}

impl Command {
    fn broken(&self, problem: impl Into<String>) -> SourceError {
        broken(&self.config, problem)
    }

    /// What becomes of a source whose process gives no more frames.
    fn ended(&self, process: Process, stream: &mut Stream, given_up: Option<FormatError>) -> Trouble {
        let once = self.config.at_end == AtEnd::Stop;
        let problem = match (process.end(), given_up) {
            (Err(error), _) => with_causes(&error),
            (Ok(status), None) if once && status.success() => return Trouble::Over(End::Finished),
            (Ok(status), None) => exited(status, "", stream),
            (Ok(status), Some(FormatError::Truncated(frame))) => {
                exited(status, &format!(" in the middle of a {frame}"), stream)
            }
            (Ok(_), Some(FormatError::Read(error))) => error.to_string(),
            (Ok(_), Some(FormatError::Broken(problem))) => {
                format!("writes what is no {}: {problem}", self.config.format.word())
            }
        };
        let reason = self.broken(problem).to_string();
        if once { Trouble::Over(End::Broken(reason)) } else { Trouble::Passing(reason) }
    }
}

fn exited(status: ExitStatus, how: &str, stream: &mut Stream) -> String {
    match stream.output().last_words() {
        "" => format!("ended ({status}){how}"),
        words => format!("ended ({status}){how}: {words}"),
    }
}

/// Hands on what a process writes; gives why there is no more, where that is not its end.
fn read_to_end(stream: &mut Stream, feed: &mut Feed) -> Result<Option<FormatError>, Trouble> {
    loop {
        match stream.read(feed.slots()) {
            Ok(Some(Read { slot, format, unreadable })) => {
                feed.unreadable(unreadable);
                feed.hand_on(slot, format, feed.clock().now())?;
            }
            Ok(None) => return Ok(None),
            Err(Unread::Slots(error)) => return Err(error.into()),
            Err(Unread::Stream(error)) => return Ok(Some(error)),
        }
    }
}

/// One frame, read.
struct Read {
    slot: Slot,
    format: Format,
    /// Rows before it that could not be read.
    unreadable: u64,
}

impl Read {
    const fn whole(slot: Slot, format: Format) -> Self {
        Self { slot, format, unreadable: 0 }
    }
}

/// Why there is no frame.
enum Unread {
    /// There is no room for it.
    Slots(SourceError),
    /// The stream gives no more.
    Stream(FormatError),
}

impl From<FormatError> for Unread {
    fn from(error: FormatError) -> Self {
        Self::Stream(error)
    }
}

/// What a process writes, as frames.
enum Stream {
    Mjpeg(Pictures<BufReader<Output>>),
    Y4m(Video<BufReader<Output>>),
    /// Frames of so many bytes: raw video, sound. Larger than any buffer, they go from the pipe to their slot.
    Fixed {
        output: Output,
        format: Format,
        bytes: usize,
        /// What the last one, which may be shorter, must consist of.
        unit: usize,
    },
    Rows {
        rows: Rows<Output>,
        format: Format,
    },
}

impl Stream {
    fn new(format: &StreamFormat, output: Output) -> Self {
        match *format {
            StreamFormat::Mjpeg => Self::Mjpeg(Pictures::new(BufReader::new(output))),
            StreamFormat::Y4m => Self::Y4m(Video::new(BufReader::new(output))),
            StreamFormat::Raw { pixels, size } => {
                let bytes = pixels.frame_bytes(size);
                Self::Fixed { output, format: Format::Raw(pixels, size), bytes, unit: bytes }
            }
            StreamFormat::Pcm { rate_hz, channels } => {
                let unit = usize::from(channels) * 2;
                let bytes = rate_hz.div_ceil(CHUNKS_PER_SECOND) as usize * unit;
                Self::Fixed { output, format: Format::Pcm { rate_hz, channels }, bytes, unit }
            }
            StreamFormat::Csv { rate_hz, ref columns } => Self::rows(output, Syntax::Csv, rate_hz, columns),
            StreamFormat::Json { rate_hz, ref columns } => Self::rows(output, Syntax::Json, rate_hz, columns),
        }
    }

    fn rows(output: Output, syntax: Syntax, rate_hz: f64, columns: &[String]) -> Self {
        let channels = u16::try_from(columns.len()).unwrap_or(u16::MAX);
        let format = Format::Imu { rate_hz: super::single(rate_hz), channels };
        Self::Rows { rows: Rows::new(output, syntax, columns.to_vec()), format }
    }

    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, Unread> {
        match self {
            Self::Mjpeg(pictures) => {
                let Some(picture) = pictures.next()? else { return Ok(None) };
                let slot = slots.filled(picture).map_err(Unread::Slots)?;
                Ok(Some(Read::whole(slot, Format::Jpeg)))
            }
            Self::Y4m(video) => {
                let Some(frame) = video.next()? else { return Ok(None) };
                let mut slot = slots.take(frame.frame_bytes).map_err(Unread::Slots)?;
                video.read(&mut slot.space()[..frame.frame_bytes])?;
                slot.set_len(frame.frame_bytes);
                Ok(Some(Read::whole(slot, frame.format)))
            }
            Self::Fixed { output, format, bytes, unit } => {
                let mut slot = slots.take(*bytes).map_err(Unread::Slots)?;
                let whole = fill(output, &mut slot.space()[..*bytes])? / *unit * *unit;
                slot.set_len(whole);
                Ok((whole > 0).then_some(Read::whole(slot, *format)))
            }
            Self::Rows { rows, format } => {
                let bytes = rows.row_bytes() * ROWS_PER_FRAME;
                let mut slot = slots.take(bytes).map_err(Unread::Slots)?;
                let Some(batch) = rows.read(&mut slot.space()[..bytes])? else { return Ok(None) };
                slot.set_len(batch.bytes);
                Ok(Some(Read { slot, format: *format, unreadable: batch.unreadable }))
            }
        }
    }

    fn output(&mut self) -> &mut Output {
        match self {
            Self::Mjpeg(pictures) => pictures.input().get_mut(),
            Self::Y4m(video) => video.input().get_mut(),
            Self::Fixed { output, .. } => output,
            Self::Rows { rows, .. } => rows.input(),
        }
    }
}

/// Fills `space` as far as the stream goes; gives how far.
fn fill(stream: &mut impl io::Read, space: &mut [u8]) -> Result<usize, FormatError> {
    let mut filled = 0;
    while filled < space.len() {
        match stream.read(&mut space[filled..])? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
