//! How a window fails, by stage. The daemon counts by stage and shows the reason to a person.

use std::fmt::Display;

use inferd_core::outcome::{FailedStage, Failure};

/// Longest reason that is sent. Models and libraries may put whole tensors into their messages.
pub(crate) const MAX_REASON_BYTES: usize = 2_000;

/// The bytes are not what they were said to be.
pub(crate) fn undecodable(reason: impl Display) -> Failure {
    at(FailedStage::Decode, reason)
}

/// The bytes were read but do not fit the model.
pub(crate) fn misfit(reason: impl Display) -> Failure {
    at(FailedStage::Preprocess, reason)
}

/// The output means nothing.
pub(crate) fn meaningless(reason: impl Display) -> Failure {
    at(FailedStage::Postprocess, reason)
}

/// A failure at `stage`, its reason cut to [`MAX_REASON_BYTES`].
pub(crate) fn at(stage: FailedStage, reason: impl Display) -> Failure {
    Failure { stage, reason: shortened(reason.to_string()) }
}

/// `text`, cut to [`MAX_REASON_BYTES`].
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > MAX_REASON_BYTES {
        let end = (0..=MAX_REASON_BYTES).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" …");
    }
    text
}
