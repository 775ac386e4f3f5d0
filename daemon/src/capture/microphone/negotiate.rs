//! What is asked of a device, by what it offers and what the model needs. Pure: no device is touched here.
//!
//! Invariants:
//! - The rate is the one that is wanted, exactly: by the hardware where that has it, else ALSA converts.
//! - ALSA converts samples and rates, but makes up no channels: a channel that the hardware does not have is never listened to.

use std::collections::BTreeSet;
use std::fmt;

use alsa::pcm::Format;

use super::convert::Sample;

/// Rates in Hz that devices have and that are asked for by name.
pub(super) const COMMON_RATES: [u32; 13] =
    [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176_400, 192_000];

/// All that a device can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Whether channels can be read interleaved.
    pub(super) interleaved: bool,
    /// Every combination that it can be set to.
    pub(super) modes: Vec<Mode>,
}

/// What a device can be set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    /// How it writes samples.
    pub(super) format: Format,
    /// Channels.
    pub(super) channels: u16,
    /// Rates in Hz: its lowest, its highest, of the common ones those that it has, and the one that is wanted where it has that.
    pub(super) rates_hz: Vec<u32>,
}

/// What is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// Samples per second and channel.
    pub(super) rate_hz: u32,
    /// The channel that is listened to, from 0.
    pub(super) channel: Option<u16>,
}

impl Wants {
    /// Channels that there must be.
    pub(super) fn least_channels(&self) -> u16 {
        self.channel.map_or(1, |channel| channel.saturating_add(1))
    }
}

/// What is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The hardware does it.
    Direct(Sample, u16),
    /// ALSA has to convert what the hardware gives in so many channels; the text says what it has.
    Converted(u16, String),
}

/// Chooses: the fewest channels that will do, as all are mixed down to one or all but one are left out; then the format
/// that costs least.
///
/// # Errors
/// A sentence where nothing will do.
pub(super) fn choose(offer: &Offer, wants: Wants) -> Result<Choice, String> {
    let least = wants.least_channels();
    let enough = || offer.modes.iter().filter(|mode| mode.channels >= least);
    let Some(fewest) = enough().map(|mode| mode.channels).min() else {
        return Err(match (offer.modes.iter().map(|mode| mode.channels).max(), wants.channel) {
            (Some(most), Some(channel)) => {
                format!(
                    "has no channel {channel}: it has {most}, which count from 0; set `channel` to less, or leave it out"
                )
            }
            _ => "says of no way in which it records".to_owned(),
        });
    };
    let has_rate = |mode: &&Mode| offer.interleaved && mode.rates_hz.contains(&wants.rate_hz);
    let direct = enough().filter(has_rate).filter_map(|mode| Some((mode.channels, preference(mode.format)?)));
    Ok(match direct.min() {
        Some((channels, place)) => Choice::Direct(Sample::ALL[place], channels),
        None => Choice::Converted(fewest, offer.summary().to_string()),
    })
}

/// How early a format is taken; `None` where we cannot read it.
fn preference(format: Format) -> Option<usize> {
    Sample::ALL.iter().position(|sample| sample.format() == format)
}

impl Offer {
    /// What there is of everything, for people.
    pub(super) fn summary(&self) -> Summary {
        let modes = || self.modes.iter();
        Summary {
            formats: distinct(modes().map(|mode| mode.format)).iter().map(Format::to_string).collect(),
            channels: distinct(modes().map(|mode| mode.channels)),
            rates_hz: distinct(modes().flat_map(|mode| mode.rates_hz.iter().copied())),
            interleaved: self.interleaved,
        }
    }
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    BTreeSet::from_iter(values).into_iter().collect()
}

/// What a device has of everything, each in rising order. Not every combination need be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Summary {
    /// Formats in ALSA's words.
    pub(in crate::capture) formats: Vec<String>,
    /// Numbers of channels.
    pub(in crate::capture) channels: Vec<u16>,
    /// Rates in Hz: its lowest, its highest, and the common ones between them.
    pub(in crate::capture) rates_hz: Vec<u32>,
    interleaved: bool,
}

