//! Which version of a model is active: `state.toml` beside the versions.
//!
//! The file is there before the first version is, and all three keys are always in it: so one that is missing or lost its
//! end is told from one that says "none".

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use inferd_core::text;
use semver::Version;
use serde::Deserialize;

use super::plain::open_plain;
use crate::host::durable::{self, FileError, during};
use crate::host::error::with_causes;
use crate::model::bundle::BundleError;

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
    /// Reads the state of a model.
    ///
    /// # Errors
    /// What is wrong with the file; that it is missing, too.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let file = open_plain(&folder.join(FILE), FILE).map_err(|error| match error {
            BundleError::Missing(_) => "it is missing".to_owned(),
            error => with_causes(&error),
        })?;
        let mut content = String::new();
        file.take(MAX_BYTES).read_to_string(&mut content).map_err(|error| error.to_string())?;
        Self::parse(&content)
    }

    fn parse(content: &str) -> Result<Self, String> {
        let written: Written = text::parse(content).map_err(|problem| problem.to_string())?;
        if written.format != FORMAT {
            return Err(format!("format {} is not the {FORMAT} that this inferd reads", written.format));
        }
        let state = Self { active: version(&written.active)?, previous: version(&written.previous)? };
        if state.previous.is_some() && (state.active.is_none() || state.active == state.previous) {
            return Err("it names a previous version but no active one, or the same as both".into());
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

/// Removes the folder of a model in which nothing but its state is left; `false` where there is more in it, which stays.
pub(super) fn remove_if_alone(folder: &Path) -> Result<bool, FileError> {
    for entry in fs::read_dir(folder).map_err(during("list", folder))? {
        if entry.map_err(during("list", folder))?.file_name() != FILE {
            return Ok(false);
        }
    }
    let file = folder.join(FILE);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(FileError::new("remove", &file, error)),
        Err(_) | Ok(()) => {}
    }
    fs::remove_dir(folder).map_err(during("remove", folder))?;
    Ok(true)
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
        assert_eq!(State::read(folder.path()).unwrap_err(), "it is missing");
        for state in [State::default(), versions("1.0.0", ""), versions("1.1.0-rc.1+b", "1.0.0")] {
            state.write(folder.path()).unwrap();
            assert_eq!(State::read(folder.path()).unwrap(), state);
        }
    }

    #[test]
    fn a_state_that_lost_its_end_is_damage_and_not_a_choice() {
        let folder = tempfile::tempdir().unwrap();
        for state in [versions("1.1.0", "1.0.0"), State::default()] {
            state.write(folder.path()).unwrap();
            let whole = fs::read_to_string(folder.path().join(FILE)).unwrap();
            for length in 0..whole.len() - 1 {
                assert!(State::parse(&whole[..length]).is_err(), "{:?}", &whole[..length]);
            }
        }
        for (active, previous) in [("", "1.0.0"), ("1.0.0", "1.0.0")] {
            versions(active, previous).write(folder.path()).unwrap();
            assert!(State::read(folder.path()).is_err(), "{active} {previous}");
        }
    }
}
