//! A microphone that the kernel knows, by ALSA.
//!
//! Invariants:
//! - What it gives is known before it is there: sound at the rate that the model or the configuration names. A device that
//!   cannot do that rate is converted by ALSA, and the log says so.
//! - It is looked for anew each time that it is opened: card numbers change when something is plugged in.
//! - No sound server is asked: a service has none. A card has one reader at a time.

mod access;
mod attached;
mod convert;
mod find;
mod negotiate;
mod pcm;
mod stream;

use std::io;
use std::thread::JoinHandle;

use inferd_core::manifest::Kind;
use nix::errno::Errno;

use super::live::{self, Feed, Live, Trouble};
use super::queue::{FrameQueue, Overflow};
use super::{Needs, Source, SourceInfo, Wiring};
use crate::config;
pub(super) use attached::{Attached, attached};
use convert::{Layout, Sample};
use find::Device;
use negotiate::{Choice, Wants};
use pcm::{Opened, Recording};
use stream::Stream;

/// A microphone, which may be there.
pub(super) struct Microphone {
    config: config::Microphone,
    wants: Wants,
    info: SourceInfo,
    /// What the hardware has, as it was last said that it is converted.
    told: String,
}

/// One that records.
pub(super) struct Listening(Stream<Recording>);

/// Takes what the configuration says, and what the model needs for the rest.
pub(super) fn open(config: &config::Microphone, needs: &Needs) -> Microphone {
    let rate_hz = config.rate_hz.map(f64::from).or(needs.rate_hz).unwrap_or_default();
    let info = SourceInfo { kind: Kind::Audio, rate_hz, channels: Vec::new(), line: config.line() };
    let wants = Wants { rate_hz: whole(rate_hz), channel: config.channel };
    Microphone { config: config.clone(), wants, info, told: String::new() }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was made from a whole number")]
const fn whole(rate_hz: f64) -> u32 {
    rate_hz as u32
}

impl Source for Microphone {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// It may be plugged in again.
    fn ends_for_good(&self) -> bool {
        false
    }

    fn start(self: Box<Self>, wiring: Wiring) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        live::start(*self, live::QUEUE_CHUNKS, Overflow::KeepNewest, wiring)
    }
}

impl Live for Microphone {
    type Stream = Listening;

    const AGAIN: &'static str = "it is looked for again";
    /// The second is not there before the first card is.
    const APPEARS_IN: &'static [&'static str] = &["/dev", "/dev/snd"];

    fn open(&mut self, feed: &mut Feed) -> Result<Listening, Trouble> {
        let device = find::pick(find::cards(), self.config.device.as_deref());
        let stream = device.and_then(|device| self.record(&device, feed));
        stream.map(Listening).map_err(|why| self.trouble(&why))
    }

    fn follow(&mut self, listening: Listening, feed: &mut Feed) -> Trouble {
        match listening.0.follow(feed) {
            Trouble::Passing(why) => self.trouble(&why),
            trouble => trouble,
        }
    }
}

impl Microphone {
    fn trouble(&self, why: &str) -> Trouble {
        Trouble::passing(format_args!("{}: {why}", self.info.line))
    }

    /// Opens a device, chooses from what it offers, sets it up.
    fn record(&mut self, device: &Device, feed: &Feed) -> Result<Stream<Recording>, String> {
        let opened = open_as(device, &device.pcm())?;
        let failed = |errno: Errno| access::why_not(errno, "", device.numbers());
        let offer = opened.offer(Some(self.wants)).map_err(failed)?;
        let (opened, sample, channels) = match negotiate::choose(&offer, self.wants)? {
            Choice::Direct(sample, channels) => (opened, sample, channels),
            Choice::Converted(channels, has) => {
                // A device has one reader, and ALSA's conversion is another.
                drop(opened);
                (self.open_converting(device, &has, feed)?, Sample::S16, channels)
            }
        };
        let layout = Layout { sample, channels, picked: self.wants.channel };
        let (rate_hz, format) = (self.wants.rate_hz, sample.format());
        let unset =
            |errno: Errno| format!("cannot record {format}, channels: {channels}, {rate_hz} Hz: {}", errno.desc());
        let recording = opened.start(layout, rate_hz).map_err(unset)?;
        tracing::debug!(pipeline = %feed.pipeline(), pcm = device.pcm(), %format, channels, rate_hz, "the microphone records");
        Ok(Stream::new(recording, layout, rate_hz, self.config.silence(), feed))
    }

    fn open_converting(&mut self, device: &Device, has: &str, feed: &Feed) -> Result<Opened, String> {
        let rate_hz = self.wants.rate_hz;
        let Some(converting) = device.converting() else {
            return Err(format!(
                "cannot record at {rate_hz} Hz: it has {has}; name the card, or `plughw:…`, and ALSA converts"
            ));
        };
        let opened = open_as(device, &converting)?;
        if self.told != has {
            let (pipeline, pcm) = (feed.pipeline(), device.pcm());
            tracing::info!(%pipeline, pcm, has, rate_hz, "the microphone cannot do what is wanted: ALSA converts what it has");
            has.clone_into(&mut self.told);
        }
        Ok(opened)
    }
}

fn open_as(device: &Device, pcm: &str) -> Result<Opened, String> {
    pcm::open(pcm).map_err(|(errno, said)| match (errno, device) {
        (Errno::ENOENT | Errno::ENODEV | Errno::ENXIO, Device::Named(name)) => {
            let missing = find::missing(Some(name), &find::cards());
            if said.is_empty() { missing } else { format!("{missing} (ALSA: {said})") }
        }
        _ => access::why_not(errno, &said, device.numbers()),
    })
}

#[cfg(test)]
mod tests;
