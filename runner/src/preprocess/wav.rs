//! RIFF WAVE files with 16-bit PCM, for golden samples: the `fmt ` and `data` chunks, everything else is skipped.

/// The file is not one that is read here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WavError {
    #[error("the file is not a WAV file")]
    NotWav,
    #[error("the WAV file ends in the middle of a chunk, or lacks its format or its data")]
    Truncated,
    #[error("the WAV file holds {bits}-bit samples of format {format}; 16-bit PCM is read")]
    Unsupported { format: u16, bits: u16 },
}

/// PCM in the file's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sound<'a> {
    pub(super) rate_hz: u32,
    pub(super) channels: u16,
    /// `[T, C] i16`, little endian.
    pub(super) data: &'a [u8],
}

/// Format numbers: PCM, and "look into the extension", which for 16 bits is PCM too.
const PCM: [u16; 2] = [1, 0xfffe];

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Sound<'_>, WavError> {
    let rest = bytes.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..)).ok_or(WavError::NotWav)?;
    let mut rest = rest.strip_prefix(b"WAVE").ok_or(WavError::NotWav)?;
    let mut format = None;
    while let [a, b, c, d, l0, l1, l2, l3, body @ ..] = rest {
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let (chunk, after) = body.split_at_checked(length).ok_or(WavError::Truncated)?;
        match &[*a, *b, *c, *d] {
            b"fmt " => format = Some(read_format(chunk)?),
            b"data" => {
                let (rate_hz, channels) = format.ok_or(WavError::Truncated)?;
                return Ok(Sound { rate_hz, channels, data: chunk });
            }
            _ => {}
        }
        // Chunks begin at even places.
        rest = after.get(length % 2..).unwrap_or_default();
    }
    Err(WavError::Truncated)
}

fn read_format(chunk: &[u8]) -> Result<(u32, u16), WavError> {
    let [f0, f1, c0, c1, r0, r1, r2, r3, _, _, _, _, _, _, b0, b1, ..] = chunk else { return Err(WavError::Truncated) };
    let format = u16::from_le_bytes([*f0, *f1]);
    let bits = u16::from_le_bytes([*b0, *b1]);
    if !PCM.contains(&format) || bits != 16 {
        return Err(WavError::Unsupported { format, bits });
    }
    Ok((u32::from_le_bytes([*r0, *r1, *r2, *r3]), u16::from_le_bytes([*c0, *c1])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&name[..], &length, body, &vec![0; body.len() % 2]].concat()
    }

    fn file(bits: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
        let format = [1, 0, 2, 0, 0x80, 0x3e, 0, 0, 0, 0, 0, 0, 4, 0, bits, 0];
        let head = chunk(b"fmt ", &format);
        [b"RIFF\0\0\0\0WAVE".to_vec(), head, chunks.concat()].concat()
    }

    #[test]
    fn files_are_read_or_refused_with_a_reason() {
        let list = chunk(b"LIST", b"odd");
        let good = file(16, &[list.clone(), chunk(b"data", &[1, 2, 3, 4])]);
        assert_eq!(read(&good), Ok(Sound { rate_hz: 16_000, channels: 2, data: &[1, 2, 3, 4] }));
        assert_eq!(read(&good[..good.len() - 1]), Err(WavError::Truncated));
        assert_eq!(read(&file(16, &[list])), Err(WavError::Truncated));
        assert_eq!(read(&file(24, &[])), Err(WavError::Unsupported { format: 1, bits: 24 }));
        assert_eq!(read(b"OggS"), Err(WavError::NotWav));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&[b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".as_slice(), &bytes].concat());
        }
    }
}
