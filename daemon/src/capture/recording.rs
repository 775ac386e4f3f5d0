//! Playing a recording: opening what the configuration names, keeping its pace, starting over.

mod csv;
mod images;
mod npy;
mod reader;
mod timing;
mod video;
mod wav;

use std::io;
use std::path::Path;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use inferd_core::manifest::Kind;

use super::error::SourceError;
use super::queue::{End, FrameQueue, Overflow, Stopped};
use super::slots::Slots;
use super::{Frame, Source, SourceInfo, Wiring};
use crate::config::{AtEnd, Pace, Recording};
use crate::host::clock::{Clock, Tick};
use crate::host::error::with_causes;
use csv::Csv;
use images::Folder;
use npy::Npy;
use reader::Reader;
use timing::Timed;
use video::{Mjpeg, Y4m};
use wav::Wav;

/// Frames that wait between the source and the pipeline.
const QUEUE_FRAMES: usize = 4;

/// Frames that may be in use at once: those that wait, those that a runner works on, those between the two, one being read.
const SLOTS: u32 = 12;

/// Frames per second of pictures where neither the file nor the configuration says.
const USUAL_FPS: f64 = 10.0;

/// An opened recording.
pub(super) struct Player {
    info: SourceInfo,
    reader: Box<dyn Reader>,
    recording: Recording,
}

/// Opens a recording and finds out what it holds.
///
/// # Errors
/// [`SourceError`] where it is absent, damaged or of a kind that inferd does not play.
pub(super) fn open(recording: &Recording) -> Result<Player, SourceError> {
    let content = recording.content();
    let path = content.as_path();
    let fps = recording.fps.unwrap_or(USUAL_FPS);
    let lasts = Duration::from_secs_f64(1.0 / fps);
    let (reader, kind, rate_hz, channels, what): (Box<dyn Reader>, _, _, _, _) = match ending(path).as_str() {
        _ if path.is_dir() => {
            let (folder, kind) = Folder::open(path, lasts)?;
            let what = format!("{} files, {fps} fps", folder.len());
            (Box::new(folder), kind, 0.0, Vec::new(), what)
        }
        "mjpeg" | "mjpg" => (Box::new(Mjpeg::open(path, lasts)?), Kind::Image, 0.0, Vec::new(), format!("{fps} fps")),
        "y4m" => {
            let (y4m, fps) = Y4m::open(path, recording.fps, USUAL_FPS)?;
            (Box::new(y4m), Kind::Image, 0.0, Vec::new(), format!("{fps:.2} fps"))
        }
        "npy" => {
            let npy = Npy::open(path, lasts)?;
            let what = format!("{} tensors, {fps} fps", npy.len());
            (Box::new(npy), Kind::Tensor, 0.0, Vec::new(), what)
        }
        "wav" => {
            let wav = Wav::open(path)?;
            let what = format!("{:.1} s at {} Hz", wav.duration().as_secs_f64(), wav.rate_hz());
            let rate_hz = f64::from(wav.rate_hz());
            (Box::new(wav), Kind::Audio, rate_hz, Vec::new(), what)
        }
        "csv" => {
            let csv = Csv::open(path, recording.rate_hz, recording.timestamp.as_deref())?;
            let (rate_hz, channels) = (csv.rate_hz(), csv.channels().to_vec());
            let what = format!("{} at {rate_hz:.1} Hz", channels.join(" "));
            (Box::new(csv), Kind::Imu, rate_hz, channels, what)
        }
        other => {
            let problem = format!("`.{other}` is no recording; a folder, .mjpeg, .y4m, .npy, .wav or .csv is expected");
            return Err(SourceError::damaged(path, problem));
        }
    };
    // What is configured counts more than what was.
    let reader =
        if kind == Kind::Image && recording.fps.is_none() { Timed::beside(&recording.path, reader)? } else { reader };
    let line = format!("recording {}, {what}{}", path.display(), describe(recording));
    Ok(Player { info: SourceInfo { kind, rate_hz, channels, line }, reader, recording: recording.clone() })
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn describe(recording: &Recording) -> &'static str {
    match (recording.pace, recording.at_end) {
        (Pace::Realtime, AtEnd::Stop) => "",
        (Pace::Realtime, AtEnd::Loop) => ", loop",
        (Pace::Fast, AtEnd::Stop) => ", fast",
        (Pace::Fast, AtEnd::Loop) => ", fast, loop",
        (Pace::Live, AtEnd::Stop) => ", live",
        (Pace::Live, AtEnd::Loop) => ", live, loop",
    }
}

