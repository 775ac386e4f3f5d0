//! Texts on their way to the bus. What D-Bus does not allow in a string makes the bus hang up on whoever sends it.

use std::borrow::Cow;

/// A text that may be sent and read: control characters but line breaks and tabs are `U+FFFD`.
pub(super) fn text<'a>(raw: impl Into<Cow<'a, str>>) -> String {
    let raw = raw.into();
    let foreign = |c: char| c.is_control() && c != '\n' && c != '\t';
    if raw.contains(foreign) { raw.replace(foreign, "\u{fffd}") } else { raw.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced_and_the_rest_is_kept() {
        let cases = [
            ("", ""),
            ("Kratzer auf dem Förderband 🙂", "Kratzer auf dem Förderband 🙂"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("a\0b", "a\u{fffd}b"),
            ("\u{1b}[31mred\u{7f}\u{85}\r", "\u{fffd}[31mred\u{fffd}\u{fffd}\u{fffd}"),
        ];
        for (raw, expected) in cases {
            assert_eq!(text(raw), expected);
        }
    }
}