/// `S16_LE, S32_LE; 2 channels; 44100, 48000 Hz`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |numbers: &mut dyn Iterator<Item = String>| numbers.collect::<Vec<_>>().join(", ");
        let plural = if self.channels == [1] { "" } else { "s" };
        f.write_str(&self.formats.join(", "))?;
        write!(f, "; {} channel{plural}", list(&mut self.channels.iter().map(u16::to_string)))?;
        write!(f, "; {} Hz", list(&mut self.rates_hz.iter().map(u32::to_string)))?;
        f.write_str(if self.interleaved { "" } else { "; channels apart from each other" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device all of whose formats, channels and rates go together.
    fn offer(formats: &[Format], channels: &[u16], rates_hz: &[u32]) -> Offer {
        let of = |&format| channels.iter().map(move |&channels| Mode { format, channels, rates_hz: rates_hz.to_vec() });
        Offer { interleaved: true, modes: formats.iter().flat_map(of).collect() }
    }

    const S16: Format = Format::S16LE;
    const S32: Format = Format::S32LE;

    fn headset() -> Offer {
        offer(&[S16], &[1], &[48000])
    }

    fn webcam() -> Offer {
        offer(&[S16], &[2], &[16000, 24000, 32000, 48000])
    }

    /// An ICS-43434 at a Raspberry Pi: 24 bits, in the upper ones of 32.
    fn i2s() -> Offer {
        offer(&[S32], &[2], &[48000])
    }

    fn array() -> Offer {
        offer(&[S16], &[6], &[16000])
    }

    fn on_board() -> Offer {
        offer(&[S16, S32], &[2], &[44100, 48000, 96000, 192_000])
    }

    /// An interface whose settings exclude each other, as those of USB do.
    fn interface() -> Offer {
        let mut offer = offer(&[Format::S243LE], &[4], &[44100, 48000, 96000]);
        offer.modes.extend(self::offer(&[S16], &[2, 8], &[44100, 48000]).modes);
        offer
    }

    fn converted(offer: &Offer, channels: u16) -> Choice {
        Choice::Converted(channels, offer.summary().to_string())
    }

    #[test]
    fn the_hardware_does_what_it_can_and_alsa_the_rest() {
        use Choice::Direct;
        let wide = offer(&[Format::FloatLE, Format::U8, S32, Format::S24LE, Format::S16BE], &[1, 2], &[16000]);
        let cases = [
            ("headset at its rate", headset(), 48000, None, Direct(Sample::S16, 1)),
            ("headset at a model's rate", headset(), 16000, None, converted(&headset(), 1)),
            ("headset, its one channel", headset(), 48000, Some(0), Direct(Sample::S16, 1)),
            ("webcam", webcam(), 16000, None, Direct(Sample::S16, 2)),
            ("webcam, right", webcam(), 16000, Some(1), Direct(Sample::S16, 2)),
            ("webcam at 44.1 kHz", webcam(), 44100, None, converted(&webcam(), 2)),
            ("I2S microphone", i2s(), 48000, Some(0), Direct(Sample::S32, 2)),
            ("I2S microphone at 16 kHz", i2s(), 16000, Some(0), converted(&i2s(), 2)),
            ("array, its beam", array(), 16000, Some(0), Direct(Sample::S16, 6)),
            ("array, its last", array(), 16000, Some(5), Direct(Sample::S16, 6)),
            ("on-board codec", on_board(), 44100, None, Direct(Sample::S16, 2)),
            ("on-board codec at 16 kHz", on_board(), 16000, None, converted(&on_board(), 2)),
            ("interface", interface(), 48000, None, Direct(Sample::S16, 2)),
            ("interface, fast", interface(), 96000, None, Direct(Sample::S24Packed, 4)),
            ("interface, third", interface(), 48000, Some(2), Direct(Sample::S24Packed, 4)),
            ("interface, last", interface(), 48000, Some(7), Direct(Sample::S16, 8)),
            ("interface, last, fast", interface(), 96000, Some(7), converted(&interface(), 8)),
            ("one of many formats", wide.clone(), 16000, None, Direct(Sample::S32, 1)),
            ("one of many formats, second", wide, 16000, Some(1), Direct(Sample::S32, 2)),
        ];
        for (what, offer, rate_hz, channel, expected) in cases {
            assert_eq!(choose(&offer, Wants { rate_hz, channel }), Ok(expected), "{what}");
        }
    }

    #[test]
    fn formats_are_taken_in_the_order_of_their_cost() {
        let mut formats: Vec<Format> = Sample::ALL.iter().rev().map(|sample| sample.format()).collect();
        for sample in Sample::ALL {
            let chosen = choose(&offer(&formats, &[2], &[48000]), Wants { rate_hz: 48000, channel: None });
            assert_eq!(chosen, Ok(Choice::Direct(sample, 2)));
            formats.pop();
        }
    }

    #[test]
    fn what_we_cannot_read_alsa_converts() {
        let wants = Wants { rate_hz: 48000, channel: None };
        let strange = offer(&[Format::S32BE], &[2], &[48000]);
        assert_eq!(choose(&strange, wants), Ok(converted(&strange, 2)));
        let apart = Offer { interleaved: false, ..on_board() };
        let Ok(Choice::Converted(2, has)) = choose(&apart, wants) else { panic!("{:?}", choose(&apart, wants)) };
        insta::assert_snapshot!(has, @"S16_LE, S32_LE; 2 channels; 44100, 48000, 96000, 192000 Hz; channels apart from each other");
    }

    #[test]
    fn a_channel_that_is_not_there_is_never_made_up() {
        let wants = |channel| Wants { rate_hz: 16000, channel: Some(channel) };
        let error = choose(&headset(), wants(1)).unwrap_err();
        insta::assert_snapshot!(error, @"has no channel 1: it has 1, which count from 0; set `channel` to less, or leave it out");
        assert!(choose(&array(), wants(6)).unwrap_err().starts_with("has no channel 6: it has 6,"));
        let nothing = Offer { interleaved: true, modes: Vec::new() };
        assert_eq!(choose(&nothing, wants(0)).unwrap_err(), "says of no way in which it records");
    }
}
