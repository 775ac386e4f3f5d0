//! Which model version something belongs to.

use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::{Digest, Name};

/// One version of a model. Two versions are the same exactly when their digests are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelId {
    /// The model's name.
    pub name: Name,
    /// The version by semantic versioning.
    pub version: Version,
    /// SHA-256 of the bundle's manifest, which lists the digest of every other file.
    pub digest: Digest,
}

impl PartialEq for ModelId {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for ModelId {}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.digest.short())
    }
}
