//! TOML that a person wrote, and what to tell them when it is wrong: the line, the key, what was found, what was
//! expected, and the name they may have meant.

use std::cell::OnceCell;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest key and longest message of a problem: a text may hold a key of a hundred kilobytes, and the problem that names
/// it travels over the bus and into the log.
const MAX_WORDS_BYTES: usize = 500;

/// Longest word that a suggestion is looked for: comparing takes the product of two words' lengths in time and memory.
const MAX_SUGGESTED_CHARS: usize = 40;

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
    /// A problem with the value of `key` in `text`. For many problems of one text take [`Document::problem`].
    pub fn at(text: &str, key: &str, message: impl Into<String>) -> Self {
        Document::new(text).problem(key, message)
    }

    fn new(line: Option<usize>, key: &str, message: impl Into<String>) -> Self {
        Self { line, key: shortened(key.to_owned()), message: shortened(message.into()) }
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

fn shortened(mut text: String) -> String {
    if text.len() > MAX_WORDS_BYTES {
        let end = (0..=MAX_WORDS_BYTES).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" …");
    }
    text
}

/// A text whose problems are looked up. It is parsed at most once, when the first line is asked for.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    root: OnceCell<Option<Spanned<DeTable<'a>>>>,
}

impl<'a> Document<'a> {
    /// The document of this text.
    pub const fn new(text: &'a str) -> Self {
        Self { text, root: OnceCell::new() }
    }

    /// A problem with the value of `key`.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem::new(self.line_of(key), key, message)
    }

    /// The line, from 1, on which the value of a dotted key stands, or of the deepest table on the way to it that exists.
    /// Elements of arrays are counted from 0: `golden.2.input`.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let mut offset = None;
        let mut here = Some(Node::Table(self.root()?));
        for part in key.split('.').filter(|part| !part.is_empty()) {
            let Some((start, inner)) = here.and_then(|node| node.child(part)) else { break };
            offset = Some(start);
            here = Node::of(inner);
        }
        offset.map(|offset| line_at(self.text, offset))
    }

    /// The dotted key whose value covers, or whose name begins at, a byte.
    fn key_at(&self, offset: usize) -> Option<String> {
        let mut path = Vec::new();
        descend(&Node::Table(self.root()?), offset, &mut path);
        (!path.is_empty()).then(|| path.join("."))
    }

    /// `None` where the text is no TOML.
    fn root(&self) -> Option<&DeTable<'a>> {
        self.root.get_or_init(|| DeTable::parse(self.text).ok()).as_ref().map(Spanned::get_ref)
    }
}

/// Reads `text` into a value.
///
/// # Errors
/// The first [`Problem`] found, with its line.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let document = Document::new(text);
    let reader = toml::Deserializer::parse(text).map_err(|error| located(&document, &error))?;
    serde_path_to_error::deserialize(reader).map_err(|error| {
        match missing_key(error.inner().message()) {
            // The place that the error names does not tell the root table from the first one in it.
            Some(key) => {
                let mut parts = key_parts(error.path());
                parts.push(key.to_owned());
                document.problem(&parts.join("."), "is missing")
            }
            None => located(&document, error.inner()),
        }
    })
}

/// The problem at the place that the deserializer names.
fn located(document: &Document<'_>, error: &toml::de::Error) -> Problem {
    let start = error.span().map(|span| span.start);
    let line = start.map(|offset| line_at(document.text, offset));
    let key = start.and_then(|offset| document.key_at(offset)).unwrap_or_default();
    Problem::new(line, &key, explain(error.message()))
}

/// The parts of a key, from where the deserializer was.
pub fn key_parts(path: &serde_path_to_error::Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// The key that the deserializer misses, if that is what it says.
pub fn missing_key(message: &str) -> Option<&str> {
    let (key, _) = message.strip_prefix("missing field `")?.split_once('`')?;
    Some(key)
}

/// The key that the deserializer does not know, if that is what it says.
pub fn unknown_key(message: &str) -> Option<&str> {
    let (key, _) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some(key)
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

/// The known word that `found` may have been meant to be: at most a third of its letters differ. Words of more than 40
/// letters get none.
pub fn suggest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Bytes first: they are counted already.
    let letters = if found.len() <= 4 * MAX_SUGGESTED_CHARS { found.chars().count() } else { return None };
    if letters > MAX_SUGGESTED_CHARS {
        return None;
    }
    let limit = (letters / 3).max(1);
    known
        .into_iter()
        // Words whose lengths differ by more than the limit differ by more letters than that.
        .filter(|word| word.len() <= 4 * (letters + limit) && word.chars().count().abs_diff(letters) <= limit)
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

/// The line of a dotted key: see [`Document::line_of`].
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    Document::new(text).line_of(key)
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
    fn missing_keys_are_named_with_their_table() {
        let cases = [
            ("", "name: is missing"),
            ("[[inner]]\nthreshold = 1.0\n", "name: is missing"),
            ("inner = []\n", "name: is missing"),
            ("# a comment first\n\n[[inner]]\nthreshold = 1.0\n", "name: is missing"),
            ("[[inner]]\n", "line 1: inner.0.threshold: is missing"),
            ("name = \"a\"\n[[inner]]\nthreshold = 1.0\n\n[[inner]]\n", "line 5: inner.1.threshold: is missing"),
            ("name = \"a\"\ninner = [{}]\n", "line 2: inner.0.threshold: is missing"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse::<Top>(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_key_of_any_length_makes_a_short_problem() {
        let word = "x".repeat(200_000);
        let problem = parse::<Top>(&format!("name = \"a\"\n{word} = 1\n")).unwrap_err();
        assert!(problem.key.len() < 600 && problem.message.len() < 600, "{}", problem.to_string().len());
        // Compared letter by letter this would take 80 gigabytes.
        assert_eq!(suggest(&word, [word.as_str()]), None);
        assert_eq!(suggest("treshold", [word.as_str(), "threshold"]), Some("threshold"));
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
