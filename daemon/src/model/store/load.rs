//! From a version on disk to descriptors for a runner.
//!
//! Invariants:
//! - What is handed on is what was verified: each file is copied into memory while it is hashed, then sealed against every
//!   change. A file that changes on disk afterwards changes nothing for the runner, and there is no second look.
//! - The price is memory: a file is in RAM until its descriptors are closed. The artifact stays as long as the version is
//!   used anywhere, so that a runner can be replaced whatever happens on the disk; all pipelines share that one copy. Golden
//!   files are needed until the version is proven and no longer: they are handed out apart from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use inferd_core::frame::Format;
use inferd_core::manifest::{Golden, Manifest};
use inferd_core::{Digest, ModelId};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::plain::open_plain;
use super::scan::version_manifest;
use crate::host::durable::{FileError, during};
use crate::model::bundle::{BundleError, MANIFEST};
use crate::model::hashing::copy_hashed;

/// A version, verified, and what it is to be proven with.
#[derive(Debug)]
pub struct Loaded {
    /// The version; the same value for all that load it while any of them has it.
    pub version: Arc<LoadedVersion>,
    /// The golden samples, in the manifest's order.
    pub golden: Vec<GoldenFiles>,
}

/// A version, verified, ready for a runner.
#[derive(Debug)]
pub struct LoadedVersion {
    /// Which it is.
    pub id: Arc<ModelId>,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Its labels by index.
    pub labels: Arc<[String]>,
    /// The model file.
    pub artifact: SealedFile,
}

/// A file in memory that nobody can change, not even this process. Its offset is 0.
#[derive(Debug)]
pub struct SealedFile {
    /// The descriptor.
    pub fd: OwnedFd,
    /// Its length.
    pub bytes: u64,
}

/// A golden sample.
#[derive(Debug)]
pub struct GoldenFiles {
    /// The recorded input's path in the bundle, for messages.
    pub name: String,
    /// The recorded input.
    pub input: SealedFile,
    /// How to read it.
    pub format: Format,
    /// The expected output, a `.npy` file.
    pub expected: SealedFile,
    /// Detection: the expected scores, a `.npy` file.
    pub scores: Option<SealedFile>,
    /// Largest absolute difference that passes.
    pub tolerance: f32,
}

/// Reads a version; every file of it is verified.
pub(super) fn load(folder: &Path, id: ModelId, max_bytes: u64) -> Result<Loaded, BundleError> {
    let manifest = recorded_manifest(folder, id.digest)?;
    let files = sealed_copies(folder, manifest.files.iter(), max_bytes)?;
    let artifact = share(&files, &manifest.artifact.file)?;
    let golden = golden_files(&files, &manifest)?;
    drop(files);
    let labels = manifest.output.labels.clone().into();
    let version = LoadedVersion { id: Arc::new(id), labels, manifest: Arc::new(manifest), artifact };
    Ok(Loaded { version: Arc::new(version), golden })
}

/// Reads the golden samples of a version that is loaded already.
pub(super) fn load_golden(folder: &Path, manifest: &Manifest, max_bytes: u64) -> Result<Vec<GoldenFiles>, BundleError> {
    let of_golden = |golden: &Golden, path: &str| {
        golden.input == path || golden.output == path || golden.scores.as_deref() == Some(path)
    };
    let is_golden = |path: &str| manifest.golden.iter().any(|golden| of_golden(golden, path));
    let files = sealed_copies(folder, manifest.files.iter().filter(|(path, _)| is_golden(path)), max_bytes)?;
    golden_files(&files, manifest)
}

/// Reads every byte of a version, as [`load`] does, and keeps none.
pub(super) fn verify(folder: &Path, digest: Digest, max_bytes: u64) -> Result<(), BundleError> {
    let manifest = recorded_manifest(folder, digest)?;
    for (path, expected) in &manifest.files {
        copy_verified(folder, path, *expected, max_bytes, &mut io::sink())?;
    }
    Ok(())
}

fn recorded_manifest(folder: &Path, expected: Digest) -> Result<Manifest, BundleError> {
    let (manifest, found) = version_manifest(folder)?;
    if found != expected {
        return Err(BundleError::DigestMismatch { file: MANIFEST.to_owned(), expected, found });
    }
    Ok(manifest)
}

/// Copies of these files, by path; at most `max_bytes` in all.
fn sealed_copies<'a>(
    folder: &Path,
    files: impl Iterator<Item = (&'a String, &'a Digest)>,
    max_bytes: u64,
) -> Result<BTreeMap<&'a str, SealedFile>, BundleError> {
    let mut left_bytes = max_bytes;
    let mut copies = BTreeMap::new();
    for (path, expected) in files {
        let mut memory = memory_file(path)?;
        let bytes = copy_verified(folder, path, *expected, left_bytes, &mut memory)?;
        seal(&mut memory).map_err(during("seal", Path::new(path)))?;
        left_bytes = left_bytes.saturating_sub(bytes);
        copies.insert(path.as_str(), SealedFile { fd: memory.into(), bytes });
    }
    Ok(copies)
}

fn golden_files(files: &BTreeMap<&str, SealedFile>, manifest: &Manifest) -> Result<Vec<GoldenFiles>, BundleError> {
    let golden = |golden: &Golden| {
        Ok(GoldenFiles {
            name: golden.input.clone(),
            input: share(files, &golden.input)?,
            format: Format::of_file(&golden.input).expect("the manifest was checked for an ending that is read"),
            expected: share(files, &golden.output)?,
            scores: golden.scores.as_ref().map(|path| share(files, path)).transpose()?,
            tolerance: golden.tolerance,
        })
    };
    manifest.golden.iter().map(golden).collect()
}

/// Another descriptor of a file: several golden samples may use one.
fn share(files: &BTreeMap<&str, SealedFile>, path: &str) -> Result<SealedFile, BundleError> {
    let file = files.get(path).ok_or_else(|| BundleError::Missing(path.to_owned()))?;
    let fd = file.fd.try_clone().map_err(during("share", Path::new(path)))?;
    Ok(SealedFile { fd, bytes: file.bytes })
}

/// Copies a file that must be the one with this digest; says how much that was.
fn copy_verified(
    folder: &Path,
    path: &str,
    expected: Digest,
    max_bytes: u64,
    to: &mut dyn Write,
) -> Result<u64, BundleError> {
    let place = folder.join(path);
    let file = open_plain(&place, path)?;
    let copied = copy_hashed(&mut file.take(max_bytes.saturating_add(1)), to).map_err(during("load", &place))?;
    if copied.bytes > max_bytes {
        let text = format!(
            "with `{path}` the version is over the limit; raise `models.max_bundle_bytes` if it is meant to be"
        );
        return Err(BundleError::TooLarge(text));
    }
    if copied.digest != expected {
        return Err(BundleError::DigestMismatch { file: path.to_owned(), expected, found: copied.digest });
    }
    Ok(copied.bytes)
}

fn memory_file(path: &str) -> Result<File, FileError> {
    memfd_create(path, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
        .map(File::from)
        .map_err(|errno| FileError::new("make memory for", Path::new(path), errno.into()))
}

fn seal(memory: &mut File) -> io::Result<()> {
    memory.rewind()?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&*memory, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}
