//! What every kind of recording offers to the player.

use std::time::Duration;

use inferd_core::frame::Format;

use crate::capture::error::SourceError;
use crate::capture::slots::Slots;
use crate::host::frames::Slot;

/// A file that is read frame by frame.
pub(super) trait Reader: Send {
    /// The next frame, in a slot; `None` at the end.
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError>;

    /// Back to the first frame.
    fn rewind(&mut self) -> Result<(), SourceError>;
}

/// One frame, read.
pub(super) struct Read {
    pub(super) slot: Slot,
    pub(super) format: Format,
    /// How long the source was busy recording it: the next frame is due this much later.
    pub(super) lasts: Duration,
}
