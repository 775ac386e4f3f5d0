//! A folder of pictures or tensors, in the order of their names.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;
use inferd_core::manifest::Kind;

use super::npy;
use super::reader::{Read, Reader, Slots, SourceError, during};

/// A folder whose files are frames.
#[derive(Debug)]
pub(super) struct Folder {
    files: Vec<PathBuf>,
    next: usize,
    lasts: Duration,
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
        Ok((Self { files, next: 0, lasts }, kind))
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
        let Some(path) = self.files.get(self.next) else { return Ok(None) };
        self.next += 1;
        let mut file = File::open(path).map_err(during("open", path))?;
        let format = path.to_str().and_then(Format::of_file).unwrap_or(Format::Jpeg);
        let (format, bytes) = if format == Format::Npy {
            let header = npy::Header::read(&mut file, path)?;
            (Format::Tensor { dtype: header.dtype, shape: header.shape }, header.bytes())
        } else {
            (format, file.metadata().map_err(during("read", path))?.len())
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut slot = slots.take(bytes.max(1))?;
        file.read_exact(&mut slot.space()[..bytes]).map_err(during("read", path))?;
        slot.set_len(bytes);
        Ok(Some(Read { slot, format, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next = 0;
        Ok(())
    }
}
