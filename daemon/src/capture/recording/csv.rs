//! Comma-separated sensor values: a header with the channels' names, then a row for each moment. The moments come from a
//! column of seconds or from a fixed rate.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_core::frame::Format;

use super::reader::{Read, Reader};
use crate::capture::error::{SourceError, during};
use crate::capture::single;
use crate::capture::slots::Slots;

/// Rows that are handed on at once: a tenth of a second at 100 rows per second.
const ROWS_PER_FRAME: usize = 10;

/// Rows that the rate of a timestamp column is measured on.
const ROWS_TO_MEASURE: usize = 1000;

/// The longest record that is read, give or take a buffer of 8 KiB: a file without line ends, or with a quote that is never
/// closed, is not read whole.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// The column that holds seconds where the configuration does not name one.
pub(super) const USUAL_TIMESTAMP: &str = "t";

/// A file of sensor values.
pub(super) struct Csv {
    path: PathBuf,
    rows: ::csv::Reader<Rationed>,
    data_start: ::csv::Position,
    timestamp: Option<usize>,
    channels: Vec<String>,
    columns: Vec<usize>,
    rate_hz: f64,
    row: ::csv::StringRecord,
    previous_s: Option<f64>,
}

impl Csv {
    /// Opens the file; with `rate_hz` the rows are evenly spaced, else the column `timestamp` says when each was.
    pub(super) fn open(path: &Path, rate_hz: Option<f64>, timestamp: Option<&str>) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(during("open", path))?;
        let mut rows = ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(Rationed::new(file));
        let header = rows.headers().map_err(|error| of_csv(path, error))?.clone();
        let data_start = rows.position().clone();
        let wanted = timestamp.unwrap_or(USUAL_TIMESTAMP);
        let column = header.iter().position(|name| name == wanted);
        if column.is_none() && (rate_hz.is_none() || timestamp.is_some()) {
            let names: Vec<&str> = header.iter().collect();
            let problem = format!(
                "it has no column `{wanted}` with seconds (it has {}); name one with `timestamp` or give `rate_hz`",
                names.join(", ")
            );
            return Err(SourceError::damaged(path, problem));
        }
        let columns: Vec<usize> = (0..header.len()).filter(|&index| Some(index) != column).collect();
        let channels = columns.iter().map(|&index| header[index].to_owned()).collect();
        let mut csv = Self {
            path: path.to_owned(),
            rows,
            data_start,
            timestamp: column,
            channels,
            columns,
            rate_hz: 0.0,
            row: ::csv::StringRecord::new(),
            previous_s: None,
        };
        csv.rate_hz = match rate_hz {
            Some(rate_hz) => {
                csv.timestamp = column.filter(|_| timestamp.is_some());
                rate_hz
            }
            None => csv.measure_rate()?,
        };
        Ok(csv)
    }

    pub(super) const fn rate_hz(&self) -> f64 {
        self.rate_hz
    }

    pub(super) fn channels(&self) -> &[String] {
        &self.channels
    }

    /// Rows per second over the first rows, by their time stamps.
    fn measure_rate(&mut self) -> Result<f64, SourceError> {
        let (mut first, mut last, mut count) = (None, 0.0, 0_u32);
        for _ in 0..ROWS_TO_MEASURE {
            if !self.next_row()? {
                break;
            }
            last = self.seconds()?;
            first.get_or_insert(last);
            count += 1;
        }
        self.rewind()?;
        let span = last - first.unwrap_or(last);
        if span <= 0.0 {
            return Err(SourceError::damaged(&self.path, "its time stamps do not go forward; seconds are expected"));
        }
        Ok(f64::from(count - 1) / span)
    }

    fn next_row(&mut self) -> Result<bool, SourceError> {
        self.rows.get_mut().left = MAX_RECORD_BYTES;
        self.rows.read_record(&mut self.row).map_err(|error| of_csv(&self.path, error))
    }

    fn seconds(&self) -> Result<f64, SourceError> {
        let Some(column) = self.timestamp else { return Ok(0.0) };
        let seconds = self.value(column)?;
        // Pace and rate are computed from it: `nan` is a number to the parser, but no time.
        if seconds.is_finite() { Ok(seconds) } else { Err(self.wrong(column, "is no time")) }
    }

    fn value(&self, column: usize) -> Result<f64, SourceError> {
        let text = self.row.get(column).unwrap_or_default();
        text.parse().map_err(|_| self.wrong(column, "is no number"))
    }

    fn wrong(&self, column: usize, what: &str) -> SourceError {
        let text = self.row.get(column).unwrap_or_default();
        let line = self.row.position().map_or(0, ::csv::Position::line);
        SourceError::damaged(&self.path, format!("line {line}: `{text}` {what}"))
    }

    /// Appends the row's channels to `space` at `filled`; gives how long after the previous row it was recorded.
    #[expect(clippy::cast_possible_truncation, reason = "frames carry 32-bit floats")]
    fn append(&mut self, space: &mut [u8], filled: &mut usize) -> Result<f64, SourceError> {
        for index in 0..self.columns.len() {
            let value = self.value(self.columns[index])? as f32;
            space[*filled..*filled + 4].copy_from_slice(&value.to_le_bytes());
            *filled += 4;
        }
        let usual = 1.0 / self.rate_hz;
        if self.timestamp.is_none() {
            return Ok(usual);
        }
        let now = self.seconds()?;
        let step = self.previous_s.replace(now).map_or(usual, |before| now - before);
        // A recording may have a gap of hours or a clock that was set back: neither is worth waiting for.
        Ok(if (0.0..=60.0).contains(&step) { step } else { usual })
    }
}

