//! NumPy's `.npy` files, format 1 to 3 (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>): a
//! magic number, a Python dictionary as text, the elements. Only what golden samples need: row-major, little endian,
//! f4, f8, u1, i1.

use inferd_core::frame::Dtype;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read; NumPy writes about 100 bytes.
const MAX_HEADER_BYTES: usize = 4_096;

/// The file is not one that is read here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NpyError {
    #[error("the file is not a NumPy file")]
    NotNpy,
    #[error("the NumPy file's header cannot be read")]
    Header,
    #[error("the NumPy file holds {0}; row-major f4, f8, u1 or i1, little endian, is read")]
    Unsupported(String),
    #[error("the NumPy file has {found} bytes of elements, its shape asks for {expected}")]
    Length { expected: usize, found: usize },
}

/// An array in the file's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Array<'a> {
    element: Element,
    pub(crate) shape: Vec<usize>,
    /// Row-major, little endian.
    pub(crate) data: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F32,
    F64,
    U8,
    I8,
}

impl Array<'_> {
    /// The element type, where a model can take it.
    pub(crate) const fn dtype(&self) -> Option<Dtype> {
        match self.element {
            Element::F32 => Some(Dtype::F32),
            Element::F64 => None,
            Element::U8 => Some(Dtype::U8),
            Element::I8 => Some(Dtype::I8),
        }
    }

    /// The elements as floats.
    #[expect(clippy::cast_possible_truncation, reason = "golden values are compared as 32-bit floats")]
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        match self.element {
            Element::F32 => self.data.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect(),
            Element::F64 => self.data.as_chunks().0.iter().map(|chunk| f64::from_le_bytes(*chunk) as f32).collect(),
            Element::U8 => self.data.iter().map(|&value| f32::from(value)).collect(),
            Element::I8 => self.data.iter().map(|&value| f32::from(value.cast_signed())).collect(),
        }
    }
}

/// Reads a file.
pub(crate) fn read(bytes: &[u8]) -> Result<Array<'_>, NpyError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(NpyError::NotNpy)?;
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            (usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| NpyError::Header)?, rest)
        }
        _ => return Err(NpyError::Header),
    };
    if length > MAX_HEADER_BYTES {
        return Err(NpyError::Header);
    }
    let (header, data) = rest.split_at_checked(length).ok_or(NpyError::Header)?;
    let header = std::str::from_utf8(header).map_err(|_| NpyError::Header)?;
    let element = element(value(header, "descr")?)?;
    if value(header, "fortran_order")?.starts_with("True") {
        return Err(NpyError::Unsupported("columns before rows".to_owned()));
    }
    let shape = shape(value(header, "shape")?)?;
    let size = match element {
        Element::F32 => 4,
        Element::F64 => 8,
        Element::U8 | Element::I8 => 1,
    };
    let expected =
        shape.iter().try_fold(size, |all: usize, &extent| all.checked_mul(extent)).ok_or(NpyError::Header)?;
    if data.len() != expected {
        return Err(NpyError::Length { expected, found: data.len() });
    }
    Ok(Array { element, shape, data })
}

/// What follows `'key':` in the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, NpyError> {
    let (_, rest) = header.split_once(&format!("'{key}'")).ok_or(NpyError::Header)?;
    rest.trim_start().strip_prefix(':').map(str::trim_start).ok_or(NpyError::Header)
}

fn element(text: &str) -> Result<Element, NpyError> {
    let word = text.strip_prefix('\'').and_then(|text| text.split_once('\'')).ok_or(NpyError::Header)?.0;
    match word {
        "<f4" => Ok(Element::F32),
        "<f8" => Ok(Element::F64),
        "|u1" => Ok(Element::U8),
        "|i1" => Ok(Element::I8),
        other => Err(NpyError::Unsupported(format!("elements of type {other}"))),
    }
}

fn shape(text: &str) -> Result<Vec<usize>, NpyError> {
    let inside = text.strip_prefix('(').and_then(|text| text.split_once(')')).ok_or(NpyError::Header)?.0;
    let extents = inside.split(',').map(str::trim).filter(|part| !part.is_empty());
    extents.map(|part| part.parse().map_err(|_| NpyError::Header)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn files_are_read_or_refused_with_a_reason() {
        let good =
            file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }  \n", &[0, 0, 128, 63, 0, 0, 0, 64]);
        let array = read(&good).unwrap();
        assert_eq!((array.shape.as_slice(), array.to_f32()), (&[1, 2][..], vec![1.0, 2.0]));
        assert_eq!(read(b"PK"), Err(NpyError::NotNpy));
        assert!(matches!(read(&good[..good.len() - 1]), Err(NpyError::Length { expected: 8, found: 7 })));
        let columns = file("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", &[0; 4]);
        assert!(matches!(read(&columns), Err(NpyError::Unsupported(_))));
        let wide = file("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", &[0; 8]);
        assert!(matches!(read(&wide), Err(NpyError::Unsupported(_))));
        let huge = file("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999), }", &[]);
        assert_eq!(read(&huge), Err(NpyError::Header));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(header in "\\PC{0,80}", data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&file(&header, &data));
            let _ = read(&data);
        }
    }
}
