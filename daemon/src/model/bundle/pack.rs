//! Packing a folder into a bundle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use inferd_core::Digest;
use inferd_core::manifest::{MAX_BYTES, Manifest};

use super::listing::{check_version, refused};
use super::{BundleError, MANIFEST, MAX_LABELS_BYTES, check_path, file_name};
use crate::host::durable::{self, FileError, during};
use crate::host::error::with_causes;
use crate::model::hashing::{Hashed, Measured, copy_hashed, digest_of};

/// Level of zstd: the best that needs no more than 8 MiB of memory to unpack.
const LEVEL: i32 = 19;

/// A bundle that was made.
#[derive(Debug)]
pub struct Packed {
    /// Where it is.
    pub path: PathBuf,
    /// The manifest as packed.
    pub manifest: Manifest,
    /// The version's digest.
    pub digest: Digest,
    /// Length of the bundle.
    pub packed_bytes: u64,
    /// Files in the folder that the manifest does not refer to, sorted; they are not in the bundle.
    pub left_out: Vec<String>,
}

/// Packs `folder` (with its `model.toml`) into `output`, or into `<name>-<version>.inferd` in the current folder. The same
/// folder gives the same bytes.
///
/// # Errors
/// [`BundleError`]; nothing is left at `output` that was not there before.
pub fn pack(folder: &Path, output: Option<&Path>) -> Result<Packed, BundleError> {
    let source = Source::read(folder)?;
    let text = source.packed_text();
    if text.len() > MAX_BYTES {
        return Err(BundleError::manifest_too_large());
    }
    let manifest = source.parse(&text)?;
    let path = output.map_or_else(|| PathBuf::from(file_name(&manifest)), Path::to_owned);
    let temporary = durable::temporary_beside(&path);
    let written = write(&source, &text, &temporary).and_then(|()| Ok(durable::rename(&temporary, &path)?));
    if let Err(error) = written {
        // Best effort: the error that is reported is the first one.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    let packed_bytes = fs::metadata(&path).map_err(during("read", &path))?.len();
    Ok(Packed { path, digest: digest_of(text.as_bytes()), packed_bytes, left_out: source.left_out()?, manifest })
}

/// The folder as it was found.
struct Source<'a> {
    folder: &'a Path,
    /// The manifest without a `[files]` table.
    text: String,
    files: BTreeMap<String, Measured>,
}

impl<'a> Source<'a> {
    fn read(folder: &'a Path) -> Result<Self, BundleError> {
        let text = without_files(read_text(folder, MANIFEST, MAX_BYTES as u64)?)?;
        let mut source = Self { folder, text, files: BTreeMap::new() };
        let manifest = source.parse(&source.text)?;
        check_version(&source.text, &manifest)?;
        for path in manifest.referenced_files() {
            check_path(path)?;
            source.files.insert(path.to_owned(), measure(folder, path)?);
        }
        Ok(source)
    }

    fn parse(&self, text: &str) -> Result<Manifest, BundleError> {
        Manifest::parse(text, &mut |path| self.labels(path)).map_err(BundleError::Manifest)
    }

    fn labels(&self, path: &str) -> Result<String, String> {
        check_path(path)
            .and_then(|()| read_text(self.folder, path, MAX_LABELS_BYTES))
            .map_err(|error| with_causes(&error))
    }

    /// The manifest as it goes into the bundle: what the author wrote, then the digests.
    fn packed_text(&self) -> String {
        let mut text = format!("{}\n\n[files]\n", self.text.trim_end());
        for (path, measured) in &self.files {
            writeln!(text, "\"{path}\" = \"{}\"", measured.digest).expect("a string grows");
        }
        text
    }

    /// Files in the folder that are not packed.
    fn left_out(&self) -> Result<Vec<String>, BundleError> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(during("list", &folder))? {
                let entry = entry.map_err(during("list", &folder))?;
                if entry.file_type().map_err(during("list", &folder))?.is_dir() {
                    folders.push(entry.path());
                } else if let Ok(path) = entry.path().strip_prefix(self.folder) {
                    found.push(path.to_string_lossy().into_owned());
                }
            }
        }
        found.retain(|path| path != MANIFEST && !self.files.contains_key(path));
        found.sort();
        Ok(found)
    }
}

/// Takes a `[files]` table from an earlier packing away.
fn without_files(text: String) -> Result<String, BundleError> {
    // Text that is no TOML is left for the manifest's own check, whose words are better.
    let Ok(mut document) = text.parse::<toml_edit::DocumentMut>() else { return Ok(text) };
    Ok(if document.remove("files").is_some() { document.to_string() } else { text })
}

fn read_text(folder: &Path, path: &str, max_bytes: u64) -> Result<String, BundleError> {
    let (file, place) = open(folder, path)?;
    let mut text = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut text).map_err(during("read", &place))?;
    if text.len() as u64 > max_bytes {
        return Err(BundleError::TooLarge(format!("{} has more than {max_bytes} bytes", place.display())));
    }
    String::from_utf8(text).map_err(|_| {
        FileError::new("read", &place, io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text")).into()
    })
}

fn measure(folder: &Path, path: &str) -> Result<Measured, BundleError> {
    let (mut file, place) = open(folder, path)?;
    Ok(copy_hashed(&mut file, &mut io::sink()).map_err(during("read", &place))?)
}

/// Opens a plain file. A link is refused: it could bring in a file that nobody meant to ship.
fn open(folder: &Path, path: &str) -> Result<(File, PathBuf), BundleError> {
    let place = folder.join(path);
    let mut here = folder.to_owned();
    for part in Path::new(path) {
        here.push(part);
        match fs::symlink_metadata(&here) {
            Ok(found) if found.is_symlink() => return Err(refused(path, "it is a link; put the file itself there")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != MANIFEST => {
                return Err(BundleError::Missing(path.to_owned()));
            }
            Err(error) => return Err(FileError::new("read", &here, error).into()),
        }
    }
    if !fs::symlink_metadata(&place).map_err(during("read", &place))?.is_file() {
        return Err(refused(path, "it is no plain file"));
    }
    Ok((File::open(&place).map_err(during("open", &place))?, place))
}

fn write(source: &Source<'_>, text: &str, path: &Path) -> Result<(), BundleError> {
    let file = BufWriter::new(File::create_new(path).map_err(during("create", path))?);
    let mut encoder = zstd::Encoder::new(file, LEVEL).map_err(during("write", path))?;
    encoder.include_checksum(true).map_err(during("write", path))?;
    let mut archive = tar::Builder::new(encoder);
    let mut bytes = text.as_bytes();
    append(&mut archive, MANIFEST, bytes.len() as u64, &mut bytes).map_err(during("write", path))?;
    for (name, measured) in &source.files {
        let (file, place) = open(source.folder, name)?;
        let mut content = Hashed::new(file.take(measured.bytes));
        append(&mut archive, name, measured.bytes, &mut content).map_err(during("pack", &place))?;
        let found = content.finish();
        if found != measured.digest {
            return Err(BundleError::DigestMismatch { file: name.clone(), expected: measured.digest, found });
        }
    }
    let file = archive.into_inner().and_then(zstd::Encoder::finish).map_err(during("write", path))?;
    let file = file.into_inner().map_err(|error| FileError::new("write", path, error.into_error()))?;
    Ok(file.sync_all().map_err(during("sync", path))?)
}

/// One file with nothing in its header that depends on the machine or the time.
fn append(
    archive: &mut tar::Builder<impl io::Write>,
    name: &str,
    bytes: u64,
    content: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    archive.append(&header, content)
}
