//! Sensors of motion that the kernel knows (Linux IIO).
//!
//! Invariants:
//! - What the source gives is known before any device is there: the model's channels at the model's rate. Devices are made to
//!   fit, by what they are set to and by interpolation.
//! - A device is read by its buffer; value by value only where that cannot be. What the service may not do is never a reason
//!   for the lesser way: it is said.
//! - What was set on a device is put back when it is no longer read.

mod attached;
mod buffered;
mod calibrate;
mod choose;
mod device;
mod grid;
mod join;
mod pace;
mod polled;
mod rate;
mod rows;
mod scan;
mod setup;
mod stream;
mod sysfs;
mod trigger;

use std::collections::BTreeSet;
use std::io;
use std::thread::JoinHandle;

use inferd_core::manifest::{ImuInput, Kind};

use super::live::{self, Feed, Live, Trouble};
use super::queue::{End, FrameQueue, Overflow};
use super::{Needs, Source, SourceInfo, Wiring};
use crate::config;
pub(super) use attached::Attached;
use buffered::Buffered;
use calibrate::Calibration;
use choose::{Column, Part, Plan};
use device::Roots;
use join::Join;
use polled::Polled;
use rows::Rows;
use setup::{Unready, Wish};
use stream::{Member, Reader, Stream};

/// Sensors, attached or not.
pub(super) struct Imu {
    config: config::Imu,
    roots: Roots,
    columns: Vec<Column>,
    info: SourceInfo,
    /// What was said already: once is enough.
    said: BTreeSet<String>,
}

/// A source of the channels that the model needs, and of those that the configuration names beside them.
pub(super) fn open(config: &config::Imu, needs: &Needs) -> Imu {
    below(Roots::system(), config, needs)
}

/// What is attached.
pub(super) fn attached() -> Vec<Attached> {
    attached::attached(&Roots::system())
}

fn below(roots: Roots, config: &config::Imu, needs: &Needs) -> Imu {
    let more = config.names.keys().filter(|name| !needs.channels.contains(name));
    let channels: Vec<String> = needs.channels.iter().chain(more).cloned().collect();
    let column = |name: &String| Column { name: name.clone(), channel: config.names.get(name).unwrap_or(name).clone() };
    let columns = channels.iter().map(column).collect();
    let rate_hz = config.rate_hz.or(needs.rate_hz).unwrap_or_default();
    let info = SourceInfo { kind: Kind::Imu, rate_hz, channels, line: config.line() };
    Imu { config: config.clone(), roots, columns, info, said: BTreeSet::new() }
}

impl Source for Imu {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// What is missing now may be plugged in later.
    fn ends_for_good(&self) -> bool {
        false
    }

    fn start(self: Box<Self>, wiring: Wiring) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        live::start(*self, live::QUEUE_CHUNKS, Overflow::KeepNewest, wiring)
    }
}

impl Live for Imu {
    type Stream = Stream;

    const AGAIN: &'static str = "it is looked for again";
    const APPEARS_IN: &'static [&'static str] = &["/dev"];

    fn open(&mut self, feed: &mut Feed) -> Result<Stream, Trouble> {
        let rate_hz = self.info.rate_hz;
        if self.columns.is_empty() || rate_hz <= 0.0 {
            let problem = "no channel or no rate is known of this source: its model takes no motion";
            return Err(Trouble::Over(End::Broken(problem.to_owned())));
        }
        let attached = device::all(&self.roots);
        let Plan { parts, places } =
            choose::choose(&attached, &self.config.devices, &self.columns).map_err(Trouble::Passing)?;
        let mut members = Vec::with_capacity(parts.len());
        let mut devices = Vec::with_capacity(parts.len());
        for part in parts {
            let (member, device) = self.member(part, feed)?;
            members.push(member);
            devices.push(device);
        }
        let join = Join::new(rate_hz, &devices, places);
        let stream = Stream::new(members, join, (rate_hz, self.columns.len()), self.config.silence());
        stream.map_err(|error| Trouble::passing(format_args!("{} cannot be waited for: {error}", self.info.line)))
    }

    fn follow(&mut self, mut stream: Stream, feed: &mut Feed) -> Trouble {
        stream.follow(feed)
    }
}

impl Imu {
    /// Opens a device; gives also how often it measures, and how many values.
    fn member(&mut self, mut part: Part, feed: &Feed) -> Result<(Member, (Option<f64>, usize)), Trouble> {
        let calibration = Calibration::read(&part.device, &mut part.channels);
        let title = part.device.title();
        let rate_hz = self.info.rate_hz;
        let wish = Wish { rate_hz, trigger: self.config.trigger.as_deref() };
        let (reader, device_hz) = match setup::start(&self.roots, &part, wish) {
            Ok(ready) => {
                let buffered = Buffered::new(ready, calibration);
                let device_hz = buffered.rate_hz();
                self.tell_rate(&title, device_hz, feed);
                (Reader::Buffered(buffered), device_hz)
            }
            Err(Unready::Unfit(reason)) => {
                self.tell(feed, format!("{title} is read value by value, {rate_hz} times a second: {reason}"));
                let polled = Polled::open(&part, rate_hz, calibration).map_err(Trouble::passing)?;
                // How often it can be read is seen: a slow bus gives fewer rows, between which is interpolated.
                (Reader::Polled(polled), None)
            }
            Err(Unready::Trouble(reason)) => return Err(Trouble::Passing(reason)),
        };
        let rows = Rows::new(part.channels.len());
        Ok((Member { title, reader, rows, heard: feed.clock().now() }, (device_hz, part.channels.len())))
    }

    fn tell_rate(&mut self, title: &str, device_hz: Option<f64>, feed: &Feed) {
        let wanted_hz = self.info.rate_hz;
        if let Some(device_hz) = device_hz
            && device_hz < wanted_hz * (1.0 - ImuInput::RATE_TOLERANCE)
        {
            self.tell(
                feed,
                format!("{title} measures {device_hz} times a second at most: the rows between are interpolated"),
            );
        }
    }

    fn tell(&mut self, feed: &Feed, what: String) {
        if !self.said.contains(&what) {
            tracing::warn!(pipeline = %feed.pipeline(), "{what}");
            self.said.insert(what);
        }
    }
}

#[cfg(test)]
mod tests;
