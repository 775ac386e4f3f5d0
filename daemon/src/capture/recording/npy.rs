//! NumPy's `.npy` files: tensors as a notebook saves them. Format: `numpy.lib.format`, versions 1.0 to 3.0.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::Shape;
use inferd_core::frame::{Dtype, Format};

use super::reader::{Read, Reader};
use crate::capture::error::{SourceError, during};
use crate::capture::slots::Slots;

/// The longest header that is read; NumPy's own are 128 bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What a file says of its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    pub(super) shape: Shape,
}

impl Header {
    /// Reads the header; the file is at the first element afterwards.
    pub(super) fn read(file: &mut File, path: &Path) -> Result<Self, SourceError> {
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(during("read", path))?;
        let [0x93, b'N', b'U', b'M', b'P', b'Y', version, _] = start else {
            return Err(SourceError::damaged(path, "it does not begin like a NumPy file"));
        };
        let mut length = [0; 4];
        let length_bytes = if version == 1 { 2 } else { 4 };
        file.read_exact(&mut length[..length_bytes]).map_err(during("read", path))?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_HEADER_BYTES {
            return Err(SourceError::damaged(path, format!("its header of {length} bytes is too long")));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text).map_err(during("read", path))?;
        Self::parse(&String::from_utf8_lossy(&text)).map_err(|problem| SourceError::damaged(path, problem))
    }

    /// Reads the dictionary, for example `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 3), }`.
    fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &str| text.split_once(key).map(|(_, rest)| rest.trim_start_matches([' ', ':']));
        let descr = value("'descr'").and_then(|rest| rest.split('\'').nth(1)).unwrap_or_default();
        let dtype = match descr {
            "<f4" => Dtype::F32,
            "|u1" => Dtype::U8,
            "|i1" => Dtype::I8,
            _ => return Err(format!("its elements are `{descr}`; float32, uint8 or int8 are expected")),
        };
        if !value("'fortran_order'").is_some_and(|rest| rest.starts_with("False")) {
            return Err("it is in Fortran order; save it with np.ascontiguousarray".into());
        }
        let extents = value("'shape'").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split(')').next());
        let extents: Result<Vec<u32>, _> = extents
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|extent| !extent.is_empty())
            .map(str::parse)
            .collect();
        let extents = extents.map_err(|_| "its shape cannot be read".to_owned())?;
        let shape = Shape::new(&extents).map_err(|error| error.to_string())?;
        Ok(Self { dtype, shape })
    }

    /// Bytes of all elements.
    pub(super) fn bytes(&self) -> u64 {
        self.dtype.size_bytes() as u64 * self.shape.elements() as u64
    }
}

/// A file with many tensors: `[N, …]`, played as N frames of `[1, …]`.
#[derive(Debug)]
pub(super) struct Npy {
    path: PathBuf,
    file: File,
    data_start: u64,
    frames: u32,
    next: u32,
    frame: Header,
    lasts: Duration,
}

impl Npy {
    pub(super) fn open(path: &Path, lasts: Duration) -> Result<Self, SourceError> {
        let mut file = File::open(path).map_err(during("open", path))?;
        let all = Header::read(&mut file, path)?;
        let data_start = file.stream_position().map_err(during("read", path))?;
        let mut extents = all.shape.extents().to_vec();
        let frames = std::mem::replace(&mut extents[0], 1);
        let shape = Shape::new(&extents).map_err(|error| SourceError::damaged(path, error.to_string()))?;
        let frame = Header { dtype: all.dtype, shape };
        Ok(Self { path: path.to_owned(), file, data_start, frames, next: 0, frame, lasts })
    }

    pub(super) const fn len(&self) -> u32 {
        self.frames
    }
}

impl Reader for Npy {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        if self.next == self.frames {
            return Ok(None);
        }
        self.next += 1;
        let bytes = usize::try_from(self.frame.bytes()).unwrap_or(usize::MAX);
        let mut slot = slots.take(bytes)?;
        self.file.read_exact(&mut slot.space()[..bytes]).map_err(during("read", &self.path))?;
        slot.set_len(bytes);
        let format = Format::Tensor { dtype: self.frame.dtype, shape: self.frame.shape };
        Ok(Some(Read { slot, format, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.next = 0;
        self.file.seek(SeekFrom::Start(self.data_start)).map_err(during("read", &self.path))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them_are_understood() {
        let header =
            Header::parse("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 49, 10, 1), }      \n").unwrap();
        assert_eq!(header.shape, Shape::new(&[1, 49, 10, 1]).unwrap());
        assert_eq!(header.bytes(), 1960);
        let bytes = Header::parse("{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }").unwrap();
        assert_eq!((bytes.dtype, bytes.bytes()), (Dtype::U8, 7));
    }

    #[test]
    fn other_arrays_are_refused_with_what_is_expected() {
        for (text, expected) in [
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", "float32, uint8 or int8"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", "ascontiguousarray"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", "no shape"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "no shape"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }", "cannot be read"),
        ] {
            let problem = Header::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
