//! TOML that a person wrote, and what to tell them when it is wrong: the line, the key, what was found, what was
//! expected, and the name they may have meant.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// Something wrong in a text, in words for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the text, from 1, where it can be told.
    pub line: Option<usize>,
    /// The key, dotted (`input.audio.rate_hz`); empty where the text as a whole is meant.
    pub key: String,
    /// What was found and what was expected.
    pub message: String,
}

impl Problem {
    /// A problem with the value of `key` in `text`.
    pub fn at(text: &str, key: &str, message: impl Into<String>) -> Self {
        Self { line: line_of(text, key), key: key.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Reads `text` into a value.
///
/// # Errors
/// The first [`Problem`] found, with its line.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map(|span| span.start);
        Problem {
            line: start.map(|offset| line_at(text, offset)),
            key: start.and_then(|offset| key_at(text, offset)).unwrap_or_default(),
            message: explain(error.message()),
        }
    })
}

/// Turns the deserializer's words into ours: an unknown key gets a suggestion.
pub fn explain(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let what = if message.starts_with("unknown field") {
        "unknown key"
    } else if message.starts_with("unknown variant") {
        "unknown value"
    } else {
        return message.to_owned();
    };
    let Some((found, known)) = quoted.split_first() else {
        return message.to_owned();
    };
    match suggest(found, known.iter().copied()) {
        Some(meant) => format!("{what} `{found}`; did you mean `{meant}`?"),
        None if known.is_empty() => format!("{what} `{found}`; no key is expected here"),
        None => format!("{what} `{found}`; expected one of {}", list(known)),
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The known word that `found` may have been meant to be: at most a third of its letters differ.
pub fn suggest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (found.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(found, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The line, from 1, on which a byte lies.
pub fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset.min(text.len())).unwrap_or_default();
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// The line, from 1, on which the value of a dotted key stands, or of the deepest table on the way to it that exists.
/// Elements of arrays are counted from 0: `golden.2.input`.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut offset = None;
    let mut here = Some(Node::Table(document.get_ref()));
    for part in key.split('.').filter(|part| !part.is_empty()) {
        let Some((start, inner)) = here.and_then(|node| node.child(part)) else { break };
        offset = Some(start);
        here = Node::of(inner);
    }
    offset.map(|offset| line_at(text, offset))
}

/// The dotted key whose value covers, or whose name begins at, a byte.
fn key_at(text: &str, offset: usize) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let mut path = Vec::new();
    descend(&Node::Table(document.get_ref()), offset, &mut path);
    (!path.is_empty()).then(|| path.join("."))
}

fn descend(node: &Node<'_, '_>, offset: usize, path: &mut Vec<String>) {
    let found = node.children().into_iter().find(|(_, _, covered, value)| {
        covered.contains(&offset) || Node::of(value).is_some_and(|inner| inner.covers(offset))
    });
    if let Some((name, _, _, value)) = found {
        path.push(name);
        if let Some(inner) = Node::of(value) {
            descend(&inner, offset, path);
        }
    }
}

/// A table or an array: what a key may lead through.
#[derive(Clone, Copy)]
enum Node<'a, 'i> {
    Table(&'a DeTable<'i>),
    Array(&'a toml::de::DeArray<'i>),
}

impl<'a, 'i> Node<'a, 'i> {
    fn of(value: &'a DeValue<'i>) -> Option<Self> {
        match value {
            DeValue::Table(table) => Some(Self::Table(table)),
            DeValue::Array(array) => Some(Self::Array(array)),
            _ => None,
        }
    }

    fn child(&self, part: &str) -> Option<(usize, &'a DeValue<'i>)> {
        match self {
            Self::Table(table) => table
                .iter()
                .find(|(name, _)| name.get_ref() == part)
                .map(|(name, value)| (name.span().start, value.get_ref())),
            Self::Array(array) => {
                let value = array.get(part.parse::<usize>().ok()?)?;
                Some((value.span().start, value.get_ref()))
            }
        }
    }

    /// Name, where the name starts, the bytes from there to the value's end, and the value.
    fn children(&self) -> Vec<(String, usize, std::ops::Range<usize>, &'a DeValue<'i>)> {
        match self {
            Self::Table(table) => table
                .iter()
                .map(|(name, value)| {
                    let start = name.span().start;
                    let end = value.span().end.max(name.span().end);
                    (name.get_ref().to_string(), start, start..end, value.get_ref())
                })
                .collect(),
            Self::Array(array) => array
                .iter()
                .enumerate()
                .map(|(index, value)| (index.to_string(), value.span().start, value.span(), value.get_ref()))
                .collect(),
        }
    }

    fn covers(&self, offset: usize) -> bool {
        self.children().iter().any(|(_, _, covered, value)| {
            covered.contains(&offset) || Node::of(value).is_some_and(|inner| inner.covers(offset))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Top {
        #[serde(rename = "name")]
        _name: String,
        #[serde(rename = "inner", default)]
        _inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "threshold")]
        _threshold: f32,
    }

    #[test]
    fn unknown_keys_get_their_line_and_a_suggestion() {
        let problem =
            parse::<Top>("name = \"a\"\n\n[[inner]]\nthreshold = 1.0\n[[inner]]\ntreshold = 0.5\n").unwrap_err();
        assert_eq!(problem.line, Some(6));
        assert_eq!(problem.to_string(), "line 6: inner.1.treshold: unknown key `treshold`; did you mean `threshold`?");
    }

    #[test]
    fn wrong_types_name_the_key_and_both_types() {
        let problem = parse::<Top>("name = 3\n").unwrap_err();
        assert_eq!(problem.to_string(), "line 1: name: invalid type: integer `3`, expected a string");
    }

    #[test]
    fn words_far_from_every_key_are_answered_by_the_keys() {
        let problem = parse::<Top>("name = \"a\"\ncolour = 1\n").unwrap_err();
        assert_eq!(problem.message, "unknown key `colour`; expected one of `name`, `inner`");
    }

    #[test]
    fn broken_toml_has_a_line() {
        assert_eq!(parse::<Top>("name = \"a\"\nx = = 1\n").unwrap_err().line, Some(2));
    }

    #[test]
    fn lines_are_found_for_nested_keys() {
        let text = "a = 1\n[b]\nc = 2\n[[d]]\ne = 3\n[[d]]\ne = 4\n";
        assert_eq!(line_of(text, "b.c"), Some(3));
        assert_eq!(line_of(text, "d.1.e"), Some(7));
        assert_eq!(line_of(text, "b.missing"), Some(2));
        assert_eq!(line_of(text, "missing"), None);
    }
}
