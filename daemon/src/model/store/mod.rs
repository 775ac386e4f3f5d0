//! The versions on disk: install, activate, remove, list, load.
//!
//! ```text
//! <models_dir>/.tmp-…                              an install that is under way
//! <models_dir>/<name>/<version>/model.toml         as it was in the bundle; its SHA-256 is the version's digest
//! <models_dir>/<name>/<version>/model.toml.sha256  that digest, in the format of `sha256sum`
//! <models_dir>/<name>/<version>/…                  the files that model.toml lists, mode 0444
//! <models_dir>/<name>/state.toml                   which version is active and which was before it
//! ```
//!
//! Invariants:
//! - A folder that carries a version's name is complete and was verified. Install writes and syncs every file and folder
//!   under a temporary name in `models_dir`, checks the manifest against them, then renames once and syncs both parents.
//!   SIGKILL or a power cut before the rename leaves a temporary folder, which [`Store::open`] removes; after it, the
//!   version. The sync before the rename is what keeps a power cut from leaving the name without the bytes.
//! - `state.toml` is replaced by one rename after its content was synced, and only ever names versions whose folders were
//!   durable before. So the active version is the old one or the new one, never neither.
//! - Removal renames to a temporary name first, and the active and the previous version cannot be removed.
//! - Memory follows disk: the map behind the lock changes only after the disk did.
//! - What is damaged is not offered, and named in [`Damage`]; other models are not affected.
//! - One process at a time: the owner holds [`StateLock`] for as long as it holds a [`Store`].

mod error;
mod load;
mod lock;
mod model;
mod scan;
mod state;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inferd_core::{Digest, ModelId, Name};
use semver::Version;

use super::bundle::{self, BundleError, DIGEST_FILE, Unpacked};
use crate::host::durable::{self, FileError, TEMPORARY, during};

pub use error::StoreError;
pub use load::{GoldenFiles, LoadedVersion, SealedFile};
pub use lock::StateLock;
pub use model::{ModelEntry, VersionEntry};
pub use scan::Damage;

use model::{Model, Models, Record};
use state::State;

/// The versions on disk. Its methods block on the disk: call them where that is allowed.
#[derive(Debug)]
pub struct Store {
    models_dir: PathBuf,
    max_bundle_bytes: u64,
    models: Mutex<Models>,
}

