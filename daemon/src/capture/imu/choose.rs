//! Which devices give the channels that are wanted.

use super::device::Device;

/// A column of the source's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// What the model calls it.
    pub(super) name: String,
    /// What the device calls it.
    pub(super) channel: String,
}

/// Who gives what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    /// For each column: which part, and which of its channels.
    pub(super) places: Vec<(usize, usize)>,
}

/// One device's share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) device: Device,
    pub(super) channels: Vec<String>,
}

/// Devices that are looked at where none are configured. More than this are no sensors of one machine's motion.
const MOST_CANDIDATES: usize = 16;

/// Chooses among the `attached` ones: those that are `configured`, else the fewest that have all channels, of those the ones
/// with the lowest numbers.
///
/// # Errors
/// What is missing, for people.
pub(super) fn choose(attached: &[Device], configured: &[String], columns: &[Column]) -> Result<Plan, String> {
    let named = configured.iter().map(|name| find(attached, name)).collect::<Result<Vec<&Device>, String>>()?;
    let candidates: Vec<&Device> = if named.is_empty() { useful(attached, columns) } else { named };
    for column in columns {
        if !candidates.iter().any(|device| device.has(&column.channel)) {
            let looked_at = if configured.is_empty() { attached.iter().collect() } else { candidates };
            return Err(missing(column, &looked_at));
        }
    }
    let chosen = if configured.is_empty() { fewest(&candidates, columns) } else { candidates };
    Ok(share(&chosen, columns))
}

fn find<'a>(attached: &'a [Device], wanted: &str) -> Result<&'a Device, String> {
    let is_it = |device: &&Device| match wanted.strip_prefix('/') {
        None => device.name == wanted || device.label.as_deref() == Some(wanted),
        Some(_) => device.node.as_os_str() == wanted || leads_to(wanted, device),
    };
    let found: Vec<&Device> = attached.iter().filter(is_it).collect();
    match found.as_slice() {
        [] => Err(format!("no sensor is called `{wanted}`; {}", list(&attached.iter().collect::<Vec<_>>()))),
        [device] => Ok(*device),
        several => {
            let nodes: Vec<String> = several.iter().map(|device| device.node.display().to_string()).collect();
            Err(format!("{} are all called `{wanted}`: name one by its path or its label", nodes.join(", ")))
        }
    }
}

/// Links by udev rules are other paths to a node.
fn leads_to(path: &str, device: &Device) -> bool {
    std::fs::canonicalize(path).is_ok_and(|path| path == device.node)
}

fn useful<'a>(attached: &'a [Device], columns: &[Column]) -> Vec<&'a Device> {
    let has_any = |device: &&Device| columns.iter().any(|column| device.has(&column.channel));
    attached.iter().filter(has_any).take(MOST_CANDIDATES).collect()
}

/// The smallest set of devices that has all channels; all of them where there is none.
fn fewest<'a>(candidates: &[&'a Device], columns: &[Column]) -> Vec<&'a Device> {
    let mut sets: Vec<u32> = (1..1_u32 << candidates.len()).collect();
    // Of equally many those with the lowest numbers: bits stand for candidates from the lowest on.
    sets.sort_by_key(|set| (set.count_ones(), *set));
    let members = |set: u32| -> Vec<&'a Device> {
        let is_in = |(bit, device): (usize, &&'a Device)| (set >> bit & 1 == 1).then_some(*device);
        candidates.iter().enumerate().filter_map(is_in).collect()
    };
    let covers = |set: &Vec<&Device>| columns.iter().all(|column| set.iter().any(|device| device.has(&column.channel)));
    sets.into_iter().map(members).find(covers).unwrap_or_else(|| candidates.to_vec())
}

/// Each column from the first device that has it.
fn share(devices: &[&Device], columns: &[Column]) -> Plan {
    let mut parts: Vec<Part> = Vec::new();
    let mut places = Vec::with_capacity(columns.len());
    for Column { channel, .. } in columns {
        let Some(device) = devices.iter().find(|device| device.has(channel)) else { continue };
        let part = parts.iter().position(|part| part.device == **device).unwrap_or_else(|| {
            parts.push(Part { device: (*device).clone(), channels: Vec::new() });
            parts.len() - 1
        });
        let channels = &mut parts[part].channels;
        let place = channels.iter().position(|known| known == channel).unwrap_or_else(|| {
            channels.push(channel.clone());
            channels.len() - 1
        });
        places.push((part, place));
    }
    Plan { parts, places }
}

fn missing(column: &Column, devices: &[&Device]) -> String {
    let Column { name, channel } = column;
    let how = if name == channel {
        format!("the channel `{name}`; `names` of the source may give it a sensor's channel")
    } else {
        format!("the channel `{channel}`, which `names` gives for `{name}`")
    };
    format!("no sensor has {how}; {}", list(devices))
}

fn list(devices: &[&Device]) -> String {
    let line = |device: &&Device| match device.channel_names().as_slice() {
        [] => format!("{} without channels", device.title()),
        channels => format!("{} with {}", device.title(), channels.join(", ")),
    };
    match devices {
        [] => "no IIO device is attached".to_owned(),
        devices => format!("there are: {}", devices.iter().map(line).collect::<Vec<_>>().join("; ")),
    }
}
