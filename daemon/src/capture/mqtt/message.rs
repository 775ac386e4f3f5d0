//! What a message says: rows of values.

use serde_json::Value;

use crate::capture::format::{csv_row, json_row};
use crate::config::MessageFormat;

/// Rows that a message may have: as many as wait in the queue, beyond which the oldest would be dropped unseen.
const MAX_ROWS: usize = 4096;

/// Reads messages; its room is used again and again.
#[derive(Debug)]
pub(super) struct Rows {
    format: MessageFormat,
    columns: Vec<String>,
    space: Vec<u8>,
}

impl Rows {
    pub(super) const fn new(format: MessageFormat, columns: Vec<String>) -> Self {
        Self { format, columns, space: Vec::new() }
    }

    /// Bytes of a row: 32-bit floats.
    pub(super) const fn row_bytes(&self) -> usize {
        4 * self.columns.len()
    }

    /// A message's rows, 32-bit little-endian floats, row after row; `None` where it cannot be read whole.
    pub(super) fn read<'a>(&'a mut self, message: &'a [u8]) -> Option<&'a [u8]> {
        let row_bytes = self.row_bytes();
        self.space.clear();
        match self.format {
            MessageFormat::F32 => {
                let is_whole = message.len().is_multiple_of(row_bytes) && message.len() <= MAX_ROWS * row_bytes;
                return is_whole.then_some(message);
            }
            MessageFormat::Csv => {
                let text = std::str::from_utf8(message).ok()?;
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    csv_row(line, room(&mut self.space, row_bytes))?;
                }
            }
            MessageFormat::Json => self.read_json(&serde_json::from_slice(message).ok()?)?,
        }
        (self.space.len() <= MAX_ROWS * row_bytes).then_some(&self.space)
    }

    fn read_json(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Array(rows) if rows.iter().all(|row| row.is_array() || row.is_object()) => {
                rows.iter().try_for_each(|row| self.add_json(row))
            }
            row => self.add_json(row),
        }
    }

    fn add_json(&mut self, row: &Value) -> Option<()> {
        let row_bytes = self.row_bytes();
        let Self { columns, space, .. } = self;
        let space = room(space, row_bytes);
        // `21.5`: sensors of one value often send nothing else.
        if columns.len() == 1 && row.is_number() {
            return json_row(&Value::Array(vec![row.clone()]), columns, space);
        }
        json_row(row, columns, space)
    }
}

/// Room for one row more.
fn room(space: &mut Vec<u8>, row_bytes: usize) -> &mut [u8] {
    let start = space.len();
    space.resize(start + row_bytes, 0);
    &mut space[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: MessageFormat, columns: &[&str], message: &[u8]) -> Option<Vec<f32>> {
        let columns = columns.iter().map(ToString::to_string).collect();
        let mut rows = Rows::new(format, columns);
        let bytes = rows.read(message)?;
        Some(bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect())
    }

    #[test]
    fn a_message_is_a_row_or_several() {
        for (message, rows) in [
            ("{\"b\":2,\"a\":1,\"c\":\"x\"}", &[1.0, 2.0][..]),
            ("[1, 2]", &[1.0, 2.0]),
            ("[[1,2],[3,4]]", &[1.0, 2.0, 3.0, 4.0]),
            ("[{\"a\":1,\"b\":2},[3,4]]", &[1.0, 2.0, 3.0, 4.0]),
            ("[]", &[]),
        ] {
            assert_eq!(read(MessageFormat::Json, &["a", "b"], message.as_bytes()).unwrap(), rows, "{message}");
        }
        assert_eq!(read(MessageFormat::Json, &["t"], b" 21.5\n").unwrap(), [21.5]);
        assert_eq!(read(MessageFormat::Json, &["s.t"], b"{\"s\":{\"t\":3}}").unwrap(), [3.0]);
        assert_eq!(read(MessageFormat::Csv, &["a", "b"], b"1,2\r\n 3, 4\n\n").unwrap(), [1.0, 2.0, 3.0, 4.0]);
        let floats: Vec<u8> = [1.5_f32, -2.0, 0.25, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(read(MessageFormat::F32, &["a", "b"], &floats).unwrap(), [1.5, -2.0, 0.25, 4.0]);
    }

    #[test]
    fn a_message_that_is_half_readable_is_unreadable() {
        for message in ["", "3", "{", "{\"a\":1}", "[1]", "[1,2,3]", "[[1,2],[3]]", "[[1,2],3]", "[1,\"2\"]", "\"1,2\""]
        {
            assert_eq!(read(MessageFormat::Json, &["a", "b"], message.as_bytes()), None, "{message}");
        }
        for message in ["1", "1,2,3", "1,2\n3", "a,b\n1,2", "\u{1}"] {
            assert_eq!(read(MessageFormat::Csv, &["a", "b"], message.as_bytes()), None, "{message}");
        }
        assert_eq!(read(MessageFormat::Csv, &["a"], &[0xff, 0xfe]), None);
        assert_eq!(read(MessageFormat::F32, &["a", "b"], &[0; 12]), None);
        assert_eq!(read(MessageFormat::F32, &["a"], &[0; 4 * MAX_ROWS]).unwrap().len(), MAX_ROWS);
        assert_eq!(read(MessageFormat::F32, &["a"], &[0; 4 * MAX_ROWS + 4]), None);
        assert_eq!(read(MessageFormat::Csv, &["a"], "1\n".repeat(MAX_ROWS + 1).as_bytes()), None);
    }
}
