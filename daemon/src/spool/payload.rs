//! From a window's bytes to a file that other tools open: what is a file already stays as it is, the rest gets the
//! plainest header that says what it is. No value changes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use inferd_core::Digest;
use inferd_core::frame::{Dtype, Format, ImageSize, PixelFormat};
use sha2::{Digest as _, Sha256};

use super::entry::PayloadFile;

/// A payload, ready to be written.
pub(super) struct Encoded<'a> {
    format: &'static str,
    ending: &'static str,
    pub(super) content: Cow<'a, [u8]>,
}

/// The bytes are not what their format says.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes are no {what}")]
pub(super) struct Unfit {
    bytes: usize,
    what: &'static str,
}

impl Encoded<'_> {
    /// The file's name, format, length and digest.
    pub(super) fn file(&self) -> PayloadFile {
        PayloadFile {
            file: format!("payload.{}", self.ending),
            format: self.format.to_owned(),
            bytes: self.content.len() as u64,
            sha256: digest(&self.content),
        }
    }
}

/// SHA-256 of some bytes.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// The file for a window's bytes.
///
/// # Errors
/// [`Unfit`] where there are more or fewer bytes than the format says.
pub(super) fn encode<'a>(format: Format, channels: &[String], bytes: &'a [u8]) -> Result<Encoded<'a>, Unfit> {
    let as_it_is = |format, ending| Some(Encoded { format, ending, content: Cow::Borrowed(bytes) });
    let made = |format, content: Vec<u8>| Encoded { format, ending: format, content: Cow::Owned(content) };
    let encoded = match format {
        Format::Jpeg => as_it_is("jpeg", "jpg"),
        Format::Png => as_it_is("png", "png"),
        Format::Bmp => as_it_is("bmp", "bmp"),
        Format::Npy => as_it_is("npy", "npy"),
        Format::Wav => as_it_is("wav", "wav"),
        Format::Csv => as_it_is("csv", "csv"),
        Format::Raw(pixels, size) => picture(pixels, size, bytes),
        Format::Pcm { rate_hz, channels } => wav(rate_hz, channels, bytes).map(|content| made("wav", content)),
        Format::Imu { rate_hz, channels: count } => {
            csv(rate_hz, usize::from(count), channels, bytes).map(|content| made("csv", content))
        }
        Format::Tensor { dtype, shape } => npy(dtype, shape.extents(), bytes).map(|content| made("npy", content)),
    };
    encoded.ok_or(Unfit { bytes: bytes.len(), what: format.word() })
}

fn with_header(header: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(header.len() + bytes.len());
    content.extend_from_slice(header);
    content.extend_from_slice(bytes);
    content
}

/// Netpbm, binary (`man 5 ppm`, `man 5 pgm`), or YUV4MPEG2 with one frame (`man 5 yuv4mpeg`).
fn picture(pixels: PixelFormat, size: ImageSize, bytes: &[u8]) -> Option<Encoded<'_>> {
    if pixels.frame_bytes(size) != bytes.len() {
        return None;
    }
    let ImageSize { width, height } = size;
    let netpbm = |magic: &str| format!("{magic}\n{width} {height}\n255\n");
    let y4m = |chroma: &str| format!("YUV4MPEG2 W{width} H{height} F1:1 Ip A1:1 {chroma} XCOLORRANGE=LIMITED\nFRAME\n");
    let (pixels, bytes) = pixels.as_in_files(size, bytes);
    let (ending, header) = match pixels {
        PixelFormat::Rgb24 => ("ppm", netpbm("P6")),
        PixelFormat::Grey8 => ("pgm", netpbm("P5")),
        PixelFormat::I420 => ("y4m", y4m("C420jpeg")),
        PixelFormat::I422 => ("y4m", y4m("C422")),
        PixelFormat::Bgr24 | PixelFormat::Nv12 | PixelFormat::Yuyv | PixelFormat::Uyvy => return None,
    };
    Some(Encoded { format: ending, ending, content: Cow::Owned(with_header(header.as_bytes(), &bytes)) })
}

