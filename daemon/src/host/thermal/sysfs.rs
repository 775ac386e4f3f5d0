//! The files that the kernel says it in: Documentation/ABI/testing/sysfs-class-thermal, sysfs-devices-system-cpu.
//!
//! A file that cannot be read, or that has no sense in it, is as if it were not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Reading, Throttle, Zone};

/// Zones that are shown, at most.
const MAX_ZONES: usize = 64;

/// What a chip can be; sensors that are switched off or broken give other values.
const PLAUSIBLE_MILLI_C: std::ops::RangeInclusive<i32> = -60_000..=150_000;

/// What the Raspberry Pi's firmware says of now, by bit (its `vcgencmd get_throttled`).
const FIRMWARE: [Throttle; 4] =
    [Throttle::UnderVoltage, Throttle::FrequencyCapped, Throttle::Firmware, Throttle::SoftLimit];

/// Reads them.
#[derive(Debug)]
pub(super) struct Sysfs {
    root: PathBuf,
    /// How often processors had slowed themselves down when they were last looked at.
    slowed_down: Option<u64>,
}

impl Sysfs {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), slowed_down: None }
    }

    pub(super) fn read(&mut self) -> Reading {
        let mut throttled: Vec<_> = self.cooling().map(|is| (Throttle::Cooling, is)).into_iter().collect();
        throttled.extend(self.hardware().map(|is| (Throttle::Hardware, is)));
        throttled.extend(self.firmware());
        Reading { zones: self.zones(), throttled, frequency_ratio: self.frequency_ratio() }
    }

    fn zones(&self) -> Vec<Zone> {
        let mut zones: Vec<Zone> = self
            .folders("class/thermal", "thermal_zone")
            .filter_map(|(number, folder)| {
                let milli_c = value(&folder.join("temp")).filter(|milli_c| PLAUSIBLE_MILLI_C.contains(milli_c))?;
                Some(Zone { number, kind: text(&folder.join("type"))?, milli_c })
            })
            .collect();
        zones.sort_unstable_by_key(|zone| zone.number);
        zones.truncate(MAX_ZONES);
        zones
    }

    /// Whether the kernel cools by a processor; `None` where it cannot.
    fn cooling(&self) -> Option<bool> {
        let states = self.folders("class/thermal", "cooling_device").filter_map(|(_, folder)| {
            let is_processor = text(&folder.join("type")).is_some_and(|kind| {
                kind == "Processor" || kind.starts_with("cpufreq-") || kind.starts_with("thermal-cpufreq-")
            });
            if is_processor { value::<i64>(&folder.join("cur_state")) } else { None }
        });
        any(states.map(|state| state > 0))
    }

    /// Whether a processor has slowed itself down since the last look; `None` where it does not say so.
    fn hardware(&mut self) -> Option<bool> {
        let counts = self
            .folders("devices/system/cpu", "cpu")
            .filter_map(|(_, folder)| value::<u64>(&folder.join("thermal_throttle/core_throttle_count")));
        let now = counts.reduce(u64::saturating_add)?;
        Some(self.slowed_down.replace(now).is_some_and(|before| now > before))
    }

    fn firmware(&self) -> Vec<(Throttle, bool)> {
        let file = self.root.join("devices/platform/soc/soc:firmware/get_throttled");
        let bits = text(&file).and_then(|bits| u32::from_str_radix(bits.trim_start_matches("0x"), 16).ok());
        let is_set = |bits: u32| FIRMWARE.into_iter().enumerate().map(move |(bit, why)| (why, bits >> bit & 1 == 1));
        bits.map(|bits| is_set(bits).collect()).unwrap_or_default()
    }

    fn frequency_ratio(&self) -> Option<f64> {
        let ratios = self.folders("devices/system/cpu/cpufreq", "policy").filter_map(|(_, folder)| {
            let now: u32 = value(&folder.join("scaling_cur_freq"))?;
            let greatest = value(&folder.join("cpuinfo_max_freq")).filter(|greatest: &u32| *greatest > 0)?;
            Some(f64::from(now) / f64::from(greatest))
        });
        ratios.reduce(f64::max)
    }

    /// Folders in `folder` that are called `name` and a number.
    fn folders(&self, folder: &str, name: &'static str) -> impl Iterator<Item = (u32, PathBuf)> + use<> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            let number = entry.file_name().to_str().and_then(|found| found.strip_prefix(name)?.parse().ok())?;
            Some((number, entry.path()))
        })
    }
}

