//! Unpacking a bundle into a folder, or only looking at it.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use inferd_core::Digest;
use inferd_core::manifest::Manifest;

use super::read::{self, Destination};
use super::{BundleError, FileEntry};
use crate::host::durable::{self, FileError, during};

/// The most that [`inspect`] reads: the largest value that `models.max_bundle_bytes` may have.
const INSPECT_MAX_BYTES: u64 = 16 << 30;

/// A bundle that was unpacked; every file is as the manifest lists it, and synced.
#[derive(Debug)]
pub struct Unpacked {
    /// The checked manifest.
    pub manifest: Manifest,
    /// The version's digest.
    pub digest: Digest,
    /// Bytes of all files, without the manifest.
    pub bytes: u64,
}

/// What is in a bundle; every digest was verified.
#[derive(Debug)]
pub struct Inspection {
    /// The checked manifest.
    pub manifest: Manifest,
    /// The version's digest.
    pub digest: Digest,
    /// The files beside the manifest, in the bundle's order.
    pub files: Vec<FileEntry>,
    /// Length of the bundle itself.
    pub packed_bytes: u64,
}

/// Unpacks a bundle into the empty folder `into`, at most `max_bytes` of files. Files become read-only.
///
/// # Errors
/// [`BundleError`]; the caller then removes the folder with what is in it.
pub fn unpack(bundle: impl std::io::Read, into: &Path, max_bytes: u64) -> Result<Unpacked, BundleError> {
    let mut folder = Folder { root: into, made: BTreeSet::new(), open: None };
    let contents = read::read(bundle, max_bytes, &mut folder)?;
    folder.sync()?;
    let bytes = contents.files.iter().map(|file| file.bytes).sum();
    Ok(Unpacked { manifest: contents.manifest, digest: contents.digest, bytes })
}

/// Reads a bundle to its end and verifies it, without writing anything.
///
/// # Errors
/// [`BundleError`]
pub fn inspect(bundle: &Path) -> Result<Inspection, BundleError> {
    let file = File::open(bundle).map_err(during("open", bundle))?;
    let packed_bytes = file.metadata().map_err(during("read", bundle))?.len();
    let contents = read::read(file, INSPECT_MAX_BYTES, &mut Nowhere)?;
    Ok(Inspection { manifest: contents.manifest, digest: contents.digest, files: contents.files, packed_bytes })
}

/// Files go below a folder on disk.
struct Folder<'a> {
    root: &'a Path,
    made: BTreeSet<PathBuf>,
    open: Option<(PathBuf, File)>,
}

impl Folder<'_> {
    /// Makes the names durable: of each folder after those below it.
    fn sync(&self) -> Result<(), FileError> {
        self.made.iter().rev().try_for_each(|folder| durable::sync_folder(folder))?;
        durable::sync_folder(self.root)
    }
}

impl Destination for Folder<'_> {
    fn begin(&mut self, path: &str) -> Result<(), FileError> {
        let path = self.root.join(path);
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            self.made.insert(folder.to_owned());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(during("create", folder))?;
        }
        let file = File::create_new(&path).map_err(during("create", &path))?;
        self.open = Some((path, file));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let (path, file) = self.open.as_mut().expect("the reader begins a file before it writes");
        file.write_all(bytes).map_err(during("write", path))
    }

    fn end(&mut self) -> Result<(), FileError> {
        let (path, file) = self.open.take().expect("the reader begins a file before it ends it");
        file.set_permissions(Permissions::from_mode(0o444)).map_err(during("protect", &path))?;
        file.sync_all().map_err(during("sync", &path))
    }
}

/// Files are verified and forgotten.
struct Nowhere;

impl Destination for Nowhere {
    fn begin(&mut self, _path: &str) -> Result<(), FileError> {
        Ok(())
    }

    fn write(&mut self, _bytes: &[u8]) -> Result<(), FileError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), FileError> {
        Ok(())
    }
}
