//! How often a device measures.
//!
//! Drivers compare what is written with their list, digit for digit: what they list is written back as it stands.

use std::path::PathBuf;

use inferd_core::manifest::ImuInput;

use super::device::{Device, attribute_names};
use super::sysfs::{self, Changes, Refused};

/// Sets the rates of these channels to the one that suits `wanted_hz` best. Gives what it is then, the fastest where kinds
/// have their own; `None` where the device does not say.
///
/// # Errors
/// [`Refused`], but not where it measures fast enough as it is.
pub(super) fn set(
    device: &Device,
    channels: &[String],
    wanted_hz: f64,
    changes: &mut Changes,
) -> Result<Option<f64>, Refused> {
    let mut fastest: Option<f64> = None;
    for (path, text) in files(device, channels) {
        let actual = set_one(device, path, &text, wanted_hz, changes)?;
        fastest = actual.into_iter().chain(fastest).reduce(f64::max);
    }
    Ok(fastest)
}

/// The files that say how often these channels are measured, and what they say.
fn files(device: &Device, channels: &[String]) -> Vec<(PathBuf, String)> {
    let file = |channel: &String| sysfs::first(&device.folder, &attribute_names(channel, "sampling_frequency"));
    let mut files: Vec<(PathBuf, String)> = channels.iter().filter_map(file).collect();
    files.sort();
    files.dedup();
    files
}

fn set_one(
    device: &Device,
    path: PathBuf,
    now: &str,
    wanted_hz: f64,
    changes: &mut Changes,
) -> Result<Option<f64>, Refused> {
    let choice = match listed(device, &path) {
        Some(list) => pick(&list, wanted_hz).to_owned(),
        None => plain(wanted_hz),
    };
    let now_hz = number(now);
    if now_hz.is_some() && now_hz == number(&choice) {
        return Ok(now_hz);
    }
    match changes.write(path.clone(), &choice) {
        Ok(()) => Ok(sysfs::read(&path).ok().and_then(|text| number(&text))),
        Err(_) if now_hz.is_some_and(|now_hz| now_hz >= wanted_hz * (1.0 - ImuInput::RATE_TOLERANCE)) => Ok(now_hz),
        Err(refused) if refused.is_of_rights() || refused.is_of_device() => Err(refused),
        Err(refused) => {
            tracing::warn!(%refused, "the sensor keeps its rate");
            Ok(now_hz)
        }
    }
}

/// The rates that a device lists for one of its files. Some drivers name the list of a kind as that of the device.
fn listed(device: &Device, path: &std::path::Path) -> Option<String> {
    let own = format!("{}_available", path.file_name()?.to_str()?);
    let names = [own, "in_sampling_frequency_available".to_owned(), "sampling_frequency_available".to_owned()];
    let (_, list) = sysfs::first(&device.folder, &names)?;
    list.split_whitespace().any(|text| number(text).is_some()).then_some(list).filter(|list| !list.starts_with('['))
}

/// What a device's list of rates says, for people; what it is set to where there is none.
pub(super) fn shown(device: &Device) -> String {
    let mut shown: Vec<String> = Vec::new();
    for (path, now) in files(device, &device.channels.iter().map(|channel| channel.name.clone()).collect::<Vec<_>>()) {
        let text = listed(device, &path).unwrap_or(now);
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    shown.join("; ")
}

/// One of a list of rates, as it stands there: the nearest of those that are as good as the wanted one, else the slowest
/// above it, so that the device's own filter, which follows its rate, takes away most of what would fold into the rows
/// (aliasing: what is above half their rate), else the fastest.
pub(super) fn pick(list: &str, wanted_hz: f64) -> &str {
    let rates = || list.split_whitespace().filter_map(|text| Some((text, number(text)?)));
    let distance = |&(_, hz): &(&str, f64)| (hz - wanted_hz).abs();
    let as_good = rates().filter(|rate| distance(rate) <= wanted_hz * ImuInput::RATE_TOLERANCE);
    let nearest = as_good.min_by(|one, other| distance(one).total_cmp(&distance(other)));
    let above = || rates().filter(|(_, hz)| *hz > wanted_hz).min_by(|one, other| one.1.total_cmp(&other.1));
    let fastest = || rates().max_by(|one, other| one.1.total_cmp(&other.1));
    nearest.or_else(above).or_else(fastest).map_or("", |(text, _)| text)
}

pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

/// A number as drivers without a list read it: at most six decimals.
pub(super) fn plain(hz: f64) -> String {
    let text = format!("{hz:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
