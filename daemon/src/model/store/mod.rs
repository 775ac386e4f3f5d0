//! The versions on disk: install, activate, remove, list, load.
//!
//! ```text
//! <models_dir>/.tmp-…                              an install that is under way
//! <models_dir>/<name>/<version>/model.toml         as it was in the bundle; its SHA-256 is the version's digest
//! <models_dir>/<name>/<version>/model.toml.sha256  that digest, in the format of `sha256sum`
//! <models_dir>/<name>/<version>/…                  the files that model.toml lists, mode 0444
//! <models_dir>/<name>/state.toml                   which version is active and which was before it; there from the first
//! ```
//!
//! Invariants:
//! - A folder that carries a version's name is complete and was verified. Install writes and syncs every file and folder
//!   under a temporary name in `models_dir`, checks the manifest against them, then renames once and syncs both parents.
//!   SIGKILL or a power cut before the rename leaves a temporary folder, which [`Store::open`] removes; after it, the
//!   version. The sync before the rename is what keeps a power cut from leaving the name without the bytes. A damaged
//!   version is put aside before its bundle takes its name, and deleted after; it gets the name back where that fails.
//! - `state.toml` is there before the first version is: a version without it has lost it, and what is active is not known
//!   then. It is replaced by one rename after its content was synced, and only ever names versions whose folders were
//!   durable before. So the active version is the old one or the new one, never neither.
//! - Removal renames to a temporary name first, and the active and the previous version cannot be removed.
//! - Memory follows disk: the map changes only after the disk did. One lock is for who changes the disk, another for the map:
//!   nothing that only reads the map waits for a disk.
//! - What is damaged is not offered, and named in [`Damage`]; other models are not affected.
//! - A version is in memory once, however many load it.
//! - One process at a time: the owner holds [`StateLock`] for as long as it holds a [`Store`].

mod error;
mod load;
mod lock;
mod model;
mod plain;
mod scan;
mod state;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use inferd_core::{Digest, ModelId, Name};
use semver::Version;

use super::bundle::{self, BundleError, DIGEST_FILE, Unpacked};
use crate::host::durable::{self, FileError, TEMPORARY, during};

pub use error::StoreError;
pub use load::{GoldenFiles, Loaded, LoadedVersion, SealedFile};
pub use lock::StateLock;
pub use model::{ModelEntry, VersionEntry};
pub use scan::Damage;

use model::{Model, Models, Record};
use state::State;

