//! The files and the environment, each as a table that still knows where its values stand.
//!
//! Order, lowest first: the base file, `conf.d/*.toml` beside it in the order of their names, the environment. A higher
//! layer wins key by key.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use config::{File, FileFormat};
use toml::{Table, Value};

use super::problem::{ConfigProblem, Place, Severity};

/// What the names of environment variables that override a key begin with. Two underscores separate the parts.
const PREFIX: &str = "INFERD__";

/// The folder beside the base file whose `.toml` files are read after it.
pub(super) const DROP_IN_FOLDER: &str = "conf.d";

/// All layers, lowest first.
pub(super) struct Layers(Vec<Layer>);

struct Layer {
    origin: Origin,
    table: Table,
}

enum Origin {
    File {
        path: PathBuf,
        text: String,
    },
    /// Variables by the dotted key that each sets.
    Environment(BTreeMap<String, Variable>),
}

struct Variable {
    name: String,
    text: String,
}

impl Layers {
    /// Reads every layer.
    ///
    /// # Errors
    /// What cannot be read and what is not TOML, in every file.
    pub(super) fn read(
        file: &Path,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<ConfigProblem>> {
        let mut layers = Vec::new();
        let mut problems = Vec::new();
        let drop_ins = drop_ins(file).unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        for path in std::iter::once(file.to_owned()).chain(drop_ins) {
            match read_file(path) {
                Ok(layer) => layers.push(layer),
                Err(problem) => problems.push(problem),
            }
        }
        match environment_layer(&layers, environment) {
            Ok(layer) => layers.push(layer),
            Err(found) => problems.extend(found),
        }
        if problems.is_empty() { Ok(Self(layers)) } else { Err(problems) }
    }

    /// One table of all layers.
    ///
    /// # Errors
    /// What the config crate cannot merge.
    pub(super) fn merge(&self) -> Result<Table, ConfigProblem> {
        self.0
            .iter()
            .try_fold(config::Config::builder(), |builder, layer| {
                let text = toml::to_string(&layer.table).map_err(|error| error.to_string())?;
                Ok(builder.add_source(File::from_str(&text, FileFormat::Toml)))
            })
            .and_then(|builder| {
                let merged = builder.build().and_then(config::Config::try_deserialize);
                merged.map_err(|error| error.to_string())
            })
            .map_err(|message| ConfigProblem {
                severity: Severity::Wrong,
                place: Place::Merged,
                key: String::new(),
                message,
            })
    }

    /// Where the value of `key` comes from; where nothing sets it, the innermost table on the way to it.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let parts: Vec<&str> = key.split('.').filter(|part| !part.is_empty()).collect();
        for depth in (1..=parts.len()).rev() {
            let sets = |layer: &&Layer| value_at(&layer.table, &parts[..depth]).is_some();
            if let Some(layer) = self.0.iter().rev().find(sets) {
                return layer.place_of(&parts[..depth].join("."));
            }
        }
        Place::Merged
    }

    /// The text of the variable that sets `key`, where it is a variable that does.
    pub(super) fn variable_text(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|layer| match &layer.origin {
            Origin::Environment(variables) => variables.get(key).map(|variable| variable.text.as_str()),
            Origin::File { .. } => None,
        })
    }
}

impl Layer {
    fn place_of(&self, key: &str) -> Place {
        match &self.origin {
            Origin::File { path, text } => {
                Place::File { path: path.clone(), line: inferd_core::text::line_of(text, key) }
            }
            Origin::Environment(variables) => variables
                .iter()
                .find(|(set, _)| set.as_str() == key || set.starts_with(&format!("{key}.")))
                .map_or(Place::Merged, |(_, variable)| Place::Variable(variable.name.clone())),
        }
    }
}

/// The value at a path of keys.
pub(super) fn value_at<'a>(table: &'a Table, parts: &[&str]) -> Option<&'a Value> {
    let (last, tables) = parts.split_last()?;
    tables.iter().try_fold(table, |table, part| table.get(*part)?.as_table())?.get(*last)
}

