//! Sensors on the network: rows that an MQTT broker passes on.
//!
//! Invariants:
//! - One topic is one stream. Its rows are of the time at which their message came, the last of a message then, those before
//!   it a period each earlier: a broker says of no message when it was sent.
//! - What a broker has kept from before (a retained message) is left out: it is of a time that nobody knows.
//! - Nothing is asked of a broker but the topic, and nothing is left with it: sessions are clean, and end with the connection.

mod connect;
mod explain;
mod message;
mod session;

use std::convert::Infallible;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use inferd_core::manifest::Kind;

use super::batch::Batch;
use super::live::{self, Feed, Live, Trouble};
use super::queue::{FrameQueue, Overflow};
use super::{Source, SourceInfo, Wiring};
use crate::config;
use crate::host::clock::Tick;
use message::Rows;
use session::Session;

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
        let mut batch = Batch::new(self.info.rate_hz, self.info.channels.len(), Duration::ZERO);
        let Err(trouble) = self.read_on(&mut session, &mut batch, feed);
        // What has come before the trouble is whole.
        batch.flush(feed).err().unwrap_or(trouble)
    }
}

impl Mqtt {
    fn read_on(&mut self, session: &mut Session, batch: &mut Batch, feed: &mut Feed) -> Result<Infallible, Trouble> {
        let interrupts = feed.interrupts();
        feed.lacks(&format!("no row has come yet {}", session.awaited()));
        let silence = self.config.silence();
        let (mut patience, mut unreadable) = (interrupts.patience(silence), 0_u64);
        loop {
            // Messages that have come together leave together: a network gives in bursts what a sensor sends row by row.
            match session.next_message(&patience, feed, |feed| batch.flush(feed))? {
                Some(message) if self.take(&message.payload, batch, feed)? => {
                    (patience, unreadable) = (interrupts.patience(silence), 0);
                }
                Some(_) => unreadable += 1,
                None => {
                    // The connection is fine: what is silent is the sensor, and connecting anew would lose what it sends.
                    feed.lacks(&silent(silence, session, unreadable));
                    patience = interrupts.patience(silence);
                }
            }
        }
    }

    /// Takes a message's rows; gives whether it had any. One that cannot be read whole is a gap, and no end.
    fn take(&mut self, message: &[u8], batch: &mut Batch, feed: &mut Feed) -> Result<bool, Trouble> {
        let came = feed.clock().now();
        let row_bytes = self.rows.row_bytes();
        let Some(rows) = self.rows.read(message) else {
            batch.flush(feed)?;
            feed.unreadable(1);
            return Ok(false);
        };
        let count = rows.len() / row_bytes;
        for (number, row) in rows.chunks_exact(row_bytes).enumerate() {
            let at = measured(came, count - 1 - number, self.info.rate_hz);
            batch.add(at, feed, |space| space.copy_from_slice(row))?;
        }
        Ok(count > 0)
    }
}

fn silent(silence: Duration, session: &Session, unreadable: u64) -> String {
    let nothing = format!("no row has come for {} s {}", silence.as_secs_f64(), session.awaited());
    match unreadable {
        0 => nothing,
        count => format!("{nothing}; {count} messages could not be read: see `format` and `columns`"),
    }
}

/// When the row was measured that so many rows of its message follow.
fn measured(came: Tick, rows_after: usize, rate_hz: f64) -> Tick {
    let before = Duration::try_from_secs_f64(rows_after as f64 / rate_hz).unwrap_or_default();
    let before_ns = u64::try_from(before.as_nanos()).unwrap_or(u64::MAX);
    Tick::from_ns(came.as_ns().saturating_sub(before_ns))
}
