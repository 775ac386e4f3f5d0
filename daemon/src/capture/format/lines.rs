//! Rows of sensor values, a line each: comma-separated, or JSON.
//!
//! Serial ports and radios garble a line now and then: one that cannot be read is left out and told as a gap, and the stream
//! goes on.

use std::io::{BufRead as _, BufReader, Read};

use serde_json::Value;

use super::FormatError;
use crate::capture::single;

/// The longest line that is read.
const MAX_LINE_BYTES: usize = 64 << 10;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) enum Syntax {
    /// `0.1,-0.2,9.8`; the first line may name the columns.
    Csv,
    /// `{"ax": 0.1, "ay": -0.2}`, with other members beside them, or `[0.1, -0.2]`.
    Json,
}

/// A stream of rows.
#[derive(Debug)]
pub(in crate::capture) struct Rows<R> {
    input: BufReader<R>,
    syntax: Syntax,
    /// The columns that are wanted, in their order.
    columns: Vec<String>,
    /// Where they are in a line of comma-separated values; as many as there are, in order, where no header said otherwise.
    places: Vec<usize>,
    /// Values that a line of comma-separated values has.
    width: usize,
    /// No line has been read.
    at_start: bool,
    line: Vec<u8>,
    /// Lines that could not be read since the last row that could.
    unreadable: u64,
}

/// Rows that came together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::capture) struct Batch {
    /// Bytes of them.
    pub(in crate::capture) bytes: usize,
    /// Lines before the first of them that could not be read.
    pub(in crate::capture) unreadable: u64,
}

impl<R: Read> Rows<R> {
    pub(in crate::capture) fn new(input: R, syntax: Syntax, columns: Vec<String>) -> Self {
        let width = columns.len();
        Self {
            input: BufReader::new(input),
            syntax,
            places: (0..width).collect(),
            width,
            columns,
            at_start: true,
            line: Vec::new(),
            unreadable: 0,
        }
    }

    /// The stream.
    pub(in crate::capture) fn input(&mut self) -> &mut R {
        self.input.get_mut()
    }

    /// Bytes of a row: 32-bit floats.
    pub(in crate::capture) const fn row_bytes(&self) -> usize {
        4 * self.columns.len()
    }

    /// Fills `space` with the rows that are there, waiting for the first of them; `None` at the end of the stream. No row
    /// comes after one that could not be read within a batch.
    ///
    /// # Errors
    /// [`FormatError`]
    pub(in crate::capture) fn read(&mut self, space: &mut [u8]) -> Result<Option<Batch>, FormatError> {
        let mut batch = Batch::default();
        for row in space.chunks_exact_mut(self.row_bytes()) {
            if batch.bytes > 0 && !self.input.buffer().contains(&b'\n') {
                break;
            }
            match self.row(row, batch.bytes == 0)? {
                Line::Row => batch.bytes += row.len(),
                Line::Unreadable => break,
                Line::End if batch.bytes == 0 => return Ok(None),
                Line::End => break,
            }
            if self.unreadable > 0 {
                batch.unreadable = std::mem::take(&mut self.unreadable);
            }
        }
        Ok(Some(batch))
    }

    /// Reads a row; the first one of a batch is looked for among lines that cannot be read.
    fn row(&mut self, row: &mut [u8], first: bool) -> Result<Line, FormatError> {
        loop {
            if !self.next_line()? {
                return Ok(Line::End);
            }
            let text = String::from_utf8_lossy(&self.line);
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            if std::mem::take(&mut self.at_start)
                && self.syntax == Syntax::Csv
                && let Some(names) = header(text)
            {
                (self.places, self.width) = (find(&names, &self.columns)?, names.len());
                continue;
            }
            let read = match self.syntax {
                Syntax::Csv => values(text, &self.places, self.width, row),
                Syntax::Json => members(text, &self.columns, row),
            };
            if read.is_some() {
                return Ok(Line::Row);
            }
            self.unreadable += 1;
            if !first {
                return Ok(Line::Unreadable);
            }
        }
    }

    fn next_line(&mut self) -> Result<bool, FormatError> {
        self.line.clear();
        (&mut self.input).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut self.line)?;
        if self.line.len() == MAX_LINE_BYTES && !self.line.ends_with(b"\n") {
            return Err(FormatError::broken(format!("a line is over {} KiB", MAX_LINE_BYTES >> 10)));
        }
        Ok(!self.line.is_empty())
    }
}

enum Line {
    Row,
    Unreadable,
    End,
}

/// The names in a line, if it holds no number.
fn header(text: &str) -> Option<Vec<&str>> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    names.iter().all(|name| name.parse::<f32>().is_err()).then_some(names)
}

fn find(names: &[&str], columns: &[String]) -> Result<Vec<usize>, FormatError> {
    let place = |column: &String| {
        names.iter().position(|name| name == column).ok_or_else(|| {
            FormatError::broken(format!("its first line names {}; `{column}` is not among them", names.join(", ")))
        })
    };
    columns.iter().map(place).collect()
}

/// The values of a row that is written as a line, in the columns' order.
pub(in crate::capture) fn csv_row(text: &str, row: &mut [u8]) -> Option<()> {
    let width = row.len() / 4;
    if text.split(',').count() != width {
        return None;
    }
    for (value, space) in text.split(',').zip(row.chunks_exact_mut(4)) {
        put(value, space)?;
    }
    Some(())
}

