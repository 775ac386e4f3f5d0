//! A folder of pictures or tensors, in the order of their names.
//!
//! A picture that cannot be read is a frame without a byte: its window fails where it would be decoded and is counted
//! there, and the stream goes on.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;
use inferd_core::manifest::Kind;

use super::npy;
use super::reader::{Read, Reader, Slots, SourceError, during};
use crate::host::error::with_causes;
use crate::host::frames::Slot;

/// A folder whose files are frames.
#[derive(Debug)]
pub(super) struct Folder {
    files: Vec<PathBuf>,
    next: usize,
    lasts: Duration,
    /// A picture could not be read: the next one is not worth a line in the log.
    failing: bool,
}

impl Folder {
    /// Lists the folder. Either pictures or tensors are played; a folder with both is refused.
    pub(super) fn open(path: &Path, lasts: Duration) -> Result<(Self, Kind), SourceError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(during("list", path))? {
            files.push(entry.map_err(during("list", path))?.path());
        }
        files.retain(|file| kind_of(file).is_some());
        files.sort();
        let Some(kind) = files.first().and_then(|first| kind_of(first)) else {
            return Err(SourceError::Empty {
                path: path.to_owned(),
                expected: "it has no .jpg, .png, .bmp or .npy file",
            });
        };
        if files.iter().any(|file| kind_of(file) != Some(kind)) {
            return Err(SourceError::damaged(
                path,
                "it holds pictures and .npy tensors; keep them in folders of their own",
            ));
        }
        Ok((Self { files, next: 0, lasts, failing: false }, kind))
    }

    pub(super) const fn len(&self) -> usize {
        self.files.len()
    }
}

fn kind_of(file: &Path) -> Option<Kind> {
    match Format::of_file(file.to_str()?)? {
        Format::Jpeg | Format::Png | Format::Bmp => Some(Kind::Image),
        Format::Npy => Some(Kind::Tensor),
        _ => None,
    }
}

impl Reader for Folder {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        let Some(path) = self.files.get(self.next).cloned() else { return Ok(None) };
        self.next += 1;
        let (slot, format) = match Format::of_file(&path.to_string_lossy()) {
            Some(Format::Npy) => tensor(&path, slots)?,
            format => (self.picture(&path, slots)?, format.unwrap_or(Format::Jpeg)),
        };
        Ok(Some(Read { slot, format, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next = 0;
        Ok(())
    }
}

impl Folder {
    fn picture(&mut self, path: &Path, slots: &mut Slots) -> Result<Slot, SourceError> {
        let folder_is_there = || path.parent().is_some_and(Path::is_dir);
        match picture(path, slots) {
            Ok(slot) => {
                self.failing = false;
                Ok(slot)
            }
            Err(SourceError::Stopped) => Err(SourceError::Stopped),
            Err(error) if folder_is_there() => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(error = with_causes(&error), "a picture cannot be read; its window fails");
                }
                let mut slot = slots.take(1)?;
                slot.set_len(0);
                Ok(slot)
            }
            // Without its folder there is nothing to go on with.
            Err(error) => Err(error),
        }
    }
}

fn picture(path: &Path, slots: &mut Slots) -> Result<Slot, SourceError> {
    let mut file = File::open(path).map_err(during("open", path))?;
    let bytes = file.metadata().map_err(during("read", path))?.len();
    fill(path, &mut file, bytes, slots)
}

fn tensor(path: &Path, slots: &mut Slots) -> Result<(Slot, Format), SourceError> {
    let mut file = File::open(path).map_err(during("open", path))?;
    let header = npy::Header::read(&mut file, path)?;
    let bytes = header.bytes();
    let slot = fill(path, &mut file, bytes, slots)?;
    Ok((slot, Format::Tensor { dtype: header.dtype, shape: header.shape }))
}

fn fill(path: &Path, file: &mut File, bytes: u64, slots: &mut Slots) -> Result<Slot, SourceError> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut slot = slots.take(bytes.max(1))?;
    file.read_exact(&mut slot.space()[..bytes]).map_err(during("read", path))?;
    slot.set_len(bytes);
    Ok(slot)
}
