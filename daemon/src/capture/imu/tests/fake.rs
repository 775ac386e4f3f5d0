//! A tree of sysfs and a folder of device nodes, made from facts about real devices.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::super::device::Roots;
use crate::host::durable::replace;

pub(super) const ADXL345: &str = include_str!("../trees/adxl345-no-buffer.txt");
pub(super) const BMI160: &str = include_str!("../trees/bmi160.txt");
pub(super) const BMI160_NO_IRQ: &str = include_str!("../trees/bmi160-no-irq.txt");
pub(super) const HID: &str = include_str!("../trees/hid-accel-3d-16bit.txt");
pub(super) const ICM42605_ACCEL: &str = include_str!("../trees/icm42605-accel.txt");
pub(super) const ICM42605_GYRO: &str = include_str!("../trees/icm42605-gyro.txt");
pub(super) const KXCJK1013: &str = include_str!("../trees/kxcjk1013-tablet.txt");
pub(super) const LSM6DS3_ACCEL: &str = include_str!("../trees/lsm6ds3-accel.txt");
pub(super) const LSM6DS3_GYRO: &str = include_str!("../trees/lsm6ds3-gyro.txt");
pub(super) const MMA8452: &str = include_str!("../trees/mma8452.txt");
pub(super) const MPU6050: &str = include_str!("../trees/mpu6050.txt");
pub(super) const MPU6050_NO_IRQ: &str = include_str!("../trees/mpu6050-no-irq.txt");
pub(super) const MPU9250: &str = include_str!("../trees/mpu9250-beaglebone.txt");

/// A machine with nothing attached.
pub(super) struct Machine {
    folder: TempDir,
}

impl Machine {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sysfs", "dev", "hardware"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    pub(super) fn with(devices: &[(u32, &str)]) -> Self {
        let machine = Self::new();
        devices.iter().for_each(|(number, facts)| machine.attach(*number, facts));
        machine
    }

    pub(super) fn roots(&self) -> Roots {
        Roots { sysfs: self.folder.path().join("sysfs"), dev: self.folder.path().join("dev") }
    }

    /// Attaches a device, each on a chip of its own; its node is a pipe where it has a buffer.
    pub(super) fn attach(&self, number: u32, facts: &str) {
        let id = format!("iio:device{number}");
        let lines = facts.lines().filter(|line| !line.starts_with('#'));
        let files: Vec<(&str, &str)> = lines.map(|line| line.split_once(" =").unwrap()).collect();
        if files.iter().any(|(name, _)| name.starts_with("buffer/")) {
            mkfifo(&self.node(number), Mode::from_bits_truncate(0o600)).unwrap();
        }
        self.put(&format!("chip{number}/{id}"), &id, &files);
    }

    /// Makes a trigger on a device's chip, or on one of its own.
    pub(super) fn trigger(&self, chip: u32, number: u32, files: &[(&str, &str)]) {
        let id = format!("trigger{number}");
        self.put(&format!("chip{chip}/{id}"), &id, files);
    }

    /// As in the kernel: the folder lies in the tree of hardware and appears at once, as a link.
    fn put(&self, home: &str, id: &str, files: &[(&str, &str)]) {
        let home = self.folder.path().join("hardware").join(home);
        for (name, text) in files {
            let file = home.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            replace(&file, format!("{}\n", text.trim_start()).as_bytes()).unwrap();
        }
        symlink(home, self.roots().sysfs.join(id)).unwrap();
    }

    pub(super) fn node(&self, number: u32) -> PathBuf {
        self.roots().dev.join(format!("iio:device{number}"))
    }

    pub(super) fn file(&self, number: u32, name: &str) -> PathBuf {
        self.roots().sysfs.join(format!("iio:device{number}")).join(name)
    }

    pub(super) fn read(&self, number: u32, name: &str) -> String {
        fs::read_to_string(self.file(number, name)).unwrap().trim().to_owned()
    }

    pub(super) fn write(&self, number: u32, name: &str, text: &str) {
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.file(number, name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The other end of a device's node: the device is gone when it is dropped.
    pub(super) fn driver(&self, number: u32) -> File {
        OpenOptions::new().read(true).write(true).open(self.node(number)).unwrap()
    }

    /// Lets every user look at and write all of a device.
    pub(super) fn let_all_in(&self, number: u32) {
        fn open(path: &std::path::Path) {
            fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
            fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| open(&entry.path()));
        }
        fs::set_permissions(self.folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        open(&self.folder.path().join("hardware").join(format!("chip{number}")));
        open(&self.node(number));
    }

    /// All files of a device, but for those that only say what it measures.
    pub(super) fn settings(&self, number: u32) -> Vec<(String, String)> {
        let home = self.file(number, "");
        let mut settings = Vec::new();
        for folder in ["", "scan_elements", "buffer", "trigger"] {
            for entry in fs::read_dir(home.join(folder)).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_file() {
                    let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
                    settings.push((name, fs::read_to_string(entry.path()).unwrap().trim().to_owned()));
                }
            }
        }
        settings.sort();
        settings
    }
}

/// What of a device's settings is other than before.
pub(super) fn changed(before: &[(String, String)], after: &[(String, String)]) -> Vec<String> {
    let other = after.iter().filter(|setting| !before.contains(setting));
    other.map(|(name, text)| format!("{} = {text}", name.trim_start_matches('/'))).collect()
}