/// The files of `conf.d` in the order of their names; none where there is no such folder.
fn drop_ins(file: &Path) -> Result<Vec<PathBuf>, ConfigProblem> {
    let folder = file.with_file_name(DROP_IN_FOLDER);
    let unreadable = |error: &io::Error| whole(&folder, format!("cannot be listed: {error}"));
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unreadable(&error))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_file(path: PathBuf) -> Result<Layer, ConfigProblem> {
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            whole(&path, "does not exist; make it (an empty file is valid) or name another with --config".into())
        }
        io::ErrorKind::InvalidData => whole(&path, "is not UTF-8 text; a TOML file is expected".into()),
        _ => whole(&path, format!("cannot be read: {error}")),
    })?;
    let table = inferd_core::text::parse::<Table>(&text).map_err(|problem| ConfigProblem {
        severity: Severity::Wrong,
        place: Place::File { path: path.clone(), line: problem.line },
        key: problem.key,
        message: format!("is not TOML: {}", problem.message.replace('\n', ", ")),
    })?;
    Ok(Layer { origin: Origin::File { path, text }, table })
}

/// A problem with a file or folder as a whole.
fn whole(path: &Path, message: String) -> ConfigProblem {
    let place = Place::File { path: path.to_owned(), line: None };
    ConfigProblem { severity: Severity::Wrong, place, key: String::new(), message }
}

fn environment_layer(
    files: &[Layer],
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Layer, Vec<ConfigProblem>> {
    let mut ours: Vec<_> = environment.filter(|(name, _)| is_ours(name)).collect();
    ours.sort();
    let mut layer = Layer { origin: Origin::Environment(BTreeMap::new()), table: Table::new() };
    let mut variables = BTreeMap::new();
    let mut problems = Vec::new();
    for variable in ours {
        let (name, text) = match in_utf8(variable) {
            Ok(variable) => variable,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let parts = key_parts(files, &name);
        let key = parts.join(".");
        if insert(&mut layer.table, &parts, scalar(&text)) {
            variables.insert(key, Variable { name, text });
        } else {
            let message =
                format!("does not fit beside the other {PREFIX}… variables; {PREFIX}SECTION__KEY is expected");
            problems.push(ConfigProblem { severity: Severity::Wrong, place: Place::Variable(name), key, message });
        }
    }
    layer.origin = Origin::Environment(variables);
    if problems.is_empty() { Ok(layer) } else { Err(problems) }
}

fn is_ours(name: &OsString) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

fn in_utf8((name, text): (OsString, OsString)) -> Result<(String, String), ConfigProblem> {
    match (name.into_string(), text.into_string()) {
        (Ok(name), Ok(text)) => Ok((name, text)),
        (name, _) => {
            let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
            let message = "is not UTF-8 text".to_owned();
            Err(ConfigProblem { severity: Severity::Wrong, place: Place::Variable(name), key: String::new(), message })
        }
    }
}

/// The key that a variable means. A pipeline's name may hold `-`, which a variable's cannot: a pipeline in the files whose
/// name differs only there is meant.
fn key_parts(files: &[Layer], variable: &str) -> Vec<String> {
    let mut parts: Vec<String> = variable.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect();
    if let [section, pipeline, ..] = &mut parts[..]
        && section == "pipelines"
    {
        let named = files.iter().filter_map(|layer| layer.table.get("pipelines")?.as_table()).flat_map(Table::keys);
        let names: Vec<&String> = named.collect();
        if !names.contains(&&*pipeline)
            && let Some(meant) = names.into_iter().find(|name| name.replace('-', "_") == *pipeline)
        {
            pipeline.clone_from(meant);
        }
    }
    parts
}

/// Sets a nested value; `false` where a part is empty, or is a value already and would have to be a table, or the other
/// way round.
fn insert(table: &mut Table, parts: &[String], value: Value) -> bool {
    match parts {
        [] => false,
        [part, ..] if part.is_empty() => false,
        [last] => table.insert(last.clone(), value).is_none(),
        [part, rest @ ..] => match table.entry(part.as_str()).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => insert(inner, rest, value),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => false,
        },
    }
}

/// A number, a truth value or a quoted text where it is one in TOML, else the text as it is.
fn scalar(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| {
        let value = table.remove("value");
        // A text with line breaks may have set further keys: then it is a text.
        value.filter(|_| table.is_empty())
    });
    match parsed {
        Some(value @ (Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => value,
        Some(Value::Datetime(_) | Value::Array(_) | Value::Table(_)) | None => Value::String(text.to_owned()),
    }
}