/// The versions on disk. [`list`](Self::list) and [`rollback_target`](Self::rollback_target) read memory; the other methods
/// block on the disk: call them where that is allowed.
#[derive(Debug)]
pub struct Store {
    models_dir: PathBuf,
    max_bundle_bytes: u64,
    /// Held by whoever changes the disk, for as long as that takes; taken before `models`.
    changing: Mutex<()>,
    /// Held for a few steps in memory, never while a disk is waited for.
    models: Mutex<Models>,
    /// The versions that somebody has, by digest. Held as `models` is.
    loaded: Mutex<BTreeMap<Digest, Weak<LoadedVersion>>>,
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
        durable::create_folder(models_dir)?;
        let (models, damage) = scan::scan(models_dir)?;
        let store = Self {
            models_dir: models_dir.to_owned(),
            max_bundle_bytes,
            changing: Mutex::default(),
            models: Mutex::new(models),
            loaded: Mutex::default(),
        };
        Ok((store, damage))
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
        // Unpacked without a lock: two installs may be under way.
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
        // Before others are kept from changing anything, as every byte is read.
        let damaged = self.is_damaged(&name, &version)?;
        let _changing = self.change();
        let installed = self.installed(&name, &version);
        if let Some(installed) = installed.filter(|installed| *installed != digest) {
            return Err(StoreError::VersionTaken { name, version, installed });
        }
        if installed.is_none() || damaged {
            self.place(temporary, &name, &version)?;
        }
        let mut models = self.models();
        let model = models.entry(name.clone()).or_insert_with(|| Model::new(Some(State::default())));
        model.versions.entry(version.clone()).or_insert_with(|| Record { digest, manifest: Arc::new(manifest), bytes });
        let first = model.versions.len() == 1 && model.state.as_ref().is_some_and(State::is_blank);
        Ok(Installed { id: ModelId { name, version, digest }, already: installed.is_some() && !damaged, first, bytes })
    }

    /// The digest of a version that is offered.
    fn installed(&self, name: &Name, version: &Version) -> Option<Digest> {
        self.models().get(name)?.versions.get(version).map(|record| record.digest)
    }

    /// Whether a version that is offered has been damaged since.
    fn is_damaged(&self, name: &Name, version: &Version) -> Result<bool, StoreError> {
        let Some(digest) = self.installed(name, version) else { return Ok(false) };
        match load::verify(&self.version_dir(name, version), digest, self.max_bundle_bytes) {
            Ok(()) => Ok(false),
            Err(error) if is_damage(&error) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn place(&self, temporary: tempfile::TempDir, name: &Name, version: &Version) -> Result<(), FileError> {
        let folder = self.model_dir(name);
        let known = self.models().contains_key(name);
        let made = if known { Ok(()) } else { make_model_folder(&folder) };
        let placed = made
            .and_then(|()| durable::sync_folder(&self.models_dir))
            .and_then(|()| put(temporary.path(), &self.version_dir(name, version)));
        if placed.is_ok() {
            // The folder has its name now; there is nothing to clean up.
            let _ = temporary.keep();
        } else if !known {
            // Best effort: the next start does it too.
            let _ = state::remove_if_alone(&folder);
        }
        placed
    }

    /// Makes a version the active one, and the active one the previous. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`]; [`StoreError::Io`]: the choice is then the old one, unless the
    /// error [took effect](FileError::took_effect): then it is the new one, and a power cut may bring the old one back.
    pub fn activate(&self, name: &Name, version: &Version) -> Result<(), StoreError> {
        let _changing = self.change();
        let state = self.choice(name, version)?;
        let written = state.write(&self.model_dir(name));
        if written.as_ref().map_or_else(FileError::took_effect, |()| true) {
            find(&mut self.models(), name)?.state = Some(state);
        }
        Ok(written?)
    }

    /// The state in which a version is the active one.
    fn choice(&self, name: &Name, version: &Version) -> Result<State, StoreError> {
        let mut models = self.models();
        let model = find(&mut models, name)?;
        model.record(name, version)?;
        let (active, previous) = (model.offered_active(), model.offered_previous());
        Ok(State {
            active: Some(version.clone()),
            previous: [active, previous].into_iter().flatten().find(|other| *other != version).cloned(),
        })
    }

    /// The version that a rollback would make active.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoPrevious`]
    pub fn rollback_target(&self, name: &Name) -> Result<Version, StoreError> {
        let mut models = self.models();
        let previous = find(&mut models, name)?.offered_previous().cloned();
        previous.ok_or_else(|| StoreError::NoPrevious(name.clone()))
    }

    /// Deletes a version that is neither active nor previous; a damaged one may be deleted as well.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn remove(&self, name: &Name, version: &Version) -> Result<(), StoreError> {
        let _changing = self.change();
        let place = self.version_dir(name, version);
        self.check_removable(name, version, &place)?;
        let removed = durable::remove_folder(&place);
        let gone = !place.exists();
        let unused = {
            let mut models = self.models();
            let model = find(&mut models, name)?;
            if gone {
                model.versions.remove(version);
            }
            model.versions.is_empty() && model.state.as_ref().is_some_and(State::is_blank)
        };
        removed?;
        if unused && state::remove_if_alone(&self.model_dir(name))? {
            self.models().remove(name);
            durable::sync_folder(&self.models_dir)?;
        }
        Ok(())
    }

    fn check_removable(&self, name: &Name, version: &Version, place: &Path) -> Result<(), StoreError> {
        let on_disk = place.exists();
        let mut models = self.models();
        let model = find(&mut models, name)?;
        if !model.versions.contains_key(version) && !on_disk {
            return Err(StoreError::NoVersion { name: name.clone(), version: version.clone() });
        }
        match model.need_of(version) {
            Some(reason) => Err(StoreError::InUse { name: name.clone(), version: version.clone(), reason }),
            None => Ok(()),
        }
    }

    /// All models, by name.
    pub fn list(&self) -> Vec<ModelEntry> {
        self.models().iter().map(|(name, model)| model.entry(name)).collect()
    }

    /// Reads a version for a runner, verifying every byte again. While somebody has it, the same value is given, whose bytes
    /// were verified then and cannot have changed; only the golden samples are read anew.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::Bundle`] where a file is damaged.
    pub fn load(&self, name: &Name, version: &Version) -> Result<Loaded, StoreError> {
        let digest = find(&mut self.models(), name)?.record(name, version)?.digest;
        let folder = self.version_dir(name, version);
        let somebodys = self.loaded().get(&digest).and_then(Weak::upgrade);
        if let Some(version) = somebodys {
            let golden = load::load_golden(&folder, &version.manifest, self.max_bundle_bytes)?;
            return Ok(Loaded { version, golden });
        }
        let id = ModelId { name: name.clone(), version: version.clone(), digest };
        let loaded = load::load(&folder, id, self.max_bundle_bytes)?;
        Ok(Loaded { version: self.share(loaded.version), ..loaded })
    }

    /// Lets later loads have this value; or gives the one that another load has shared meanwhile.
    fn share(&self, version: Arc<LoadedVersion>) -> Arc<LoadedVersion> {
        let mut loaded = self.loaded();
        loaded.retain(|_, version| version.strong_count() > 0);
        if let Some(same) = loaded.get(&version.id.digest).and_then(Weak::upgrade) {
            return same;
        }
        loaded.insert(version.id.digest, Arc::downgrade(&version));
        version
    }

    fn model_dir(&self, name: &Name) -> PathBuf {
        self.models_dir.join(name.as_str())
    }

    fn version_dir(&self, name: &Name, version: &Version) -> PathBuf {
        self.model_dir(name).join(version.to_string())
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread that panicked while it changed something had changed the disk or not; the map is right or one entry behind.
    fn models(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded(&self) -> MutexGuard<'_, BTreeMap<Digest, Weak<LoadedVersion>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find<'a>(models: &'a mut Models, name: &Name) -> Result<&'a mut Model, StoreError> {
    models.get_mut(name).ok_or_else(|| StoreError::NoModel(name.clone()))
}

/// Whether a version that cannot be read is damaged, rather than that this process lacks something for the moment. A
/// medium that fails counts: what then takes the version's name is the same content, just written and verified.
fn is_damage(error: &BundleError) -> bool {
    !matches!(error, BundleError::Io(error) if !error.is_of_medium())
}

/// Makes the folder of a new model, with the state in which nothing was ever active.
fn make_model_folder(folder: &Path) -> Result<(), FileError> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(FileError::new("create", folder, error));
        }
        Err(_) | Ok(()) => {}
    }
    State::default().write(folder)
}

/// Gives a new version its name. What has the name is put aside, deleted once the new one has it for good, and gets it back
/// where that fails.
fn put(new: &Path, place: &Path) -> Result<(), FileError> {
    let aside = fs::symlink_metadata(place).is_ok().then(|| durable::temporary_beside(place));
    if let Some(aside) = &aside {
        fs::rename(place, aside).map_err(during("rename", place))?;
    }
    let placed = durable::rename(new, place).and_then(|()| new.parent().map_or(Ok(()), durable::sync_folder));
    match (&placed, aside) {
        (Ok(()), Some(aside)) => {
            if let Err(error) = fs::remove_dir_all(&aside) {
                tracing::warn!(path = %aside.display(), %error, "a replaced version is removed at the next start");
            }
        }
        (Ok(()), None) => {}
        (Err(_), aside) => {
            // Best effort, as the disk is failing. The first has nothing to do where the new one never had the name.
            let _ = fs::rename(place, new);
            let _ = aside.map(|aside| fs::rename(aside, place));
        }
    }
    placed
}

fn record_digest(folder: &Path, digest: Digest) -> Result<(), FileError> {
    let line = format!("{digest}  {}\n", bundle::MANIFEST);
    durable::write_synced(&folder.join(DIGEST_FILE), line.as_bytes())?;
    durable::sync_folder(folder)
}

#[cfg(test)]
mod tests;
