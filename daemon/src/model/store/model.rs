//! One model in memory: what it offers and what may not go.

use inferd_core::Name;
use semver::Version;

use super::{Model, ModelEntry, Record, State, StoreError, VersionEntry};

impl Model {
    /// A model that was never activated.
    pub(super) fn new() -> Self {
        Self { versions: std::collections::BTreeMap::new(), state: Some(State::default()) }
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
            return Some("the model's state.toml is damaged, so it may be the active one; activate a version first");
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
