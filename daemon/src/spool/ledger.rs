//! What the spool holds and what became of the rest: pure bookkeeping, so that the promise that everything adds up can be
//! read in one file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use super::entry::{Entry, Id, Reason, Why};
use crate::config;

/// Most samples that wait in memory.
pub(super) const QUEUE_CAPACITY: usize = 64;

/// Most bytes that wait in memory; a larger sample is taken when no other waits.
const QUEUE_BYTES: usize = 32 << 20;

/// Why a sample was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Too many waited to be written.
    Busy,
    /// The least valuable one when the spool was full.
    Quota,
    /// The disk refused it.
    Disk,
    /// Its bytes were not what its format said.
    Invalid,
    /// Somebody did not want it.
    Discarded,
    /// The service ended before it was written.
    Stopping,
}

impl DropReason {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Self; 6] = [Self::Busy, Self::Quota, Self::Disk, Self::Invalid, Self::Discarded, Self::Stopping];

    /// The word used in metrics and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Quota => "quota",
            Self::Disk => "disk",
            Self::Invalid => "invalid",
            Self::Discarded => "discarded",
            Self::Stopping => "stopping",
        }
    }
}

/// The spool's figures since it was opened. `accepted = delivered + pending + dropped + quarantined`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Found at the start or offered since.
    pub accepted: u64,
    /// Delivered and deleted.
    pub delivered: u64,
    /// Waiting, in memory or on disk.
    pub pending: u64,
    /// Moved aside: damaged, or refused for good.
    pub quarantined: u64,
    /// Bytes on disk, whole blocks, with temporary and quarantined files.
    pub bytes: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Counts {
    /// Dropped for one reason.
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Dropped for any reason.
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

/// How a sample leaves the spool.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Delivered,
    Quarantined,
    Dropped(DropReason),
}

/// What a sample is worth: the least is dropped first. Uncertainty is 0..=1, and such floats sort as their bits do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth(u32);

impl Worth {
    fn of(reason: Reason) -> Self {
        match reason.why {
            Why::Requested => Self(u32::MAX),
            Why::LeastConfidence | Why::Margin | Why::Entropy => Self(reason.uncertainty.clamp(0.0, 1.0).to_bits()),
        }
    }
}

/// What has been taken out of the books and must be erased.
#[derive(Debug, PartialEq)]
pub(super) enum Erasable {
    /// A sample that waited.
    Sample(Arc<Entry>),
    /// A quarantined one, by its name in quarantine.
    Quarantined { name: String, bytes: u64 },
}

/// What must go before a new sample may be written.
#[derive(Debug, PartialEq)]
pub(super) enum Room {
    /// It can be written: its bytes are reserved.
    Made,
    /// This must be erased first.
    Erase(Erasable),
    /// There is none: it is worth less than what is there, or larger than the spool.
    None,
}

/// The books.
#[derive(Debug)]
pub(super) struct Ledger {
    max_bytes: u64,
    max_samples: usize,
    entries: BTreeMap<Id, Arc<Entry>>,
    by_worth: BTreeSet<(Worth, Id)>,
    /// Quarantined folders and their bytes; ids sort by age, so the first is the oldest.
    quarantine: BTreeMap<String, u64>,
    /// What could not be erased yet.
    stuck: BTreeMap<PathBuf, u64>,
    queued: usize,
    queued_bytes: usize,
    counts: Counts,
}

