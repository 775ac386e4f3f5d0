//! Which camera is meant, and what it offers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use inferd_core::frame::ImageSize;

use super::negotiate::{self, Offer, Wanted};
use super::stream::tidy;
use crate::capture::attached::{Attached, quoted};
use crate::host::permission;
use crate::host::v4l2::{Device, FourCc, Sizes};

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
        io::ErrorKind::PermissionDenied => permission::refused(path, error, "char-video4linux"),
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

/// Every camera that is attached, for people.
pub(in crate::capture) fn attached() -> Vec<Attached> {
    nodes().into_iter().filter_map(|path| describe(&path)).collect()
}

/// `None` for a node that no pictures come from.
fn describe(path: &Path) -> Option<Attached> {
    let unusable = |name: String, problem: String| Attached {
        kind: "camera",
        device: path.display().to_string(),
        name,
        place: String::new(),
        formats: Vec::new(),
        problem,
        source: String::new(),
    };
    let device = match Device::open(path) {
        Ok(device) => device?,
        Err(error) => return Some(unusable(name_of(path), refused(path, &error))),
    };
    let formats = match device.formats() {
        Ok(formats) => formats,
        Err(error) => return Some(unusable(device.card().to_owned(), error.to_string())),
    };
    let is_usable = formats.iter().any(|format| negotiate::known(*format).is_some());
    let device_key = stable_name(path).unwrap_or_else(|| path.to_owned());
    Some(Attached {
        kind: "camera",
        device: path.display().to_string(),
        name: device.card().to_owned(),
        place: device.bus().to_owned(),
        formats: summaries(&device, &formats),
        problem: if is_usable { String::new() } else { NOT_DECODED.to_owned() },
        source: if is_usable {
            format!("{{ kind = \"camera\", device = {} }}", quoted(&device_key.display().to_string()))
        } else {
            String::new()
        },
    })
}

const NOT_DECODED: &str =
    "inferd decodes none of its formats; a program does: kind = \"command\" with rpicam-vid, gst-launch-1.0 or ffmpeg";

/// What the kernel calls it, for a node that may not be opened.
fn name_of(node: &Path) -> String {
    let name = node
        .file_name()
        .and_then(|name| fs::read_to_string(Path::new("/sys/class/video4linux").join(name).join("name")).ok());
    name.unwrap_or_default().trim().to_owned()
}

/// The link to a node that stays the same however many cameras there are.
fn stable_name(node: &Path) -> Option<PathBuf> {
    let links = fs::read_dir("/dev/v4l/by-id").ok()?.flatten().map(|entry| entry.path());
    links.into_iter().find(|link| fs::canonicalize(link).is_ok_and(|target| target == node))
}

/// A line for each format that is decoded, and one for all others.
fn summaries(device: &Device, formats: &[FourCc]) -> Vec<String> {
    let (decoded, others): (Vec<FourCc>, Vec<FourCc>) =
        formats.iter().partition(|format| negotiate::known(**format).is_some());
    let mut lines: Vec<String> = decoded.into_iter().map(|format| summary(device, format)).collect();
    if !others.is_empty() {
        let names: Vec<String> = others.iter().map(ToString::to_string).collect();
        lines.push(format!("not decoded: {}", names.join(", ")));
    }
    lines
}

/// `YUYV 160x120 to 1280x960, 9 sizes, 5 to 30 fps`
fn summary(device: &Device, format: FourCc) -> String {
    let sizes = device.sizes(format).unwrap_or_default();
    let ends = sizes.iter().flat_map(|size| match *size {
        Sizes::Discrete(size) => [size, size],
        Sizes::Stepwise { least, most, .. } => [least, most],
    });
    let pixels = |size: &ImageSize| u64::from(size.width) * u64::from(size.height);
    let (Some(least), Some(most)) = (ends.clone().min_by_key(pixels), ends.max_by_key(pixels)) else {
        return format.to_string();
    };
    let title = |size: ImageSize| format!("{}x{}", size.width, size.height);
    let range = if least == most { title(least) } else { format!("{} to {}", title(least), title(most)) };
    let asked = sizes.iter().filter_map(|size| match *size {
        Sizes::Discrete(size) => device.rates(format, size).ok()?.fastest(),
        Sizes::Stepwise { least, .. } => device.rates(format, least).ok()?.fastest(),
    });
    let fastest = asked.reduce(f64::max).map(|fps| format!(", up to {} fps", tidy(fps))).unwrap_or_default();
    format!("{format} {range}{fastest}")
}
