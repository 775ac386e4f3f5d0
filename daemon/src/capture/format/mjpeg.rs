//! Motion JPEG: JPEG files one after the other. They are told apart by their segments (ITU-T T.81, annex B), not by
//! searching for the end marker, which a thumbnail inside a picture has too.

use std::io::{BufRead, Read as _};

use super::FormatError;

/// The largest picture that is read.
const MAX_PICTURE_BYTES: usize = 64 << 20;

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;

/// A stream of pictures.
#[derive(Debug)]
pub(in crate::capture) struct Pictures<R> {
    input: R,
    picture: Vec<u8>,
}

impl<R: BufRead> Pictures<R> {
    pub(in crate::capture) const fn new(input: R) -> Self {
        Self { input, picture: Vec::new() }
    }

    /// The stream, for whoever wants to go back in it. It is at the beginning of a picture, unless the last one was broken.
    pub(in crate::capture) const fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// The next picture; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`FormatError`]; where the next picture begins is not known then.
    pub(in crate::capture) fn next(&mut self) -> Result<Option<&[u8]>, FormatError> {
        self.picture.clear();
        let Some(first) = self.byte()? else { return Ok(None) };
        let second = self.byte()?;
        if (first, second) != (0xFF, Some(START_OF_IMAGE)) {
            return Err(FormatError::broken("a picture does not begin with a JPEG start marker"));
        }
        let mut marker = self.marker()?;
        while marker != END_OF_IMAGE {
            let is_scan = marker == START_OF_SCAN;
            if has_length(marker) {
                self.segment()?;
            }
            marker = if is_scan { self.scan()? } else { self.marker()? };
        }
        Ok(Some(&self.picture))
    }

    /// The next marker between segments; fill bytes (0xFF) may stand before it.
    fn marker(&mut self) -> Result<u8, FormatError> {
        if self.expect_byte()? != 0xFF {
            return Err(FormatError::broken("a picture has no marker where one must be"));
        }
        self.after_fill()
    }

    /// The byte after any number of fill bytes.
    fn after_fill(&mut self) -> Result<u8, FormatError> {
        loop {
            match self.expect_byte()? {
                0xFF => {}
                other => return Ok(other),
            }
        }
    }

    /// Copies one segment: two bytes of length, which count themselves, and the rest.
    fn segment(&mut self) -> Result<(), FormatError> {
        let length = u16::from_be_bytes([self.expect_byte()?, self.expect_byte()?]);
        let rest = usize::from(length.saturating_sub(2));
        let before = self.picture.len();
        if rest > self.room() {
            return Err(too_large());
        }
        (&mut self.input).take(rest as u64).read_to_end(&mut self.picture)?;
        if self.picture.len() - before == rest { Ok(()) } else { Err(truncated()) }
    }

    /// Copies entropy-coded data up to the next real marker: 0xFF00 is a stuffed byte, 0xFFD0 to 0xFFD7 are restarts.
    fn scan(&mut self) -> Result<u8, FormatError> {
        loop {
            let room = self.room();
            (&mut self.input).take(room as u64).read_until(0xFF, &mut self.picture)?;
            if self.picture.last() != Some(&0xFF) {
                return Err(if self.room() == 0 { too_large() } else { truncated() });
            }
            let after = self.after_fill()?;
            if after != 0 && !(0xD0..=0xD7).contains(&after) {
                return Ok(after);
            }
        }
    }

    fn expect_byte(&mut self) -> Result<u8, FormatError> {
        self.byte()?.ok_or_else(truncated)
    }

    fn byte(&mut self) -> Result<Option<u8>, FormatError> {
        let mut byte = [0];
        if self.input.read(&mut byte)? == 0 {
            return Ok(None);
        }
        if self.room() == 0 {
            return Err(too_large());
        }
        self.picture.extend_from_slice(&byte);
        Ok(Some(byte[0]))
    }

    /// How much larger the picture may become: a stream without an end marker is not read whole.
    const fn room(&self) -> usize {
        MAX_PICTURE_BYTES - self.picture.len()
    }
}

fn too_large() -> FormatError {
    FormatError::broken("a picture is over 64 MiB")
}

const fn truncated() -> FormatError {
    FormatError::Truncated("picture")
}

/// Markers that stand alone: TEM, RSTn, SOI, EOI.
const fn has_length(marker: u8) -> bool {
    !matches!(marker, 0x01 | 0xD0..=0xD9)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, an application segment that holds an end marker as a thumbnail would, a scan with a stuffed byte and a
    /// restart, end.
    const PICTURE: &[u8] = &[
        0xFF, 0xD8, 0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD9, 1, 2, 0xFF, 0xDA, 0x00, 0x03, 7, 9, 0xFF, 0x00, 8, 0xFF, 0xD3,
        4, 0xFF, 0xD9,
    ];

    fn pictures(content: &[u8]) -> Result<Vec<Vec<u8>>, FormatError> {
        let mut pictures = Pictures::new(content);
        let mut found = Vec::new();
        while let Some(picture) = pictures.next()? {
            found.push(picture.to_vec());
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
            let stream = [&[0xFF, START_OF_IMAGE][..], &body].concat();
            let mut pictures = Pictures::new(&stream[..]);
            let problem = pictures.next().unwrap_err().to_string();
            assert!(problem.contains("64 MiB"), "{problem}");
            assert!(pictures.picture.len() <= MAX_PICTURE_BYTES);
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for length in 1..PICTURE.len() {
            assert!(pictures(&PICTURE[..length]).is_err(), "{length}");
        }
    }
}
