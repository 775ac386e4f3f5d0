//! A curve in a line of text.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last `width` values as levels between 0 and `top`, or the largest of them where there is no top; a blank where there is no
/// value. Filled up with blanks from the left.
pub(super) fn spark(values: &[Option<f64>], width: usize, top: Option<f64>) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let top = top.unwrap_or_else(|| shown.iter().flatten().copied().fold(0.0, f64::max));
    let blank = " ".repeat(width - shown.len());
    blank + &shown.iter().map(|value| value.map_or(' ', |value| level(value, top))).collect::<String>()
}

fn level(value: f64, top: f64) -> char {
    if top <= 0.0 {
        return LEVELS[0];
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is clamped to the levels that there are"
    )]
    let step = (value / top * 7.0).round().clamp(0.0, 7.0) as usize;
    LEVELS[step]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_levels_of_the_largest_and_what_is_missing_is_blank() {
        assert_eq!(spark(&[], 3, None), "   ");
        assert_eq!(spark(&[Some(1.0), None, Some(8.0)], 5, None), "  ▂ █");
        assert_eq!(spark(&[Some(9.0), Some(0.5), Some(1.0)], 2, Some(1.0)), "▅█");
        assert_eq!(spark(&[Some(0.0), Some(f64::NAN), Some(f64::INFINITY)], 3, Some(1.0)), "▁▁█");
        assert_eq!(spark(&[Some(0.0), Some(0.0)], 2, None), "▁▁");
    }
}
