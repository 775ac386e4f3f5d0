//! From a version on disk to descriptors for a runner.
//!
//! Invariants:
//! - What is handed on is what was verified: each file is copied into memory while it is hashed, then sealed against every
//!   change. A file that changes on disk afterwards changes nothing for the runner, and there is no second look.
//! - The price is memory: a version's files are in RAM until their descriptors are closed. Close the artifact once the
//!   runner has read it, the golden files once they were run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use inferd_core::frame::Format;
use inferd_core::manifest::{Golden, Manifest};
use inferd_core::{Digest, ModelId};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::scan::version_manifest;
use crate::host::durable::{FileError, during};
use crate::model::bundle::{BundleError, MANIFEST};
use crate::model::hashing::copy_hashed;

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
    /// The golden samples, in the manifest's order.
    pub golden: Vec<GoldenFiles>,
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

pub(super) fn load(folder: &Path, id: ModelId, max_bytes: u64) -> Result<LoadedVersion, BundleError> {
    let (manifest, found) = version_manifest(folder)?;
    if found != id.digest {
        return Err(BundleError::DigestMismatch { file: MANIFEST.to_owned(), expected: id.digest, found });
    }
    let mut left_bytes = max_bytes;
    let mut files = BTreeMap::new();
    for (path, expected) in &manifest.files {
        let file = sealed_copy(folder, path, *expected, left_bytes)?;
        left_bytes = left_bytes.saturating_sub(file.bytes);
        if manifest.referenced_files().any(|used| used == path) {
            files.insert(path.as_str(), file);
        }
    }
    let artifact = share(&files, &manifest.artifact.file)?;
    let golden = manifest.golden.iter().map(|golden| golden_files(&files, golden)).collect::<Result<_, _>>()?;
    drop(files);
    Ok(LoadedVersion {
        id: Arc::new(id),
        labels: manifest.output.labels.clone().into(),
        manifest: Arc::new(manifest),
        artifact,
        golden,
    })
}

fn golden_files(files: &BTreeMap<&str, SealedFile>, golden: &Golden) -> Result<GoldenFiles, BundleError> {
    Ok(GoldenFiles {
        name: golden.input.clone(),
        input: share(files, &golden.input)?,
        format: Format::of_file(&golden.input).expect("the manifest was checked for an ending that is read"),
        expected: share(files, &golden.output)?,
        scores: golden.scores.as_ref().map(|path| share(files, path)).transpose()?,
        tolerance: golden.tolerance,
    })
}

/// Another descriptor of a file: several golden samples may use one.
fn share(files: &BTreeMap<&str, SealedFile>, path: &str) -> Result<SealedFile, BundleError> {
    let file = files.get(path).ok_or_else(|| BundleError::Missing(path.to_owned()))?;
    let fd = file.fd.try_clone().map_err(during("share", Path::new(path)))?;
    Ok(SealedFile { fd, bytes: file.bytes })
}

fn sealed_copy(folder: &Path, path: &str, expected: Digest, max_bytes: u64) -> Result<SealedFile, BundleError> {
    let place = folder.join(path);
    // NONBLOCK: a pipe that was put here must not hold up the store; for plain files it means nothing.
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&place);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BundleError::Missing(path.to_owned())),
        opened => opened.map_err(during("open", &place))?,
    };
    if !file.metadata().map_err(during("read", &place))?.is_file() {
        return Err(BundleError::Unsafe { path: path.to_owned(), reason: "it is no plain file" });
    }
    let mut memory = memory_file(path)?;
    let copied =
        copy_hashed(&mut file.take(max_bytes.saturating_add(1)), &mut memory).map_err(during("load", &place))?;
    if copied.digest != expected {
        return Err(BundleError::DigestMismatch { file: path.to_owned(), expected, found: copied.digest });
    }
    seal(&mut memory).map_err(during("seal", &place))?;
    Ok(SealedFile { fd: memory.into(), bytes: copied.bytes })
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
