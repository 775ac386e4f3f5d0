//! Which camera is meant, and what it offers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::negotiate::{self, Offer, Wanted};
use crate::host::permission::may_not_open;
use crate::host::v4l2::Device;

/// A camera that is attached.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) device: Device,
}

impl Found {
    /// For messages: its place and name.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.path.display(), self.device.card())
    }
}

/// The camera that `selector` names by path, name or bus; without one, the first that gives what a runner decodes.
///
/// # Errors
/// A sentence: what is not there, or may not be opened, and what is.
pub(super) fn find(selector: Option<&str>) -> Result<Found, String> {
    if let Some(path) = selector.filter(|selector| selector.starts_with('/')) {
        return open(Path::new(path));
    }
    let (mut others, mut problems) = (Vec::new(), Vec::new());
    for path in nodes() {
        match Device::open(&path) {
            Ok(None) => {}
            Ok(Some(device)) => {
                let found = Found { path, device };
                if selector.map_or_else(|| is_usable(&found.device), |selector| is_meant(&found.device, selector)) {
                    return Ok(found);
                }
                others.push(found.title());
            }
            Err(error) => problems.push(refused(&path, &error)),
        }
    }
    let subject =
        selector.map_or_else(|| "no camera is attached".to_owned(), |name| format!("no camera is called {name}"));
    Err(match (problems.is_empty(), others.is_empty()) {
        (false, _) => format!("{subject} that inferd may open: {}", problems.join("; ")),
        (true, true) => format!("{subject}{}", if selector.is_some() { ", and none is attached" } else { "" }),
        (true, false) => format!("{subject}{}; attached: {}", missing(selector), others.join(", ")),
    })
}

/// What is wrong with cameras that nobody has asked for by name.
const fn missing(selector: Option<&str>) -> &'static str {
    if selector.is_some() { "" } else { " whose pictures inferd decodes" }
}

fn open(path: &Path) -> Result<Found, String> {
    match Device::open(path) {
        Ok(Some(device)) => Ok(Found { path: path.to_owned(), device }),
        Ok(None) => {
            Err(format!("{} is a node of a camera that no pictures come from; take its other one", path.display()))
        }
        Err(error) => Err(refused(path, &error)),
    }
}

fn refused(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("no camera is attached at {}", path.display()),
        io::ErrorKind::PermissionDenied => may_not_open(path),
        _ if error.raw_os_error() == Some(libc::ENOTTY) => format!("{} is no camera", path.display()),
        _ => format!("cannot open the camera {}: {error}", path.display()),
    }
}

fn is_meant(device: &Device, selector: &str) -> bool {
    device.bus() == selector || device.card().to_lowercase().contains(&selector.to_lowercase())
}

fn is_usable(device: &Device) -> bool {
    device.formats().is_ok_and(|formats| formats.into_iter().any(|format| negotiate::known(format).is_some()))
}

/// `/dev/video0`, `/dev/video1`, `/dev/video10`.
pub(super) fn nodes() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut numbered: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    numbered.sort_unstable();
    numbered.into_iter().map(|(_, path)| path).collect()
}

/// Everything that a camera offers near what is wanted.
///
/// # Errors
/// What the system says.
pub(super) fn offers(device: &Device, wanted: &Wanted) -> io::Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for fourcc in device.formats()? {
        if negotiate::known(fourcc).is_none() {
            continue;
        }
        for size in negotiate::candidates(&device.sizes(fourcc)?, wanted) {
            offers.push(Offer { fourcc, size, rates: device.rates(fourcc, size)? });
        }
    }
    Ok(offers)
}