impl Ledger {
    pub(super) fn new(config: &config::Spool) -> Self {
        Self {
            max_bytes: config.max_bytes,
            max_samples: config.max_samples as usize,
            entries: BTreeMap::new(),
            by_worth: BTreeSet::new(),
            quarantine: BTreeMap::new(),
            stuck: BTreeMap::new(),
            queued: 0,
            queued_bytes: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { pending: (self.queued + self.entries.len()) as u64, ..self.counts }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    pub(super) fn oldest(&self, after: Option<&Id>) -> Option<Arc<Entry>> {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(*id));
        self.entries.range((from, Bound::Unbounded)).next().map(|(_, entry)| Arc::clone(entry))
    }

    /// A whole sample from before the start.
    pub(super) fn recovered(&mut self, entry: Entry) {
        self.counts.accepted += 1;
        self.counts.bytes += entry.bytes;
        self.insert(entry);
    }

    /// A damaged sample from before the start, moved aside under this name; `None` where that failed.
    pub(super) fn found_damaged(&mut self, moved: Option<String>, bytes: u64) {
        self.counts.accepted += 1;
        self.counts.quarantined += 1;
        self.counts.bytes += bytes;
        if let Some(name) = moved {
            self.quarantine.insert(name, bytes);
        }
    }

    /// What an earlier run moved aside.
    pub(super) fn found_quarantined(&mut self, name: String, bytes: u64) {
        self.counts.bytes += bytes;
        self.quarantine.insert(name, bytes);
    }

    /// What a crash left and could not be erased.
    pub(super) fn found_stuck(&mut self, path: PathBuf, bytes: u64) {
        self.counts.bytes += bytes;
        self.stuck(path, bytes);
    }

    /// A new offer; `false` where it must be dropped.
    pub(super) fn accept(&mut self, bytes: usize) -> bool {
        self.counts.accepted += 1;
        let fits = self.queued < QUEUE_CAPACITY && (self.queued == 0 || self.queued_bytes + bytes <= QUEUE_BYTES);
        if fits {
            self.queued += 1;
            self.queued_bytes += bytes;
        } else {
            self.drop_one(DropReason::Busy);
        }
        fits
    }

    /// An accepted offer will not be stored.
    pub(super) fn lose_queued(&mut self, bytes: usize, reason: DropReason) {
        self.unqueue(bytes);
        self.drop_one(reason);
    }

    /// Makes the next step towards room for `bytes` more on disk; to be called until it is made or there is none.
    pub(super) fn make_room(&mut self, bytes: u64, reason: Reason) -> Room {
        if self.counts.bytes.saturating_add(bytes) <= self.max_bytes && self.entries.len() < self.max_samples {
            self.counts.bytes += bytes;
            return Room::Made;
        }
        if !self.could_fit(bytes, Worth::of(reason)) {
            return Room::None;
        }
        let lacks_bytes = self.entries.len() < self.max_samples;
        self.take_least(lacks_bytes).map_or(Room::None, Room::Erase)
    }

    /// Takes out the next thing that is over the limits; to be called until nothing is.
    pub(super) fn take_surplus(&mut self) -> Option<Erasable> {
        let too_many = self.entries.len() > self.max_samples;
        let too_large = self.counts.bytes > self.max_bytes;
        if too_many || too_large { self.take_least(!too_many) } else { None }
    }

    /// Takes out what goes first. Quarantined ones make room only where it is bytes that lack: they count as no sample.
    fn take_least(&mut self, lacks_bytes: bool) -> Option<Erasable> {
        if let Some((name, bytes)) = lacks_bytes.then(|| self.quarantine.pop_first()).flatten() {
            return Some(Erasable::Quarantined { name, bytes });
        }
        let least = self.by_worth.first().map(|&(_, id)| id)?;
        self.take(&least, End::Dropped(DropReason::Quota)).map(Erasable::Sample)
    }

    /// Whether there is room once all that is worth no more is gone.
    fn could_fit(&self, bytes: u64, worth: Worth) -> bool {
        let mut samples = self.entries.len();
        let mut on_disk = self.counts.bytes.saturating_sub(self.quarantine.values().sum());
        let mut lesser = self.by_worth.iter().take_while(|(other, _)| *other <= worth);
        while samples >= self.max_samples || on_disk.saturating_add(bytes) > self.max_bytes {
            let Some(entry) = lesser.next().and_then(|(_, id)| self.entries.get(id)) else { return false };
            samples -= 1;
            on_disk = on_disk.saturating_sub(entry.bytes);
        }
        true
    }

    /// An accepted offer is on disk.
    pub(super) fn stored(&mut self, entry: Entry, queued_bytes: usize) {
        self.unqueue(queued_bytes);
        self.insert(entry);
    }

    /// Takes a sample out; its bytes count until they are [`freed`](Self::freed).
    pub(super) fn take(&mut self, id: &Id, end: End) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(id)?;
        self.by_worth.remove(&(Worth::of(entry.reason), *id));
        match end {
            End::Delivered => self.counts.delivered += 1,
            End::Quarantined => self.counts.quarantined += 1,
            End::Dropped(reason) => self.drop_one(reason),
        }
        Some(entry)
    }

    /// A sample that was taken out is in quarantine under this name; its bytes still count.
    pub(super) fn moved_aside(&mut self, name: String, bytes: u64) {
        self.quarantine.insert(name, bytes);
    }

    /// These bytes are no longer on disk.
    pub(super) fn freed(&mut self, bytes: u64) {
        self.counts.bytes = self.counts.bytes.saturating_sub(bytes);
    }

    /// The bytes of what was taken out could not be erased: they count until they are.
    pub(super) fn stuck(&mut self, path: PathBuf, bytes: u64) {
        self.stuck.insert(path, bytes);
    }

    /// What could not be erased so far.
    pub(super) fn take_stuck(&mut self) -> BTreeMap<PathBuf, u64> {
        std::mem::take(&mut self.stuck)
    }

    fn insert(&mut self, entry: Entry) {
        self.by_worth.insert((Worth::of(entry.reason), entry.id));
        self.entries.insert(entry.id, Arc::new(entry));
    }

    fn unqueue(&mut self, bytes: usize) {
        self.queued -= 1;
        self.queued_bytes -= bytes;
    }

    fn drop_one(&mut self, reason: DropReason) {
        self.counts.dropped[reason as usize] += 1;
    }
}
