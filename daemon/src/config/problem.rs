//! What is wrong in a configuration, said so that a person can mend it: where, which key, what was found, what is expected.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use toml::Value;

/// One thing wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// The key, dotted (`pipelines.belt.source.fps`); empty where a file as a whole is meant.
    pub key: String,
    /// What was found and what is expected.
    pub message: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It has to be mended.
    Wrong,
    /// What is named is not there now, and may be later: a share that is not mounted yet. No reason not to start.
    Absent,
}

/// Where a value of the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File {
        /// The file.
        path: PathBuf,
        /// Line in it, from 1, where it can be told.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
    /// The files and variables taken together.
    Merged,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Merged => f.write_str("configuration"),
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All problems as a text for people, one a line.
pub fn describe(problems: &[ConfigProblem]) -> String {
    let count = problems.len();
    let mut text = if count == 1 {
        "the configuration has a problem:".to_owned()
    } else {
        format!("the configuration has {count} problems:")
    };
    for problem in problems {
        // Writing into a String cannot fail.
        let _ = write!(text, "\n  {problem}");
    }
    text
}

/// Turns serde's words into ours: `invalid type: integer 3, expected a string` says what it is before what it should be.
/// `found` is the value in question.
pub(super) fn explain(message: &str, found: Option<&Value>) -> String {
    let text = inferd_core::text::explain(message);
    let about_type = ["invalid type: ", "invalid value: "].iter().find_map(|start| text.strip_prefix(start));
    match (about_type.and_then(|rest| rest.rsplit_once(", expected ")), found) {
        (Some((_, expected)), Some(found)) => format!("is {}; {} is expected", described(found), plain(expected)),
        _ => text,
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        scalar => format!("the {} {scalar}", scalar.type_str()),
    }
}

/// A Rust type in words for somebody who writes TOML.
fn plain(expected: &str) -> &str {
    match expected {
        "u64" | "usize" => "a whole number from 0",
        "u32" => "a whole number from 0 to 4294967295",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        "a string" => "a text in quotes",
        "string only" => "a word in quotes",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}
