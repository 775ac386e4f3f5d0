//! Refusals as error replies: `org.inferd1.Error.NAME` and a sentence that a person can act on.

use zbus::message::{Header, Message};
use zbus::names::ErrorName;

use super::text::text;
use crate::control::ControlError;

/// What error names begin with; the rest is [`ControlError::name`] or one of [`NOT_AUTHORIZED`].
pub const PREFIX: &str = "org.inferd1.Error.";
/// The caller has no authority for what it asked.
pub const NOT_AUTHORIZED: &str = "NotAuthorized";

/// What a sentence may quote of what the caller sent, which may be megabytes, is cut there.
const MAX_SENTENCE_CHARS: usize = 1000;

/// A refusal on its way to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    name: String,
    sentence: String,
}

impl Refused {
    pub(super) fn not_authorized(sentence: impl Into<String>) -> Self {
        Self { name: name_on_bus(NOT_AUTHORIZED), sentence: sentence_of(sentence.into()) }
    }

    pub(super) fn invalid_argument(sentence: impl Into<String>) -> Self {
        ControlError::InvalidArgument(sentence.into()).into()
    }
}

fn sentence_of(mut raw: String) -> String {
    if let Some((end, _)) = raw.char_indices().nth(MAX_SENTENCE_CHARS) {
        raw.truncate(end);
        raw.push('…');
    }
    text(raw)
}

/// An error's whole name on the bus.
pub(super) fn name_on_bus(last_part: &str) -> String {
    format!("{PREFIX}{last_part}")
}

impl From<ControlError> for Refused {
    fn from(error: ControlError) -> Self {
        Self { name: name_on_bus(error.name()), sentence: sentence_of(error.to_string()) }
    }
}

impl zbus::DBusError for Refused {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&self.sentence)
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_str_unchecked(&self.name)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.sentence)
    }
}
