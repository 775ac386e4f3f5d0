//! Cameras that the kernel knows (V4L2).
//!
//! Invariants:
//! - What is not configured is chosen by what the model needs (`negotiate`); where a camera cannot do what it lists, the next
//!   best is tried.
//! - Pictures come without a copy where the driver writes to frame memory, else with one.
//! - A picture's time is the driver's.

mod find;
mod negotiate;
mod stream;

use std::io;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use inferd_core::manifest::Kind;
use nix::poll::PollFlags;

use super::live::{self, Feed, Live, Trouble};
use super::pace::Pace;
use super::queue::{FrameQueue, Overflow};
use super::{Needs, Source, SourceInfo, Wiring};
use crate::config;
use crate::host::clock::Tick;
use crate::host::v4l2::{Control, Device, Filled};
use find::Found;
pub(super) use find::attached;
use negotiate::{Choice, Wanted};
use stream::{NoPicture, NotStarted, Picture, Stream};

/// How many of the best choices are tried.
const TRIES: usize = 6;

/// How long to wait for a slot while the pipeline holds all of them.
const PATIENCE: Duration = Duration::from_millis(20);

/// A camera, there or not.
pub(super) struct Camera {
    config: config::Camera,
    wanted: Wanted,
    info: SourceInfo,
}

/// Says what is wanted of a camera, which is looked for once it is started.
pub(super) fn open(config: &config::Camera, needs: &Needs) -> Camera {
    let size = config.width.zip(config.height).map(|(width, height)| inferd_core::frame::ImageSize { width, height });
    let wanted = Wanted { size, model: needs.size, fps: config.fps, format: config.format };
    let info = SourceInfo { kind: Kind::Image, rate_hz: 0.0, channels: Vec::new(), line: config.line() };
    Camera { config: config.clone(), wanted, info }
}

impl Source for Camera {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn ends_for_good(&self) -> bool {
        false
    }

    fn start(self: Box<Self>, wiring: Wiring) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        live::start(*self, live::QUEUE_PICTURES, Overflow::KeepNewest, wiring)
    }
}

/// A camera that gives pictures.
pub(super) struct Running {
    title: String,
    stream: Stream,
    pace: Pace,
    /// The number of the last picture.
    sequence: Option<u32>,
    /// When it was opened, or gave the last whole picture.
    heard: Tick,
    /// Nothing has been said of its first picture yet.
    is_new: bool,
}

impl Live for Camera {
    type Stream = Running;

    const AGAIN: &'static str = "it is looked for again";
    const APPEARS_IN: &'static [&'static str] = &["/dev"];

    fn open(&mut self, feed: &mut Feed) -> Result<Running, Trouble> {
        let found = find::find(self.config.device.as_deref()).map_err(Trouble::Passing)?;
        let title = found.title();
        let broken = |problem: &dyn std::fmt::Display| Trouble::passing(format_args!("camera {title}: {problem}"));
        let offers = find::offers(&found.device, &self.wanted).map_err(|error| broken(&error))?;
        let choices = negotiate::choices(&offers, &self.wanted);
        if choices.is_empty() {
            return Err(broken(&nothing_fits(&found.device, &self.wanted)));
        }
        let path = found.path.clone();
        let stream = start_one_of(found, &choices).map_err(|error| broken(&error))?;
        // Only now is it known that no other program uses it, whose pictures they would change.
        set_controls(&path, &self.config).map_err(|problem| broken(&problem))?;
        let (pace, heard) = (Pace::new(self.config.fps), feed.clock().now());
        Ok(Running { title, stream, pace, sequence: None, heard, is_new: true })
    }

    fn follow(&mut self, mut running: Running, feed: &mut Feed) -> Trouble {
        loop {
            if let Err(trouble) = running.take(self.config.silence(), feed) {
                return match trouble {
                    Trouble::Passing(problem) => Trouble::passing(format_args!("camera {}: {problem}", running.title)),
                    other => other,
                };
            }
        }
    }
}

