//! Which files in the folder are complete. Plain values: the time and the files' sizes are given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::EventKind;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};

/// How long a file of which nobody saw the end being written must keep its size.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// How much there is of a file, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) changed_ns: i128,
}

/// Which content a file has, without reading it: written over in place it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: Size,
    /// Cannot be set back, as the time of the content can (`cp -p`).
    pub(super) status_changed_ns: i128,
}

/// What is known of a file that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is there; nobody was seen writing it.
    Settling,
    /// Somebody writes it: its closing will be seen.
    Writing,
    /// It was closed after writing, or moved in.
    Complete,
    /// It has gone.
    Gone,
}

impl Seen {
    /// What an event says of its file, if anything.
    pub(super) fn of(event: EventKind) -> Option<Self> {
        match event {
            EventKind::Create(_) => Some(Self::Settling),
            EventKind::Modify(ModifyKind::Data(_)) => Some(Self::Writing),
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Self::Complete),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Some(Self::Gone),
            _ => None,
        }
    }
}

/// The files in the folder that are not offered yet, and those that are.
#[derive(Debug, Default)]
pub(super) struct Pending {
    files: BTreeMap<PathBuf, Known>,
    /// Offered and not finished.
    offered: BTreeMap<PathBuf, Offered>,
    lost_track: bool,
}

#[derive(Debug)]
struct Offered {
    identity: Identity,
    /// What was seen of it since; it has its turn after [`Pending::finish`].
    since: Option<Seen>,
}

#[derive(Debug)]
struct Known {
    seen: Seen,
    /// For [`Seen::Settling`]: the size, and since when it has been that.
    steady: Option<(Size, Instant)>,
}

impl Pending {
    /// Takes note of what was seen of a file.
    pub(super) fn note(&mut self, path: &Path, seen: Seen) {
        if let Some(offered) = self.offered.get_mut(path) {
            offered.since = Some(seen);
        } else if seen == Seen::Gone {
            self.forget(path);
        } else {
            self.files.insert(path.to_owned(), Known { seen, steady: None });
        }
    }

    /// Events were lost: whether a file was closed is no longer known of any.
    pub(super) fn lose_track(&mut self) {
        self.lost_track = true;
    }

    /// Whether the folder is to be read again; asked once.
    pub(super) fn must_rescan(&mut self) -> bool {
        std::mem::take(&mut self.lost_track)
    }

    /// The files that are complete now, by name; they stay pending until they are offered.
    pub(super) fn complete(&mut self, now: Instant, size: impl Fn(&Path) -> Option<Size>) -> BTreeSet<PathBuf> {
        let is_complete = |(path, known): (&PathBuf, &mut Known)| match known.seen {
            Seen::Complete => Some(path.clone()),
            Seen::Settling => known.has_settled(size(path)?, now).then(|| path.clone()),
            Seen::Writing | Seen::Gone => None,
        };
        self.files.iter_mut().filter_map(is_complete).collect()
    }

    pub(super) fn mark_offered(&mut self, path: &Path, identity: Identity) {
        self.files.remove(path);
        self.offered.insert(path.to_owned(), Offered { identity, since: None });
    }

    /// An offer is done with; `now` is what lies under its path. `false` where that is not what was offered: then it has its
    /// own turn, from how it was last seen.
    pub(super) fn finish(&mut self, path: &Path, now: Option<Identity>) -> bool {
        let Some(offered) = self.offered.remove(path) else { return true };
        if Some(offered.identity) == now {
            return true;
        }
        if now.is_some() {
            let seen = offered.since.filter(|seen| *seen != Seen::Gone);
            self.note(path, seen.unwrap_or(Seen::Settling));
        }
        false
    }

    pub(super) fn forget(&mut self, path: &Path) {
        self.files.remove(path);
    }
}

