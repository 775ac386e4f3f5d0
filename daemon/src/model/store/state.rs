//! Which version of a model is active: `state.toml` beside the versions.
//!
//! All three keys are always there, so that a file that lost its end is told from one that says "none".

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use inferd_core::text;
use semver::Version;
use serde::Deserialize;

use crate::host::durable::{self, FileError};

/// The file's name in a model's folder.
pub(super) const FILE: &str = "state.toml";

/// The version of the file's own format.
const FORMAT: u32 = 1;

/// A real one has about 80 bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Which version is active, and which was before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) active: Option<Version>,
    pub(super) previous: Option<Version>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    /// Empty: none.
    active: String,
    /// Empty: none.
    previous: String,
}

impl State {
    /// Reads the state of a model; one that was never activated has none.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let mut content = String::new();
        match fs::File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut content)) {
            Ok(_) => Self::parse(&content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn parse(content: &str) -> Result<Self, String> {
        let written: Written = text::parse(content).map_err(|problem| problem.to_string())?;
        if written.format != FORMAT {
            return Err(format!("format {} is not the {FORMAT} that this inferd reads", written.format));
        }
        let state = Self { active: version(&written.active)?, previous: version(&written.previous)? };
        if state.active.is_none() || state.active == state.previous {
            return Err("it names no active version, or the same as active and previous".into());
        }
        Ok(state)
    }

    /// Replaces the state of a model, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), FileError> {
        let word = |version: &Option<Version>| version.as_ref().map(ToString::to_string).unwrap_or_default();
        let (active, previous) = (word(&self.active), word(&self.previous));
        let content = format!("format = {FORMAT}\nactive = \"{active}\"\nprevious = \"{previous}\"\n");
        durable::replace(&folder.join(FILE), content.as_bytes())
    }

    /// Whether nothing was ever activated.
    pub(super) fn is_blank(&self) -> bool {
        self.active.is_none() && self.previous.is_none()
    }
}

fn version(text: &str) -> Result<Option<Version>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    Version::parse(text).map(Some).map_err(|error| format!("`{text}` is no version: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(active: &str, previous: &str) -> State {
        State { active: version(active).unwrap(), previous: version(previous).unwrap() }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::read(folder.path()).unwrap(), State::default());
        for state in [versions("1.0.0", ""), versions("1.1.0-rc.1+b", "1.0.0")] {
            state.write(folder.path()).unwrap();
            assert_eq!(State::read(folder.path()).unwrap(), state);
        }
    }

    #[test]
    fn a_state_that_lost_its_end_is_damage_and_not_a_choice() {
        let folder = tempfile::tempdir().unwrap();
        versions("1.1.0", "1.0.0").write(folder.path()).unwrap();
        let whole = fs::read_to_string(folder.path().join(FILE)).unwrap();
        for length in 0..whole.len() - 1 {
            assert!(State::parse(&whole[..length]).is_err(), "{:?}", &whole[..length]);
        }
    }
}
