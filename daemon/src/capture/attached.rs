//! What is attached, for people: `inferctl sources`.

use super::{camera, imu, microphone};

/// A device that a source may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// `camera`, `microphone` or `imu`: the `kind` of the source that it would be.
    pub kind: &'static str,
    /// Its node, or what ALSA calls it.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Where it is plugged in; empty where that is not known.
    pub place: String,
    /// What it gives, a line each.
    pub formats: Vec<String>,
    /// Why inferd cannot use it; empty where it can.
    pub problem: String,
    /// The `source = …` of a pipeline that uses it, in TOML; empty where it cannot.
    pub source: String,
}

/// Every camera, microphone and sensor of motion. Opens cameras and microphones for a moment; blocks.
pub fn attached() -> Vec<Attached> {
    let mut all = camera::attached();
    match microphone::attached() {
        Ok(microphones) => all.extend(microphones.into_iter().map(Attached::from)),
        Err(problem) => all.push(Attached { kind: "microphone", problem, ..Attached::default() }),
    }
    let sensors = imu::attached();
    let names: Vec<String> = sensors.iter().map(|sensor| sensor.name.clone()).collect();
    all.extend(sensors.into_iter().map(|mut sensor| {
        // Two of one kind are told apart by their nodes.
        if names.iter().filter(|name| **name == sensor.name).count() > 1 {
            sensor.name = sensor.node.display().to_string();
        }
        Attached::from(sensor)
    }));
    all
}

impl From<microphone::Attached> for Attached {
    fn from(found: microphone::Attached) -> Self {
        // The card's name stands for its first device.
        let device = if found.is_first { found.id.clone() } else { found.pcm.replacen("hw:", "plughw:", 1) };
        let source = format!("{{ kind = \"microphone\", device = {} }}", quoted(&device));
        let (formats, problem, source) = match found.offers {
            Ok(offers) => (vec![offers.to_string()], String::new(), source),
            Err(problem) => (Vec::new(), problem, String::new()),
        };
        Self { kind: "microphone", device: found.pcm, name: found.name, formats, problem, source, ..Self::default() }
    }
}

impl From<imu::Attached> for Attached {
    fn from(found: imu::Attached) -> Self {
        let rates = if found.rates.is_empty() { String::new() } else { format!(" at {} Hz", found.rates) };
        let how = if found.is_buffered { "" } else { ", read value by value" };
        let source = format!("{{ kind = \"imu\", devices = [{}] }}", quoted(&found.name));
        Self {
            kind: "imu",
            device: found.node.display().to_string(),
            formats: vec![format!("{}{rates}{how}", found.channels.join(" "))],
            source: if found.obstacle.is_none() { source } else { String::new() },
            problem: found.obstacle.unwrap_or_default(),
            name: found.name,
            ..Self::default()
        }
    }
}

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
