//! A bounded queue of lines in front of one reader that may be slow, and the account of what it missed.
//!
//! Capacity 1024 lines. When it is full, lines are dropped until it is half empty again; the gap is announced by one line
//! `{"dropped":N}` in its place, at the latest when the reader has caught up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::json::{self, Line};

/// Lines that wait for one reader.
pub(super) const QUEUE_LINES: usize = 1024;

/// The end that lines are put in at; used by one thread at a time.
#[derive(Debug)]
pub(super) struct Entrance {
    lines: mpsc::Sender<Line>,
    missed: Arc<AtomicU64>,
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Exit {
    lines: mpsc::Receiver<Line>,
    missed: Arc<AtomicU64>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Queued,
    Dropped,
    /// The reader is gone.
    Closed,
}

pub(super) fn queue() -> (Entrance, Exit) {
    let (entrance, exit) = mpsc::channel(QUEUE_LINES);
    let missed = Arc::<AtomicU64>::default();
    (Entrance { lines: entrance, missed: Arc::clone(&missed) }, Exit { lines: exit, missed })
}

impl Entrance {
    pub(super) fn put(&self, line: Line) -> Put {
        if self.lines.is_closed() {
            return Put::Closed;
        }
        let behind = self.missed.load(Ordering::Acquire) > 0;
        if behind && self.lines.capacity() < QUEUE_LINES / 2 {
            return self.miss();
        }
        if behind {
            let missed = self.missed.swap(0, Ordering::AcqRel);
            if missed > 0 && self.lines.try_send(json::dropped(missed)).is_err() {
                return Put::Closed;
            }
        }
        match self.lines.try_send(line) {
            Ok(()) => Put::Queued,
            Err(mpsc::error::TrySendError::Full(_)) => self.miss(),
            Err(mpsc::error::TrySendError::Closed(_)) => Put::Closed,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }

    fn miss(&self) -> Put {
        self.missed.fetch_add(1, Ordering::AcqRel);
        Put::Dropped
    }
}

impl Exit {
    /// The next line; `None` when no more will come.
    pub(super) async fn next(&mut self) -> Option<Line> {
        match self.lines.try_recv() {
            Ok(line) => Some(line),
            Err(_) => match self.missed.swap(0, Ordering::AcqRel) {
                0 => self.lines.recv().await,
                missed => Some(json::dropped(missed)),
            },
        }
    }

    /// The same, for a thread.
    pub(super) fn blocking_next(&mut self) -> Option<Line> {
        match self.lines.try_recv() {
            Ok(line) => Some(line),
            Err(_) => match self.missed.swap(0, Ordering::AcqRel) {
                0 => self.lines.blocking_recv(),
                missed => Some(json::dropped(missed)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Line {
        format!("{number}\n").into_bytes().into()
    }

    fn text(line: Option<Line>) -> String {
        String::from_utf8(line.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_gap_is_announced_once_and_in_its_place() {
        let (entrance, mut exit) = queue();
        for number in 0..QUEUE_LINES {
            assert_eq!(entrance.put(numbered(number)), Put::Queued);
        }
        assert_eq!(entrance.put(numbered(QUEUE_LINES)), Put::Dropped);
        assert_eq!(text(exit.blocking_next()), "0\n");
        assert_eq!(entrance.put(numbered(QUEUE_LINES + 1)), Put::Dropped, "not before half of it is empty");
        for number in 1..QUEUE_LINES / 2 {
            assert_eq!(text(exit.blocking_next()), format!("{number}\n"));
        }
        assert_eq!(entrance.put(numbered(5000)), Put::Queued);
        for number in QUEUE_LINES / 2..QUEUE_LINES {
            assert_eq!(text(exit.blocking_next()), format!("{number}\n"));
        }
        assert_eq!(text(exit.blocking_next()), "{\"dropped\":2}\n");
        assert_eq!(text(exit.blocking_next()), "5000\n");
    }

    #[test]
    fn a_reader_that_catches_up_learns_of_the_gap_without_another_line() {
        let (entrance, mut exit) = queue();
        for number in 0..QUEUE_LINES + 3 {
            entrance.put(numbered(number));
        }
        for _ in 0..QUEUE_LINES {
            exit.blocking_next();
        }
        assert_eq!(text(exit.blocking_next()), "{\"dropped\":3}\n");
        drop(exit);
        assert_eq!(entrance.put(numbered(0)), Put::Closed);
    }
}
