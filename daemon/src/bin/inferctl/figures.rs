//! Figures as people read them.

/// `1.2 MB`: powers of 1000, as disks are sold.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `3.2 ms`; `-` where nothing was measured.
pub(crate) fn milliseconds(ms: f64) -> String {
    if ms <= 0.0 {
        "-".to_owned()
    } else if ms < 9.95 {
        format!("{ms:.2} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

/// `12.3/s`.
pub(crate) fn per_second(rate: f64) -> String {
    format!("{rate:.1}/s")
}

/// The text, or `-` where there is none.
pub(crate) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// `1 sample`, `2 samples`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (123_456_789, "123.5 MB"),
            (u64::MAX, "18446744.1 TB"),
        ];
        for (given, expected) in cases {
            assert_eq!(bytes(given), expected);
        }
    }

    #[test]
    fn times_show_what_can_be_told_apart() {
        let cases = [(0.0, "-"), (0.123, "0.12 ms"), (9.94, "9.94 ms"), (9.96, "10 ms"), (1234.5, "1234 ms")];
        for (given, expected) in cases {
            assert_eq!(milliseconds(given), expected);
        }
    }
}
