//! Setting a device up for reading by its buffer.
//!
//! Invariants:
//! - The node is opened first: only one program may, so nothing is changed under another's feet.
//! - Everything else is done while the buffer is off, and put back when the reading ends: last changed, first restored, so
//!   that the buffer is off before anything else.

use std::fs::File;

use super::choose::Part;
use super::device::{Device, Roots};
use super::scan::{Element, Layout, Type};
use super::sysfs::{self, Changes, Refused};
use super::{rate, trigger};

/// Why a device's buffer cannot be used.
#[derive(Debug)]
pub(super) enum Unready {
    /// Its values may be read one by one instead.
    Unfit(String),
    /// They may not: someone must do something, or it has gone.
    Trouble(String),
}

impl From<Refused> for Unready {
    fn from(refused: Refused) -> Self {
        if refused.is_of_rights() || refused.is_of_device() {
            Self::Trouble(refused.to_string())
        } else {
            Self::Unfit(refused.to_string())
        }
    }
}

/// By which clock a device tells the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamps {
    /// By the one that only goes forward.
    Monotonic,
    /// By the wall clock.
    Unix,
    /// By none that can be compared: rows are timed as they are read.
    Absent,
}

/// A device whose buffer is on.
#[derive(Debug)]
pub(super) struct Ready {
    /// Put back first, while no other program can open the node.
    pub(super) _changes: Changes,
    pub(super) node: File,
    pub(super) layout: Layout,
    pub(super) stamps: Stamps,
    /// How often it measures, where that is known.
    pub(super) rate_hz: Option<f64>,
}

/// What is wanted of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) rate_hz: f64,
    pub(super) trigger: Option<&'a str>,
}

/// Turns a device's buffer on.
///
/// # Errors
/// [`Unready`]; it is as it was then.
pub(super) fn start(roots: &Roots, part: &Part, wish: Wish<'_>) -> Result<Ready, Unready> {
    let Part { device, channels } = part;
    if !device.has_buffer() {
        return Err(Unready::Unfit("it has no buffer".to_owned()));
    }
    let node = sysfs::open(&device.node)?;
    let enable = device.file("buffer/enable");
    if sysfs::read(&enable)? != "0" {
        // Left over from a program that was killed: nobody has the node open but this process.
        sysfs::write(&enable, "0")?;
    }
    let mut changes = Changes::default();
    let own_hz = rate::set(device, channels, wish.rate_hz, &mut changes)?;
    let triggered_hz = trigger::set(roots, device, (wish.trigger, wish.rate_hz), &mut changes)?;
    let rate_hz = triggered_hz.or(own_hz);
    let clock = stamp_by(device, &mut changes)?;
    let layout = choose_elements(device, channels, &mut changes)?;
    size(device, rate_hz.unwrap_or(wish.rate_hz), &mut changes)?;
    let stamps = if layout.has_timestamp() { clock } else { Stamps::Absent };
    changes.write(enable, "1")?;
    Ok(Ready { _changes: changes, node, layout, stamps, rate_hz })
}

/// Lets the device tell the time by the clock that only goes forward. Its own default is the wall clock.
fn stamp_by(device: &Device, changes: &mut Changes) -> Result<Stamps, Unready> {
    let file = device.file("current_timestamp_clock");
    if !file.exists() {
        return Ok(Stamps::Unix);
    }
    match changes.write(file.clone(), "monotonic").map_err(Unready::from) {
        Err(Unready::Unfit(_)) | Ok(()) => {}
        Err(trouble) => return Err(trouble),
    }
    Ok(match sysfs::read(&file)?.as_str() {
        "monotonic" | "monotonic_coarse" => Stamps::Monotonic,
        "realtime" | "realtime_coarse" => Stamps::Unix,
        _ => Stamps::Absent,
    })
}

/// Turns on what is wanted, and the time; all else off.
fn choose_elements(device: &Device, channels: &[String], changes: &mut Changes) -> Result<Layout, Unready> {
    let file = |name: &str, what: &str| device.file(&format!("scan_elements/in_{name}_{what}"));
    let others = device.channels.iter().filter(|known| known.has_scan && !channels.contains(&known.name));
    for other in others {
        changes.write(file(&other.name, "en"), "0")?;
    }
    let mut elements = Vec::with_capacity(channels.len() + 1);
    let timestamp = file("timestamp", "en").exists().then_some("timestamp");
    for name in channels.iter().map(String::as_str).chain(timestamp) {
        if !file(name, "en").exists() {
            return Err(Unready::Unfit(format!("its buffer has no {name}")));
        }
        changes.write(file(name, "en"), "1")?;
        let (index, kind) = (sysfs::read(&file(name, "index"))?, sysfs::read(&file(name, "type"))?);
        let unknown = || Unready::Unfit(format!("values of {name} lie in its buffer in an unknown way (`{kind}`)"));
        let index = index.parse().map_err(|_| unknown())?;
        elements.push(Element { channel: name.to_owned(), index, kind: Type::parse(&kind).ok_or_else(unknown)? });
    }
    Layout::new(elements, channels).ok_or_else(|| Unready::Unfit("its buffer has no channel that is wanted".to_owned()))
}

/// Rows in the kernel's buffer, at least; what a short delay of this process must not overrun.
const SHORTEST: u32 = 16;

/// The buffer holds half a second, and wakes its reader 20 times a second at most.
fn size(device: &Device, rate_hz: f64, changes: &mut Changes) -> Result<(), Unready> {
    let length = rows_of(rate_hz, 0.5).max(SHORTEST);
    let file = device.file("buffer/length");
    if file.exists() {
        changes.write(file, &length.to_string())?;
    }
    let watermark = device.file("buffer/watermark");
    if watermark.exists() {
        changes.write(watermark, &rows_of(rate_hz, 0.05).clamp(1, length / 2).to_string())?;
    }
    Ok(())
}

/// Rows that come in so many seconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the range of a u32")]
fn rows_of(rate_hz: f64, seconds: f64) -> u32 {
    (rate_hz * seconds).floor().clamp(0.0, 1e6) as u32
}
