//! The steps of a swap: from an installed version to the one that serves.
//!
//! They are told in this order, each once it is begun, the last two once they have happened. A swap that fails before
//! [`Step::Committed`] has changed nothing: the old version never stopped serving.

/// How far a swap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The version is being read from disk and verified.
    Staged,
    /// A runner is being started: it loads the model and warms up.
    Starting,
    /// The golden samples are run and compared.
    Golden,
    /// The choice is durable: a restart comes up with the new version.
    Committed,
    /// Between two windows the new runners have taken over.
    Promoted,
}

impl Step {
    /// The word used on the bus, in logs and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Starting => "starting",
            Self::Golden => "golden",
            Self::Committed => "committed",
            Self::Promoted => "promoted",
        }
    }

    /// How much of the swap is behind it, 0 to 100. Loading takes longest, so it has the widest share.
    pub const fn percent(self) -> u8 {
        match self {
            Self::Staged => 0,
            Self::Starting => 10,
            Self::Golden => 70,
            Self::Committed => 90,
            Self::Promoted => 100,
        }
    }
}
