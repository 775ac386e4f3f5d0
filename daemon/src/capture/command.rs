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
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use inferd_core::Name;
use inferd_core::frame::{Format, ImageSize};
use inferd_core::manifest::Kind;

use super::error::SourceError;
use super::format::{FormatError, Pictures, Rows, Syntax, Video};
use super::queue::{End, FrameQueue, Overflow, Stopped};
use super::slots::Slots;
use super::{Frame, Source, SourceInfo};
use crate::config::{self, AtEnd, StreamFormat};
use crate::host::backoff::Backoff;
use crate::host::clock::Clock;
use crate::host::error::with_causes;
use crate::host::frames::Slot;
use crate::host::wake::Bell;
use output::Output;
use process::Process;

/// Pictures that wait between the source and the pipeline: an old one is worth nothing.
const QUEUE_PICTURES: usize = 4;

/// Chunks of sound, or batches of rows, that wait: programs write what they have gathered for half a second at once, and a
/// stream with a gap gives no window for the length of one.
const QUEUE_CHUNKS: usize = 64;

/// Frames that are in use beside those that wait: those that a runner works on, those between the two, one being read.
const SLOTS_BESIDE: u32 = 8;

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

    fn start(self: Box<Self>, pipeline: &Name, clock: Clock, bell: Bell) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        let stopping = Bell::new()?;
        // What is to be read to its end waits for the model; what goes on for ever does not.
        let overflow = if self.config.at_end == AtEnd::Stop { Overflow::Block } else { Overflow::KeepNewest };
        let capacity = if self.info.kind == Kind::Image { QUEUE_PICTURES } else { QUEUE_CHUNKS };
        let slots = u32::try_from(capacity).unwrap_or(u32::MAX).saturating_add(SLOTS_BESIDE);
        let queue = FrameQueue::of_device(capacity, overflow, bell, stopping.clone());
        let running = Running {
            pipeline: pipeline.clone(),
            config: self.config,
            program: self.program,
            slots: Slots::new(slots, queue.clone()),
            queue: queue.clone(),
            stopping,
            clock,
            after_gap: false,
            frames: 0,
        };
        let thread = Builder::new().name(format!("cap-{pipeline}")).spawn(move || running.run())?;
        Ok((queue, thread))
    }
}

/// The thread's own.
struct Running {
    pipeline: Name,
    config: config::Command,
    program: PathBuf,
    queue: FrameQueue,
    slots: Slots,
    stopping: Bell,
    clock: Clock,
    /// The next frame does not go on where the one before it ended.
    after_gap: bool,
    /// Frames of the process that runs.
    frames: u32,
}

impl Drop for Running {
    /// A pipeline must never wait for frames that cannot come.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.end(End::Broken("reading the command panicked; this is a defect of inferd".into()));
        }
    }
}

/// How a process came to its end by itself.
struct Ended {
    /// It said that all is well.
    well: bool,
    /// What happened, for people.
    reason: String,
}

impl Running {
    fn run(mut self) {
        match self.keep_running() {
            Ok(end) => self.queue.end(end),
            Err(SourceError::Stopped) => {}
            Err(error) => self.queue.end(End::Broken(with_causes(&error))),
        }
    }

    fn keep_running(&mut self) -> Result<End, SourceError> {
        let mut backoff = Backoff::default();
        loop {
            let begun = self.clock.now();
            let pause = match Process::start(&self.program, self.config.arguments()) {
                Ok(process) => {
                    let ended = self.follow(process)?;
                    if self.config.at_end == AtEnd::Stop {
                        return Ok(if ended.well { End::Finished } else { End::Broken(ended.reason) });
                    }
                    let pause = backoff.after_service(self.clock.now().since(begun), self.frames);
                    self.announce(&ended.reason, pause);
                    pause
                }
                Err(error) => {
                    let pause = backoff.after_failed_start();
                    let problem = format!("cannot be started: {}", with_causes(&error));
                    self.announce(&broken(&self.config, problem).to_string(), pause);
                    pause
                }
            };
            let again = self.clock.now().plus(pause);
            self.queue.sleep_until(again, &self.clock).map_err(|Stopped| SourceError::Stopped)?;
            self.queue.count_restart();
            self.after_gap = true;
        }
    }

