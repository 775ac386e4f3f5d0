//! From files and the environment to a checked [`Config`].
//!
//! Invariants:
//! - What is returned is whole and holds to every range documented on the fields; or every problem found is returned.
//! - A problem is reported once: what follows from one that is reported already is left out.

use std::ffi::OsString;
use std::path::Path;

use inferd_core::text::{key_parts, missing_key, unknown_key};
use toml::{Table, Value};

use super::Config;
use super::check::{self, Finding};
use super::layers::{Layers, value_at};
use super::problem::{ConfigProblem, Severity, explain};

/// Problems of type after which no more are looked for.
const MAX_PROBLEMS: usize = 64;

/// Reads the base file, `conf.d/*.toml` beside it and the environment, later ones winning key by key, and checks the
/// whole. `environment` is usually [`std::env::vars_os`]; a variable `INFERD__SECTION__KEY` sets `section.key`.
///
/// # Errors
/// Everything found wrong, each problem with its file and line or its variable.
pub fn load(
    file: &Path,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Vec<ConfigProblem>> {
    let (config, problems) = load_for_start(file, environment)?;
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Like [`load()`], for a start: what is [`Severity::Absent`] is no error and comes with the configuration.
///
/// # Errors
/// Everything found, where something is [`Severity::Wrong`].
pub fn load_for_start(
    file: &Path,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Config, Vec<ConfigProblem>), Vec<ConfigProblem>> {
    let layers = Layers::read(file, environment)?;
    let merged = layers.merge().map_err(|problem| vec![problem])?;
    let (config, mut problems) = Typing::new(&layers, merged).run();
    if let Some(config) = &config {
        let sections: Vec<String> = problems.iter().map(|problem| section(&problem.key)).collect();
        for Finding { severity, key, message } in check::check(config) {
            // A section with a key of the wrong type was checked without that key: what is found there may be wrong.
            if !sections.contains(&section(&key)) {
                problems.push(ConfigProblem { severity, place: layers.place_of(&key), key, message });
            }
        }
    }
    match config {
        Some(config) if problems.iter().all(|problem| problem.severity == Severity::Absent) => Ok((config, problems)),
        Some(_) | None => Err(problems),
    }
}

fn problem(layers: &Layers, key: String, message: String) -> ConfigProblem {
    ConfigProblem { severity: Severity::Wrong, place: layers.place_of(&key), key, message }
}

/// `upload.url` belongs to `upload`, `pipelines.belt.source.fps` to `pipelines.belt`.
fn section(key: &str) -> String {
    let depth = if key.starts_with("pipelines.") { 2 } else { 1 };
    key.split('.').take(depth).collect::<Vec<_>>().join(".")
}

/// Serde stops at the first problem: each one is noted, what it concerns is taken out, and the rest is read again.
struct Typing<'a> {
    layers: &'a Layers,
    table: Table,
    removed: Vec<String>,
    problems: Vec<ConfigProblem>,
}

impl<'a> Typing<'a> {
    fn new(layers: &'a Layers, table: Table) -> Self {
        Self { layers, table, removed: Vec::new(), problems: Vec::new() }
    }

    /// The configuration without what is wrong, if any is left to read, and what is wrong.
    fn run(mut self) -> (Option<Config>, Vec<ConfigProblem>) {
        while self.problems.len() < MAX_PROBLEMS {
            match serde_path_to_error::deserialize::<_, Config>(self.table.clone()) {
                Ok(config) => return (Some(config), self.problems),
                Err(error) => {
                    let parts = key_parts(error.path());
                    let message = error.into_inner().message().to_owned();
                    if !self.is_text_after_all(&parts, &message) && !self.note(&parts, &message) {
                        break;
                    }
                }
            }
        }
        (None, self.problems)
    }

    /// A variable whose text looks like a number (`INFERD__SERVICE__DEVICE_ID=7`) is a text where a text is expected.
    fn is_text_after_all(&mut self, parts: &[String], message: &str) -> bool {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let found = value_at(&self.table, &parts).is_some_and(|value| !value.is_str());
        let text = self.layers.variable_text(&parts.join(".")).filter(|_| found && message.ends_with("string"));
        let (Some(text), Some((last, tables))) = (text, parts.split_last()) else { return false };
        let table = tables.iter().try_fold(&mut self.table, |table, part| table.get_mut(*part)?.as_table_mut());
        table.is_some_and(|table| table.insert((*last).to_owned(), Value::String(text.to_owned())).is_some())
    }

    /// Notes a problem and takes out what it concerns; `false` where nothing can be taken out.
    fn note(&mut self, parts: &[String], message: &str) -> bool {
        // A table whose keys depend on one another is read as a whole: the key is in the message only.
        if let Some(unknown) = unknown_key(message).filter(|unknown| parts.last().is_none_or(|last| last != unknown)) {
            let parts = [parts, &[unknown.to_owned()]].concat();
            return self.note(&parts, message);
        }
        let key = parts.join(".");
        match missing_key(message) {
            Some(field) => {
                let missing = if key.is_empty() { field.to_owned() } else { format!("{key}.{field}") };
                // What was taken out for another problem is not missing.
                if !self.removed.contains(&missing) {
                    self.problems.push(problem(self.layers, missing, "is missing, and has no default".into()));
                }
            }
            None => {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let message = explain(message, value_at(&self.table, &parts));
                self.problems.push(problem(self.layers, key, message));
            }
        }
        self.remove(parts)
    }

    /// Removes the innermost value on a path that exists.
    fn remove(&mut self, parts: &[String]) -> bool {
        (1..=parts.len()).rev().any(|depth| {
            let (Some((last, tables)), key) = (parts[..depth].split_last(), parts[..depth].join(".")) else {
                return false;
            };
            let table = tables.iter().try_fold(&mut self.table, |table, part| table.get_mut(part)?.as_table_mut());
            let gone = table.is_some_and(|table| table.remove(last).is_some());
            if gone {
                self.removed.push(key);
            }
            gone
        })
    }
}

#[cfg(test)]
mod tests;
