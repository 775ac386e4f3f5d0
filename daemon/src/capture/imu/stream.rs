//! The devices of a source while they are read.
//!
//! Invariants:
//! - One wait is for all of them: their nodes, and a timer for those that are read value by value, are in one epoll.
//! - What is read is handed on before the next wait; what is read value by value at most 50 ms later.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::buffered::Buffered;
use super::grid::{LONGEST_LAG, Step};
use super::join::Join;
use super::polled::Polled;
use super::rows::Rows;
use crate::capture::batch::{Batch, GATHERED};
use crate::capture::live::{Feed, Trouble};
use crate::host::clock::Tick;

/// A device that says nothing is asked all the same so often: one that was taken away does not always wake its reader.
const ASKED: Duration = Duration::from_millis(250);

/// Reads of one device before the others have their turn.
const READS: usize = 16;

/// Devices that are read.
pub(in crate::capture) struct Stream {
    members: Vec<Member>,
    join: Join,
    row: Vec<f64>,
    batch: Batch,
    events: Epoll,
    timer: Option<TimerFd>,
    silence: Duration,
}

/// A device that is read.
pub(super) struct Member {
    pub(super) title: String,
    pub(super) reader: Reader,
    pub(super) rows: Rows,
    /// When it last gave something.
    pub(super) heard: Tick,
}

/// How it is read.
pub(super) enum Reader {
    Buffered(Buffered),
    Polled(Polled),
}

impl Stream {
    /// Begins with reading.
    ///
    /// # Errors
    /// Where the system gives no descriptor.
    pub(super) fn new(
        members: Vec<Member>,
        join: Join,
        (rate_hz, columns): (f64, usize),
        silence: Duration,
    ) -> io::Result<Self> {
        let events = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = || EpollEvent::new(EpollFlags::EPOLLIN, 0);
        for member in &members {
            if let Reader::Buffered(buffered) = &member.reader {
                events.add(buffered.as_fd(), readable())?;
            }
        }
        let is_polled = members.iter().any(|member| matches!(member.reader, Reader::Polled(_)));
        let timer = is_polled.then(|| timer(rate_hz)).transpose()?;
        if let Some(timer) = &timer {
            events.add(timer.as_fd(), readable())?;
        }
        // A buffer has gathered its rows itself.
        let gathered = if is_polled { GATHERED } else { Duration::ZERO };
        let (row, batch) = (vec![0.0; columns], Batch::new(rate_hz, columns, gathered));
        Ok(Self { members, join, row, batch, events, timer, silence })
    }

    /// Hands on rows for as long as they come; gives why they do not any more.
    pub(super) fn follow(&mut self, feed: &mut Feed) -> Trouble {
        let Err(trouble) = self.read_on(feed);
        // What has come before the trouble is whole.
        self.batch.flush(feed).err().unwrap_or(trouble)
    }

    fn read_on(&mut self, feed: &mut Feed) -> Result<Infallible, Trouble> {
        loop {
            feed.wait(self.events.0.as_fd(), PollFlags::POLLIN, ASKED.min(self.silence))?;
            let due = self.timer.as_ref().map_or(0, expired);
            for device in 0..self.members.len() {
                self.read(device, due, feed)?;
            }
            self.batch.flush_old(feed)?;
            self.listen(feed.clock().now())?;
        }
    }

    fn read(&mut self, device: usize, due: u64, feed: &mut Feed) -> Result<(), Trouble> {
        for _ in 0..READS {
            let member = &mut self.members[device];
            let has_more = member.read(due, feed)?;
            for (at, missing, values) in member.rows.iter() {
                self.join.push(device, at, missing, values);
                while let Some(step) = self.join.next(&mut self.row) {
                    match step {
                        Step::Row(at) => self.batch.add(at, feed, |space| {
                            for (bytes, value) in space.chunks_exact_mut(4).zip(&self.row) {
                                bytes.copy_from_slice(&crate::capture::single(*value).to_le_bytes());
                            }
                        })?,
                        Step::Lost(rows) => {
                            self.batch.flush(feed)?;
                            feed.lost(rows);
                        }
                    }
                }
            }
            if !has_more {
                break;
            }
        }
        Ok(())
    }

    /// Whether all devices still give something, and keep up with each other.
    fn listen(&self, now: Tick) -> Result<(), Trouble> {
        if let Some(silent) = self.members.iter().find(|member| now.since(member.heard) > self.silence) {
            let for_s = self.silence.as_secs_f64();
            return Err(Trouble::passing(format_args!("{} has given nothing for {for_s} s", silent.title)));
        }
        let most = self.silence.min(LONGEST_LAG);
        let Some(laggard) = self.join.laggard(most).map(|device| &self.members[device]) else { return Ok(()) };
        let for_s = most.as_secs_f64();
        Err(Trouble::passing(format_args!("{} is more than {for_s} s behind the other sensors", laggard.title)))
    }
}

impl Member {
    /// Reads what there is; gives whether there may be more.
    fn read(&mut self, due: u64, feed: &Feed) -> Result<bool, Trouble> {
        self.rows.clear();
        let has_more = match &mut self.reader {
            Reader::Buffered(buffered) => buffered.read(feed.clock(), &mut self.rows),
            Reader::Polled(_) if due == 0 => Ok(false),
            Reader::Polled(polled) => polled.read(feed.clock(), &mut self.rows).map(|()| false),
        };
        let has_more = has_more.map_err(|error| Trouble::Passing(self.gone(&error)))?;
        if !self.rows.is_empty() {
            self.heard = feed.clock().now();
        }
        Ok(has_more)
    }

    fn gone(&self, error: &io::Error) -> String {
        let title = &self.title;
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY) => {
                format!("{title} is read by another program or pipeline, such as iio-sensor-proxy: stop it")
            }
            Some(Errno::ENODEV) => format!("{title} was taken away"),
            None if error.kind() == io::ErrorKind::UnexpectedEof => format!("{title} was taken away"),
            _ => format!("{title} cannot be read: {error}"),
        }
    }
}

/// A timer of an absolute schedule: what is late does not delay what follows.
fn timer(rate_hz: f64) -> io::Result<TimerFd> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    let period = TimeSpec::from(Duration::from_secs_f64(1.0 / rate_hz));
    timer.set(Expiration::Interval(period), TimerSetTimeFlags::empty())?;
    Ok(timer)
}

/// How often a timer has come due since it was last looked at.
fn expired(timer: &TimerFd) -> u64 {
    let mut count = [0; 8];
    match nix::unistd::read(timer, &mut count) {
        Ok(8) => u64::from_ne_bytes(count),
        _ => 0,
    }
}
