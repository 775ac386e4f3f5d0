//! The manifest of a packed version: which files there are, under which names, with which digests.

use std::collections::BTreeMap;

use inferd_core::Digest;
use inferd_core::manifest::{FILE_NAME, Manifest, is_bundle_path};
use inferd_core::text;
use serde::Deserialize;

use super::{BundleError, MAX_FILES};

/// The manifest's path.
pub(in crate::model) const MANIFEST: &str = FILE_NAME;

/// Where the store records the digest of an installed manifest.
pub(in crate::model) const DIGEST_FILE: &str = "model.toml.sha256";

/// Names that are inferd's own in a version's folder.
const RESERVED: [&str; 2] = [MANIFEST, DIGEST_FILE];

/// Longest version, so that it can be a folder's name on every file system.
const MAX_VERSION_CHARS: usize = 64;

/// What must be known of a manifest before the files that it refers to are there. Everything else is checked by
/// [`read_manifest`] once they are.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    pub(super) files: BTreeMap<String, Digest>,
    #[serde(default)]
    output: OutputFiles,
}

#[derive(Debug, Default, Deserialize)]
struct OutputFiles {
    labels_file: Option<String>,
}

impl Listing {
    /// Reads the `[files]` table and refuses names that could do harm.
    pub(super) fn parse(text: &str) -> Result<Self, BundleError> {
        let listing: Self = text::parse(text).map_err(|problem| BundleError::Manifest(vec![problem]))?;
        if listing.files.is_empty() {
            return Err(BundleError::manifest(
                text,
                "files",
                "is missing: a table [files] with the digest of every file is expected; `inferctl bundle pack` writes it",
            ));
        }
        if listing.files.len() > MAX_FILES {
            let count = listing.files.len();
            return Err(BundleError::TooLarge(format!(
                "{count} files are more than the {MAX_FILES} a bundle may have"
            )));
        }
        listing.files.keys().try_for_each(|path| {
            check_path(path)?;
            check_place(path, &listing.files)
        })?;
        Ok(listing)
    }

    pub(super) fn labels_file(&self) -> Option<&str> {
        self.output.labels_file.as_deref()
    }
}

/// A path in a bundle, and not one of the store's own.
pub(in crate::model) fn check_path(path: &str) -> Result<(), BundleError> {
    let reason = if RESERVED.contains(&path) {
        "this name is kept for inferd itself; choose another"
    } else if !is_bundle_path(path) {
        "plain ASCII names joined by `/` are expected, relative, without `.` and `..`, at most 200 characters in all"
    } else {
        return Ok(());
    };
    Err(refused(path, reason))
}

/// No file may stand where another one needs a folder.
fn check_place(path: &str, files: &BTreeMap<String, Digest>) -> Result<(), BundleError> {
    let blocked = |(at, _): (usize, &str)| path.get(..at).is_some_and(|folder| files.contains_key(folder));
    if path.match_indices('/').any(blocked) {
        return Err(refused(path, "a file of the bundle has the name of the folder that this one would be in"));
    }
    Ok(())
}

pub(super) fn refused(path: &str, reason: &'static str) -> BundleError {
    BundleError::Unsafe { path: path.escape_default().to_string(), reason }
}

/// Reads and checks the manifest of a packed version, now that its files are there. `read_text` gives the text of a listed
/// file, already verified.
pub(in crate::model) fn read_manifest(
    text: &str,
    read_text: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Manifest, BundleError> {
    let manifest = Manifest::parse(text, read_text).map_err(BundleError::Manifest)?;
    check_version(text, &manifest)?;
    for path in manifest.referenced_files() {
        if !manifest.files.contains_key(path) {
            return Err(BundleError::Missing(path.to_owned()));
        }
    }
    Ok(manifest)
}

pub(super) fn check_version(text: &str, manifest: &Manifest) -> Result<(), BundleError> {
    if manifest.version.to_string().len() > MAX_VERSION_CHARS {
        let message = format!("has more than {MAX_VERSION_CHARS} characters");
        return Err(BundleError::manifest(text, "version", message));
    }
    Ok(())
}