    /// A process that ended after good service is back before anybody is told to wait.
    fn announce(&self, reason: &str, pause: Duration) {
        tracing::warn!(pipeline = %self.pipeline, reason, pause_s = pause.as_secs_f64(), "the source is started again");
        if !pause.is_zero() {
            self.queue.hold_up(Some(format!("{reason}; it is started again within {} s", pause.as_secs().max(1))));
        }
    }

    /// Hands on what a process writes until it ends or cannot be followed; it has ended afterwards.
    fn follow(&mut self, mut process: Process) -> Result<Ended, SourceError> {
        self.frames = 0;
        let (stdout, stderr) = process.take_output().map_err(|error| broken(&self.config, with_causes(&error)))?;
        let who = format!("{}: {}", self.pipeline, self.config.program());
        let output = Output::new(stdout, stderr, who, self.stopping.clone(), self.config.silence());
        let mut stream = Stream::new(&self.config.format, output);
        let given_up = loop {
            match stream.read(&mut self.slots) {
                Ok(Some(read)) => self.hand_on(read)?,
                Ok(None) => break None,
                Err(Unread::Slots(error)) => return Err(error),
                Err(Unread::Stream(error)) => break Some(error),
            }
        };
        if self.queue.is_stopped() {
            return Err(SourceError::Stopped);
        }
        let status = process.end().map_err(|error| broken(&self.config, with_causes(&error)))?;
        let last_words = stream.output().last_words();
        let ended = |how: &str| match last_words {
            "" => format!("ended ({status}){how}"),
            words => format!("ended ({status}){how}: {words}"),
        };
        let well = given_up.is_none() && status.success();
        let problem = match given_up {
            None => ended(""),
            Some(FormatError::Truncated(frame)) => ended(&format!(" in the middle of a {frame}")),
            Some(FormatError::Read(error)) => error.to_string(),
            Some(FormatError::Broken(problem)) => format!("writes what is no {}: {problem}", self.config.format.word()),
        };
        Ok(Ended { well, reason: broken(&self.config, problem).to_string() })
    }

    fn hand_on(&mut self, Read { slot, format, unreadable }: Read) -> Result<(), SourceError> {
        if unreadable > 0 {
            self.queue.count_unreadable(unreadable);
            self.after_gap = true;
        }
        if self.frames == 0 {
            self.queue.hold_up(None);
        }
        self.frames = self.frames.saturating_add(1);
        let frame = Frame {
            captured: self.clock.now(),
            captured_unix_ns: self.clock.unix_ns(),
            after_gap: std::mem::take(&mut self.after_gap),
            format,
            slot,
        };
        self.queue.push(frame).map_err(|Stopped| SourceError::Stopped)
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
        let size = |width, height| ImageSize { width, height };
        let image = |output, format, bytes| Self::Fixed { output, format, bytes, unit: bytes };
        match *format {
            StreamFormat::Mjpeg => Self::Mjpeg(Pictures::new(BufReader::new(output))),
            StreamFormat::Y4m => Self::Y4m(Video::new(BufReader::new(output))),
            StreamFormat::Rgb24 { width, height } => {
                image(output, Format::Rgb24(size(width, height)), pixels(width, height) * 3)
            }
            StreamFormat::Grey8 { width, height } => {
                image(output, Format::Grey8(size(width, height)), pixels(width, height))
            }
            StreamFormat::I420 { width, height } => {
                let chroma = pixels(width.div_ceil(2), height.div_ceil(2));
                image(output, Format::I420(size(width, height)), pixels(width, height) + 2 * chroma)
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

const fn pixels(width: u32, height: u32) -> usize {
    width as usize * height as usize
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
