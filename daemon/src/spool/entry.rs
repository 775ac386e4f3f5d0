//! One sample: its id, why it was kept, and the content of `sample.json`.

use std::fmt;
use std::str::FromStr;

use inferd_core::labelled::Labelled;
use inferd_core::outcome::{FailedStage, Outcome};
use inferd_core::{Digest, Name};
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::payload::Encoded;
use crate::host::clock::rfc3339;

/// Most classes, boxes or values of a prediction that `sample.json` holds.
const MAX_PREDICTED: usize = 100;

/// A sample's id: a UUIDv7, so that ids sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Uuid);

/// The text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no sample id: a UUID in lower case is expected, as `inferctl samples` shows them")]
pub struct InvalidId(String);

impl Id {
    pub(super) const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One text an id, for it names a folder: other spellings that UUID knows are refused.
        let parsed = Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text);
        parsed.ok_or_else(|| InvalidId(text.to_owned()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a sample was kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The measure that was over its limit, or the request.
    pub why: Why,
    /// How unsure the model was, 0 to 1; 0 where the task has no such measure.
    pub uncertainty: f32,
}

/// The measure that was over its limit, or the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// `1 - p1` was high.
    LeastConfidence,
    /// `1 - (p1 - p2)` was high.
    Margin,
    /// The scores' entropy was high.
    Entropy,
    /// Somebody asked for it.
    Requested,
}

impl Why {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Self; 4] = [Self::LeastConfidence, Self::Margin, Self::Entropy, Self::Requested];

    /// The word used in JSON, metrics and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::LeastConfidence => "least-confidence",
            Self::Margin => "margin",
            Self::Entropy => "entropy",
            Self::Requested => "requested",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Requested => f.write_str(self.why.word()),
            Why::LeastConfidence | Why::Margin | Why::Entropy => {
                write!(f, "{} {:.2}", self.why.word(), self.uncertainty)
            }
        }
    }
}

/// A sample that waits: what is known of it without looking at the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id, which is its folder's name.
    pub id: Id,
    /// The pipeline it came from.
    pub pipeline: Name,
    /// Why it was kept.
    pub reason: Reason,
    /// When it was captured, RFC 3339.
    pub time: String,
    /// The deciding label, where there is one.
    pub label: Option<String>,
    /// How sure the model was.
    pub confidence: f32,
    /// Bytes on disk, whole blocks.
    pub bytes: u64,
    /// The payload.
    pub payload: PayloadFile,
}

/// The file beside `sample.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadFile {
    /// Its name.
    pub file: String,
    /// `jpeg`, `png`, `bmp`, `wav`, `csv`, `npy`, `ppm`, `pgm`, `y4m`.
    pub format: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

impl PayloadFile {
    /// The media type of the file.
    pub fn media_type(&self) -> &'static str {
        match self.format.as_str() {
            "jpeg" => "image/jpeg",
            "png" => "image/png",
            "bmp" => "image/bmp",
            "wav" => "audio/wav",
            "csv" => "text/csv",
            "ppm" => "image/x-portable-pixmap",
            "pgm" => "image/x-portable-graymap",
            "y4m" => "video/x-yuv4mpeg",
            _ => "application/octet-stream",
        }
    }
}

/// What is read back of `sample.json`; the rest of it is for whom it is delivered to.
#[derive(Deserialize)]
pub(super) struct Written {
    pub(super) id: Id,
    pipeline: Name,
    reason: Reason,
    time: String,
    label: Option<String>,
    confidence: f32,
    pub(super) payload: PayloadFile,
}

impl Written {
    /// The entry whose files take this many bytes on disk.
    pub(super) fn entry(self, bytes: u64) -> Entry {
        Entry {
            id: self.id,
            pipeline: self.pipeline,
            reason: self.reason,
            time: self.time,
            label: self.label,
            confidence: self.confidence,
            bytes,
            payload: self.payload,
        }
    }
}

/// `sample.json` as it is written, in this order.
#[derive(Serialize)]
struct Sample<'a> {
    id: Id,
    pipeline: &'a Name,
    window: u64,
    model: &'a Name,
    version: &'a Version,
    digest: &'a Digest,
    label: Option<&'a str>,
    confidence: f32,
    margin: f32,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Labelled<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
    reason: Reason,
    time: &'a str,
    device_id: &'a str,
    payload: &'a PayloadFile,
}

#[derive(Serialize)]
struct Error<'a> {
    stage: FailedStageWord,
    reason: &'a str,
}

struct FailedStageWord(FailedStage);

impl Serialize for FailedStageWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

/// A new sample: what is known of it (but for its bytes on disk) and its `sample.json`.
pub(super) fn compose(
    id: Id,
    outcome: &Outcome,
    reason: Reason,
    device_id: &str,
    encoded: &Encoded<'_>,
) -> (Entry, Vec<u8>) {
    let entry = Entry {
        id,
        pipeline: outcome.pipeline.clone(),
        reason,
        time: rfc3339(outcome.captured_unix_ns),
        label: outcome.label().map(str::to_owned),
        confidence: outcome.confidence,
        bytes: 0,
        payload: encoded.file(),
    };
    let json = to_json(&entry, outcome, device_id);
    (entry, json)
}

fn to_json(entry: &Entry, outcome: &Outcome, device_id: &str) -> Vec<u8> {
    let sample = Sample {
        id: entry.id,
        pipeline: &outcome.pipeline,
        window: outcome.window,
        model: &outcome.model.name,
        version: &outcome.model.version,
        digest: &outcome.model.digest,
        label: outcome.label(),
        confidence: outcome.confidence,
        margin: outcome.margin,
        verdict: outcome.verdict.word(),
        prediction: outcome.result.as_ref().ok().map(|inference| Labelled {
            prediction: &inference.prediction,
            labels: &outcome.labels,
            max_classes: MAX_PREDICTED,
            max_entries: MAX_PREDICTED,
        }),
        error: outcome
            .result
            .as_ref()
            .err()
            .map(|failure| Error { stage: FailedStageWord(failure.stage), reason: &failure.reason }),
        reason: entry.reason,
        time: &entry.time,
        device_id,
        payload: &entry.payload,
    };
    serde_json::to_vec_pretty(&sample).expect("names, numbers and text always have a JSON form")
}
