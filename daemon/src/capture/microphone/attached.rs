//! What is attached, for `inferctl sources`.

use super::negotiate::Summary;
use super::{access, find, pcm};

/// A device that records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Attached {
    /// The card's short name, which `device` may name: `Device`.
    pub(in crate::capture) id: String,
    /// The card's name stands for this device of it.
    pub(in crate::capture) is_first: bool,
    /// What the card calls itself: `USB Audio Device`.
    pub(in crate::capture) name: String,
    /// ALSA's name for it: `hw:CARD=Device,DEV=0`.
    pub(in crate::capture) pcm: String,
    /// What it offers; else why it cannot be opened.
    pub(in crate::capture) offers: Result<Summary, String>,
}

/// Every device that records, by card; where cards are hidden because they may not be opened, the sentence that says so.
///
/// Each is opened for a moment, which fails where it is in use.
pub(in crate::capture) fn attached() -> Result<Vec<Attached>, String> {
    let cards = find::cards();
    if let (true, Some(denied)) = (cards.is_empty(), access::denied()) {
        return Err(denied);
    }
    let devices = cards.into_iter().flat_map(|card| {
        let devices = card.devices.clone();
        devices.into_iter().enumerate().map(move |(number, device)| {
            let device = find::Device::OfCard { card: card.clone(), device };
            describe(device, number == 0)
        })
    });
    Ok(devices.flatten().collect())
}

fn describe(device: find::Device, is_first: bool) -> Option<Attached> {
    let why_not = |errno, said: &str| access::why_not(errno, said, device.numbers());
    let offers = match pcm::open(&device.pcm()) {
        Err((errno, said)) => Err(why_not(errno, &said)),
        Ok(opened) => opened.offer(None).map(|offer| offer.summary()).map_err(|errno| why_not(errno, "")),
    };
    let pcm = device.pcm();
    let find::Device::OfCard { card, .. } = device else { return None };
    Some(Attached { id: card.id, is_first, name: card.name, pcm, offers })
}
