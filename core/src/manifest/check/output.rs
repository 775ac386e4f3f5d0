//! The output tensors, the labels, and what a task needs.

use std::collections::HashMap;

use super::{Found, ReadText, raw};
use crate::manifest::{Activation, AnomalyScore, Boxes, Decision, Output, Task};
use crate::prediction::MAX_VALUES;

pub(super) fn check(raw: raw::Output, found: &mut Found<'_>, read_text: ReadText<'_>) -> Output {
    let labels = check_labels(&raw, found, read_text);
    if let Some(name) = &raw.tensor {
        found.name("output.tensor", name);
    }
    let belongs = |belongs: bool, key: &str, given: bool, found: &mut Found<'_>| {
        found.unless(belongs || !given, &format!("output.{key}"), || {
            format!("does not belong to task `{:?}`", raw.task).to_lowercase()
        });
    };
    let classification = raw.task == raw::TaskName::Classification;
    belongs(classification, "activation", raw.activation.is_some(), found);
    belongs(classification, "normal", raw.normal.is_some(), found);
    belongs(raw.task == raw::TaskName::Anomaly, "anomaly", raw.anomaly.is_some(), found);
    belongs(raw.task == raw::TaskName::Detection, "boxes", raw.boxes.is_some(), found);
    let task = match raw.task {
        raw::TaskName::Classification => Task::Classification {
            activation: raw.activation.unwrap_or(Activation::None),
            normal: check_normal(&raw.normal.unwrap_or_default(), &labels, found),
        },
        raw::TaskName::Detection => check_boxes(raw.boxes, &labels, found),
        raw::TaskName::Anomaly => Task::Anomaly(raw.anomaly.unwrap_or(AnomalyScore::Score)),
        raw::TaskName::Regression => Task::Regression,
        raw::TaskName::Raw => Task::Raw,
    };
    Output { tensor: raw.tensor, labels: labels.names, labels_file: raw.labels_file, task }
}

/// The labels, and where each one is. Several classes may share a name, as ImageNet's two cranes do.
#[derive(Default)]
struct Labels {
    names: Vec<String>,
    indices: HashMap<String, Vec<u32>>,
}

impl Labels {
    fn indices_of(&self, key: &str, name: &str, found: &mut Found<'_>) -> &[u32] {
        let indices = self.indices.get(name).map_or(&[][..], Vec::as_slice);
        // Without labels there is a problem already.
        if indices.is_empty() && !self.names.is_empty() {
            found.unknown(key, name, self.names.iter().map(String::as_str));
        }
        indices
    }

    fn index_of(&self, key: &str, name: &str, found: &mut Found<'_>) -> Option<u32> {
        let indices = self.indices_of(key, name, found);
        found.unless(indices.len() < 2, key, || {
            format!("`{name}` is the name of {} classes; one is expected", indices.len())
        });
        indices.first().copied()
    }
}

fn check_labels(raw: &raw::Output, found: &mut Found<'_>, read_text: ReadText<'_>) -> Labels {
    let (names, file) = match (&raw.labels, &raw.labels_file) {
        (Some(_), Some(_)) => {
            found.problem("output.labels_file", "stands beside `labels`; one of them is expected");
            return Labels::default();
        }
        (Some(labels), None) => (labels.clone(), None),
        (None, Some(file)) => {
            if !found.path("output.labels_file", file) {
                return Labels::default();
            }
            match read_text(file) {
                Ok(text) => (lines(&text), Some(file.as_str())),
                Err(reason) => {
                    found.problem("output.labels_file", format!("cannot read `{file}`: {reason}"));
                    return Labels::default();
                }
            }
        }
        (None, None) => (Vec::new(), None),
    };
    let needed = !matches!(raw.task, raw::TaskName::Anomaly | raw::TaskName::Raw);
    found.unless(!needed || !names.is_empty(), "output.labels", || match file {
        Some(file) => format!("is missing: `{file}` holds none"),
        None => "is missing: a name for every class or value is expected, in the order of the model's output".into(),
    });
    if names.len() > MAX_VALUES {
        found.problem("output.labels", format!("are more than {MAX_VALUES}"));
        return Labels::default();
    }
    let indices = check_names(&names, file, found);
    Labels { names, indices }
}

/// One label a line; blank lines at the end are the editor's.
fn lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
}

/// Refuses labels that cannot be seen. `file` is where they stand, if not in the manifest.
fn check_names(names: &[String], file: Option<&str>, found: &mut Found<'_>) -> HashMap<String, Vec<u32>> {
    let mut indices = HashMap::<_, Vec<_>>::with_capacity(names.len());
    for (index, name) in (0_u32..).zip(names) {
        if found.is_full() {
            break;
        }
        let (key, place) = match file {
            Some(file) => ("output.labels_file".to_owned(), format!("line {} of `{file}`", index + 1)),
            None => (format!("output.labels.{index}"), format!("label {index}")),
        };
        if name.trim().is_empty() {
            found.problem(&key, format!("{place} is empty; every class needs a name"));
        } else if name.chars().any(char::is_control) {
            found.problem(&key, format!("{place} holds a control character: {name:?}"));
        } else {
            indices.entry(name.clone()).or_default().push(index);
        }
    }
    indices
}

fn check_normal(names: &[String], labels: &Labels, found: &mut Found<'_>) -> Vec<u32> {
    let (count, limit) = (names.len(), labels.names.len());
    if count > limit && limit > 0 {
        found.problem("output.normal", format!("has {count} names, but there are {limit} labels"));
        return Vec::new();
    }
    names.iter().flat_map(|name| labels.indices_of("output.normal", name, found)).copied().collect()
}

fn check_boxes(boxes: Option<raw::Boxes>, labels: &Labels, found: &mut Found<'_>) -> Task {
    let Some(boxes) = boxes else {
        found.problem(
            "output.boxes",
            "is missing: a table [output.boxes] with `scores_tensor` is expected for detection",
        );
        // Never seen: there is a problem. It keeps the rest from being checked as another task.
        let boxes = Boxes { scores_tensor: String::new(), background: None, min_score: 0.0, max_overlap: 0.0 };
        return Task::Detection(boxes);
    };
    for (key, value) in [("min_score", boxes.min_score), ("max_overlap", boxes.max_overlap)] {
        found.unless((0.0..=1.0).contains(&value), &format!("output.boxes.{key}"), || {
            format!("is {value}; 0 to 1 is expected")
        });
    }
    found.name("output.boxes.scores_tensor", &boxes.scores_tensor);
    let background = boxes.background.and_then(|name| labels.index_of("output.boxes.background", &name, found));
    Task::Detection(Boxes {
        scores_tensor: boxes.scores_tensor,
        background,
        min_score: boxes.min_score,
        max_overlap: boxes.max_overlap,
    })
}

pub(super) fn check_decision(raw: &raw::Decision, task: &Task, found: &mut Found<'_>) -> Decision {
    let share = matches!(task, Task::Classification { .. } | Task::Detection(_));
    let expected = if share { "0 to 1 is expected" } else { "a finite number is expected" };
    for (key, value) in [("threshold", raw.threshold), ("margin", raw.margin)] {
        let fine = value.is_finite() && (!share || (0.0..=1.0).contains(&value));
        found.unless(fine, &format!("decision.{key}"), || format!("is {value}; {expected}"));
    }
    Decision { threshold: raw.threshold, margin: raw.margin }
}