/// The values at some places of a line that has `width` of them.
fn values(text: &str, places: &[usize], width: usize, row: &mut [u8]) -> Option<()> {
    if text.split(',').count() != width {
        return None;
    }
    for (&place, space) in places.iter().zip(row.chunks_exact_mut(4)) {
        put(text.split(',').nth(place)?, space)?;
    }
    Some(())
}

/// By way of a double, as a recording's values: a file and a pipe give the same bits.
fn put(text: &str, space: &mut [u8]) -> Option<()> {
    let value: f64 = text.trim().parse().ok()?;
    space.copy_from_slice(&single(value).to_le_bytes());
    Some(())
}

/// The members of an object, or the elements of an array.
fn members(text: &str, columns: &[String], row: &mut [u8]) -> Option<()> {
    json_row(&serde_json::from_str(text).ok()?, columns, row)
}

/// The members of an object, or the elements of an array.
pub(in crate::capture) fn json_row(value: &Value, columns: &[String], row: &mut [u8]) -> Option<()> {
    if value.as_array().is_some_and(|values| values.len() != columns.len()) {
        return None;
    }
    for ((index, column), space) in columns.iter().enumerate().zip(row.chunks_exact_mut(4)) {
        let found = if value.is_array() { value.get(index) } else { member(value, column) };
        space.copy_from_slice(&single(found?.as_f64()?).to_le_bytes());
    }
    Some(())
}

/// `accel.x` is a member of that name, or the member `x` of the member `accel`.
fn member<'a>(value: &'a Value, column: &str) -> Option<&'a Value> {
    value.get(column).or_else(|| {
        let (outer, inner) = column.split_once('.')?;
        member(value.get(outer)?, inner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All batches of a text, as values and as lines that could not be read before them.
    fn batches(syntax: Syntax, columns: &[&str], text: &str) -> Result<Vec<(Vec<f32>, u64)>, String> {
        let columns = columns.iter().map(ToString::to_string).collect();
        let mut rows = Rows::new(text.as_bytes(), syntax, columns);
        let mut found = Vec::new();
        let mut space = vec![0; 3 * rows.row_bytes()];
        while let Some(batch) = rows.read(&mut space).map_err(|error| error.to_string())? {
            let values = space[..batch.bytes].chunks_exact(4);
            let values = values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            found.push((values, batch.unreadable));
        }
        Ok(found)
    }

    #[test]
    fn values_come_in_the_order_that_is_asked_for() {
        for (syntax, columns, text) in [
            (Syntax::Csv, &["a", "b"], "1,2\n3, 4\n\n5,6"),
            (Syntax::Csv, &["a", "b"], "b,x,a\r\n2,0,1\r\n4,0,3\r\n6,0,5\r\n"),
            (Syntax::Json, &["a", "b"], "{\"b\":2,\"a\":1}\n{\"a\":3,\"b\":4,\"c\":\"x\"}\n{\"a\":5,\"b\":6}\n"),
            (Syntax::Json, &["a.x", "b"], "{\"b\":2,\"a\":{\"x\":1}}\n{\"a.x\":3,\"b\":4}\n{\"a.x\":5,\"b\":6}\n"),
            (Syntax::Json, &["a", "b"], "[1,2]\n[3,4]\n[5,6]\n"),
        ] {
            assert_eq!(batches(syntax, columns, text).unwrap(), [(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0)], "{text}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_a_gap_and_no_end() {
        for bad in ["3", "3,4,5", "3,x", "\u{1}\u{2}"] {
            let found = batches(Syntax::Csv, &["a", "b"], &format!("1,2\n{bad}\n5,6\n7,8\n")).unwrap();
            assert_eq!(found, [(vec![1.0, 2.0], 0), (vec![5.0, 6.0, 7.0, 8.0], 1)], "{bad}");
        }
        for bad in ["{", "{\"a\":1}", "[1]", "[1,2,3]", "3", "{\"a\":1,\"b\":\"2\"}"] {
            let found = batches(Syntax::Json, &["a", "b"], &format!("{bad}\n{bad}\n[5,6]\n")).unwrap();
            assert_eq!(found, [(vec![5.0, 6.0], 2)], "{bad}");
        }
    }

    #[test]
    fn a_header_without_a_wanted_column_is_an_error_that_names_both() {
        let said = batches(Syntax::Csv, &["a", "z"], "a,b\n1,2\n").unwrap_err();
        assert_eq!(said, "its first line names a, b; `z` is not among them");
    }

    #[test]
    fn a_line_without_an_end_is_not_read_whole() {
        let said = batches(Syntax::Csv, &["a"], &"1".repeat(10 * MAX_LINE_BYTES)).unwrap_err();
        assert!(said.contains("64 KiB"), "{said}");
    }

    #[test]
    fn rows_are_not_held_back_until_a_batch_is_full() {
        // Each read gives what was written at once: a row must not wait for the next.
        struct Slowly(Vec<&'static [u8]>);
        impl Read for Slowly {
            fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
                let Some(next) = self.0.pop() else { panic!("it read on, though there was a row") };
                space[..next.len()].copy_from_slice(next);
                Ok(next.len())
            }
        }
        let mut rows = Rows::new(Slowly(vec![b"3\n4\n5", b"1\n2"]), Syntax::Csv, vec!["a".to_owned()]);
        let mut space = [0; 40];
        assert_eq!(rows.read(&mut space).unwrap().unwrap().bytes, 4);
        assert_eq!(rows.read(&mut space).unwrap().unwrap().bytes, 8, "23 and 4");
    }
}
