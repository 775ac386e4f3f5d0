//! What is attached, for people who look for it.

use std::path::PathBuf;

use nix::unistd::AccessFlags;

use super::device::{self, Device, Roots};
use super::{rate, sysfs};

/// A sensor of motion, or of something else: IIO has many kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Attached {
    /// Its label, else the driver's name for it.
    pub(in crate::capture) name: String,
    /// Its node, which is there where it has a buffer.
    pub(in crate::capture) node: PathBuf,
    /// What it measures.
    pub(in crate::capture) channels: Vec<String>,
    /// The rates that it has, or the one that it is set to; empty where it does not say.
    pub(in crate::capture) rates: String,
    /// Whether rows come by its buffer; else it is read value by value.
    pub(in crate::capture) is_buffered: bool,
    /// Why this process may not read it, and what to do.
    pub(in crate::capture) obstacle: Option<String>,
}

/// All IIO devices that have channels.
pub(in crate::capture) fn attached(roots: &Roots) -> Vec<Attached> {
    device::all(roots).iter().filter(|device| !device.channels.is_empty()).map(look).collect()
}

fn look(device: &Device) -> Attached {
    Attached {
        name: device.label.clone().unwrap_or_else(|| device.name.clone()),
        node: device.node.clone(),
        channels: device.channels.iter().map(|channel| channel.name.clone()).collect(),
        rates: rate::shown(device),
        is_buffered: device.has_buffer(),
        obstacle: obstacle(device),
    }
}

/// Nothing is opened: only one program may have a node open, and it should be the service.
fn obstacle(device: &Device) -> Option<String> {
    let refused = if device.has_buffer() {
        let node = sysfs::may("open", &device.node, AccessFlags::R_OK);
        node.and_then(|()| sysfs::may("write to", &device.file("buffer/enable"), AccessFlags::W_OK))
    } else {
        let raw = |name| sysfs::may("read", &device.file(&format!("in_{name}_raw")), AccessFlags::R_OK);
        device.channels.iter().try_for_each(|channel| raw(&channel.name))
    };
    refused.err().map(|refused| refused.to_string())
}
