//! Rules for devices. Whether one is there is not asked: it may be plugged in later.

use super::command::{check_patience, check_row_rate};
use super::{Findings, check_side};
use crate::config::{Camera, Imu, Microphone};

pub(super) fn check_camera(key: &str, camera: &Camera, found: &mut Findings) {
    check_device(key, camera.device.as_deref(), found);
    for (name, side, other) in [("width", camera.width, camera.height), ("height", camera.height, camera.width)] {
        match side {
            Some(side) => check_side(&format!("{key}.{name}"), side, found),
            None if other.is_some() => {
                found.add(format!("{key}.{name}"), "is missing: both sides or none are expected")
            }
            None => {}
        }
    }
    if let Some(fps) = camera.fps {
        found.range(format!("{key}.fps"), fps, 0.001..=1000.0, " pictures a second");
        check_patience(key, ("fps", fps, "pictures"), camera.silence_ms, found);
    }
    check_silence(key, camera.silence_ms, found);
}

pub(super) fn check_microphone(key: &str, microphone: &Microphone, found: &mut Findings) {
    check_device(key, microphone.device.as_deref(), found);
    if let Some(rate_hz) = microphone.rate_hz
        && !(1000..=192_000).contains(&rate_hz)
    {
        let expected = "a whole number of samples a second, 1000 to 192000, is expected";
        found.add(format!("{key}.rate_hz"), format!("is no rate of sound; {expected}"));
    }
    if let Some(channel) = microphone.channel {
        found.range(format!("{key}.channel"), channel, 0..=63, "");
    }
    check_silence(key, microphone.silence_ms, found);
}

pub(super) fn check_imu(key: &str, imu: &Imu, found: &mut Findings) {
    if imu.devices.len() > 8 {
        found.add(format!("{key}.devices"), format!("names {} devices; at most 8 are expected", imu.devices.len()));
    }
    if imu.devices.iter().any(String::is_empty) {
        found.add(format!("{key}.devices"), "has an empty name");
    }
    if let Some(rate_hz) = imu.rate_hz {
        check_row_rate(key, rate_hz, imu.silence_ms, found);
    }
    if imu.names.iter().any(|(name, channel)| name.is_empty() || channel.is_empty()) {
        found.add(format!("{key}.names"), "has an empty name");
    }
    if imu.trigger.as_deref() == Some("") {
        found.add(format!("{key}.trigger"), "is empty; the name of a trigger is expected");
    }
    check_silence(key, imu.silence_ms, found);
}

fn check_device(key: &str, device: Option<&str>, found: &mut Findings) {
    if device.is_some_and(|device| device.is_empty() || device.contains('\0')) {
        found.add(format!("{key}.device"), "is no device; a path or a name is expected");
    }
}

fn check_silence(key: &str, silence_ms: u64, found: &mut Findings) {
    found.range(format!("{key}.silence_ms"), silence_ms, 100..=86_400_000, " ms");
}
