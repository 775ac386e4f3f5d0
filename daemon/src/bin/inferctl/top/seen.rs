//! One outcome, as far as it is shown: read from a line of the outcomes' socket (docs/outcomes.md).
//!
//! Invariants: texts hold no control characters, so that no label of a model steers a terminal; figures are finite, as JSON
//! has no others; what a line does not say is absent, not 0.

use serde::Deserialize;

/// Most characters of what a prediction says.
const MAX_SAID: usize = 200;

/// Most values of a regression that are shown.
const MAX_VALUES: usize = 3;

/// The stages, in their order.
pub(crate) const STAGES: [&str; 4] = ["decode", "preprocess", "inference", "postprocess"];

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Outcome(Seen),
    /// So many lines were left out here, as they were not read fast enough.
    Missed(u64),
}

/// An outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) pipeline: String,
    pub(crate) window: u64,
    /// Time of day, UTC.
    pub(crate) clock: String,
    pub(crate) verdict: String,
    pub(crate) label: Option<String>,
    /// The label with its score, the value, or why it failed.
    pub(crate) said: String,
    /// Only where the task has one: the deciding class's score, the best box's, or the anomaly score.
    pub(crate) confidence: Option<f64>,
    pub(crate) latency_ms: f64,
    /// Milliseconds of each of [`STAGES`]; only where the window did not fail.
    pub(crate) stages_ms: Option<[f64; 4]>,
}

#[derive(Deserialize)]
struct Fields {
    pipeline: Option<String>,
    #[serde(default)]
    window: u64,
    #[serde(default)]
    time: String,
    #[serde(default)]
    verdict: String,
    label: Option<String>,
    #[serde(default)]
    confidence: f64,
    #[serde(default)]
    latency_ms: f64,
    stages_ms: Option<Stages>,
    prediction: Option<Prediction>,
    error: Option<Error>,
    dropped: Option<u64>,
}

#[derive(Deserialize)]
struct Stages {
    decode: f64,
    preprocess: f64,
    inference: f64,
    postprocess: f64,
}

#[derive(Deserialize)]
struct Prediction {
    anomaly: Option<f64>,
    #[serde(default)]
    values: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    label: String,
    value: f64,
}

#[derive(Deserialize)]
struct Error {
    stage: String,
    reason: String,
}

impl Line {
    /// Reads a line; `None` where it is neither.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let fields: Fields = serde_json::from_str(line).ok()?;
        if let Some(count) = fields.dropped {
            return Some(Self::Missed(count));
        }
        let pipeline = fields.pipeline.clone()?;
        Some(Self::Outcome(Seen::of(pipeline, fields)))
    }
}

impl Seen {
    fn of(pipeline: String, fields: Fields) -> Self {
        let anomaly = fields.prediction.as_ref().and_then(|prediction| prediction.anomaly);
        let has_score = fields.error.is_none() && (fields.label.is_some() || anomaly.is_some());
        let clock = fields.time.split_once('T').map_or(fields.time.as_str(), |(_, clock)| clock);
        Self {
            said: clean(&said(&fields)).chars().take(MAX_SAID).collect(),
            clock: clean(clock.trim_end_matches('Z')),
            confidence: has_score.then_some(fields.confidence),
            pipeline,
            window: fields.window,
            verdict: clean(&fields.verdict),
            label: fields.label.as_deref().map(clean),
            latency_ms: fields.latency_ms,
            stages_ms: fields.stages_ms.map(|each| [each.decode, each.preprocess, each.inference, each.postprocess]),
        }
    }
}

fn said(fields: &Fields) -> String {
    if let Some(Error { stage, reason }) = &fields.error {
        return format!("{stage}: {reason}");
    }
    if let Some(label) = &fields.label {
        return format!("{label} {:.3}", fields.confidence);
    }
    match &fields.prediction {
        Some(Prediction { anomaly: Some(score), .. }) => format!("anomaly {score:.3}"),
        Some(Prediction { values, .. }) => {
            let values = values.iter().take(MAX_VALUES);
            values.map(|one| format!("{} {:.3}", one.label, one.value)).collect::<Vec<_>>().join(", ")
        }
        None => String::new(),
    }
}

/// A text on one line, without characters that steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|each| if each.is_control() { ' ' } else { each }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rest: &str) -> Seen {
        let line = format!(
            r#"{{"pipeline":"belt","window":42,"time":"2026-01-01T12:00:00.123Z","verdict":"event","latency_ms":3.2,{rest}}}"#
        );
        let Some(Line::Outcome(seen)) = Line::read(&line) else { panic!("{line} is an outcome") };
        seen
    }

    #[test]
    fn each_task_says_what_it_has_and_has_a_confidence_only_where_there_is_one() {
        let cases = [
            (r#""label":"scratch","confidence":0.98,"prediction":{"classes":[]}"#, "scratch 0.980", Some(0.98)),
            (r#""confidence":0,"prediction":{"boxes":[]}"#, "", None),
            (r#""confidence":2.5,"prediction":{"anomaly":2.5}"#, "anomaly 2.500", Some(2.5)),
            (r#""confidence":0,"prediction":{"values":[{"label":"bar","value":1.25}]}"#, "bar 1.250", None),
            (r#""confidence":0,"prediction":{"raw":[1,2],"total":900}"#, "", None),
            (r#""confidence":0,"error":{"stage":"decode","reason":"no JPEG"}"#, "decode: no JPEG", None),
        ];
        for (rest, said, confidence) in cases {
            let seen = seen(rest);
            assert_eq!((seen.said.as_str(), seen.confidence), (said, confidence), "{rest}");
        }
    }

    #[test]
    fn the_whole_of_a_line_is_read() {
        let expected = Seen {
            pipeline: "belt".into(),
            window: 42,
            clock: "12:00:00.123".into(),
            verdict: "event".into(),
            latency_ms: 3.2,
            stages_ms: Some([1.5, 0.25, 4.0, 0.009]),
            ..Seen::default()
        };
        let stages = r#""stages_ms":{"decode":1.5,"preprocess":0.25,"inference":4.0,"postprocess":0.009},"new":[1]"#;
        assert_eq!(seen(stages), expected);
    }

    #[test]
    fn what_was_left_out_is_counted_and_what_is_no_outcome_is_told_apart() {
        assert_eq!(Line::read(r#"{"dropped":312}"#), Some(Line::Missed(312)));
        for line in ["", "{}", "[1]", r#"{"pipeline":"belt","confidence":1e999}"#] {
            assert_eq!(Line::read(line), None, "{line}");
        }
    }

    #[test]
    fn a_label_steers_no_terminal() {
        let seen = seen(r#""label":"\u001b[2Jx\ny","confidence":1"#);
        assert!(!seen.said.chars().any(char::is_control), "{seen:?}");
        assert_eq!(seen.label.as_deref(), Some(" [2Jx y"));
    }
}
