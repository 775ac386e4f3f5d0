//! One model in memory: what it offers and what may not go.

use std::collections::BTreeMap;
use std::sync::Arc;

use inferd_core::manifest::Manifest;
use inferd_core::{Digest, Name};
use semver::Version;

use super::StoreError;
use super::state::State;

/// Models by name.
pub(super) type Models = BTreeMap<Name, Model>;

/// A model as it is on disk.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) versions: BTreeMap<Version, Record>,
    /// `None` where `state.toml` is damaged or missing: nothing is active until somebody chooses.
    pub(super) state: Option<State>,
}

/// An installed version whose manifest is whole.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    pub(super) bytes: u64,
}

/// A model and its versions.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// Its name.
    pub name: Name,
    /// The versions that are offered, oldest first.
    pub versions: Vec<VersionEntry>,
    /// The active one, if it is offered.
    pub active: Option<Version>,
    /// The one before it, if it is offered.
    pub previous: Option<Version>,
}

/// A version that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEntry {
    /// Its number.
    pub version: Version,
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// What the manifest says of it.
    pub description: String,
    /// `image`, `audio`, `imu`, `tensor`.
    pub kind: &'static str,
    /// `classification`, `detection`, `anomaly`, `regression`, `raw`.
    pub task: &'static str,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Model {
    /// A model without versions, and its state.
    pub(super) const fn new(state: Option<State>) -> Self {
        Self { versions: BTreeMap::new(), state }
    }

    pub(super) fn record(&self, name: &Name, version: &Version) -> Result<&Record, StoreError> {
        let missing = || StoreError::NoVersion { name: name.clone(), version: version.clone() };
        self.versions.get(version).ok_or_else(missing)
    }

    pub(super) fn offered_active(&self) -> Option<&Version> {
        self.offered(self.state.as_ref()?.active.as_ref())
    }

    pub(super) fn offered_previous(&self) -> Option<&Version> {
        self.offered(self.state.as_ref()?.previous.as_ref())
    }

    fn offered<'a>(&self, version: Option<&'a Version>) -> Option<&'a Version> {
        version.filter(|version| self.versions.contains_key(version))
    }

    /// Versions that the state names but that are not offered.
    pub(super) fn lost(&self) -> Vec<Version> {
        let named = self.state.iter().flat_map(|state| [&state.active, &state.previous]).flatten();
        named.filter(|version| !self.versions.contains_key(version)).cloned().collect()
    }

    /// Why a version must stay.
    pub(super) fn need_of(&self, version: &Version) -> Option<&'static str> {
        let Some(state) = &self.state else {
            return Some(
                "the model's state.toml is damaged or missing, so it may be the active one; activate a version first",
            );
        };
        if state.active.as_ref() == Some(version) {
            Some("it is the active version; activate another one first")
        } else if state.previous.as_ref() == Some(version) {
            Some("it is the version that a rollback would go back to; activate a third version first")
        } else {
            None
        }
    }

    pub(super) fn entry(&self, name: &Name) -> ModelEntry {
        let version = |(version, record): (&Version, &Record)| VersionEntry {
            version: version.clone(),
            digest: record.digest,
            description: record.manifest.description.clone(),
            kind: record.manifest.kind().word(),
            task: record.manifest.output.task.word(),
            bytes: record.bytes,
        };
        ModelEntry {
            name: name.clone(),
            versions: self.versions.iter().map(version).collect(),
            active: self.offered_active().cloned(),
            previous: self.offered_previous().cloned(),
        }
    }
}
