//! Samples of any width as 16 bits, where they lie.
//!
//! Invariants:
//! - Nothing is allocated and nothing is copied elsewhere: a chunk is converted in the slot that it was read into.
//! - Wider integers are rounded to the nearest of 16 bits, halves upwards, so that no offset of half a step arises; floats
//!   too, halves away from zero. What is beyond the range is clipped, and what is no number is silence.

use alsa::pcm::Format;

/// How a device writes a sample that we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// As it is handed on.
    S16,
    /// 32 bits; of those that have fewer, the upper ones are used.
    S32,
    /// 24 bits in the lower three of four bytes.
    S24,
    /// 24 bits in three bytes.
    S24Packed,
    /// -1.0 to 1.0.
    Float,
    /// 16 bits, big endian.
    S16Big,
    /// 8 bits, silence is 128.
    U8,
}

impl Sample {
    /// Those that we can read, those first that are rather taken.
    pub(super) const ALL: [Self; 7] =
        [Self::S16, Self::S32, Self::S24, Self::S24Packed, Self::Float, Self::S16Big, Self::U8];

    /// What ALSA calls it.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::S16 => Format::S16LE,
            Self::S32 => Format::S32LE,
            Self::S24 => Format::S24LE,
            Self::S24Packed => Format::S243LE,
            Self::Float => Format::FloatLE,
            Self::S16Big => Format::S16BE,
            Self::U8 => Format::U8,
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16 | Self::S16Big => 2,
            Self::S24Packed => 3,
            Self::S32 | Self::S24 | Self::Float => 4,
        }
    }

    /// One sample, from as many bytes as it has.
    fn read(self, bytes: &[u8]) -> i16 {
        match (self, bytes) {
            (Self::S16, &[a, b]) => i16::from_le_bytes([a, b]),
            (Self::S16Big, &[a, b]) => i16::from_be_bytes([a, b]),
            (Self::S32, &[a, b, c, d]) => rounded(i32::from_le_bytes([a, b, c, d])),
            // The fourth byte says nothing: some drivers leave it empty, others fill it with the sign.
            (Self::S24, &[a, b, c, _]) | (Self::S24Packed, &[a, b, c]) => rounded(i32::from_le_bytes([0, a, b, c])),
            (Self::Float, &[a, b, c, d]) => from_float(f32::from_le_bytes([a, b, c, d])),
            (Self::U8, &[a]) => (i16::from(a) - 128) << 8,
            _ => 0,
        }
    }
}

const fn rounded(sample: i32) -> i16 {
    (sample.saturating_add(1 << 15) >> 16) as i16
}

#[expect(clippy::cast_possible_truncation, reason = "such casts clip, and make 0 of what is no number")]
fn from_float(sample: f32) -> i16 {
    (sample * 32768.0).round() as i16
}

/// What frames (one sample of each channel) look like as a device gives them, and which of it is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// How samples are written.
    pub(super) sample: Sample,
    /// Channels that the device gives.
    pub(super) channels: u16,
    /// The one that is handed on; all where none is picked.
    pub(super) picked: Option<u16>,
}

impl Layout {
    /// Bytes of a frame as the device gives it.
    pub(super) fn frame_bytes(&self) -> usize {
        self.sample.bytes() * usize::from(self.channels)
    }

    /// Channels that are handed on.
    pub(super) const fn channels_out(&self) -> u16 {
        if self.picked.is_some() { 1 } else { self.channels }
    }

    /// Bytes of a frame as it is handed on.
    pub(super) fn frame_bytes_out(&self) -> usize {
        2 * usize::from(self.channels_out())
    }

    /// Bytes that a frame needs, before and after.
    pub(super) fn room(&self) -> usize {
        self.frame_bytes().max(self.frame_bytes_out())
    }

