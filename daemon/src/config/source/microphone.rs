//! A microphone that the kernel knows (ALSA).

use std::time::Duration;

use serde::Serialize;

/// An ALSA capture device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Microphone {
    /// Which one: a card's short or full name (`Device`, `USB Audio Device`), or an ALSA name (`hw:1,0`,
    /// `plughw:CARD=Device`). Default: the first card that records.
    pub device: Option<String>,
    /// Samples per second, 1000 to 192000. Default: the model's.
    pub rate_hz: Option<u32>,
    /// The channel that is listened to, from 0. Default: all, mixed down.
    pub channel: Option<u16>,
    /// It is opened again when it has given nothing for so long, in milliseconds. Default 2000.
    pub silence_ms: u64,
}

impl Microphone {
    /// How long it may be silent.
    pub const fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }

    /// A line for people.
    pub fn line(&self) -> String {
        format!("microphone {}", self.device.as_deref().unwrap_or("(the first one)"))
    }
}
