//! Reading a bundle as a stream, each byte once, each refusal as early as it can be told.

use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

use inferd_core::Digest;
use inferd_core::manifest::{MAX_BYTES, Manifest};

use super::limits::{Limits, decompressed};
use super::listing::{Listing, check_path, read_manifest, refused};
use super::{BundleError, FileEntry, MANIFEST, MAX_LABELS_BYTES};
use crate::host::durable::FileError;
use crate::model::hashing::{CHUNK_BYTES, Hashing, digest_of};

/// Where the files go.
pub(super) trait Destination {
    /// A file begins.
    fn begin(&mut self, path: &str) -> Result<(), FileError>;
    /// Its next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError>;
    /// It is complete and its digest is right.
    fn end(&mut self) -> Result<(), FileError>;
}

/// A bundle that was read to its end and found good.
pub(super) struct Contents {
    pub(super) manifest: Manifest,
    pub(super) digest: Digest,
    pub(super) files: Vec<FileEntry>,
}

/// Reads all of a bundle.
pub(super) fn read(
    bundle: impl Read,
    max_bytes: u64,
    destination: &mut dyn Destination,
) -> Result<Contents, BundleError> {
    let limits = Rc::new(Limits::new(max_bytes));
    let mut archive = tar::Archive::new(decompressed(bundle, &limits)?);
    let mut reading = Reading { limits: &limits, left_bytes: max_bytes, listed: None, files: Vec::new(), destination };
    // Raw: long names, PAX headers and sparse files come as entries of their own kind, and are refused as such.
    for entry in archive.entries().map_err(|error| limits.explain(error))?.raw(true) {
        reading.entry(entry.map_err(|error| limits.explain(error))?)?;
    }
    let contents = reading.finish()?;
    expect_end(archive.into_inner(), &limits)?;
    Ok(contents)
}

/// After the archive only padding may follow: nothing is to hide behind it. Reading on also makes zstd check its checksum.
fn expect_end(mut rest: impl Read, limits: &Limits) -> Result<(), BundleError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = rest.read(&mut buffer).map_err(|error| limits.explain(error))?;
        if read == 0 {
            return Ok(());
        }
        if buffer.iter().take(read).any(|&byte| byte != 0) {
            return Err(BundleError::not_a_bundle("there is data behind its end"));
        }
    }
}

/// What has been read so far, and what is still to come.
struct Reading<'a> {
    limits: &'a Limits,
    left_bytes: u64,
    listed: Option<Listed>,
    files: Vec<FileEntry>,
    destination: &'a mut dyn Destination,
}

/// The manifest, read but not yet checked against its files.
struct Listed {
    text: String,
    digest: Digest,
    missing: BTreeMap<String, Digest>,
    labels_file: Option<String>,
    labels: Option<String>,
}

impl Reading<'_> {
    fn entry(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<(), BundleError> {
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(refused(
                &path,
                "only plain files are expected: no links, folders, devices or extended headers",
            ));
        }
        let bytes = entry.size();
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or_else(|| self.limits.over())?;
        match self.listed.take() {
            None => self.listed = Some(self.manifest(&path, &mut entry)?),
            Some(mut listed) => {
                self.file(&path, &mut entry, &mut listed)?;
                self.listed = Some(listed);
            }
        }
        Ok(())
    }

    fn manifest(&mut self, path: &str, entry: &mut tar::Entry<'_, impl Read>) -> Result<Listed, BundleError> {
        if path != MANIFEST {
            let path = path.escape_default();
            return Err(BundleError::not_a_bundle(format!("its first file is `{path}`, not `{MANIFEST}`")));
        }
        if entry.size() > MAX_BYTES as u64 {
            return Err(BundleError::manifest_too_large());
        }
        let mut text = Vec::new();
        self.copy(path, entry, Some(&mut text))?;
        let digest = digest_of(&text);
        let text = String::from_utf8(text).map_err(|_| BundleError::manifest("", "", "is not UTF-8 text"))?;
        let listing = Listing::parse(&text)?;
        self.destination.end()?;
        let labels_file = listing.labels_file().map(str::to_owned);
        Ok(Listed { text, digest, missing: listing.files, labels_file, labels: None })
    }

    fn file(
        &mut self,
        path: &str,
        entry: &mut tar::Entry<'_, impl Read>,
        listed: &mut Listed,
    ) -> Result<(), BundleError> {
        if path == MANIFEST || self.files.iter().any(|file| file.path == path) {
            return Err(BundleError::Duplicate(path.to_owned()));
        }
        check_path(path)?;
        let expected = listed.missing.remove(path).ok_or_else(|| BundleError::Unlisted(path.to_owned()))?;
        let bytes = entry.size();
        let mut text = Vec::new();
        let holds_labels = listed.labels_file.as_deref() == Some(path);
        if holds_labels && bytes > MAX_LABELS_BYTES {
            return Err(BundleError::TooLarge(format!("`{path}` has more than {MAX_LABELS_BYTES} bytes of labels")));
        }
        let found = self.copy(path, entry, holds_labels.then_some(&mut text))?;
        if found != expected {
            return Err(BundleError::DigestMismatch { file: path.to_owned(), expected, found });
        }
        self.destination.end()?;
        if holds_labels {
            listed.labels = String::from_utf8(text).ok();
        }
        self.files.push(FileEntry { path: path.to_owned(), bytes, digest: found });
        Ok(())
    }

    fn copy(&mut self, path: &str, from: &mut dyn Read, mut keep: Option<&mut Vec<u8>>) -> Result<Digest, BundleError> {
        self.destination.begin(path)?;
        let mut hashing = Hashing::default();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = from.read(&mut buffer).map_err(|error| self.limits.explain(error))?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(hashing.finish());
            }
            hashing.update(bytes);
            self.destination.write(bytes)?;
            if let Some(keep) = keep.as_deref_mut() {
                keep.extend_from_slice(bytes);
            }
        }
    }

    fn finish(self) -> Result<Contents, BundleError> {
        let listed = self.listed.ok_or_else(|| BundleError::not_a_bundle("it is empty"))?;
        if let Some((path, _)) = listed.missing.into_iter().next() {
            return Err(BundleError::Missing(path));
        }
        let manifest = read_manifest(&listed.text, &mut |path| {
            let kept = listed.labels.clone().filter(|_| listed.labels_file.as_deref() == Some(path));
            kept.ok_or_else(|| "it is not in the bundle, or not UTF-8 text".to_owned())
        })?;
        Ok(Contents { manifest, digest: listed.digest, files: self.files })
    }
}