    /// Makes `[T, C] i16`, little endian, of the first `frames` frames; `bytes` has [`room`](Self::room) for them.
    pub(super) fn convert(&self, bytes: &mut [u8], frames: usize) {
        let width = self.sample.bytes();
        let (first, step) = match self.picked {
            None if self.sample == Sample::S16 => return,
            None => (0, width),
            Some(channel) => (usize::from(channel) * width, self.frame_bytes()),
        };
        let mut move_one = |index: usize| {
            let from = first + index * step;
            let sample = self.sample.read(&bytes[from..from + width]);
            bytes[2 * index..2 * index + 2].copy_from_slice(&sample.to_le_bytes());
        };
        let samples = frames * usize::from(self.channels_out());
        // What is written must not lie on what is still to be read.
        if step >= 2 { (0..samples).for_each(&mut move_one) } else { (0..samples).rev().for_each(&mut move_one) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(layout: Layout, bytes: &[u8]) -> Vec<i16> {
        let frames = bytes.len() / layout.frame_bytes();
        let mut space = bytes.to_vec();
        space.resize(frames * layout.room(), 0xEE);
        layout.convert(&mut space, frames);
        let samples = space[..frames * layout.frame_bytes_out()].chunks(2);
        samples.map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
    }

    fn mono(sample: Sample, bytes: &[u8]) -> Vec<i16> {
        converted(Layout { sample, channels: 1, picked: None }, bytes)
    }

    #[test]
    fn wider_samples_are_rounded_and_clipped() {
        let of_i32 = |samples: &[i32]| mono(Sample::S32, &samples.map_bytes(|sample| sample.to_le_bytes()));
        assert_eq!(of_i32(&[0, 0x7FFF, 0x8000, -0x8000, -0x8001]), [0, 0, 1, 0, -1]);
        assert_eq!(of_i32(&[i32::MAX, i32::MIN, 0x7FFF_7FFF, 0x7FFE_8000]), [32767, -32768, 32767, 32767]);
        let of_f32 = |samples: &[f32]| mono(Sample::Float, &samples.map_bytes(|sample| sample.to_le_bytes()));
        assert_eq!(of_f32(&[0.0, 0.5, -0.5, 1.0, -1.0, 7.0, -7.0]), [0, 16384, -16384, 32767, -32768, 32767, -32768]);
        assert_eq!(of_f32(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.6 / 32768.0]), [0, 32767, -32768, 1]);
    }

    #[test]
    fn samples_of_24_bits_are_read_whatever_their_fourth_byte_says() {
        let cases = [
            ([0x00, 0x00, 0x00], 0),
            ([0x7F, 0x00, 0x00], 0),
            ([0x80, 0x00, 0x00], 1),
            ([0xFF, 0xFF, 0x7F], 32767),
            ([0x00, 0x00, 0x80], -32768),
            ([0xFF, 0xFF, 0xFF], 0),
            ([0x00, 0xFE, 0xFF], -2),
        ];
        for ([a, b, c], expected) in cases {
            assert_eq!(mono(Sample::S24Packed, &[a, b, c]), [expected], "{a:02x}{b:02x}{c:02x}");
            for fourth in [0x00, 0xFF, 0x5A] {
                assert_eq!(mono(Sample::S24, &[a, b, c, fourth]), [expected], "{a:02x}{b:02x}{c:02x}{fourth:02x}");
            }
        }
    }

    #[test]
    fn other_widths_and_byte_orders_are_read() {
        assert_eq!(mono(Sample::U8, &[128, 0, 255, 129]), [0, -32768, 32512, 256]);
        assert_eq!(mono(Sample::S16Big, &[0x12, 0x34, 0xFF, 0xFE]), [0x1234, -2]);
        assert_eq!(mono(Sample::S16, &[0x34, 0x12, 0xFE, 0xFF]), [0x1234, -2]);
    }

    #[test]
    fn a_channel_is_picked_and_else_all_stay_in_their_order() {
        // Of every sample, channel and time; wide and narrow, so that the space is shared in both directions.
        for sample in Sample::ALL {
            for channels in 1..=6_u16 {
                let value = |time: u16, channel: u16| i16::try_from(time * 6 + channel).unwrap() << 8;
                let frames = (0..7_u16).flat_map(|time| (0..channels).map(move |channel| value(time, channel)));
                let bytes: Vec<u8> = frames.clone().flat_map(|value| written(sample, value)).collect();
                let whole = converted(Layout { sample, channels, picked: None }, &bytes);
                assert_eq!(whole, frames.collect::<Vec<_>>(), "{sample:?}, {channels} channels");
                for picked in 0..channels {
                    let one = converted(Layout { sample, channels, picked: Some(picked) }, &bytes);
                    let expected: Vec<i16> = (0..7).map(|time| value(time, picked)).collect();
                    assert_eq!(one, expected, "{sample:?}, channel {picked} of {channels}");
                }
            }
        }
    }

    #[test]
    fn as_many_bytes_are_taken_as_alsa_says_that_a_sample_has() {
        for sample in Sample::ALL {
            let bits = sample.format().physical_width().unwrap();
            assert_eq!(usize::try_from(bits).unwrap(), sample.bytes() * 8, "{sample:?}");
        }
    }

    /// A sample as a device writes it.
    fn written(sample: Sample, value: i16) -> Vec<u8> {
        let [low, high] = value.to_le_bytes();
        match sample {
            Sample::S16 => vec![low, high],
            Sample::S16Big => vec![high, low],
            Sample::S32 => vec![0, 0, low, high],
            Sample::S24 => vec![0, low, high, 0],
            Sample::S24Packed => vec![0, low, high],
            Sample::Float => (f32::from(value) / 32768.0).to_le_bytes().to_vec(),
            Sample::U8 => vec![high ^ 0x80],
        }
    }

    trait MapBytes<T> {
        fn map_bytes(&self, bytes: impl Fn(&T) -> [u8; 4]) -> Vec<u8>;
    }

    impl<T> MapBytes<T> for [T] {
        fn map_bytes(&self, bytes: impl Fn(&T) -> [u8; 4]) -> Vec<u8> {
            self.iter().flat_map(bytes).collect()
        }
    }
}
