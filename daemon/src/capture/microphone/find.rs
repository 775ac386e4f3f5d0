//! Which device is meant, by what is attached.
//!
//! Invariants:
//! - Nothing that plays is opened, and nothing that records before it is chosen: cards are asked by their control device.
//! - What is not there now is no error of the configuration: the sentence says what is there instead.

use alsa::card::Iter;
use alsa::ctl::{Ctl, DeviceIter};
use alsa::{Direction, Output};

use super::access;

/// A sound card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    /// Its number, which may be another one after the next start.
    pub(super) index: i32,
    /// Its short name, which no other card has: `Device`.
    pub(super) id: String,
    /// What it calls itself: `USB Audio Device`.
    pub(super) name: String,
    /// Numbers of its devices that record.
    pub(super) devices: Vec<u32>,
}

/// A device that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// One of a card's.
    OfCard {
        /// Its card.
        card: Card,
        /// Its number.
        device: u32,
    },
    /// What the configuration says, for ALSA to know.
    Named(String),
}

impl Device {
    /// ALSA's name for it: without any conversion, where it is a card's.
    pub(super) fn pcm(&self) -> String {
        match self {
            Self::OfCard { card, device } => format!("hw:CARD={},DEV={device}", card.id),
            Self::Named(name) => name.clone(),
        }
    }

    /// ALSA's name for it with conversion; none where the configuration says how it is to be opened.
    pub(super) fn converting(&self) -> Option<String> {
        match self {
            Self::OfCard { .. } => Some(format!("plug{}", self.pcm())),
            Self::Named(_) => None,
        }
    }

    /// Card and device, by number, where they are known.
    pub(super) const fn numbers(&self) -> Option<(i32, u32)> {
        match self {
            Self::OfCard { card, device } => Some((card.index, *device)),
            Self::Named(_) => None,
        }
    }
}

/// The cards that are attached and may be asked, by their numbers.
pub(super) fn cards() -> Vec<Card> {
    // Keeps the library's words off standard error: that a card is gone again is no news.
    let _words = Output::local_error_handler();
    Iter::new().flatten().filter_map(|card| describe(card).ok()).collect()
}

fn describe(card: alsa::Card) -> alsa::Result<Card> {
    let control = Ctl::from_card(&card, true)?;
    let info = control.card_info()?;
    let records = |device: &u32| control.pcm_info(*device, 0, Direction::Capture).is_ok();
    let devices = DeviceIter::new(&control).filter_map(|device| u32::try_from(device).ok()).filter(records);
    Ok(Card {
        index: card.get_index(),
        id: info.get_id()?.to_owned(),
        name: info.get_name()?.to_owned(),
        devices: devices.collect(),
    })
}

/// The device that is meant: the first one that records, or a card's first by the card's id or name, or whatever ALSA knows
/// by this name.
///
/// # Errors
/// A sentence that says what is there instead.
pub(super) fn pick(cards: Vec<Card>, wanted: Option<&str>) -> Result<Device, String> {
    let Some(wanted) = wanted else {
        let Some(card) = cards.iter().find(|card| !card.devices.is_empty()) else { return Err(missing(None, &cards)) };
        return first_of(card.clone());
    };
    let mut cards = cards.into_iter();
    match cards.find(|card| card.id == wanted || card.name == wanted) {
        Some(card) => first_of(card),
        None => Ok(Device::Named(wanted.to_owned())),
    }
}

fn first_of(card: Card) -> Result<Device, String> {
    match card.devices.first() {
        Some(&device) => Ok(Device::OfCard { device, card }),
        None => Err(format!("is a card that only plays: {} ({})", card.id, card.name)),
    }
}

/// That something is not there, and what is.
pub(super) fn missing(wanted: Option<&str>, cards: &[Card]) -> String {
    let denied = if cards.is_empty() { access::denied() } else { None };
    if let Some(denied) = denied {
        return denied;
    }
    let wanted = if wanted.is_some() { "is not there" } else { "no microphone is attached" };
    let records = |card: &&Card| !card.devices.is_empty();
    let names = |cards: &mut dyn Iterator<Item = &Card>| {
        cards.map(|card| format!("{} ({})", card.id, card.name)).collect::<Vec<_>>().join(", ")
    };
    match (names(&mut cards.iter().filter(records)), names(&mut cards.iter())) {
        (recording, _) if !recording.is_empty() => format!("{wanted}; attached: {recording}"),
        (_, playing) if !playing.is_empty() => format!("{wanted}; only what plays is attached: {playing}"),
        _ => format!("{wanted}; no sound card is attached"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: i32, id: &str, name: &str, devices: &[u32]) -> Card {
        Card { index, id: id.to_owned(), name: name.to_owned(), devices: devices.to_vec() }
    }

    /// A board with HDMI, a USB microphone and an array, as they come.
    fn attached() -> Vec<Card> {
        vec![
            card(0, "vc4hdmi0", "vc4-hdmi-0", &[]),
            card(2, "Device", "USB PnP Sound Device", &[0]),
            card(3, "ArrayUAC10", "ReSpeaker 4 Mic Array (UAC1.0)", &[1, 2]),
        ]
    }

    #[test]
    fn cards_are_found_by_id_and_by_name_and_else_the_first_that_records() {
        let cases = [
            (None, "hw:CARD=Device,DEV=0", Some((2, 0))),
            (Some("Device"), "hw:CARD=Device,DEV=0", Some((2, 0))),
            (Some("ReSpeaker 4 Mic Array (UAC1.0)"), "hw:CARD=ArrayUAC10,DEV=1", Some((3, 1))),
            (Some("plughw:CARD=Device"), "plughw:CARD=Device", None),
            (Some("default"), "default", None),
            (Some("Devic"), "Devic", None),
        ];
        for (wanted, pcm, numbers) in cases {
            let device = pick(attached(), wanted).unwrap();
            assert_eq!((device.pcm().as_str(), device.numbers()), (pcm, numbers), "{wanted:?}");
            assert_eq!(device.converting(), numbers.map(|_| format!("plug{pcm}")), "{wanted:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let hdmi = attached()[..1].to_vec();
        let texts = [
            pick(hdmi.clone(), None).unwrap_err(),
            pick(hdmi, Some("vc4-hdmi-0")).unwrap_err(),
            missing(Some("hw:9"), &attached()),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r"
        no microphone is attached; only what plays is attached: vc4hdmi0 (vc4-hdmi-0)
        is a card that only plays: vc4hdmi0 (vc4-hdmi-0)
        is not there; attached: Device (USB PnP Sound Device), ArrayUAC10 (ReSpeaker 4 Mic Array (UAC1.0))
        ");
    }
}
