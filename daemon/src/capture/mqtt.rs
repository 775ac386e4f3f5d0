//! Sensors on the network: rows that an MQTT broker passes on.
//!
//! Invariants:
//! - One topic is one stream. Its rows are of the time at which their message came, the last of a message then, those before
//!   it a period each earlier: a broker says of no message when it was sent.
//! - What a broker has kept from before (a retained message) is left out: it is of a time that nobody knows.
//! - Nothing is asked of a broker but the topic, and nothing is left with it: sessions are clean, and end with the connection.

mod connect;
mod message;
mod session;

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use inferd_core::frame::Format;
use inferd_core::manifest::Kind;

use super::live::{self, Feed, Live, Trouble};
use super::queue::{FrameQueue, Overflow};
use super::{Source, SourceInfo, Wiring};
use crate::config;
use crate::host::clock::Tick;
use message::Rows;
use session::Session;

/// Rows that leave in one frame, at most.
const ROWS_PER_FRAME: usize = 64;

/// A topic, whether its broker is there or not.
pub(super) struct Mqtt {
    config: config::Mqtt,
    info: SourceInfo,
    rows: Rows,
}

pub(super) fn open(config: &config::Mqtt) -> Mqtt {
    let columns = config.columns.clone();
    let info = SourceInfo { kind: Kind::Imu, rate_hz: config.rate_hz, channels: columns.clone(), line: config.line() };
    Mqtt { config: config.clone(), info, rows: Rows::new(config.format, columns) }
}

impl Source for Mqtt {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// A broker that is away comes back.
    fn ends_for_good(&self) -> bool {
        false
    }

    fn start(self: Box<Self>, wiring: Wiring) -> io::Result<(FrameQueue, JoinHandle<()>)> {
        live::start(*self, live::QUEUE_CHUNKS, Overflow::KeepNewest, wiring)
    }
}

impl Live for Mqtt {
    type Stream = Session;

    const AGAIN: &'static str = "it is connected to again";

    fn open(&mut self, feed: &mut Feed) -> Result<Session, Trouble> {
        let options = connect::options(&self.config, feed.pipeline()).map_err(Trouble::Passing)?;
        Session::open(&self.config, options, feed)
    }

    fn follow(&mut self, mut session: Session, feed: &mut Feed) -> Trouble {
        loop {
            let come = session.next_message(self.config.silence(), feed);
            if let Err(trouble) = come.and_then(|message| self.hand_on(&message.payload, feed)) {
                return trouble;
            }
        }
    }
}

impl Mqtt {
    /// Hands on a message's rows; one that cannot be read whole is a gap, and no end.
    fn hand_on(&mut self, message: &[u8], feed: &mut Feed) -> Result<(), Trouble> {
        let came = feed.clock().now();
        let row_bytes = self.rows.row_bytes();
        let Some(rows) = self.rows.read(message) else {
            feed.unreadable(1);
            return Ok(());
        };
        let mut left = rows.len() / row_bytes;
        for some in rows.chunks(row_bytes * ROWS_PER_FRAME) {
            left -= some.len() / row_bytes;
            let mut slot = feed.slots().take(row_bytes * ROWS_PER_FRAME)?;
            slot.space()[..some.len()].copy_from_slice(some);
            slot.set_len(some.len());
            let captured = measured(came, left, self.info.rate_hz);
            let channels = u16::try_from(row_bytes / 4).unwrap_or(u16::MAX);
            feed.hand_on(slot, Format::Imu { rate_hz: super::single(self.info.rate_hz), channels }, captured)?;
        }
        Ok(())
    }
}

/// When the row was measured that so many rows of its message follow.
fn measured(came: Tick, rows_after: usize, rate_hz: f64) -> Tick {
    let before = Duration::try_from_secs_f64(rows_after as f64 / rate_hz).unwrap_or_default();
    let before_ns = u64::try_from(before.as_nanos()).unwrap_or(u64::MAX);
    Tick::from_ns(came.as_ns().saturating_sub(before_ns))
}