/// Whether one of them is so; `None` where there are none.
fn any(states: impl Iterator<Item = bool>) -> Option<bool> {
    states.reduce(|one, other| one | other)
}

fn text(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn value<T: FromStr>(file: &Path) -> Option<T> {
    text(file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A tree of such files.
    struct Tree(TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for (path, text) in files {
                tree.set(path, text);
            }
            tree
        }

        fn set(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            crate::host::durable::replace(&path, format!("{text}\n").as_bytes()).unwrap();
        }

        fn sysfs(&self) -> Sysfs {
            Sysfs::new(self.0.path())
        }
    }

    #[test]
    fn zones_are_told_by_number_and_nonsense_is_left_out() {
        let tree = Tree::new(&[
            ("class/thermal/thermal_zone10/type", "acpitz"),
            ("class/thermal/thermal_zone10/temp", "27800"),
            ("class/thermal/thermal_zone2/type", "acpitz"),
            ("class/thermal/thermal_zone2/temp", "-5000"),
            ("class/thermal/thermal_zone3/type", "iwlwifi_1"),
            ("class/thermal/thermal_zone4/type", "off"),
            ("class/thermal/thermal_zone4/temp", "-274000"),
            ("class/thermal/thermal_zone5/temp", "30000"),
            ("class/thermal/thermal_zonex/temp", "30000"),
        ]);
        let zones = tree.sysfs().read().zones;
        let told: Vec<_> = zones.iter().map(|zone| (zone.number, &*zone.kind, zone.milli_c)).collect();
        assert_eq!(told, [(2, "acpitz", -5000), (10, "acpitz", 27_800)]);
    }

    #[test]
    fn only_a_processors_cooling_holds_it_back() {
        let tree = Tree::new(&[
            ("class/thermal/cooling_device0/type", "pwm-fan"),
            ("class/thermal/cooling_device0/cur_state", "3"),
            ("class/thermal/cooling_device1/type", "intel_powerclamp"),
            ("class/thermal/cooling_device1/cur_state", "-1"),
        ]);
        assert_eq!(tree.sysfs().read().throttled, []);
        for kind in ["Processor", "cpufreq-cpu4", "thermal-cpufreq-0"] {
            tree.set("class/thermal/cooling_device2/type", kind);
            for (state, is_so) in [("0", false), ("2", true)] {
                tree.set("class/thermal/cooling_device2/cur_state", state);
                assert_eq!(tree.sysfs().read().throttled, [(Throttle::Cooling, is_so)], "{kind}");
            }
        }
    }

    #[test]
    fn a_processor_that_has_slowed_itself_down_between_two_looks_is_told_once() {
        let count = |cpu: u32| format!("devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count");
        let tree = Tree::new(&[(&count(0), "7"), (&count(1), "0")]);
        let mut sysfs = tree.sysfs();
        let mut looks = || sysfs.read().throttled;
        assert_eq!(looks(), [(Throttle::Hardware, false)], "what was before the first look is no news");
        tree.set(&count(1), "1");
        assert_eq!(looks(), [(Throttle::Hardware, true)]);
        assert_eq!(looks(), [(Throttle::Hardware, false)]);
    }

    #[test]
    fn the_firmware_of_a_raspberry_pi_says_what_is_now_and_not_what_was() {
        let tree = Tree::new(&[("devices/platform/soc/soc:firmware/get_throttled", "50005")]);
        let [under_voltage, capped, throttled, soft] = FIRMWARE;
        let expected = [(under_voltage, true), (capped, false), (throttled, true), (soft, false)];
        assert_eq!(tree.sysfs().read().throttled, expected);
        tree.set("devices/platform/soc/soc:firmware/get_throttled", "0xa");
        let expected = expected.map(|(why, is_so)| (why, !is_so));
        assert_eq!(tree.sysfs().read().throttled, expected);
    }

    #[test]
    fn the_fastest_core_counts() {
        let tree = Tree::new(&[
            ("devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "600000"),
            ("devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq", "1800000"),
            ("devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "1800000"),
            ("devices/system/cpu/cpufreq/policy4/cpuinfo_max_freq", "2400000"),
            ("devices/system/cpu/cpufreq/policy6/scaling_cur_freq", "1"),
            ("devices/system/cpu/cpufreq/policy6/cpuinfo_max_freq", "0"),
        ]);
        assert_eq!(tree.sysfs().read().frequency_ratio, Some(0.75));
        assert_eq!(Tree::new(&[]).sysfs().read(), Reading::default());
    }
}