impl Source for Player {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// Played once, a recording would break at the same place again. One that is played over and over is meant to go on as
    /// soon as it can be read.
    fn ends_for_good(&self) -> bool {
        self.recording.at_end == AtEnd::Stop
    }

    /// The thread ends within one frame's reading.
    fn start(self: Box<Self>, wiring: Wiring) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        // A file costs nothing to keep open: it does not rest.
        let Wiring { pipeline, clock, bell, rest: _ } = wiring;
        let overflow = if self.recording.pace == Pace::Live { Overflow::KeepNewest } else { Overflow::Block };
        let queue = FrameQueue::new(QUEUE_FRAMES, overflow, bell);
        let playing = Playing {
            reader: self.reader,
            recording: self.recording,
            slots: Slots::new(SLOTS, queue.clone()),
            queue: queue.clone(),
            due: clock.now(),
            rest: Duration::ZERO,
            clock,
        };
        let thread = Builder::new().name(format!("cap-{pipeline}")).spawn(move || playing.run())?;
        Ok((queue, thread))
    }
}

/// The thread's own.
struct Playing {
    reader: Box<dyn Reader>,
    recording: Recording,
    slots: Slots,
    queue: FrameQueue,
    clock: Clock,
    /// When the frame that is read next will have been recorded.
    due: Tick,
    /// How long to leave the processor to a frame that was handed over, before the next one is read.
    rest: Duration,
}

impl Playing {
    fn run(mut self) {
        let _guard = self.queue.guard();
        match self.play() {
            Ok(()) => self.queue.end(End::Finished),
            Err(SourceError::Stopped) => {}
            Err(error) => self.queue.end(End::Broken(with_causes(&error))),
        }
    }

    fn play(&mut self) -> Result<(), SourceError> {
        loop {
            let mut any = false;
            while let Some(read) = self.reader.read(&mut self.slots)? {
                any = true;
                self.keep_pace(read.lasts).map_err(|Stopped| SourceError::Stopped)?;
                let frame = Frame {
                    captured: self.clock.now(),
                    captured_unix_ns: self.clock.unix_ns(),
                    after_gap: false,
                    format: read.format,
                    slot: read.slot,
                };
                self.queue.push(frame).map_err(|Stopped| SourceError::Stopped)?;
                let rested = self.due.plus(self.rest);
                self.queue.sleep_until(rested, &self.clock).map_err(|Stopped| SourceError::Stopped)?;
            }
            if !any {
                let path = self.recording.path.clone();
                return Err(SourceError::Empty { path, expected: "it has no frames" });
            }
            if self.recording.at_end == AtEnd::Stop {
                return Ok(());
            }
            self.reader.rewind()?;
        }
    }

