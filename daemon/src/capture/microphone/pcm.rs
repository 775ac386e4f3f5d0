//! A device of ALSA's, by the `alsa` crate: opened, asked what it offers, set up, read.
//!
//! Invariants:
//! - Nothing here waits: a device that another program holds is refused at once, and reading gives what is there.
//! - The library's complaints go to a buffer, not to standard error: errors say what there is to say.

use std::num::TryFromIntError;
use std::os::fd::AsRawFd;
use std::time::Duration;

use alsa::pcm::{Access, Format, Frames, HwParams, PCM, TstampType};
use alsa::poll::{Descriptors, pollfd};
use alsa::{Direction, Output, ValueOr};
use nix::errno::Errno;

use super::convert::{Layout, Sample};
use super::negotiate::{COMMON_RATES, Mode, Offer, Wants};
use super::stream::{CHUNKS_PER_SECOND, Read, Recorder, chunk_frames};
use crate::capture::live::{Feed, Trouble};

/// The most channels that are looked for.
const MOST_CHANNELS: u32 = 64;

/// Plugins take any number of channels: so many are looked for.
const CHANNELS_OF_PLUGINS: u32 = 8;

/// Sound that the device's buffer holds, in microseconds: what this thread may be late by.
const BUFFER_US: u32 = 500_000;

/// After so much sound the device wakes us, in microseconds.
const PERIOD_US: u32 = 1_000_000 / CHUNKS_PER_SECOND;

/// It does so at least this often in a buffer.
const PERIODS: u32 = 4;

/// A device that is open, but set to nothing yet.
pub(super) struct Opened(PCM);

/// Opens a device by ALSA's name for it.
///
/// # Errors
/// What the system said, and what the library said to that, if it did.
pub(super) fn open(name: &str) -> Result<Opened, (Errno, String)> {
    let words = Output::local_error_handler().map_err(|error| (errno(&error), String::new()))?;
    PCM::new(name, Direction::Capture, true).map(Opened).map_err(|error| {
        let said = words.borrow().to_string();
        // Each line begins with the function that says it.
        let first = said.lines().next().unwrap_or_default();
        (errno(&error), first.split_once(": ").map_or(first, |(_, said)| said).to_owned())
    })
}

/// The crate gives some errors as the library does: negative.
fn errno(error: &alsa::Error) -> Errno {
    Errno::from_raw(error.errno().saturating_abs())
}

impl Opened {
    /// What it can be set to, at the common rates and at what is wanted.
    ///
    /// # Errors
    /// What the device said.
    pub(super) fn offer(&self, wants: Option<Wants>) -> Result<Offer, Errno> {
        let any = HwParams::any(&self.0).map_err(|error| errno(&error))?;
        let interleaved = any.test_access(Access::RWInterleaved).is_ok();
        let most = any.get_channels_max().unwrap_or(0);
        let mut modes = Vec::new();
        // `Unknown` is in the list, too: the library ends the process of whoever asks for that.
        for &format in formats(most).iter().filter(|format| **format != Format::Unknown) {
            let with_format = any.clone();
            if with_format.set_format(format).is_ok() {
                add_modes(&with_format, format, wants, &mut modes);
            }
        }
        Ok(Offer { interleaved, modes })
    }

    /// Sets it and lets it record.
    ///
    /// # Errors
    /// What the device said.
    pub(super) fn start(self, layout: Layout, rate_hz: u32) -> Result<Recording, Errno> {
        set_up(&self.0, layout, rate_hz).map_err(|error| errno(&error))?;
        let mut fds = vec![pollfd { fd: -1, events: 0, revents: 0 }];
        fds.extend(self.0.get().map_err(|error| errno(&error))?);
        self.0.start().map_err(|error| errno(&error))?;
        Ok(Recording { pcm: self.0, fds })
    }
}

/// The formats that are asked for: a plugin converts to any, so there those that we read will do.
fn formats(most_channels: u32) -> &'static [Format] {
    const OURS: [Format; Sample::ALL.len()] = {
        let mut formats = [Format::Unknown; Sample::ALL.len()];
        let mut at = 0;
        while at < formats.len() {
            formats[at] = Sample::ALL[at].format();
            at += 1;
        }
        formats
    };
    if most_channels > MOST_CHANNELS { &OURS } else { Format::all() }
}

