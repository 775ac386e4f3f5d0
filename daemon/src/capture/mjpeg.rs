//! Motion JPEG: JPEG files one after the other. They are told apart by their segments (ITU-T T.81, annex B), not by
//! searching for the end marker, which a thumbnail inside a picture has too.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;

use super::reader::{Read, Reader, Slots, SourceError, during};

/// The largest picture that is read.
const MAX_PICTURE_BYTES: usize = 64 << 20;

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// A file of pictures.
#[derive(Debug)]
pub(super) struct Mjpeg {
    path: PathBuf,
    file: BufReader<File>,
    picture: Vec<u8>,
    lasts: Duration,
}

impl Mjpeg {
    pub(super) fn open(path: &Path, lasts: Duration) -> Result<Self, SourceError> {
        let file = BufReader::new(File::open(path).map_err(during("open", path))?);
        Ok(Self { path: path.to_owned(), file, picture: Vec::new(), lasts })
    }

    /// Reads one picture into `self.picture`; false at the end of the file.
    fn next_picture(&mut self) -> Result<bool, SourceError> {
        self.picture.clear();
        let Some(first) = self.byte()? else { return Ok(false) };
        let second = self.byte()?;
        if (first, second) != (0xFF, Some(START_OF_IMAGE)) {
            return Err(SourceError::damaged(&self.path, "a picture does not begin with a JPEG start marker"));
        }
        let mut marker = self.marker()?;
        while marker != END_OF_IMAGE {
            let is_scan = marker == START_OF_SCAN;
            if has_length(marker) {
                self.segment()?;
            }
            marker = if is_scan { self.scan()? } else { self.marker()? };
        }
        Ok(true)
    }

    /// The next marker between segments; fill bytes (0xFF) may stand before it.
    fn marker(&mut self) -> Result<u8, SourceError> {
        if self.expect_byte()? != 0xFF {
            return Err(SourceError::damaged(&self.path, "a picture has no marker where one must be"));
        }
        loop {
            match self.expect_byte()? {
                0xFF => {}
                marker => return Ok(marker),
            }
        }
    }

    /// Copies one segment: two bytes of length, which count themselves, and the rest.
    fn segment(&mut self) -> Result<(), SourceError> {
        let length = u16::from_be_bytes([self.expect_byte()?, self.expect_byte()?]);
        let rest = length.saturating_sub(2);
        let before = self.picture.len();
        self.check_room(usize::from(rest))?;
        (&mut self.file).take(rest.into()).read_to_end(&mut self.picture).map_err(during("read", &self.path))?;
        if self.picture.len() - before == usize::from(rest) { Ok(()) } else { Err(self.truncated()) }
    }

    /// Copies entropy-coded data up to the next real marker: 0xFF00 is a stuffed byte, 0xFFD0 to 0xFFD7 are restarts.
    fn scan(&mut self) -> Result<u8, SourceError> {
        loop {
            if self.expect_byte()? != 0xFF {
                continue;
            }
            let mut after = self.expect_byte()?;
            while after == 0xFF {
                after = self.expect_byte()?;
            }
            if after != 0 && !(0xD0..=0xD7).contains(&after) {
                return Ok(after);
            }
        }
    }

    fn expect_byte(&mut self) -> Result<u8, SourceError> {
        self.byte()?.ok_or_else(|| self.truncated())
    }

    fn byte(&mut self) -> Result<Option<u8>, SourceError> {
        let mut byte = [0];
        if self.file.read(&mut byte).map_err(during("read", &self.path))? == 0 {
            return Ok(None);
        }
        self.check_room(1)?;
        self.picture.extend_from_slice(&byte);
        Ok(Some(byte[0]))
    }

    /// Fails where so many bytes more would make the picture too large: a file without an end marker is not read whole.
    fn check_room(&self, bytes: usize) -> Result<(), SourceError> {
        if self.picture.len() + bytes > MAX_PICTURE_BYTES {
            return Err(SourceError::damaged(&self.path, "a picture is over 64 MiB"));
        }
        Ok(())
    }

    fn truncated(&self) -> SourceError {
        SourceError::damaged(&self.path, "it ends in the middle of a picture")
    }
}

/// Markers that stand alone: TEM, RSTn, SOI, EOI.
const fn has_length(marker: u8) -> bool {
    !matches!(marker, 0x01 | 0xD0..=0xD9)
}

impl Reader for Mjpeg {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        if !self.next_picture()? {
            return Ok(None);
        }
        let mut slot = slots.take(self.picture.len())?;
        slot.space()[..self.picture.len()].copy_from_slice(&self.picture);
        slot.set_len(self.picture.len());
        Ok(Some(Read { slot, format: Format::Jpeg, lasts: self.lasts }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.file.rewind().map_err(during("read", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Start, an application segment that holds an end marker as a thumbnail would, a scan with a stuffed byte and a
    /// restart, end.
    const PICTURE: &[u8] = &[
        0xFF, 0xD8, 0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD9, 1, 2, 0xFF, 0xDA, 0x00, 0x03, 7, 9, 0xFF, 0x00, 8, 0xFF, 0xD3,
        4, 0xFF, 0xD9,
    ];

    fn pictures(content: &[u8]) -> Result<Vec<Vec<u8>>, SourceError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut mjpeg = Mjpeg::open(file.path(), Duration::ZERO)?;
        let mut found = Vec::new();
        while mjpeg.next_picture()? {
            found.push(mjpeg.picture.clone());
        }
        Ok(found)
    }

    #[test]
    fn pictures_with_thumbnails_restarts_and_stuffing_are_told_apart() {
        assert_eq!(pictures(&PICTURE.repeat(3)).unwrap(), vec![PICTURE.to_vec(); 3]);
    }

    #[test]
    fn a_picture_without_end_is_refused_whatever_it_is_made_of() {
        let segment = [&[0xFF, 0xE1, 0xFF, 0xFF][..], &[7; 0xFFFD]].concat();
        let segments = segment.repeat(MAX_PICTURE_BYTES / segment.len() + 2);
        let scan = [&[0xFF, 0xDA, 0x00, 0x02][..], &vec![7; MAX_PICTURE_BYTES]].concat();
        for body in [segments, scan] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&[0xFF, START_OF_IMAGE]).unwrap();
            file.write_all(&body).unwrap();
            let mut mjpeg = Mjpeg::open(file.path(), Duration::ZERO).unwrap();
            let problem = mjpeg.next_picture().unwrap_err().to_string();
            assert!(problem.contains("64 MiB"), "{problem}");
            assert!(mjpeg.picture.len() <= MAX_PICTURE_BYTES);
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for length in 1..PICTURE.len() {
            assert!(pictures(&PICTURE[..length]).is_err(), "{length}");
        }
    }
}