fn wav(rate_hz: u32, channels: u16, bytes: &[u8]) -> Option<Vec<u8>> {
    let (samples, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() || channels == 0 || samples.len() % usize::from(channels) != 0 {
        return None;
    }
    let spec =
        hound::WavSpec { channels, sample_rate: rate_hz, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut content = Cursor::new(Vec::with_capacity(bytes.len() + 44));
    let mut writer = hound::WavWriter::new(&mut content, spec).ok()?;
    for sample in samples {
        writer.write_sample(i16::from_le_bytes(*sample)).ok()?;
    }
    writer.finalize().ok()?;
    Some(content.into_inner())
}

/// A column of seconds from the window's start, then one a channel; every float in the fewest digits that give it back.
fn csv(rate_hz: f32, count: usize, names: &[String], bytes: &[u8]) -> Option<Vec<u8>> {
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || count == 0 || values.len() % count != 0 || rate_hz <= 0.0 {
        return None;
    }
    let time = if names.iter().any(|name| name == "t") { "time_s" } else { "t" };
    let name = |channel: usize| names.get(channel).cloned().unwrap_or_else(|| format!("c{channel}"));
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(values.len() * 12));
    writer.write_record(std::iter::once(time.to_owned()).chain((0..count).map(name))).ok()?;
    let mut text = String::new();
    for (row, values) in values.chunks(count).enumerate() {
        write_field(&mut writer, &mut text, seconds(row, rate_hz))?;
        for value in values {
            write_field(&mut writer, &mut text, f32::from_le_bytes(*value))?;
        }
        writer.write_record(None::<&[u8]>).ok()?;
    }
    writer.into_inner().ok()
}

fn write_field(writer: &mut csv::Writer<Vec<u8>>, text: &mut String, value: impl std::fmt::Display) -> Option<()> {
    text.clear();
    write!(text, "{value}").ok()?;
    writer.write_field(text).ok()
}

#[expect(clippy::cast_precision_loss, reason = "a window has far fewer than 2^52 rows")]
fn seconds(row: usize, rate_hz: f32) -> f64 {
    row as f64 / f64::from(rate_hz)
}

/// NumPy's format, version 1.0: `numpy.lib.format`.
fn npy(dtype: Dtype, extents: &[u32], bytes: &[u8]) -> Option<Vec<u8>> {
    const PREFIX: usize = 10;
    let elements = extents.iter().try_fold(dtype.size_bytes(), |all, &extent| all.checked_mul(extent as usize))?;
    if elements != bytes.len() {
        return None;
    }
    let descr = match dtype {
        Dtype::F32 => "<f4",
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
    };
    let shape: String = extents.iter().map(|extent| format!("{extent}, ")).collect();
    let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let length = (PREFIX + dictionary.len() + 1).next_multiple_of(64) - PREFIX;
    let mut content = Vec::with_capacity(PREFIX + length + bytes.len());
    content.extend_from_slice(b"\x93NUMPY\x01\x00");
    content.extend_from_slice(&u16::try_from(length).ok()?.to_le_bytes());
    writeln!(content, "{dictionary:<width$}", width = length - 1).ok()?;
    content.extend_from_slice(bytes);
    Some(content)
}

#[cfg(test)]
mod tests {
    use inferd_core::Shape;

    use super::*;

    fn content(format: Format, channels: &[&str], bytes: &[u8]) -> (String, Vec<u8>) {
        let channels: Vec<String> = channels.iter().map(|&name| name.to_owned()).collect();
        let encoded = encode(format, &channels, bytes).unwrap();
        (encoded.file().file, encoded.content.into_owned())
    }

    #[test]
    fn files_stay_as_they_are() {
        assert_eq!(content(Format::Jpeg, &[], b"any"), ("payload.jpg".to_owned(), b"any".to_vec()));
    }

    #[test]
    fn raw_pixels_get_the_header_that_says_their_size() {
        let size = ImageSize { width: 3, height: 1 };
        assert_eq!(content(Format::Raw(PixelFormat::Grey8, size), &[], b"abc").1, b"P5\n3 1\n255\nabc");
        assert_eq!(content(Format::Raw(PixelFormat::Rgb24, size), &[], b"abcdefghi").1, b"P6\n3 1\n255\nabcdefghi");
        let (name, y4m) = content(Format::Raw(PixelFormat::I420, size), &[], b"lumuuvv");
        assert_eq!(name, "payload.y4m");
        assert_eq!(y4m, b"YUV4MPEG2 W3 H1 F1:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\nFRAME\nlumuuvv");
        let (name, y4m) = content(Format::Raw(PixelFormat::Yuyv, size), &[], b"lUuVmu.v");
        assert_eq!(name, "payload.y4m");
        assert_eq!(y4m, b"YUV4MPEG2 W3 H1 F1:1 Ip A1:1 C422 XCOLORRANGE=LIMITED\nFRAME\nlumUuVv");
    }

    #[test]
    fn sound_is_read_back_sample_by_sample() {
        let samples = [i16::MIN, -1, 0, i16::MAX];
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let (_, wav) = content(Format::Pcm { rate_hz: 16_000, channels: 2 }, &[], &bytes);
        let mut reader = hound::WavReader::new(wav.as_slice()).unwrap();
        assert_eq!((reader.spec().sample_rate, reader.spec().channels), (16_000, 2));
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), samples);
    }

    #[test]
    fn motion_keeps_every_bit_and_its_rate() {
        let values = [0.1_f32, f32::MIN_POSITIVE, 16_777_217.0, -1.0 / 3.0];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (name, csv) = content(Format::Imu { rate_hz: 100.0, channels: 2 }, &["ax", "ay"], &bytes);
        assert_eq!(name, "payload.csv");
        let mut reader = csv::Reader::from_reader(csv.as_slice());
        assert_eq!(reader.headers().unwrap(), vec!["t", "ax", "ay"]);
        let rows: Vec<(f64, f32, f32)> = reader.deserialize().map(Result::unwrap).collect();
        assert_eq!(rows, [(0.0, values[0], values[1]), (0.01, values[2], values[3])]);
    }

    #[test]
    fn tensors_get_an_aligned_numpy_header() {
        let shape = Shape::new(&[1, 2]).unwrap();
        let (_, npy) = content(Format::Tensor { dtype: Dtype::F32, shape }, &[], &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(npy.len() % 64, 8);
        assert_eq!(&npy[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let header = std::str::from_utf8(&npy[10..npy.len() - 8]).unwrap();
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2,), }");
        assert!(header.ends_with('\n'));
        assert_eq!(&npy[npy.len() - 8..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn bytes_that_do_not_fit_their_format_are_refused() {
        let size = ImageSize { width: 2, height: 2 };
        let formats = [
            Format::Raw(PixelFormat::Rgb24, size),
            Format::Raw(PixelFormat::Nv12, size),
            Format::Raw(PixelFormat::Yuyv, size),
            Format::Pcm { rate_hz: 8_000, channels: 2 },
            Format::Imu { rate_hz: 50.0, channels: 2 },
            Format::Tensor { dtype: Dtype::U8, shape: Shape::new(&[4]).unwrap() },
        ];
        for format in formats {
            assert!(encode(format, &[], &[0; 7]).is_err(), "{format:?}");
        }
    }
}