impl Reader for Csv {
    fn read(&mut self, slots: &mut Slots) -> Result<Option<Read>, SourceError> {
        let row_bytes = self.columns.len() * 4;
        let mut slot = slots.take(row_bytes * ROWS_PER_FRAME)?;
        let (mut filled, mut lasts_s) = (0, 0.0);
        for _ in 0..ROWS_PER_FRAME {
            if !self.next_row()? {
                break;
            }
            lasts_s += self.append(slot.space(), &mut filled)?;
        }
        if filled == 0 {
            return Ok(None);
        }
        slot.set_len(filled);
        let channels = u16::try_from(self.columns.len()).unwrap_or(u16::MAX);
        let format = Format::Imu { rate_hz: single(self.rate_hz), channels };
        Ok(Some(Read { slot, format, lasts: Duration::from_secs_f64(lasts_s) }))
    }

    fn rewind(&mut self) -> Result<(), SourceError> {
        self.previous_s = None;
        self.rows.seek(self.data_start.clone()).map_err(|error| of_csv(&self.path, error))
    }
}

/// A file of which so much may be read until somebody says that it goes on.
struct Rationed {
    file: File,
    left: usize,
}

impl Rationed {
    const fn new(file: File) -> Self {
        Self { file, left: MAX_RECORD_BYTES }
    }
}

impl io::Read for Rationed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let problem = format!("a line is over {} KiB", MAX_RECORD_BYTES >> 10);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let most = buffer.len().min(self.left);
        let read = self.file.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

impl Seek for Rationed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn of_csv(path: &Path, error: ::csv::Error) -> SourceError {
    let text = error.to_string();
    match error.into_kind() {
        // It is the file that is wrong, not the reading of it.
        ::csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            SourceError::damaged(path, source.to_string())
        }
        ::csv::ErrorKind::Io(source) => during("read", path)(source),
        _ => SourceError::damaged(path, text),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::capture::queue::{FrameQueue, Overflow};
    use crate::host::wake::Bell;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    fn values(csv: &mut Csv) -> (Vec<f32>, Duration) {
        let queue = FrameQueue::new(1, Overflow::Block, Bell::new().unwrap());
        let read = csv.read(&mut Slots::new(1, queue)).unwrap().unwrap();
        let values = read.slot.bytes().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        (values.collect(), read.lasts)
    }

    #[test]
    fn time_stamps_give_rate_and_pace_and_are_no_channel() {
        let file = file("ax, t ,ay\n1,0.00,2\n3,0.02,4\n5,0.04,6\n");
        let mut csv = Csv::open(file.path(), None, None).unwrap();
        assert_eq!(csv.channels(), ["ax", "ay"]);
        assert!((csv.rate_hz() - 50.0).abs() < 1e-9);
        for _ in 0..2 {
            let (values, lasts) = values(&mut csv);
            assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            assert!((lasts.as_secs_f64() - 0.06).abs() < 1e-6);
            csv.rewind().unwrap();
        }
    }

    #[test]
    fn a_rate_makes_time_stamps_unnecessary() {
        let file = file("ax\n1\n2\n");
        let mut csv = Csv::open(file.path(), Some(100.0), None).unwrap();
        assert_eq!(values(&mut csv), (vec![1.0, 2.0], Duration::from_millis(20)));
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_is_read() {
        let problem = |text: &str| {
            let file = file(text);
            let read_all = || -> Result<(), SourceError> {
                let mut csv = Csv::open(file.path(), Some(100.0), None)?;
                while csv.next_row()? {}
                Ok(())
            };
            read_all().err().map(|error| error.to_string()).unwrap_or_default()
        };
        let long = "1".repeat(2 * MAX_RECORD_BYTES);
        for text in
            [long.clone(), format!("ax\n1\n{long}\n2\n"), format!("ax\n1\n\"{}", "2\n".repeat(MAX_RECORD_BYTES))]
        {
            let problem = problem(&text);
            assert!(problem.contains("a line is over 64 KiB"), "{problem}");
        }
        let many_lines = format!("ax\n{}", "1\n".repeat(4 * MAX_RECORD_BYTES));
        assert_eq!(problem(&many_lines), "");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let missing = file("ax\n1\n");
        let problem = Csv::open(missing.path(), None, None).err().unwrap().to_string();
        assert!(problem.contains("no column `t` with seconds (it has ax)"), "{problem}");
        let word = file("t,ax\n0,1\n0.1,one\n0.2,1\n");
        let mut csv = Csv::open(word.path(), None, None).unwrap();
        let queue = FrameQueue::new(1, Overflow::Block, Bell::new().unwrap());
        let problem = csv.read(&mut Slots::new(1, queue)).err().unwrap().to_string();
        assert!(problem.contains("line 3: `one` is no number"), "{problem}");
        for text in ["nan", "inf"] {
            let time = file(&format!("t,ax\n0,1\n{text},1\n0.2,1\n"));
            let problem = Csv::open(time.path(), None, None).err().unwrap().to_string();
            assert!(problem.contains(&format!("line 3: `{text}` is no time")), "{problem}");
        }
    }
}
