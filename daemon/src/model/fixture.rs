//! What the tests of this room share: a small model folder, and bundles built by hand, so that they can be wrong.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::hashing::digest_of;

/// The files beside the manifest.
pub(super) const FILES: [(&str, &[u8]); 4] = [
    ("golden/a.npy", b"expected output"),
    ("golden/a.png", b"recorded input"),
    ("labels.txt", b"belt\nempty\n"),
    ("model.onnx", &[7; 4000]),
];

/// A manifest without `[files]`.
pub(super) fn manifest(version: &str) -> String {
    format!(
        r#"# An inspector of belts.
format = 1
name = "belt"
version = "{version}"
description = "finds belts"
licence = "MIT"

[artifact]
file = "model.onnx"

[input]
kind = "image"
shape = [1, 3, 8, 16]
layout = "NCHW"

[output]
task = "classification"
labels_file = "labels.txt"

[[golden]]
input = "golden/a.png"
output = "golden/a.npy"
"#
    )
}

/// A manifest as it is packed.
pub(super) fn packed_manifest(version: &str, files: &[(&str, &[u8])]) -> String {
    let mut text = format!("{}\n[files]\n", manifest(version));
    for (path, content) in files {
        text += &format!("\"{path}\" = \"{}\"\n", digest_of(content));
    }
    text
}

/// Writes a model folder.
pub(super) fn folder(at: &Path, version: &str) {
    let text = manifest(version);
    for (path, content) in FILES.into_iter().chain([("model.toml", text.as_bytes())]) {
        put(&at.join(path), content);
    }
}

/// Packs a version; gives the bundle.
pub(super) fn bundle(at: &Path, version: &str) -> PathBuf {
    let source = at.join(format!("source-{version}"));
    folder(&source, version);
    super::bundle::pack(&source, Some(&at.join(format!("belt-{version}.inferd")))).unwrap().path
}

/// Writes a file, with the folders that it is in.
pub(super) fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(content).unwrap();
}

/// An entry of an archive built by hand.
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: tar::EntryType,
    pub(super) content: Vec<u8>,
}

/// A plain file.
pub(super) fn file(path: &str, content: &[u8]) -> Entry {
    Entry { path: path.as_bytes().to_vec(), kind: tar::EntryType::Regular, content: content.to_vec() }
}

/// The entries of a good bundle of version 1.0.0.
pub(super) fn good() -> Vec<Entry> {
    let manifest = packed_manifest("1.0.0", &FILES);
    let mut entries = vec![file("model.toml", manifest.as_bytes())];
    entries.extend(FILES.map(|(path, content)| file(path, content)));
    entries
}

/// A tar archive; names are written as they are, also where tar's own builder would refuse.
pub(super) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..entry.path.len()].copy_from_slice(&entry.path);
        header.set_entry_type(entry.kind);
        header.set_size(entry.content.len() as u64);
        header.set_mode(0o644);
        if entry.kind.is_symlink() || entry.kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, entry.content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Compressed as a bundle is.
pub(super) fn compress(archive: &[u8]) -> Vec<u8> {
    zstd::encode_all(archive, 3).unwrap()
}

/// Every path below a folder, sorted.
pub(super) fn tree(at: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![at.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path().strip_prefix(at).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}
