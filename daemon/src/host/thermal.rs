//! How hot the machine is, and whether its processor is held back for that.
//!
//! Invariants:
//! - One thread reads the kernel's files, which may be slow (a sensor on a bus, firmware), every few seconds. Whoever asks
//!   gets what was read last and waits for nothing.
//! - What a machine does not say is not shown: a machine that says nothing has no zone, no reason, no frequency.

mod sysfs;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use sysfs::Sysfs;

/// How often it is read: temperatures of chips rise by a few degrees a second at most.
const EVERY: Duration = Duration::from_secs(5);

/// Where no zone is known.
const UNKNOWN: i32 = i32::MIN;

/// What was read last. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Thermal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Of the hottest zone, thousandths of a degree Celsius; or [`UNKNOWN`].
    hottest_milli_c: AtomicI32,
    latest: Mutex<Arc<Reading>>,
}

/// One look at all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Temperatures, by the zones' numbers.
    pub zones: Vec<Zone>,
    /// What can hold the processor back here, and whether it does.
    pub throttled: Vec<(Throttle, bool)>,
    /// The fastest core's frequency as a share of its greatest; `None` where the kernel does not set it.
    pub frequency_ratio: Option<f64>,
}

/// A zone that the kernel watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its number: two zones may be of one type.
    pub number: u32,
    /// What it is (`cpu-thermal`, `x86_pkg_temp`).
    pub kind: String,
    /// Thousandths of a degree Celsius.
    pub milli_c: i32,
}

/// Why a processor is slower than it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// The kernel cools by it.
    Cooling,
    /// It has slowed itself down since it was last looked at (x86).
    Hardware,
    /// The supply's voltage is too low (Raspberry Pi).
    UnderVoltage,
    /// The firmware caps its frequency (Raspberry Pi).
    FrequencyCapped,
    /// The firmware slows it down (Raspberry Pi).
    Firmware,
    /// It is above the firmware's soft limit of temperature (Raspberry Pi).
    SoftLimit,
}

impl Throttle {
    /// The word used in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cooling => "cooling",
            Self::Hardware => "hardware",
            Self::UnderVoltage => "under-voltage",
            Self::FrequencyCapped => "frequency-capped",
            Self::Firmware => "firmware",
            Self::SoftLimit => "soft-limit",
        }
    }
}

impl Thermal {
    /// A machine that says nothing.
    pub fn unknown() -> Self {
        Self(Arc::new(Shared { hottest_milli_c: AtomicI32::new(UNKNOWN), latest: Mutex::default() }))
    }

    /// Reads below `root` (`/sys`) now, and from then on every few seconds until the [`Watcher`] is dropped.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn watch(root: &Path) -> io::Result<(Self, Watcher)> {
        let thermal = Self::unknown();
        let mut sysfs = Sysfs::new(root);
        thermal.take(sysfs.read());
        let (stop, stopped) = sync_channel(0);
        let reader = thermal.clone();
        let thread = Builder::new().name("thermal".into()).spawn(move || reader.keep_reading(sysfs, &stopped))?;
        Ok((thermal, Watcher { stop: Some(stop), thread: Some(thread) }))
    }

    /// The hottest zone's temperature, in degrees Celsius. No lock.
    pub fn hottest_c(&self) -> Option<f64> {
        match self.0.hottest_milli_c.load(Ordering::Relaxed) {
            UNKNOWN => None,
            milli_c => Some(f64::from(milli_c) / 1000.0),
        }
    }

    /// All that was read last.
    pub fn latest(&self) -> Arc<Reading> {
        Arc::clone(&self.lock())
    }

    fn keep_reading(&self, mut sysfs: Sysfs, stopped: &Receiver<()>) {
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            self.take(sysfs.read());
        }
    }

    fn take(&self, reading: Reading) {
        let hottest = reading.zones.iter().map(|zone| zone.milli_c).max();
        self.0.hottest_milli_c.store(hottest.unwrap_or(UNKNOWN), Ordering::Relaxed);
        *self.lock() = Arc::new(reading);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Reading>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As if a zone had this temperature.
    #[cfg(test)]
    #[expect(clippy::cast_possible_truncation, reason = "degrees of a test")]
    pub(crate) fn set_hottest_c(&self, celsius: f64) {
        self.0.hottest_milli_c.store((celsius * 1000.0) as i32, Ordering::Relaxed);
    }
}

/// Keeps reading until it is dropped, which takes as long as one look does.
#[derive(Debug)]
pub struct Watcher {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic on what files say.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_read_is_there_at_once_and_the_thread_ends_at_once() {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("class/thermal/thermal_zone0");
        std::fs::create_dir_all(&zone).unwrap();
        crate::host::durable::replace(&zone.join("type"), b"cpu-thermal\n").unwrap();
        crate::host::durable::replace(&zone.join("temp"), b"48312\n").unwrap();
        let (thermal, watcher) = Thermal::watch(root.path()).unwrap();
        assert_eq!(thermal.hottest_c(), Some(48.312));
        let expected = Zone { number: 0, kind: "cpu-thermal".to_owned(), milli_c: 48_312 };
        assert_eq!(thermal.latest().zones, [expected]);
        let begun = Instant::now();
        drop(watcher);
        assert!(begun.elapsed() < EVERY, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_machine_that_says_nothing_has_no_temperature() {
        let root = tempfile::tempdir().unwrap();
        let (thermal, _watcher) = Thermal::watch(root.path()).unwrap();
        assert_eq!(thermal.hottest_c(), None);
        assert_eq!(*thermal.latest(), Reading::default());
    }
}
