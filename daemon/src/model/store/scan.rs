//! What is on disk when the store is opened.
//!
//! Trouble with anything in `models_dir` is damage of that thing and told; only trouble with `models_dir` itself is an error.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inferd_core::manifest::{MAX_BYTES, Manifest};
use inferd_core::{Digest, Name};
use semver::Version;

use super::model::{Model, Models, Record};
use super::plain::open_plain;
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
    let mut found = Found { models: BTreeMap::new(), damage: Vec::new() };
    found.clean(models_dir);
    for (folder, name) in entries(models_dir)?.into_iter().filter(|(_, name)| !name.starts_with(TEMPORARY)) {
        match name.parse::<Name>() {
            Ok(name) if folder.is_dir() => found.model(name, &folder),
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

    fn clean(&mut self, folder: &Path) {
        if let Err(error) = durable::remove_leftovers(folder) {
            self.damaged(folder, format!("what a crash left in it stays: {}; remove it", with_causes(&error)));
        }
    }

    fn model(&mut self, name: Name, folder: &Path) {
        self.clean(folder);
        let all = match entries(folder) {
            Ok(all) => all,
            Err(error) => {
                self.damaged(folder, format!("{}; check the disk, then restart inferd", with_causes(&error)));
                // What is active is not known, so nothing is, and nothing can be removed.
                self.models.insert(name, Model::new(None));
                return;
            }
        };
        let state = State::read(folder);
        let is_unused = all.is_empty() || state.as_ref().is_ok_and(State::is_blank);
        if is_unused && all.iter().all(|(_, file)| file == state::FILE) {
            // The first install was cut off before its version had a name, or the last removal after it had none.
            return self.forget(folder);
        }
        let mut model = Model::new(None);
        for (path, file) in all.iter().filter(|(_, file)| file != state::FILE && !file.starts_with(TEMPORARY)) {
            match version_record(&name, file, path) {
                Ok((version, record)) => drop(model.versions.insert(version, record)),
                Err(error) => self.damaged(path, format!("{}; install it again or remove it", with_causes(&error))),
            }
        }
        match state {
            Ok(state) => model.state = Some(state),
            Err(reason) => {
                self.damaged(&folder.join(state::FILE), format!("{reason}; activate a version to replace it"));
            }
        }
        for version in model.lost() {
            let reason =
                format!("it names {version}, which is missing or damaged; install it again or activate another");
            self.damaged(&folder.join(state::FILE), reason);
        }
        self.models.insert(name, model);
    }

    fn forget(&mut self, folder: &Path) {
        if let Err(error) = state::remove_if_alone(folder) {
            self.damaged(folder, format!("{}; remove it", with_causes(&error)));
        }
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
    let text = read_small(folder, MANIFEST, MAX_BYTES as u64)?;
    let recorded = read_small(folder, DIGEST_FILE, 4096)?;
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
            .and_then(|()| read_small(folder, path, MAX_LABELS_BYTES))
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

fn read_small(folder: &Path, name: &str, max_bytes: u64) -> Result<String, BundleError> {
    let path = &folder.join(name);
    let mut content = Vec::new();
    let file = open_plain(path, name).map_err(|error| match error {
        BundleError::Missing(name) => BundleError::NotABundle(format!("{name} is missing")),
        error => error,
    })?;
    file.take(max_bytes + 1).read_to_end(&mut content).map_err(during("read", path))?;
    if content.len() as u64 > max_bytes {
        return Err(BundleError::TooLarge(format!("{} has more than {max_bytes} bytes", path.display())));
    }
    String::from_utf8(content).map_err(|_| BundleError::NotABundle(format!("{} is not UTF-8 text", path.display())))
}
