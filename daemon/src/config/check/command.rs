//! Rules for a command: it has a program, and its format is one that can be. Whether the program is there is asked when it is
//! started: it may be installed later.

use std::collections::BTreeSet;

use super::{Findings, check_side};
use crate::config::{Command, StreamFormat};

pub(super) fn check(key: &str, command: &Command, found: &mut Findings) {
    if command.program().is_empty() {
        found.add(format!("{key}.command"), "names no program; a list of the program and its arguments is expected");
    }
    if command.command.iter().any(|word| word.contains('\0')) {
        found.add(format!("{key}.command"), "has a word with a zero byte, which no program can be given");
    }
    if command.silence_ms != 0 {
        found.range(format!("{key}.silence_ms"), command.silence_ms, 100..=86_400_000, " ms, or 0 for ever,");
    }
    match &command.format {
        StreamFormat::Mjpeg | StreamFormat::Y4m => {}
        StreamFormat::Raw { size, .. } => {
            check_side(&format!("{key}.width"), size.width, found);
            check_side(&format!("{key}.height"), size.height, found);
        }
        StreamFormat::Pcm { rate_hz, channels } => {
            if !(1000..=192_000).contains(rate_hz) {
                let expected = "a whole number of samples a second, 1000 to 192000, is expected";
                found.add(format!("{key}.rate_hz"), format!("is no rate of sound; {expected}"));
            }
            found.range(format!("{key}.channels"), *channels, 1..=64, "");
        }
        StreamFormat::Csv { rate_hz, columns } | StreamFormat::Json { rate_hz, columns } => {
            check_row_rate(key, *rate_hz, command.silence_ms, found);
            check_columns(&format!("{key}.columns"), columns, found);
        }
    }
}

pub(super) fn check_row_rate(key: &str, rate_hz: f64, silence_ms: u64, found: &mut Findings) {
    found.range(format!("{key}.rate_hz"), rate_hz, 0.001..=100_000.0, " rows a second");
    check_patience(key, ("rate_hz", rate_hz, "rows"), silence_ms, found);
}

/// A source that is given up between two of its frames never gives any. `silence_ms` may be 0: for ever.
pub(super) fn check_patience(
    key: &str,
    (rate_key, rate, what): (&str, f64, &str),
    silence_ms: u64,
    found: &mut Findings,
) {
    let two_take_ms = 2000.0 / rate;
    if silence_ms != 0 && two_take_ms.is_finite() && (silence_ms as f64) <= two_take_ms {
        let two_take_ms = two_take_ms.ceil();
        found.add(
            format!("{key}.silence_ms"),
            format!(
                "is {silence_ms}, but at `{rate_key}` two {what} take {two_take_ms} ms; more than that is expected"
            ),
        );
    }
}

pub(super) fn check_columns(key: &str, columns: &[String], found: &mut Findings) {
    if !(1..=256).contains(&columns.len()) {
        found.add(key, format!("names {} columns; 1 to 256 are expected", columns.len()));
    }
    if columns.iter().any(String::is_empty) {
        found.add(key, "has an empty name");
    }
    if columns.iter().collect::<BTreeSet<_>>().len() < columns.len() {
        found.add(key, "has a name twice");
    }
}
