//! Reading a device value by value, where it has no buffer: each time its file is read, the device measures or gives what it
//! has measured last.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::calibrate::Calibration;
use super::choose::Part;
use super::rate;
use super::rows::Rows;
use super::sysfs::{self, Changes, Refused};
use crate::host::clock::Clock;

/// A device's open files.
#[derive(Debug)]
pub(super) struct Polled {
    files: Vec<File>,
    calibration: Calibration,
    _changes: Changes,
}

impl Polled {
    /// Opens it, measuring often enough.
    ///
    /// # Errors
    /// [`Refused`]
    pub(super) fn open(part: &Part, rate_hz: f64, calibration: Calibration) -> Result<Self, Refused> {
        let mut changes = Changes::default();
        rate::set(&part.device, &part.channels, rate_hz, &mut changes)?;
        let file = |channel: &String| sysfs::open(&part.device.file(&format!("in_{channel}_raw")));
        let files = part.channels.iter().map(file).collect::<Result<_, _>>()?;
        Ok(Self { files, calibration, _changes: changes })
    }

    /// Appends a row of now.
    ///
    /// # Errors
    /// What the system said of a device that has gone, or that gives no number.
    pub(super) fn read(&self, clock: &Clock, rows: &mut Rows) -> io::Result<()> {
        let mut failed = None;
        rows.add(clock.now(), 0, |values| {
            for file in &self.files {
                match number(file) {
                    Ok(value) => values.push(value),
                    Err(error) => return failed = Some(error),
                }
            }
        });
        self.calibration.apply(rows.last());
        failed.map_or(Ok(()), Err)
    }
}

/// The number in a file of sysfs: it is made anew whenever it is read from its beginning.
fn number(file: &File) -> io::Result<f64> {
    let mut text = [0; 64];
    let length = file.read_at(&mut text, 0)?;
    let text = str::from_utf8(&text[..length]).unwrap_or_default().trim();
    text.parse().map_err(|_| io::Error::other(format!("`{text}` is no value")))
}
