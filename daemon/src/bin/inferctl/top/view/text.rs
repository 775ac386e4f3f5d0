//! Text of a known width, bars, and colours that can be done without.
//!
//! Invariants: widths are columns of a terminal, so wide characters count twice; a text that is cut says so by `…`; no
//! character steers the terminal; without colours everything that a colour says is also said by a word or a sign.

use std::time::Duration;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use super::super::seen::clean;
use crate::output::Paint;

/// Eighths of a cell.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A colour's style.
pub(super) fn style(paint: Paint, colours: bool) -> Style {
    match paint {
        Paint::Strong => Style::new().add_modifier(Modifier::BOLD),
        Paint::Faint => Style::new().add_modifier(Modifier::DIM),
        Paint::Bad if !colours => Style::new().add_modifier(Modifier::BOLD),
        _ if !colours => Style::new(),
        Paint::Good => Style::new().fg(Color::Green),
        Paint::Warn => Style::new().fg(Color::Yellow),
        Paint::Bad => Style::new().fg(Color::Red),
    }
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text without what steers a terminal, cut to so many columns.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let text = clean(text);
    if width(&text) <= columns {
        return text;
    }
    let (mut kept, mut taken) = (String::new(), 0);
    for each in text.chars() {
        taken += width(each.encode_utf8(&mut [0; 4]));
        // The last column is for the sign.
        if taken >= columns {
            break;
        }
        kept.push(each);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// The text in lines of at most so many columns, broken between words; at most so many lines, the last of which is cut.
pub(super) fn wrapped(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let text = clean(text);
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let is_last = wrapped.len() >= lines;
        match wrapped.last_mut() {
            Some(line) if is_last || width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => wrapped.push(word.to_owned()),
        }
    }
    wrapped.iter().map(|line| cut(line, columns)).collect()
}

/// The text in so many columns, at their left.
pub(super) fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let rest = columns.saturating_sub(width(&text));
    text + &" ".repeat(rest)
}

/// The text in so many columns, at their right.
pub(super) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&text))) + &text
}

/// A bar for each value from nothing to `full`; a blank where there is none.
pub(super) fn bars(values: &[Option<f64>], full: f64) -> String {
    values.iter().map(|value| value.map_or(' ', |value| bar(value, full))).collect()
}

fn bar(value: f64, full: f64) -> char {
    let share = if full > 0.0 { (value / full).clamp(0.0, 1.0) } else { 0.0 };
    let reached = (1_u8..8).filter(|step| share > f64::from(*step) / 8.0).count();
    BARS.get(reached).copied().unwrap_or('█')
}

/// A bar of so many columns, filled by a share.
pub(super) fn filled(share: f64, columns: usize) -> String {
    let steps = u32::try_from(columns).unwrap_or(u32::MAX);
    let reached = |step: &u32| share * f64::from(steps) >= f64::from(*step) - 0.5;
    (1..=steps).filter(reached).map(|_| '█').collect()
}

/// Milliseconds in at most six columns; `-` where nothing was measured.
pub(super) fn ms(value: f64) -> String {
    match value {
        _ if value.is_nan() => "-".to_owned(),
        ..=0.0 => "-".to_owned(),
        ..0.005 => "<0.01".to_owned(),
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `41 s`, `12 min`, `3 h 4 min`, `12 d 3 h`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match hours {
        0 if minutes == 0 => format!("{seconds} s"),
        0 => format!("{minutes} min"),
        1..24 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_columns_that_they_are_given() {
        for (text, columns) in
            [("belt", 8), ("belt", 4), ("belt-inspect", 5), ("ベルト検査", 5), ("x", 0), ("a\x1b[2J\n", 4)]
        {
            for text in [left(text, columns), right(text, columns)] {
                assert!(width(&text) <= columns && !text.contains(char::is_control), "{text:?} in {columns}");
            }
        }
        assert_eq!((left("ab", 4).as_str(), right("ab", 4).as_str()), ("ab  ", "  ab"));
        assert_eq!((cut("belt-inspect", 5).as_str(), cut("ベルト", 4).as_str()), ("belt…", "ベ…"));
    }

    #[test]
    fn long_texts_are_broken_between_words_and_cut_where_there_are_no_more_lines() {
        let cases: [(usize, usize, &[&str]); 4] = [
            (20, 3, &["it does not run"]),
            (8, 3, &["it does", "not run"]),
            (8, 1, &["it does…"]),
            (3, 3, &["it", "do…", "no…"]),
        ];
        for (columns, lines, expected) in cases {
            assert_eq!(wrapped("it does not run", columns, lines), expected, "{columns} x {lines}");
        }
    }

    #[test]
    fn bars_grow_with_their_value_and_nothing_is_a_blank() {
        let values = [None, Some(0.0), Some(0.5), Some(1.0), Some(9.0), Some(f64::NAN)];
        assert_eq!(bars(&values, 1.0), " ▁▄██▁");
        assert_eq!(bars(&[Some(0.0)], 0.0), "▁");
        assert_eq!((filled(0.5, 10).as_str(), filled(0.0, 10).as_str(), filled(2.0, 3).as_str()), ("█████", "", "███"));
    }

    #[test]
    fn figures_show_what_can_be_told_apart_in_six_columns() {
        let cases = [
            (f64::NAN, "-"),
            (0.0, "-"),
            (0.004, "<0.01"),
            (0.123, "0.12"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (99.96, "100"),
            (123_456.0, "123456"),
        ];
        for (given, expected) in cases {
            assert_eq!(ms(given), expected);
        }
        let spans = [(41, "41 s"), (719, "11 min"), (11_040, "3 h 4 min"), (1_047_600, "12 d 3 h")];
        for (seconds, expected) in spans {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }
}
