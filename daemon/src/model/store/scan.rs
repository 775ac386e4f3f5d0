//! What is on disk when the store is opened.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inferd_core::manifest::{MAX_BYTES, Manifest};
use inferd_core::{Digest, Name};
use semver::Version;

use super::model::{Model, Models, Record};
use super::state::{self, State};
use crate::host::durable::{self, FileError, TEMPORARY, during};
use crate::host::error::with_causes;
use crate::model::bundle::{BundleError, DIGEST_FILE, MANIFEST, MAX_LABELS_BYTES, check_path, read_manifest};
use crate::model::hashing::digest_of;

/// Something on disk that is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub path: PathBuf,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not used: {}", self.path.display(), self.reason)
    }
}

/// Cleans up and reads everything below `models_dir`.
pub(super) fn scan(models_dir: &Path) -> Result<(Models, Vec<Damage>), FileError> {
    durable::remove_leftovers(models_dir)?;
    let mut found = Found { models: BTreeMap::new(), damage: Vec::new() };
    for (folder, name) in entries(models_dir)? {
        match name.parse::<Name>() {
            Ok(name) if folder.is_dir() => found.model(name, &folder)?,
            Ok(_) | Err(_) => found.damaged(&folder, "only folders with the name of a model belong here; remove it"),
        }
    }
    Ok((found.models, found.damage))
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>, FileError> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.map_err(during("list", folder))?;
        Ok((entry.path(), entry.file_name().to_string_lossy().into_owned()))
    };
    let mut all: Vec<_> =
        fs::read_dir(folder).map_err(during("list", folder))?.map(entry).collect::<Result<_, FileError>>()?;
    all.sort();
    Ok(all)
}

struct Found {
    models: Models,
    damage: Vec<Damage>,
}

impl Found {
    fn damaged(&mut self, path: &Path, reason: impl Into<String>) {
        self.damage.push(Damage { path: path.to_owned(), reason: reason.into() });
    }

    fn model(&mut self, name: Name, folder: &Path) -> Result<(), FileError> {
        durable::remove_leftovers(folder)?;
        let all = entries(folder)?;
        if all.is_empty() {
            // An install was cut off between making this folder and filling it.
            return fs::remove_dir(folder).map_err(during("remove", folder));
        }
        let mut model = Model::new();
        for (path, file) in all.iter().filter(|(_, file)| file != state::FILE && !file.starts_with(TEMPORARY)) {
            match version_record(&name, file, path) {
                Ok((version, record)) => drop(model.versions.insert(version, record)),
                Err(error) => self.damaged(path, format!("{}; install it again or remove it", with_causes(&error))),
            }
        }
        model.state = match State::read(folder) {
            Ok(state) => Some(state),
            Err(reason) => {
                self.damaged(&folder.join(state::FILE), format!("{reason}; activate a version to replace it"));
                None
            }
        };
        for version in model.lost() {
            let reason =
                format!("it names {version}, which is missing or damaged; install it again or activate another");
            self.damaged(&folder.join(state::FILE), reason);
        }
        self.models.insert(name, model);
        Ok(())
    }
}

fn version_record(name: &Name, file: &str, folder: &Path) -> Result<(Version, Record), BundleError> {
    let version = Version::parse(file).map_err(|_| BundleError::Unlisted(file.to_owned()))?;
    let (manifest, digest) = version_manifest(folder)?;
    if manifest.name != *name || manifest.version != version {
        let found = format!("its manifest is that of {} {}", manifest.name, manifest.version);
        return Err(BundleError::NotABundle(found));
    }
    let mut bytes = 0;
    for path in manifest.files.keys() {
        let found = fs::symlink_metadata(folder.join(path)).map_err(|_| BundleError::Missing(path.clone()))?;
        if !found.is_file() {
            return Err(BundleError::Unsafe { path: path.clone(), reason: "it is no plain file" });
        }
        bytes += found.len();
    }
    Ok((version, Record { digest, manifest: Arc::new(manifest), bytes }))
}

/// Reads the manifest of an installed version: it is the one that was installed, and its labels are as it lists them.
pub(super) fn version_manifest(folder: &Path) -> Result<(Manifest, Digest), BundleError> {
    let text = read_small(&folder.join(MANIFEST), MAX_BYTES as u64)?;
    let recorded = read_small(&folder.join(DIGEST_FILE), 4096)?;
    let expected: Digest = recorded
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|error| BundleError::NotABundle(format!("{DIGEST_FILE}: {error}")))?;
    let found = digest_of(text.as_bytes());
    if found != expected {
        return Err(BundleError::DigestMismatch { file: MANIFEST.to_owned(), expected, found });
    }
    // The digests are not known before the manifest is parsed, and it is parsed with the labels: they are compared after.
    let mut labels = None;
    let manifest = read_manifest(&text, &mut |path| {
        let text = check_path(path)
            .and_then(|()| read_small(&folder.join(path), MAX_LABELS_BYTES))
            .map_err(|error| with_causes(&error))?;
        labels = Some((path.to_owned(), digest_of(text.as_bytes())));
        Ok(text)
    })?;
    if let Some((file, found)) = labels {
        let expected = manifest.files.get(&file).copied().unwrap_or(found);
        if expected != found {
            return Err(BundleError::DigestMismatch { file, expected, found });
        }
    }
    Ok((manifest, found))
}

fn read_small(path: &Path, max_bytes: u64) -> Result<String, BundleError> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(during("open", path))?;
    file.take(max_bytes + 1).read_to_end(&mut content).map_err(during("read", path))?;
    if content.len() as u64 > max_bytes {
        return Err(BundleError::TooLarge(format!("{} has more than {max_bytes} bytes", path.display())));
    }
    String::from_utf8(content).map_err(|_| BundleError::NotABundle(format!("{} is not UTF-8 text", path.display())))
}
