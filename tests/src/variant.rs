//! Models that are wrong on purpose: a fixture's folder with changes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::fixtures;

/// A changed copy of a fixture's model folder.
#[derive(Debug)]
pub struct Variant {
    folder: PathBuf,
}

impl Variant {
    /// A copy of a fixture's model, in a folder of its own below `into`.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn of(model: &str, version: &str, into: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(model).tempdir_in(into)?.keep();
        let from = fixtures::model(model, version);
        std::fs::create_dir(folder.join("golden"))?;
        for file in ["model.toml", "model.onnx"] {
            std::fs::copy(from.join(file), folder.join(file))?;
        }
        for file in std::fs::read_dir(from.join("golden"))? {
            let file = file?;
            std::fs::copy(file.path(), folder.join("golden").join(file.file_name()))?;
        }
        Ok(Self { folder })
    }

    /// Replaces a text of the manifest.
    ///
    /// # Errors
    /// Where the text is not there, or the disk fails.
    pub fn manifest(self, from: &str, to: &str) -> anyhow::Result<Self> {
        let path = self.folder.join("model.toml");
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(from), "`{from}` is not in {}", path.display());
        write(&path, text.replace(from, to).as_bytes())?;
        Ok(self)
    }

    /// Drops the golden samples, which come last in a fixture's manifest.
    ///
    /// # Errors
    /// Where there are none, or the disk fails.
    pub fn without_golden(self) -> anyhow::Result<Self> {
        let path = self.folder.join("model.toml");
        let text = std::fs::read_to_string(&path)?;
        let (head, _) = text.split_once("[[golden]]").context("the fixture has no golden samples")?;
        write(&path, head.as_bytes())?;
        Ok(self)
    }

    /// Changes the model file.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn artifact(self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> anyhow::Result<Self> {
        self.file("model.onnx", change)
    }

    /// Changes a file.
    ///
    /// # Errors
    /// Where it is not there, or the disk fails.
    pub fn file(self, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> anyhow::Result<Self> {
        let path = self.folder.join(name);
        let bytes = change(std::fs::read(&path)?);
        write(&path, &bytes)?;
        Ok(self)
    }

    /// The folder, for [`Rig::pack`](crate::Rig::pack).
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Writes a file that nobody reads meanwhile.
///
/// # Errors
/// Where the disk fails.
pub fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    std::fs::File::create(path)?.write_all(content)
}

/// A tensor of f32 as NumPy saves it (format 1.0).
///
/// # Panics
/// Where the shape and the number of values disagree.
pub fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), values.len(), "values of a tensor of {shape:?}");
    let axes: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}");
    // Padded so that with magic, version and length before it the elements begin at a multiple of 64.
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("a header is short").to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Replaces every occurrence of some bytes by as many others; gives how many there were beside.
pub fn replace_bytes(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> (Vec<u8>, usize) {
    assert_eq!(from.len(), to.len(), "lengths in the file would be wrong");
    let mut found = 0;
    for at in 0..bytes.len().saturating_sub(from.len() - 1) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    (bytes, found)
}