/// What came of an install.
#[derive(Debug)]
pub struct Installed {
    /// The version.
    pub id: ModelId,
    /// It was installed before; nothing was changed.
    pub already: bool,
    /// It is the model's only version and none was ever active.
    pub first: bool,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Store {
    /// Opens the store, making `models_dir` where it is absent: removes what crashed installs left, and reports what is
    /// damaged. Files are not hashed here (that is done at each load), manifests are.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the folder itself cannot be made, listed or cleaned.
    pub fn open(models_dir: &Path, max_bundle_bytes: u64) -> Result<(Self, Vec<Damage>), StoreError> {
        fs::create_dir_all(models_dir).map_err(during("create", models_dir))?;
        let (models, damage) = scan::scan(models_dir)?;
        Ok((Self { models_dir: models_dir.to_owned(), max_bundle_bytes, models: Mutex::new(models) }, damage))
    }

    /// Installs a bundle, read from where `bundle` stands. The same content again is no error: it replaces a version that
    /// was damaged since, and changes nothing otherwise.
    ///
    /// # Errors
    /// [`StoreError`]; no bytes are left behind.
    pub fn install(&self, bundle: File) -> Result<Installed, StoreError> {
        self.install_if(bundle, || true)
    }

    /// Like [`install`](Self::install). `may_commit` is asked once, when the bundle is unpacked and verified and has not got
    /// its name yet.
    ///
    /// # Errors
    /// [`StoreError::Cancelled`] where it says no; [`StoreError`]; no bytes are left behind.
    pub fn install_if(&self, bundle: File, may_commit: impl FnOnce() -> bool) -> Result<Installed, StoreError> {
        let metadata = bundle.metadata().map_err(during("read", Path::new("the bundle")))?;
        if !metadata.is_file() {
            return Err(BundleError::NotABundle("it is no plain file".into()).into());
        }
        // Unpacked without the lock: two installs may be under way, and listing does not wait for them.
        let temporary = tempfile::Builder::new()
            .prefix(&format!("{TEMPORARY}install-"))
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(&self.models_dir)
            .map_err(during("create a folder in", &self.models_dir))?;
        let unpacked = bundle::unpack(bundle, temporary.path(), self.max_bundle_bytes)?;
        record_digest(temporary.path(), unpacked.digest)?;
        if !may_commit() {
            return Err(StoreError::Cancelled);
        }
        self.commit(temporary, unpacked)
    }

    /// Gives a verified folder its name, unless the version is there already.
    fn commit(&self, temporary: tempfile::TempDir, unpacked: Unpacked) -> Result<Installed, StoreError> {
        let Unpacked { manifest, digest, bytes } = unpacked;
        let (name, version) = (manifest.name.clone(), manifest.version.clone());
        // Before the lock, as every byte is read: listing does not wait for it.
        let damaged = matches!(self.load(&name, &version), Err(StoreError::Bundle(_)));
        let mut models = self.lock();
        let installed = models.get(&name).and_then(|model| model.versions.get(&version)).map(|record| record.digest);
        if let Some(installed) = installed.filter(|installed| *installed != digest) {
            return Err(StoreError::VersionTaken { name, version, installed });
        }
        if installed.is_none() || damaged {
            self.place(temporary, &name, &version)?;
        }
        let model = models.entry(name.clone()).or_insert_with(Model::new);
        model.versions.entry(version.clone()).or_insert_with(|| Record { digest, manifest: Arc::new(manifest), bytes });
        let first = model.versions.len() == 1 && model.state.as_ref().is_some_and(State::is_blank);
        Ok(Installed { id: ModelId { name, version, digest }, already: installed.is_some() && !damaged, first, bytes })
    }

    fn place(&self, temporary: tempfile::TempDir, name: &Name, version: &Version) -> Result<(), FileError> {
        let (folder, place) = (self.model_dir(name), self.version_dir(name, version));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(FileError::new("create", &folder, error));
            }
            Err(_) | Ok(()) => {}
        }
        let placed = clear(&place)
            .and_then(|()| durable::sync_folder(&self.models_dir))
            .and_then(|()| durable::rename(temporary.path(), &place))
            .and_then(|()| durable::sync_folder(&self.models_dir));
        if placed.is_ok() {
            // The folder has its name now; there is nothing to clean up.
            let _ = temporary.keep();
        } else {
            // Best effort, and only where it is empty: the model may have other versions.
            let _ = clear(&place).and_then(|()| fs::remove_dir(&folder).map_err(during("remove", &folder)));
        }
        placed
    }

    /// Makes a version the active one, and the active one the previous. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::Io`]; the choice is then the old one.
    pub fn activate(&self, name: &Name, version: &Version) -> Result<(), StoreError> {
        let mut models = self.lock();
        let model = find(&mut models, name)?;
        model.record(name, version)?;
        let (active, previous) = (model.offered_active(), model.offered_previous());
        let state = State {
            active: Some(version.clone()),
            previous: [active, previous].into_iter().flatten().find(|other| *other != version).cloned(),
        };
        state.write(&self.model_dir(name))?;
        model.state = Some(state);
        Ok(())
    }

    /// The version that a rollback would make active.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoPrevious`]
    pub fn rollback_target(&self, name: &Name) -> Result<Version, StoreError> {
        let mut models = self.lock();
        let previous = find(&mut models, name)?.offered_previous().cloned();
        previous.ok_or_else(|| StoreError::NoPrevious(name.clone()))
    }

    /// Deletes a version that is neither active nor previous; a damaged one may be deleted as well.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn remove(&self, name: &Name, version: &Version) -> Result<(), StoreError> {
        let mut models = self.lock();
        let model = find(&mut models, name)?;
        let place = self.version_dir(name, version);
        if !model.versions.contains_key(version) && !place.exists() {
            return Err(StoreError::NoVersion { name: name.clone(), version: version.clone() });
        }
        if let Some(reason) = model.need_of(version) {
            return Err(StoreError::InUse { name: name.clone(), version: version.clone(), reason });
        }
        let removed = durable::remove_folder(&place);
        if !place.exists() {
            model.versions.remove(version);
        }
        removed?;
        if model.versions.is_empty() && fs::remove_dir(self.model_dir(name)).is_ok() {
            models.remove(name);
            durable::sync_folder(&self.models_dir)?;
        }
        Ok(())
    }

    /// All models, by name.
    pub fn list(&self) -> Vec<ModelEntry> {
        self.lock().iter().map(|(name, model)| model.entry(name)).collect()
    }

    /// Reads a version for a runner, verifying every byte again.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::Bundle`] where a file is damaged.
    pub fn load(&self, name: &Name, version: &Version) -> Result<LoadedVersion, StoreError> {
        let digest = find(&mut self.lock(), name)?.record(name, version)?.digest;
        let id = ModelId { name: name.clone(), version: version.clone(), digest };
        Ok(load::load(&self.version_dir(name, version), id, self.max_bundle_bytes)?)
    }

    fn model_dir(&self, name: &Name) -> PathBuf {
        self.models_dir.join(name.as_str())
    }

    fn version_dir(&self, name: &Name, version: &Version) -> PathBuf {
        self.model_dir(name).join(version.to_string())
    }

    /// A thread that panicked while it held the lock had changed the disk or not; the map is right or one entry behind.
    fn lock(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a>(models: &'a mut Models, name: &Name) -> Result<&'a mut Model, StoreError> {
    models.get_mut(name).ok_or_else(|| StoreError::NoModel(name.clone()))
}

/// Removes a damaged version, so that its name is free.
fn clear(place: &Path) -> Result<(), FileError> {
    if place.exists() { durable::remove_folder(place) } else { Ok(()) }
}

fn record_digest(folder: &Path, digest: Digest) -> Result<(), FileError> {
    let line = format!("{digest}  {}\n", bundle::MANIFEST);
    durable::write_synced(&folder.join(DIGEST_FILE), line.as_bytes())?;
    durable::sync_folder(folder)
}

#[cfg(test)]
mod tests;
