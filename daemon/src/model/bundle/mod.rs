//! The file a model version travels in: `<name>-<version>.inferd`, a tar archive compressed with zstd. `docs/bundle.md`
//! describes it byte by byte.
//!
//! Invariants:
//! - The manifest comes first and lists the SHA-256 of every other file in its `[files]` table; the version's digest is the
//!   SHA-256 of the manifest's bytes. So one digest names every byte of the version.
//! - A bundle is untrusted: at most [`MAX_FILES`] plain files under plain relative names, nothing that is not listed,
//!   nothing twice, no more bytes than the caller allows, no more memory than the sizes stated here.
//! - Packing the same folder twice gives the same bytes.

mod limits;
mod listing;
mod pack;
mod read;
mod unpack;

use std::path::Path;

use inferd_core::Digest;
use inferd_core::manifest::{MAX_BYTES, Manifest};
use inferd_core::text::Problem;

use crate::host::durable::FileError;

pub use pack::{Packed, pack};
pub use unpack::{Inspection, Unpacked, inspect, unpack};

pub(super) use listing::{DIGEST_FILE, MANIFEST, check_path, read_manifest};

/// The most files beside the manifest.
pub const MAX_FILES: usize = 1000;

/// The largest file of labels.
pub const MAX_LABELS_BYTES: u64 = 1 << 20;

/// What a bundle's file name ends in.
pub const EXTENSION: &str = "inferd";

/// A file in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest, as listed and as found.
    pub digest: Digest,
}

/// Why a bundle, or an installed version, was refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read as a bundle at all.
    #[error("this is no whole bundle ({0}); copy it again, or make it again with `inferctl bundle pack FOLDER`")]
    NotABundle(String),
    /// The manifest says something wrong.
    #[error("{MANIFEST} is wrong: {}", joined(.0))]
    Manifest(Vec<Problem>),
    /// A file is not the one that the manifest lists.
    #[error(
        "`{file}` has SHA-256 {found}, but {expected} is expected: it was changed or damaged; get the bundle again"
    )]
    DigestMismatch {
        /// Which file.
        file: String,
        /// What is listed.
        expected: Digest,
        /// What was found.
        found: Digest,
    },
    /// A file that the manifest does not list.
    #[error("`{0}` is not listed in {MANIFEST}; make the bundle again with `inferctl bundle pack FOLDER`")]
    Unlisted(String),
    /// A file that the manifest refers to is not there.
    #[error("`{0}` is missing, but {MANIFEST} refers to it; add the file or correct the manifest, then pack again")]
    Missing(String),
    /// A file is there twice.
    #[error("`{0}` is there twice; make the bundle again with `inferctl bundle pack FOLDER`")]
    Duplicate(String),
    /// A path that could lead out of the folder or hide another file, or something that is no plain file.
    #[error("`{path}` is refused: {reason}")]
    Unsafe {
        /// The path as it was given, made printable.
        path: String,
        /// What is wrong with it, and what is expected.
        reason: &'static str,
    },
    /// More than is allowed.
    #[error("{0}")]
    TooLarge(String),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl BundleError {
    fn not_a_bundle(reason: impl ToString) -> Self {
        Self::NotABundle(reason.to_string())
    }

    fn manifest(text: &str, key: &str, message: impl Into<String>) -> Self {
        Self::Manifest(vec![Problem::at(text, key, message)])
    }

    fn manifest_too_large() -> Self {
        Self::TooLarge(format!("{MANIFEST} has more than {MAX_BYTES} bytes; labels may stand in a `labels_file`"))
    }
}

fn joined(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The file name of a version's bundle.
fn file_name(manifest: &Manifest) -> String {
    format!("{}-{}.{EXTENSION}", manifest.name, manifest.version)
}

/// What a [`crate::host::durable::FileError`] names where only an open descriptor is known.
fn given() -> &'static Path {
    Path::new("the bundle")
}

#[cfg(test)]
mod tests;