    /// Waits until the frame that was just read is due. Whoever is late (a model slower than the recording) does not
    /// catch up in a burst: the recording is then played more slowly.
    ///
    /// A frame is read in the second half of the time that there is for it. In the first half the frame before it is on
    /// its way through pipeline and runner, and reading would take the processor from it: on two cores that doubled what
    /// inferd adds to a window's latency.
    fn keep_pace(&mut self, lasts: Duration) -> Result<(), Stopped> {
        if self.recording.pace == Pace::Fast {
            return if self.queue.is_stopped() { Err(Stopped) } else { Ok(()) };
        }
        self.due = self.due.plus(lasts);
        let now = self.clock.now();
        let early = self.due.since(now);
        // What there was to spare, so that a slow disk shortens the rest and never the pace.
        self.rest = (early + self.rest) / 2;
        if early.is_zero() {
            self.due = now;
            self.rest = Duration::ZERO;
        }
        self.queue.sleep_until(self.due, &self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::reader::Read;
    use super::*;
    use crate::capture::Rest;
    use crate::host::wake::Bell;

    /// Frames without end, ten a second.
    struct Endless;

    impl Reader for Endless {
        fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
            let slot = slots.take(1)?;
            Ok(Some(Read { slot, format: inferd_core::frame::Format::Jpeg, lasts: Duration::from_millis(100) }))
        }

        fn rewind(&mut self) -> Result<(), SourceError> {
            Ok(())
        }
    }

    fn play(pace: Pace) -> (FrameQueue, JoinHandle<()>, Clock) {
        let recording =
            Recording { path: "endless".into(), pace, at_end: AtEnd::Loop, fps: None, rate_hz: None, timestamp: None };
        let info = SourceInfo { kind: Kind::Image, rate_hz: 0.0, channels: Vec::new(), line: String::new() };
        let player = Box::new(Player { info, reader: Box::new(Endless), recording });
        let clock = Clock::manual();
        let (pipeline, bell) = ("test".parse().unwrap(), Bell::new().unwrap());
        let wiring = Wiring { pipeline, clock: clock.clone(), bell, rest: Rest::never() };
        let (queue, thread) = player.start(wiring).unwrap();
        (queue, thread, clock)
    }

    fn next(queue: &FrameQueue) -> Frame {
        loop {
            match queue.pop() {
                Some(frame) => return frame,
                None => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn frames_come_when_they_are_due() {
        for pace in [Pace::Realtime, Pace::Live] {
            let (queue, thread, clock) = play(pace);
            for number in 1..=5 {
                clock.advance(Duration::from_millis(99));
                // It may look at the clock as often as it likes: the frame is not due.
                std::thread::sleep(Duration::from_millis(5));
                assert_eq!(queue.look().0.accepted, number - 1, "{pace:?}");
                clock.advance(Duration::from_millis(1));
                let frame = next(&queue);
                assert_eq!(frame.captured, Tick::from_ns(number * 100_000_000), "{pace:?}");
            }
            queue.stop();
            thread.join().unwrap();
        }
    }

    #[test]
    fn who_is_late_does_not_catch_up_in_a_burst() {
        let (queue, thread, clock) = play(Pace::Realtime);
        let wait_for = |holds: &dyn Fn() -> bool| {
            while !holds() {
                std::thread::yield_now();
            }
        };
        for number in 1..=QUEUE_FRAMES as u64 {
            clock.advance(Duration::from_millis(100));
            wait_for(&|| queue.look().0.accepted == number);
        }
        clock.advance(Duration::from_millis(100));
        wait_for(&|| queue.is_held_up());
        // The model is busy for a minute.
        clock.advance(Duration::from_secs(60));
        for number in 1..=5 {
            assert_eq!(next(&queue).captured, Tick::from_ns(number * 100_000_000));
        }
        assert_eq!(next(&queue).captured, Tick::from_ns(60_500_000_000));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(queue.look().0.accepted, 6, "the next is due a tenth of a second later");
        clock.advance(Duration::from_millis(100));
        assert_eq!(next(&queue).captured, Tick::from_ns(60_600_000_000));
        queue.stop();
        thread.join().unwrap();
    }

    #[test]
    fn a_fast_recording_waits_for_nothing_but_room() {
        let (queue, thread, _clock) = play(Pace::Fast);
        for _ in 0..20 {
            assert_eq!(next(&queue).captured, Tick::default());
        }
        queue.stop();
        thread.join().unwrap();
    }
}
