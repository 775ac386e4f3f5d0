//! An outcome as one line of JSON. `docs/outcomes.md` documents it; fields keep this order.

use std::cell::RefCell;
use std::sync::Arc;

use inferd_core::labelled::Labelled;
use inferd_core::outcome::Outcome;
use inferd_core::{Digest, Name};
use semver::Version;
use serde::Serialize;

use crate::host::clock::rfc3339;

/// Most classes in a line: those that can matter to whoever decides on it.
const MAX_CLASSES: usize = 5;

/// Most boxes or values in a line: it must stay small enough to be queued a thousand times.
const MAX_ENTRIES: usize = 100;

/// A line with its line feed, shared by all who get it.
pub(super) type Line = Arc<[u8]>;

#[derive(Serialize)]
struct Fields<'a> {
    pipeline: &'a Name,
    window: u64,
    time: String,
    model: &'a Name,
    version: &'a Version,
    digest: &'a Digest,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    confidence: f32,
    margin: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Labelled<'a>>,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages_ms: Option<Stages>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
}

#[derive(Serialize)]
struct Stages {
    decode: f64,
    preprocess: f64,
    inference: f64,
    postprocess: f64,
}

#[derive(Serialize)]
struct Error<'a> {
    stage: &'static str,
    reason: &'a str,
}

thread_local! {
    /// Lines are put together here and copied once, to the length that they have: one allocation a line.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The line for an outcome.
pub(super) fn line(outcome: &Outcome) -> Line {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        serde_json::to_writer(&mut *buffer, &fields(outcome)).expect("names, numbers and text always have a JSON form");
        buffer.push(b'\n');
        buffer.as_slice().into()
    })
}

/// The line that stands for lines that a reader was too slow for.
pub(super) fn dropped(lines: u64) -> Line {
    format!("{{\"dropped\":{lines}}}\n").into_bytes().into()
}

fn fields(outcome: &Outcome) -> Fields<'_> {
    let inference = outcome.result.as_ref().ok();
    Fields {
        pipeline: &outcome.pipeline,
        window: outcome.window,
        time: rfc3339(outcome.captured_unix_ns),
        model: &outcome.model.name,
        version: &outcome.model.version,
        digest: &outcome.model.digest,
        verdict: outcome.verdict.word(),
        label: outcome.label(),
        confidence: outcome.confidence,
        margin: outcome.margin,
        prediction: inference.map(|inference| Labelled {
            prediction: &inference.prediction,
            labels: &outcome.labels,
            max_classes: MAX_CLASSES,
            max_entries: MAX_ENTRIES,
        }),
        latency_ms: milliseconds(outcome.latency_ns),
        stages_ms: inference.map(|inference| Stages {
            decode: milliseconds(inference.times.decode_ns),
            preprocess: milliseconds(inference.times.preprocess_ns),
            inference: milliseconds(inference.times.inference_ns),
            postprocess: milliseconds(inference.times.postprocess_ns),
        }),
        error: outcome
            .result
            .as_ref()
            .err()
            .map(|failure| Error { stage: failure.stage.word(), reason: &failure.reason }),
    }
}

/// To the microsecond; more digits are noise.
#[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
fn milliseconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1000.0
}
