//! A folder of pictures or tensors, in the order of their names.
//!
//! A file that cannot be read is a frame without a byte: its window fails where it would be decoded and is counted there,
//! and the stream goes on.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;
use inferd_core::manifest::Kind;

use super::npy;
use super::reader::{Read, Reader};
use crate::capture::error::{SourceError, during};
use crate::capture::slots::Slots;
use crate::host::error::with_causes;
use crate::host::frames::{MAX_SLOT_BYTES, Slot};

/// A folder whose files are frames.
#[derive(Debug)]
pub(super) struct Folder {
    files: Vec<PathBuf>,
    next: usize,
    lasts: Duration,
    /// A file could not be read: the next one is not worth a line in the log.
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
        let (slot, format) = match read(&path, slots) {
            Ok(read) => {
                self.failing = false;
                read
            }
            Err(error) => self.unreadable(&path, error, slots)?,
        };
        Ok(Some(Read { slot, format, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next = 0;
        Ok(())
    }
}

impl Folder {
    /// The frame without a byte; the error again, where there is nothing to go on with.
    fn unreadable(
        &mut self,
        path: &Path,
        error: SourceError,
        slots: &mut Slots,
    ) -> Result<(Slot, Format), SourceError> {
        let folder_is_there = path.parent().is_some_and(Path::is_dir);
        if matches!(error, SourceError::Stopped | SourceError::Memory(_)) || !folder_is_there {
            return Err(error);
        }
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(error = with_causes(&error), "a file of the recording cannot be read; its window fails");
        }
        let mut slot = slots.take(1)?;
        slot.set_len(0);
        Ok((slot, format_of(path)))
    }
}

/// What the file's name announces; the folder was listed by it.
fn format_of(path: &Path) -> Format {
    Format::of_file(&path.to_string_lossy()).unwrap_or(Format::Jpeg)
}

fn read(path: &Path, slots: &mut Slots) -> Result<(Slot, Format), SourceError> {
    // NONBLOCK: opening a pipe would wait for its other end; for plain files it means nothing.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut file = opened.map_err(during("open", path))?;
    let meta = file.metadata().map_err(during("read", path))?;
    if !meta.is_file() {
        return Err(SourceError::damaged(path, "it is no plain file"));
    }
    match format_of(path) {
        Format::Npy => {
            let header = npy::Header::read(&mut file, path)?;
            // What the header promises is not believed before it is reserved.
            if header.bytes() > meta.len() {
                return Err(SourceError::damaged(path, "it ends before its last element"));
            }
            let slot = fill(path, &mut file, header.bytes(), slots)?;
            Ok((slot, Format::Tensor { dtype: header.dtype, shape: header.shape }))
        }
        format => Ok((fill(path, &mut file, meta.len(), slots)?, format)),
    }
}

fn fill(path: &Path, file: &mut File, bytes: u64, slots: &mut Slots) -> Result<Slot, SourceError> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes > MAX_SLOT_BYTES {
        return Err(SourceError::damaged(path, format!("{bytes} bytes are over the limit of {MAX_SLOT_BYTES}")));
    }
    let mut slot = slots.take(bytes.max(1))?;
    file.read_exact(&mut slot.space()[..bytes]).map_err(during("read", path))?;
    slot.set_len(bytes);
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::capture::queue::{FrameQueue, Overflow};
    use crate::host::wake::Bell;

    fn write(path: &Path, content: &[u8]) {
        File::create(path).unwrap().write_all(content).unwrap();
    }

    /// Plays a folder; gives each frame's bytes.
    fn play(path: &Path) -> Result<Vec<Vec<u8>>, SourceError> {
        let (mut folder, _) = Folder::open(path, Duration::ZERO)?;
        let queue = FrameQueue::new(1, Overflow::Block, Bell::new().unwrap());
        let mut slots = Slots::new(1, queue);
        let mut frames = Vec::new();
        while let Some(read) = folder.read(&mut slots)? {
            frames.push(read.slot.bytes().to_vec());
        }
        Ok(frames)
    }

    #[test]
    fn what_is_no_plain_file_is_an_empty_frame_and_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write(&path("1.jpg"), b"one");
        nix::unistd::mkfifo(&path("2.jpg"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(path("3.jpg")).unwrap();
        std::os::unix::fs::symlink("/absent.jpg", path("4.jpg")).unwrap();
        File::create(path("5.jpg")).unwrap().set_len(MAX_SLOT_BYTES as u64 + 1).unwrap();
        write(&path("6.jpg"), b"six");
        assert_eq!(play(folder.path()).unwrap(), [&b"one"[..], b"", b"", b"", b"", b"six"]);
    }

    #[test]
    fn a_damaged_tensor_is_an_empty_frame() {
        let npy = |shape: &str, content: &[u8]| {
            let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}\n");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend(content);
            bytes
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write(&path("1.npy"), &npy("1, 3", b"one"));
        write(&path("2.npy"), b"no tensor");
        write(&path("3.npy"), &npy("1, 3", b"on"));
        write(&path("4.npy"), &npy("1, 4294967295", b"on"));
        write(&path("5.npy"), b"");
        write(&path("6.npy"), &npy("1, 3", b"six"));
        assert_eq!(play(folder.path()).unwrap(), [&b"one"[..], b"", b"", b"", b"", b"six"]);
    }
}
