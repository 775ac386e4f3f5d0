//! Makes a JPEG image that ends too early fail.
//!
//! The decoder fills what is missing with grey and says nothing where the data ends with the marker for the end of the image
//! (EOI), however early that comes. So before that marker a run of 1 bits is put in: no Huffman code consists of 1 bits only
//! (ITU-R T.81, C.2), so a decoder that still needs data stops at them with an error, and one that is done never looks at them.
//!
//! What is not noticed: an image with restart markers that ends exactly at one of them, and a progressive image that lacks
//! whole scans (coarse everywhere, but nowhere empty).

/// Enough for the longest code, the bits behind it, the next code, and what the decoder reads ahead.
const ONES: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < bytes.len() {
        // Inside a scan 0xff is written as 0xff 0x00.
        bytes[at] = 0xff;
        at += 2;
    }
    bytes
};

const EOI: [u8; 2] = [0xff, 0xd9];

/// The image with 1 bits before its end, written into `space`; the image itself where it is not baseline or has no end.
pub(super) fn guarded<'a>(image: &'a [u8], space: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(end) = end_of_baseline(image) else { return image };
    space.clear();
    space.extend_from_slice(&image[..end]);
    space.extend_from_slice(&ONES);
    space.extend_from_slice(&EOI);
    space
}

/// Where the marker for the end of a baseline image is, the first one outside segments.
fn end_of_baseline(image: &[u8]) -> Option<usize> {
    let mut at = 2;
    let mut baseline = false;
    loop {
        // A marker may be preceded by any number of fill bytes.
        let marker = match image.get(at..)? {
            [0xff, 0xff, ..] => {
                at += 1;
                continue;
            }
            [0xff, marker, ..] => *marker,
            _ => return None,
        };
        match marker {
            0xd9 => return baseline.then_some(at),
            0x01 | 0xd0..=0xd8 => {
                at += 2;
                continue;
            }
            0xc0 | 0xc1 => baseline = true,
            _ => {}
        }
        let length = image.get(at + 2..at + 4)?;
        at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        if marker == 0xda {
            at = end_of_scan(image, at)?;
        }
    }
}

/// The first marker from `at` that is not part of a scan.
fn end_of_scan(image: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += image.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match image.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use inferd_core::frame::Format;
    use proptest::prelude::*;

    use super::super::image::Decoder;
    use super::*;

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker], &length[..], body].concat()
    }

    /// 64 x 64 grey pixels, all alike: 64 blocks of two bits, "as bright as the last one" and "no more of this block".
    fn head() -> Vec<u8> {
        let table = |class: u8, symbols: &[u8]| {
            let mut counts = [0; 16];
            counts[..symbols.len()].fill(1);
            segment(0xc4, &[&[class], &counts[..], symbols].concat())
        };
        [
            vec![0xff, 0xd8],
            segment(0xdb, &[&[0][..], &[1; 64]].concat()),
            // Its data is no marker.
            segment(0xfe, &[0xff, 0xd9]),
            segment(0xc0, &[8, 0, 64, 0, 64, 1, 1, 0x11, 0]),
            table(0x00, &[0, 3]),
            table(0x10, &[0, 1]),
            segment(0xda, &[1, 1, 0, 0, 63, 0]),
        ]
        .concat()
    }

    fn image(scan_bytes: usize) -> Vec<u8> {
        [head(), vec![0; scan_bytes], EOI.to_vec()].concat()
    }

    #[test]
    fn an_image_that_ends_early_is_refused_whatever_it_ends_with() {
        let mut decoder = Decoder::default();
        let whole = decoder.decode(&image(16), Format::Jpeg).unwrap().size;
        assert_eq!((whole.width, whole.height), (64, 64));
        for scan_bytes in 0..16 {
            assert!(decoder.decode(&image(scan_bytes), Format::Jpeg).is_err(), "{scan_bytes} of 16 bytes");
            let cut = &image(16)[..head().len() + scan_bytes];
            assert!(decoder.decode(cut, Format::Jpeg).is_err(), "{scan_bytes} of 16 bytes, without an end");
        }
        let with_more_behind = [image(16), b"another image".to_vec(), image(16)].concat();
        assert!(decoder.decode(&with_more_behind, Format::Jpeg).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_end_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = end_of_baseline(&[head(), bytes.clone()].concat());
            let _ = end_of_baseline(&bytes);
        }
    }
}
