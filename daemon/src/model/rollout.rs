//! The steps of a swap: from an installed version to the one that serves.
//!
//! Invariants:
//! - Each step has one way on; every step before [`Step::Promoted`] may also end in [`Step::Rejected`], and then the old
//!   version never stopped serving.
//! - [`Step::Committed`] and [`Step::Rejected`] are the ends.

/// How far a swap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The version is on disk and verified.
    Staged,
    /// Its runner is being started and loads the model.
    Starting,
    /// The runner runs until its latency is steady.
    Warming,
    /// The golden samples are run and compared.
    Golden,
    /// Between two windows the new runner took over.
    Promoted,
    /// The choice is durable and the old runner has ended.
    Committed,
    /// It was not promoted; the old version serves on.
    Rejected,
}

impl Step {
    /// All steps, in order; the two ends last.
    pub const ALL: [Self; 7] =
        [Self::Staged, Self::Starting, Self::Warming, Self::Golden, Self::Promoted, Self::Committed, Self::Rejected];

    /// The word used on the bus, in logs and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Starting => "starting",
            Self::Warming => "warming",
            Self::Golden => "golden",
            Self::Promoted => "promoted",
            Self::Committed => "committed",
            Self::Rejected => "rejected",
        }
    }

    /// How much of the swap is behind it, 0 to 100. Loading takes longest, so it has the widest share.
    pub const fn percent(self) -> u8 {
        match self {
            Self::Staged => 0,
            Self::Starting => 10,
            Self::Warming => 50,
            Self::Golden => 70,
            Self::Promoted => 90,
            Self::Committed | Self::Rejected => 100,
        }
    }

    /// The step after this one where all goes well; `None` at the ends.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Staged => Some(Self::Starting),
            Self::Starting => Some(Self::Warming),
            Self::Warming => Some(Self::Golden),
            Self::Golden => Some(Self::Promoted),
            Self::Promoted => Some(Self::Committed),
            Self::Committed | Self::Rejected => None,
        }
    }

    /// Whether a swap may go from this step to `to`.
    pub fn may_become(self, to: Self) -> bool {
        let onwards = self.next() == Some(to);
        onwards || (to == Self::Rejected && self.may_be_rejected())
    }

    /// Whether the old version still serves, so that giving up changes nothing.
    pub const fn may_be_rejected(self) -> bool {
        matches!(self, Self::Staged | Self::Starting | Self::Warming | Self::Golden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_on_and_one_way_out_before_promotion() {
        let allowed: Vec<(&str, &str)> = Step::ALL
            .into_iter()
            .flat_map(|from| Step::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .map(|(from, to)| (from.word(), to.word()))
            .collect();
        let expected = [
            ("staged", "starting"),
            ("staged", "rejected"),
            ("starting", "warming"),
            ("starting", "rejected"),
            ("warming", "golden"),
            ("warming", "rejected"),
            ("golden", "promoted"),
            ("golden", "rejected"),
            ("promoted", "committed"),
        ];
        assert_eq!(allowed, expected);
    }

    #[test]
    fn progress_only_grows_and_ends_at_a_hundred() {
        let mut step = Step::Staged;
        while let Some(next) = step.next() {
            assert!(next.percent() > step.percent(), "{next:?}");
            step = next;
        }
        assert_eq!(step, Step::Committed);
        assert_eq!(step.percent(), 100);
    }
}
