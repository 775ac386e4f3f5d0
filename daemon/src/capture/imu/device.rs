//! What is attached: the devices' folders in sysfs, as plain descriptions.

use std::fs;
use std::path::{Path, PathBuf};

use super::sysfs;

/// Where devices are looked for.
#[derive(Clone, Debug)]
pub(in crate::capture) struct Roots {
    /// Folders of devices and triggers.
    pub(super) sysfs: PathBuf,
    /// Device nodes.
    pub(super) dev: PathBuf,
}

impl Roots {
    /// The kernel's own.
    pub(in crate::capture) fn system() -> Self {
        Self { sysfs: "/sys/bus/iio/devices".into(), dev: "/dev".into() }
    }
}

/// An IIO device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Device {
    /// Its folder in sysfs.
    pub(super) folder: PathBuf,
    /// Its node, which is there where it has a buffer.
    pub(super) node: PathBuf,
    /// Its number, which may be another one after the next boot.
    pub(super) number: u32,
    /// The driver's name for it: two chips of a kind have the same.
    pub(super) name: String,
    /// The board's name for it.
    pub(super) label: Option<String>,
    /// What it measures, by name.
    pub(super) channels: Vec<Channel>,
}

/// One quantity that a device measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Channel {
    /// As in its files' names: `accel_x`.
    pub(super) name: String,
    /// It has a file with its value.
    pub(super) has_raw: bool,
    /// It can be in the buffer.
    pub(super) has_scan: bool,
}

impl Device {
    /// What people call it.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.label.as_ref().unwrap_or(&self.name), self.node.display())
    }

    /// One of its files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether rows can be read from its node.
    pub(super) fn has_buffer(&self) -> bool {
        self.file("buffer/enable").exists() && self.channels.iter().any(|channel| channel.has_scan)
    }

    pub(super) fn has(&self, channel: &str) -> bool {
        self.channels.iter().any(|known| known.name == channel)
    }

    /// Its channels for people.
    pub(super) fn channel_names(&self) -> Vec<&str> {
        self.channels.iter().map(|channel| channel.name.as_str()).collect()
    }
}

/// All devices, by number.
pub(super) fn all(roots: &Roots) -> Vec<Device> {
    let mut devices: Vec<Device> = numbered(&roots.sysfs, "iio:device")
        .into_iter()
        .map(|(number, folder)| describe(roots, number, folder))
        .collect();
    devices.sort_by_key(|device| device.number);
    devices
}

/// The entries of a folder whose names are a word and a number.
pub(super) fn numbered(folder: &Path, word: &str) -> Vec<(u32, PathBuf)> {
    let number = |name: &str| name.strip_prefix(word)?.parse().ok();
    names(folder).into_iter().filter_map(|name| Some((number(&name)?, folder.join(name)))).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn describe(roots: &Roots, number: u32, folder: PathBuf) -> Device {
    let id = format!("iio:device{number}");
    let text = |name: &str| sysfs::read(&folder.join(name)).ok().filter(|text| !text.is_empty());
    Device {
        node: roots.dev.join(&id),
        number,
        name: text("name").unwrap_or(id),
        label: text("label"),
        channels: channels(&folder),
        folder,
    }
}

fn channels(folder: &Path) -> Vec<Channel> {
    let between = |names: Vec<String>, end: &str| -> Vec<String> {
        let name = |file: &String| file.strip_prefix("in_")?.strip_suffix(end).map(str::to_owned);
        names.iter().filter_map(name).filter(|name| name != "timestamp").collect()
    };
    let raw = between(names(folder), "_raw");
    let scanned = between(names(&folder.join("scan_elements")), "_en");
    let mut all: Vec<&String> = raw.iter().chain(&scanned).collect();
    all.sort();
    all.dedup();
    let channel =
        |name: &String| Channel { name: name.clone(), has_raw: raw.contains(name), has_scan: scanned.contains(name) };
    all.into_iter().map(channel).collect()
}

/// What an attribute of a channel may be called, the most special first: a driver has it for the channel, its kind, a
/// direction, or the whole device (Linux, Documentation/ABI/testing/sysfs-bus-iio).
pub(super) fn attribute_names(channel: &str, attribute: &str) -> Vec<String> {
    let mut names = vec![format!("in_{channel}_{attribute}")];
    if kind(channel) != channel {
        names.push(format!("in_{}_{attribute}", kind(channel)));
    }
    names.extend([format!("in_{attribute}"), attribute.to_owned()]);
    names
}

/// What a channel is an axis of: `accel` of `accel_x`.
pub(super) fn kind(channel: &str) -> &str {
    ["_x", "_y", "_z"].iter().find_map(|axis| channel.strip_suffix(axis)).unwrap_or(channel)
}