impl Running {
    /// Waits for a picture and hands it on.
    fn take(&mut self, silence: Duration, feed: &mut Feed) -> Result<(), Trouble> {
        while !self.stream.lend().map_err(gone)? {
            let soon = feed.clock().now().plus(PATIENCE);
            feed.sleep_until(soon)?;
        }
        // From the last whole picture on: a camera that only gives torn ones, or wakes us for nothing, is given up, too.
        let left = silence.saturating_sub(feed.clock().now().since(self.heard));
        if left.is_zero() || !feed.wait(self.stream.as_fd(), PollFlags::POLLIN, left)? {
            return Err(Trouble::passing(format_args!(
                "it has given no whole picture for {} s",
                silence.as_secs_f64()
            )));
        }
        match self.stream.next(feed.slots()) {
            Ok(Picture::Whole(slot, filled)) => {
                feed.lost(self.missed(&filled));
                self.heard = feed.clock().now();
                if std::mem::take(&mut self.is_new) {
                    self.say(feed);
                }
                let captured = live::captured_at(filled.monotonic_ns, feed.clock());
                if self.pace.lets_through(captured) {
                    feed.hand_on(slot, self.stream.format, captured)?;
                }
                Ok(())
            }
            Ok(Picture::Damaged(filled)) => {
                feed.lost(self.missed(&filled));
                feed.unreadable(1);
                Ok(())
            }
            Ok(Picture::None) => Ok(()),
            Err(NoPicture::Device(error)) => Err(gone(error)),
            Err(NoPicture::Slots(error)) => Err(error.into()),
        }
    }

    fn say(&self, feed: &Feed) {
        tracing::info!(
            pipeline = %feed.pipeline(),
            camera = self.title,
            format = ?self.stream.format,
            fps = self.stream.fps,
            copies = u8::from(!self.stream.is_lent()),
            "the camera gives pictures"
        );
    }

    /// How many pictures are missing before this one.
    fn missed(&mut self, filled: &Filled) -> u64 {
        let before = self.sequence.replace(filled.sequence);
        // Some drivers do not count: their numbers stay at 0.
        before.map_or(0, |before| u64::from(filled.sequence.saturating_sub(before).saturating_sub(1)))
    }
}

fn gone(error: io::Error) -> Trouble {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::EIO | libc::EPIPE | libc::EINVAL) => {
            Trouble::passing("it was pulled out, or its driver has stopped")
        }
        _ => Trouble::passing(error),
    }
}

/// Starts the first that works.
fn start_one_of(found: Found, choices: &[Choice]) -> Result<Stream, NotStarted> {
    let Found { path, device } = found;
    drop(device);
    let open = || Device::open(&path)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV));
    let mut first_problem = None;
    for choice in choices.iter().take(TRIES) {
        match Stream::start(choice, &open) {
            Ok(stream) => return Ok(stream),
            Err(NotStarted::Busy) => return Err(NotStarted::Busy),
            Err(refused) => {
                tracing::debug!(camera = %path.display(), "{refused}; the next best is tried");
                first_problem.get_or_insert(refused);
            }
        }
    }
    Err(first_problem.unwrap_or(NotStarted::Busy))
}

fn nothing_fits(device: &Device, wanted: &Wanted) -> String {
    let has: Vec<String> = device.formats().unwrap_or_default().iter().map(ToString::to_string).collect();
    let has = if has.is_empty() { "nothing".to_owned() } else { has.join(", ") };
    match wanted.format {
        Some(format) if device.formats().unwrap_or_default().into_iter().filter_map(negotiate::known).count() > 0 => {
            format!("it gives {has}, and not `format = \"{}\"`; remove that key", format.key())
        }
        _ => format!(
            "it gives {has}, which inferd does not decode; a program does, as `kind = \"command\"` (rpicam-vid, gst-launch-1.0, \
             ffmpeg)"
        ),
    }
}

/// Sets the configured controls. Those that another one (an automatic mode) rules over come last.
fn set_controls(path: &Path, config: &config::Camera) -> Result<(), String> {
    if config.controls.is_empty() {
        return Ok(());
    }
    let device = Device::open(path).ok().flatten().ok_or("it is gone before its controls were set")?;
    let mut left: Vec<_> = config.controls.iter().collect();
    for round in 0..2 {
        let there = device.controls().map_err(|error| error.to_string())?;
        let mut later = Vec::new();
        for (name, value) in left {
            let control = there.iter().find(|control| control.name == *name).ok_or_else(|| no_control(name, &there))?;
            if control.inactive && round == 0 {
                later.push((name, value));
                continue;
            }
            let value = in_range(control, value.0)?;
            device
                .set_control(control.id, value)
                .map_err(|error| format!("its control `{name}` cannot be set: {error}"))?;
        }
        left = later;
    }
    Ok(())
}

fn in_range(control: &Control, value: i64) -> Result<i32, String> {
    let Control { name, minimum, maximum, .. } = control;
    let fits = i32::try_from(value).ok().filter(|value| (*minimum..=*maximum).contains(value));
    match fits {
        _ if !control.writable => Err(format!("its control `{name}` cannot be set, only read")),
        Some(value) => Ok(value),
        None => Err(format!("its control `{name}` is to be {value}; {minimum} to {maximum} is expected")),
    }
}

fn no_control(name: &str, there: &[Control]) -> String {
    let names: Vec<&str> = there.iter().filter(|control| control.writable).map(|control| &*control.name).collect();
    format!("it has no control `{name}`; it has {}", names.join(", "))
}
