//! Skeleton.

use std::io;
use std::thread::JoinHandle;

use inferd_core::Name;
use inferd_core::manifest::Kind;

use super::live::{self, Feed, Live, Trouble};
use super::queue::{FrameQueue, Overflow};
use super::{Needs, Source, SourceInfo};
use crate::config;
use crate::host::clock::Clock;
use crate::host::wake::Bell;

/// A source.
pub(super) struct Imu {
    config: config::Imu,
    needs: Needs,
    info: SourceInfo,
}

/// Makes one.
pub(super) fn open(config: &config::Imu, needs: &Needs) -> Imu {
    let info = SourceInfo {
        kind: Kind::Imu,
        rate_hz: needs.rate_hz.unwrap_or_default(),
        channels: needs.channels.clone(),
        line: config.line(),
    };
    Imu { config: config.clone(), needs: needs.clone(), info }
}

impl Source for Imu {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn ends_for_good(&self) -> bool {
        false
    }

    fn start(self: Box<Self>, pipeline: &Name, clock: Clock, bell: Bell) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        live::start(*self, live::QUEUE_CHUNKS, Overflow::KeepNewest, (pipeline, clock, bell))
    }
}

impl Live for Imu {
    type Stream = ();

    const AGAIN: &'static str = "it is looked for again";
    const APPEARS_IN: &'static [&'static str] = &["/dev"];

    fn open(&mut self, _feed: &mut Feed) -> Result<Self::Stream, Trouble> {
        Err(Trouble::passing(format_args!("{} {:?}: not yet", self.config.line(), self.needs)))
    }

    fn follow(&mut self, (): Self::Stream, _feed: &mut Feed) -> Trouble {
        Trouble::Stopped
    }
}

pub(super) fn attached() -> Vec<super::Attached> {
    Vec::new()
}
