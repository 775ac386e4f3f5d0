//! Errors, and what others say, as one line for people.

use std::error::Error;

/// An error with its causes: `cannot open /dev/video0: permission denied`.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// A text without line breaks and other control characters: each is a space.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("belt failed: no\nMAINPID=1\0"), "belt failed: no MAINPID=1 ");
    }
}
