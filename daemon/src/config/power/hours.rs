//! Hours of the week, by the clock on the wall: `Mon-Fri 07:00-19:00`, `Sat,Sun`, `22:00-06:00`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Days as they are written, from Monday.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// What a text should be.
const EXPECTED: &str =
    "days, times or both are expected, as in \"Mon-Fri 07:00-19:00\", \"Sat,Sun\" or \"22:00-06:00\"";

/// Spans of the week. None stand for all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Hours(Vec<Span>);

/// Times of some days. One that ends at or before it begins goes on into the day after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From Monday.
    days: [bool; 7],
    /// Minutes since midnight, below 1440.
    from: u16,
    /// The first minute after it, up to 1440.
    to: u16,
}

impl Hours {
    /// The spans.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// All of the week.
    pub const fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a minute of a day (0 is Monday) is in one of them.
    pub fn contain(&self, day: usize, minute: u16) -> bool {
        self.is_always() || self.0.iter().any(|span| span.contains(day, minute))
    }
}

impl Span {
    /// When it begins, in minutes since midnight.
    pub const fn from(&self) -> u16 {
        self.from
    }

    fn contains(&self, day: usize, minute: u16) -> bool {
        let (today, yesterday) = (self.days[day % 7], self.days[(day + 6) % 7]);
        if self.from < self.to {
            today && (self.from..self.to).contains(&minute)
        } else {
            (today && minute >= self.from) || (yesterday && minute < self.to)
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("has \"{text}\"; {EXPECTED}");
        let mut words = text.split_whitespace();
        let (first, second) = (words.next().ok_or_else(wrong)?, words.next());
        if words.next().is_some() {
            return Err(wrong());
        }
        let is_time = |word: &str| word.contains(':');
        let (days, times) = match second {
            None if is_time(first) => (None, Some(first)),
            _ => (Some(first), second),
        };
        let days = days.map_or(Some([true; 7]), parse_days).ok_or_else(wrong)?;
        let (from, to) = times.map_or(Some((0, DAY)), parse_times).ok_or_else(wrong)?;
        if from == to {
            return Err(format!("has \"{text}\", which begins and ends at one time; whole days need no times"));
        }
        Ok(Self { days, from, to })
    }
}

/// `Mon`, `Mon-Fri`, `Fri-Mon`, `Mon,Wed-Fri`.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        for step in 0..=(last + 7 - first) % 7 {
            days[(first + step) % 7] = true;
        }
    }
    Some(days)
}

fn parse_times(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (parse_time(from)?, parse_time(to)?);
    // Midnight at the end of a day is no time to begin at.
    (from < DAY).then_some((from, to))
}

/// `07:30`; `24:00` is the end of a day.
fn parse_time(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let plain = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok())?
    };
    let (hour, minute) = (number(hour, 1..=2)?, number(minute, 2..=2)?);
    let time = hour * 60 + minute;
    (minute < 60 && time <= DAY).then_some(time)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = DAYS.into_iter().zip(self.days).filter_map(|(name, is)| is.then_some(name)).collect();
        let (from, to) = (self.from, self.to);
        write!(f, "{} {:02}:{:02}-{:02}:{:02}", days.join(","), from / 60, from % 60, to / 60, to % 60)
    }
}

impl TryFrom<Vec<String>> for Hours {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Hours> for Vec<String> {
    fn from(hours: Hours) -> Self {
        hours.0.iter().map(Span::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(texts: &[&str]) -> Result<Hours, String> {
        Hours::try_from(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    /// A day, 0 is Monday, and its minute.
    type Moment = (usize, u16);

    const fn at(day: usize, hour: u16, minute: u16) -> Moment {
        (day, hour * 60 + minute)
    }

    #[test]
    fn hours_are_written_as_people_say_them() {
        let cases: [(&str, &[Moment], &[Moment]); 9] = [
            ("Mon-Fri 07:00-19:00", &[at(0, 7, 0), at(4, 18, 59)], &[at(0, 6, 59), at(4, 19, 0), at(5, 12, 0)]),
            ("Sat,Sun 08:00-12:00", &[at(5, 8, 0), at(6, 11, 59)], &[at(4, 9, 0), at(0, 9, 0)]),
            ("22:00-06:00", &[at(2, 22, 0), at(3, 5, 59), at(0, 0, 0)], &[at(2, 21, 59), at(3, 6, 0)]),
            ("Sun 22:00-06:00", &[at(6, 23, 0), at(0, 5, 59)], &[at(6, 5, 0), at(0, 22, 0)]),
            ("Fri-Mon", &[at(4, 0, 0), at(0, 23, 59)], &[at(1, 0, 0), at(3, 23, 59)]),
            ("mon,WED-thu 9:30-24:00", &[at(0, 9, 30), at(3, 23, 59)], &[at(1, 10, 0), at(0, 9, 29)]),
            ("  Tue   00:00-24:00 ", &[at(1, 0, 0), at(1, 23, 59)], &[at(0, 23, 59), at(2, 0, 0)]),
            ("Wed 12:00-00:00", &[at(2, 12, 0), at(2, 23, 59)], &[at(3, 0, 0), at(2, 11, 59)]),
            ("Mon", &[at(0, 0, 0)], &[at(1, 0, 0), at(6, 23, 59)]),
        ];
        for (text, within, without) in cases {
            let hours = hours(&[text]).unwrap();
            assert!(within.iter().all(|&(day, minute)| hours.contain(day, minute)), "{text}");
            assert!(!without.iter().any(|&(day, minute)| hours.contain(day, minute)), "{text}");
            let again = Hours::try_from(Vec::from(hours.clone())).unwrap();
            assert_eq!(again, hours, "what is written is what was read");
        }
    }

    #[test]
    fn several_spans_are_taken_together_and_none_are_always() {
        let both = hours(&["Mon 07:00-08:00", "Mon 20:00-21:00"]).unwrap();
        assert_eq!([7, 12, 20].map(|hour| both.contain(0, hour * 60)), [true, false, true]);
        assert!(hours(&[]).unwrap().contain(3, 100));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_can() {
        for text in [
            "",
            "Mo 07:00-19:00",
            "Mon-Fri 7-19",
            "Mon 07:00",
            "07:00-24:01",
            "24:00-07:00",
            "07:60-08:00",
            "Mon,",
            "-Fri",
            "07:00-19:00 Mon",
            "Mon 07:00-19:00 x",
            "Mon - Fri 07:00-19:00",
            "+7:00-19:00",
            "Mon 07:0-19:00",
            "always",
        ] {
            assert_eq!(hours(&["Sun", text]).unwrap_err(), format!("has \"{text}\"; {EXPECTED}"));
        }
        let said = hours(&["Mon 07:00-07:00"]).unwrap_err();
        assert_eq!(said, "has \"Mon 07:00-07:00\", which begins and ends at one time; whole days need no times");
    }
}