fn add_modes(with_format: &HwParams<'_>, format: Format, wants: Option<Wants>, modes: &mut Vec<Mode>) {
    let (least, most) = (with_format.get_channels_min().unwrap_or(1), with_format.get_channels_max().unwrap_or(0));
    let wanted = wants.map_or(1, |wants| u32::from(wants.least_channels()));
    let is_plugin = most > MOST_CHANNELS;
    let most = if is_plugin { CHANNELS_OF_PLUGINS.max(least).max(wanted) } else { most };
    // Plugins have most rates, and take their time to say so.
    let common = if is_plugin && wants.is_some() { &[] } else { &COMMON_RATES[..] };
    for channels in least.max(1)..=most {
        let params = with_format.clone();
        let (true, Ok(channels)) = (params.set_channels(channels).is_ok(), u16::try_from(channels)) else { continue };
        let edges = [params.get_rate_min(), params.get_rate_max()].into_iter().flatten();
        let asked = wants.map(|wants| wants.rate_hz).into_iter().chain(common.iter().copied());
        let mut rates_hz: Vec<u32> = asked.filter(|rate| params.test_rate(*rate).is_ok()).chain(edges).collect();
        rates_hz.sort_unstable();
        rates_hz.dedup();
        modes.push(Mode { format, channels, rates_hz });
    }
}

/// Sets a device to what was chosen; its buffer as near to what we like as it gives.
fn set_up(pcm: &PCM, layout: Layout, rate_hz: u32) -> alsa::Result<()> {
    let hardware = HwParams::any(pcm)?;
    hardware.set_access(Access::RWInterleaved)?;
    hardware.set_format(layout.sample.format())?;
    hardware.set_channels(u32::from(layout.channels))?;
    hardware.set_rate(rate_hz, ValueOr::Nearest)?;
    let buffer_us = hardware.set_buffer_time_near(BUFFER_US, ValueOr::Nearest)?;
    hardware.set_period_time_near(PERIOD_US.min(buffer_us / PERIODS), ValueOr::Nearest)?;
    pcm.hw_params(&hardware)?;
    let software = pcm.sw_params_current()?;
    let chunk = chunk_frames(rate_hz) as Frames;
    software.set_avail_min(chunk.min(hardware.get_buffer_size()? / 2).max(1))?;
    // Where there are none, our own clock will do.
    let _ = software.set_tstamp_mode(true).and_then(|()| software.set_tstamp_type(TstampType::Monotonic));
    pcm.sw_params(&software)
}

/// A device that records.
pub(super) struct Recording {
    pcm: PCM,
    /// The pipeline's bell, then those of the device.
    fds: Vec<pollfd>,
}

impl Recorder for Recording {
    fn wait(&mut self, feed: &Feed, patience: Duration) -> Result<bool, Trouble> {
        self.fds[0] = pollfd { fd: feed.stopping().as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up: less than a millisecond would be waited for in circles.
        let timeout_ms = i32::try_from(patience.as_millis() + 1).unwrap_or(i32::MAX);
        loop {
            let waiting = feed.attendance().wait();
            let polled = alsa::poll::poll(&mut self.fds, timeout_ms);
            drop(waiting);
            match polled.map_err(|error| errno(&error)) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Trouble::passing(format_args!("cannot be waited for: {}", errno.desc()))),
                Ok(0) => return Ok(false),
                Ok(_) if self.fds[0].revents != 0 => return Err(Trouble::Stopped),
                Ok(_) => {
                    // Not for its answer, reading gives that: some plugins clear here what has woken us.
                    let _ = self.pcm.revents(&self.fds[1..]);
                    return Ok(true);
                }
            }
        }
    }

    fn read(&mut self, space: &mut [u8]) -> Result<Read, Errno> {
        // Taken before: what comes while we read is captured after the time that it says.
        let status = self.pcm.status().map_err(|error| errno(&error))?;
        let frames = match self.pcm.io_bytes().readi(space).map_err(|error| errno(&error)) {
            Ok(frames) => frames,
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(errno) => return Err(errno),
        };
        // The delay counts what the hardware holds back, too, where that says.
        let waiting = usize::try_from(status.get_delay().max(status.get_avail())).unwrap_or(0);
        Ok(Read { frames, left: waiting.saturating_sub(frames), newest_ns: nanoseconds(status.get_htstamp()).ok() })
    }

    fn restart(&mut self, after: Errno) -> Result<(), Errno> {
        // Hardware that cannot resume is set up anew, as after any other break.
        if after == Errno::ESTRPIPE && self.pcm.resume().is_err_and(|error| errno(&error) == Errno::EAGAIN) {
            return Err(Errno::EAGAIN);
        }
        // What resumed runs, and what runs cannot be prepared; what does not run needs no drop.
        let _ = self.pcm.drop();
        self.pcm.prepare().and_then(|()| self.pcm.start()).map_err(|error| errno(&error))
    }
}

/// A driver's time, which is by `CLOCK_MONOTONIC`.
fn nanoseconds(time: alsa::timespec) -> Result<u64, TryFromIntError> {
    Ok(u64::try_from(time.tv_sec)?.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec)?))
}
