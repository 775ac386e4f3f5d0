//! What makes a device measure: its own interrupt line, or a timer that the operator has made (`hrtimer`).

use std::fs;
use std::path::{Path, PathBuf};

use super::device::{Device, Roots, numbered};
use super::rate;
use super::setup::Unready;
use super::sysfs::{self, Changes};

/// A trigger's folder.
struct Trigger {
    folder: PathBuf,
    name: String,
}

/// Gives a device that needs one its trigger: the configured one, else the one that it has, else its own. Gives the rate
/// that the trigger makes it measure at, where that is the trigger's to say.
///
/// # Errors
/// [`Unready`]
pub(super) fn set(
    roots: &Roots,
    device: &Device,
    (configured, wanted_hz): (Option<&str>, f64),
    changes: &mut Changes,
) -> Result<Option<f64>, Unready> {
    let file = device.file("trigger/current_trigger");
    let Ok(current) = sysfs::read(&file) else { return Ok(None) };
    let triggers = all(roots);
    let own = || own(roots, device, &triggers).map(|trigger| trigger.name.as_str());
    let name = match configured {
        Some(name) if !triggers.iter().any(|trigger| trigger.name == name) => return Err(absent(name, &triggers)),
        Some(name) => name,
        None if !current.is_empty() => &current,
        None => own().ok_or_else(|| {
            let how =
                "make a timer (/sys/kernel/config/iio/triggers/hrtimer) and name it by the source's key `trigger`";
            Unready::Unfit(format!("it has no trigger of its own; for even rows {how}"))
        })?,
    };
    let written = changes.write(file, name);
    match (written, configured) {
        (Err(refused), Some(_)) => return Err(Unready::Trouble(refused.to_string())),
        (written, _) => written?,
    }
    timer_rate(triggers.iter().find(|trigger| trigger.name == name), wanted_hz, changes)
}

/// Sets a timer, which takes any rate.
fn timer_rate(trigger: Option<&Trigger>, wanted_hz: f64, changes: &mut Changes) -> Result<Option<f64>, Unready> {
    let Some(trigger) = trigger else { return Ok(None) };
    let file = trigger.folder.join("sampling_frequency");
    let Ok(now) = sysfs::read(&file) else { return Ok(None) };
    if rate::number(&now) != Some(wanted_hz) {
        changes.write(file.clone(), &rate::plain(wanted_hz))?;
    }
    Ok(rate::number(&sysfs::read(&file)?))
}

fn all(roots: &Roots) -> Vec<Trigger> {
    let mut numbered = numbered(&roots.sysfs, "trigger");
    numbered.sort();
    let trigger = |(_, folder): (u32, PathBuf)| Some(Trigger { name: sysfs::read(&folder.join("name")).ok()?, folder });
    numbered.into_iter().filter_map(trigger).collect()
}

/// The one that belongs to a device: of its name and number, else beside it in the tree of hardware or of its name. A driver
/// may have several: then the plainest name is the one for data.
fn own<'a>(roots: &Roots, device: &Device, triggers: &'a [Trigger]) -> Option<&'a Trigger> {
    let exact = format!("{}-dev{}", device.name, device.number);
    let home = parent(roots, &device.folder);
    let is_own = |trigger: &&Trigger| {
        let beside = home.is_some() && parent(roots, &trigger.folder) == home;
        beside || trigger.name.starts_with(&format!("{}-", device.name))
    };
    let by_name = triggers.iter().find(|trigger| trigger.name == exact);
    by_name.or_else(|| triggers.iter().filter(is_own).min_by_key(|trigger| trigger.name.len()))
}

/// What the hardware is, of which this folder is a part.
fn parent(roots: &Roots, folder: &Path) -> Option<PathBuf> {
    let parent = fs::canonicalize(folder).ok()?.parent()?.to_owned();
    (Some(&parent) != fs::canonicalize(&roots.sysfs).ok().as_ref()).then_some(parent)
}

fn absent(name: &str, triggers: &[Trigger]) -> Unready {
    let known: Vec<&str> = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
    let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are: {}", known.join(", ")) };
    Unready::Trouble(format!("no trigger is called `{name}`; {known}"))
}
