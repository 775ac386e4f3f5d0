//! From what a person wrote to a [`Manifest`]: every rule that can be checked without the model, all problems at once.
//!
//! Invariants:
//! - A manifest that passes fits the wire: every name that a runner is told is of bounded length ([`MAX_NAME_BYTES`],
//!   [`MAX_CHANNELS`]), and labels are only counted there.
//! - The work is bounded by the length of the text: it is parsed once more for the lines of all problems, names are looked up
//!   in a table, and after [`MAX_PROBLEMS`] problems no more are made.
//! - What people and other programs will see (description, licence, names, labels) holds no control characters.

mod audio;
mod image;
mod imu;
mod input;
mod output;

use super::raw;
use super::{Golden, Manifest, Task, is_bundle_path};
use crate::frame::{Dtype, Format};
use crate::text::{Document, Problem, suggest};

/// The version of the manifest's own format that this build reads.
const FORMAT: u32 = 1;

/// The most problems that are told at once.
const MAX_PROBLEMS: usize = 20;

/// Problems that may cost a search through all labels for the one that was meant.
const MAX_SUGGESTIONS: usize = 3;

/// The longest name of a tensor or a channel. Exporters make names of a few hundred letters.
const MAX_NAME_BYTES: usize = 1_000;

/// The most golden samples.
const MAX_GOLDEN: usize = 64;

/// The most channels of an imu model.
const MAX_CHANNELS: usize = 64;

/// Reads the text of another file of the bundle.
type ReadText<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

pub(super) fn check(raw: raw::Manifest, text: &str, read_text: ReadText<'_>) -> Result<Manifest, Vec<Problem>> {
    let mut found = Found::new(text);
    found.unless(raw.format == FORMAT, "format", || {
        format!("is {}, but this inferd reads manifests of format {FORMAT}", raw.format)
    });
    found.printable("description", &raw.description);
    found.unless(!raw.licence.is_empty(), "licence", || "is empty; an SPDX expression is expected".into());
    found.printable("licence", &raw.licence);
    found.path("artifact.file", &raw.artifact.file);
    let input = input::check(&raw.input, raw.window, &mut found);
    let output = output::check(raw.output, &mut found, read_text);
    let decision = output::check_decision(&raw.decision, &output.task, &mut found);
    let golden = check_golden(raw.golden, &output.task, &mut found);
    for file in raw.files.keys() {
        found.path("files", file);
    }
    found.end()?;
    Ok(Manifest {
        name: raw.name,
        version: raw.version,
        description: raw.description,
        licence: raw.licence,
        artifact: super::Artifact { file: raw.artifact.file, format: raw.artifact.format },
        input,
        output,
        decision,
        golden,
        files: raw.files,
    })
}

fn check_golden(raw: Vec<raw::Golden>, task: &Task, found: &mut Found<'_>) -> Vec<Golden> {
    if raw.len() > MAX_GOLDEN {
        found.problem("golden", format!("has more than {MAX_GOLDEN} samples: they are run at every start"));
        return Vec::new();
    }
    raw.into_iter().enumerate().map(|(index, sample)| check_sample(index, sample, task, found)).collect()
}

fn check_sample(index: usize, sample: raw::Golden, task: &Task, found: &mut Found<'_>) -> Golden {
    let key = |name: &str| format!("golden.{index}.{name}");
    found.path(&key("input"), &sample.input);
    found.unless(Format::of_file(&sample.input).is_some(), &key("input"), || {
        format!("`{}` must end in .jpg, .png, .bmp, .wav, .csv or .npy", sample.input)
    });
    let scores = sample.scores.as_deref().map(|path| ("scores", path));
    for (name, path) in [Some(("output", sample.output.as_str())), scores].into_iter().flatten() {
        found.path(&key(name), path);
        found.unless(Format::of_file(path) == Some(Format::Npy), &key(name), || {
            format!("`{path}` must be a NumPy file (.npy)")
        });
    }
    match (task, &sample.scores) {
        (Task::Detection(_), None) => {
            found.problem(&key("scores"), "is missing: detection is compared by corners (`output`) and scores");
        }
        (Task::Detection(_), Some(_)) | (_, None) => {}
        (_, Some(_)) => found.problem(&key("scores"), format!("does not belong to task `{}`", task.word())),
    }
    found.unless(sample.tolerance >= 0.0 && sample.tolerance.is_finite(), &key("tolerance"), || {
        format!("is {}; 0 or more is expected", sample.tolerance)
    });
    Golden { input: sample.input, output: sample.output, scores: sample.scores, tolerance: sample.tolerance }
}

/// The problems so far, and the text that their lines are looked up in.
struct Found<'a> {
    document: Document<'a>,
    problems: Vec<Problem>,
    suggestions: usize,
}

impl<'a> Found<'a> {
    const fn new(text: &'a str) -> Self {
        Self { document: Document::new(text), problems: Vec::new(), suggestions: 0 }
    }

    /// Nothing was found, or all that was.
    fn end(self) -> Result<(), Vec<Problem>> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    fn is_full(&self) -> bool {
        self.problems.len() > MAX_PROBLEMS
    }

    fn problem(&mut self, key: &str, message: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(self.document.problem(key, message));
        } else if !self.is_full() {
            let message = format!("and more: these are the first {MAX_PROBLEMS} problems");
            self.problems.push(Problem { line: None, key: String::new(), message });
        }
    }

    fn unless(&mut self, holds: bool, key: &str, message: impl FnOnce() -> String) {
        if !holds && !self.is_full() {
            self.problem(key, message());
        }
    }

    fn path(&mut self, key: &str, path: &str) -> bool {
        let fine = is_bundle_path(path);
        self.unless(fine, key, || {
            format!(
                "`{path}` is no path in a bundle: plain ASCII names joined by `/` are expected, without `.` and `..`"
            )
        });
        fine
    }

    /// A text that is shown to people and sent to other programs: a NUL would end a connection to the bus.
    fn printable(&mut self, key: &str, text: &str) {
        let control = text.chars().find(|letter| letter.is_control());
        self.unless(control.is_none(), key, || {
            format!("holds the control character {:?}; one line of plain text is expected", control.unwrap_or_default())
        });
    }

    /// The name of a tensor or a channel.
    fn name(&mut self, key: &str, name: &str) {
        self.unless((1..=MAX_NAME_BYTES).contains(&name.len()), key, || {
            format!("has {} bytes; a name of 1 to {MAX_NAME_BYTES} is expected", name.len())
        });
        self.printable(key, name);
    }

    /// A name that is not among those that are known.
    fn unknown<'k>(&mut self, key: &str, name: &str, known: impl Iterator<Item = &'k str>) {
        self.suggestions += 1;
        let meant = if self.suggestions <= MAX_SUGGESTIONS { suggest(name, known) } else { None };
        let hint =
            meant.map_or_else(|| "it must be one of `labels`".into(), |meant| format!("did you mean `{meant}`?"));
        self.problem(key, format!("`{name}` is no label; {hint}"));
    }

    fn required<T: Copy>(&mut self, value: Option<T>, key: &str, why: &str) -> Option<T> {
        if value.is_none() {
            self.problem(key, format!("is missing: {why}"));
        }
        value
    }

    fn finite(&mut self, key: &str, values: &[f32]) {
        self.unless(values.iter().all(|value| value.is_finite()), key, || "holds NaN or infinity".into());
    }
}

#[cfg(test)]
mod tests;
