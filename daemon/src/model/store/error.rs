//! Why the store refused, and what to do.

use std::path::PathBuf;

use inferd_core::{Digest, Name};
use semver::Version;

use crate::host::durable::FileError;
use crate::model::bundle::BundleError;

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bundle, or a version on disk, is not what it must be.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// There is no such model.
    #[error("no model `{0}` is installed; `inferctl models` lists what is")]
    NoModel(Name),
    /// There is no such version.
    #[error("model `{name}` has no version {version}; `inferctl models` lists what is installed")]
    NoVersion {
        /// The model.
        name: Name,
        /// What was asked for.
        version: Version,
    },
    /// There is nothing to go back to.
    #[error("model `{0}` has no previous version to go back to")]
    NoPrevious(Name),
    /// Another content is installed under this version.
    #[error("{name} {version} is installed with another content ({}); raise `version` in model.toml", installed.short())]
    VersionTaken {
        /// The model.
        name: Name,
        /// The version of both.
        version: Version,
        /// The digest that is installed.
        installed: Digest,
    },
    /// The version is needed.
    #[error("{name} {version} cannot be removed: {reason}")]
    InUse {
        /// The model.
        name: Name,
        /// The version.
        version: Version,
        /// What it is needed for, and what to do.
        reason: &'static str,
    },
    /// Whoever asked for it does not want it any more; nothing was changed.
    #[error("cancelled")]
    Cancelled,
    /// Another inferd has this folder.
    #[error("another inferd{} uses {}; stop it, or set `service.state_dir` to another folder", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), state_dir.display())]
    Locked {
        /// The folder.
        state_dir: PathBuf,
        /// The process that has it, where it can be told.
        pid: Option<u32>,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl StoreError {
    /// Whether the disk, or the quota on it, is full.
    pub fn is_storage_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Io(error) | Self::Bundle(BundleError::Io(error)) => {
                matches!(error.kind(), StorageFull | QuotaExceeded)
            }
            _ => false,
        }
    }
}