impl Known {
    fn has_settled(&mut self, size: Size, now: Instant) -> bool {
        match self.steady {
            Some((steady, since)) if steady == size => size.bytes > 0 && now.duration_since(since) >= SETTLE,
            Some(_) | None => {
                self.steady = Some((size, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(seen: &[Seen]) -> Pending {
        let mut pending = Pending::default();
        for seen in seen {
            pending.note(Path::new("a.inferd"), *seen);
        }
        pending
    }

    fn identity(bytes: u64) -> Identity {
        Identity { device: 1, inode: 1, size: Size { bytes, changed_ns: 0 }, status_changed_ns: 0 }
    }

    fn count(pending: &mut Pending, now: Instant, bytes: u64) -> usize {
        pending.complete(now, |_| Some(Size { bytes, changed_ns: 0 })).len()
    }

    #[test]
    fn a_file_is_complete_when_it_was_closed_or_moved_in() {
        let now = Instant::now();
        assert_eq!(count(&mut pending(&[Seen::Settling, Seen::Writing, Seen::Complete]), now, 9), 1);
        assert_eq!(count(&mut pending(&[Seen::Complete]), now, 9), 1);
        assert_eq!(count(&mut pending(&[Seen::Complete, Seen::Writing]), now, 9), 0, "it is written again");
        assert_eq!(count(&mut pending(&[Seen::Complete, Seen::Gone]), now, 9), 0);
    }

    #[test]
    fn a_slow_writer_is_waited_for() {
        let mut pending = pending(&[Seen::Settling, Seen::Writing]);
        let start = Instant::now();
        assert_eq!(count(&mut pending, start, 9), 0);
        assert_eq!(count(&mut pending, start + 100 * SETTLE, 9), 0);
    }

    #[test]
    fn a_file_that_was_there_must_keep_its_size() {
        let mut pending = pending(&[Seen::Settling]);
        let start = Instant::now();
        assert_eq!(count(&mut pending, start, 5), 0);
        assert_eq!(count(&mut pending, start + SETTLE, 9), 0, "it grew");
        assert_eq!(count(&mut pending, start + SETTLE + SETTLE / 2, 9), 0);
        assert_eq!(count(&mut pending, start + 2 * SETTLE, 9), 1);
    }

    #[test]
    fn an_empty_file_is_one_that_somebody_is_about_to_write() {
        let mut pending = pending(&[Seen::Settling]);
        let start = Instant::now();
        assert_eq!(count(&mut pending, start, 0), 0);
        assert_eq!(count(&mut pending, start + 2 * SETTLE, 0), 0);
    }

    #[test]
    fn what_was_offered_is_not_offered_again() {
        let path = Path::new("a.inferd");
        let mut pending = pending(&[Seen::Complete]);
        pending.mark_offered(path, identity(7));
        pending.note(path, Seen::Complete);
        assert_eq!(count(&mut pending, Instant::now(), 9), 0);
        assert!(pending.finish(path, Some(identity(7))));
        assert_eq!(count(&mut pending, Instant::now(), 9), 0);
        pending.note(path, Seen::Complete);
        assert_eq!(count(&mut pending, Instant::now(), 9), 1);
    }

    #[test]
    fn what_was_written_over_while_it_was_offered_has_its_turn_once_it_is_complete() {
        let path = Path::new("a.inferd");
        for (since, at_once, settled) in [
            (&[][..], 0, 1),
            (&[Seen::Writing][..], 0, 0),
            (&[Seen::Writing, Seen::Complete][..], 1, 1),
            (&[Seen::Gone][..], 0, 1),
        ] {
            let mut pending = pending(&[Seen::Complete]);
            pending.mark_offered(path, identity(7));
            since.iter().for_each(|seen| pending.note(path, *seen));
            assert!(!pending.finish(path, Some(identity(8))));
            let now = Instant::now();
            assert_eq!(count(&mut pending, now, 9), at_once, "{since:?}");
            assert_eq!(count(&mut pending, now + SETTLE, 9), settled, "{since:?}");
        }
        let mut pending = pending(&[Seen::Complete]);
        pending.mark_offered(path, identity(7));
        assert!(!pending.finish(path, None), "it has gone");
        assert_eq!(count(&mut pending, Instant::now(), 9), 0);
    }
}
