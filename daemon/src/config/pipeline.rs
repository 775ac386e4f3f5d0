//! One pipeline's configuration: a source, a model, what counts and what is kept.

use inferd_core::Name;
use serde::{Deserialize, Serialize};

use super::{Power, Source};

/// A source, a model and what to do with outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The model's name.
    pub model: Name,
    /// Start it with the service. Default `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where frames come from.
    pub source: Source,
    /// Instead of the manifest's `decision.threshold`; any number, 0 to 1 for class scores.
    #[serde(default)]
    pub threshold: Option<f32>,
    /// Instead of the manifest's `decision.margin`, 0 to 1.
    #[serde(default)]
    pub margin: Option<f32>,
    /// Which windows to keep.
    #[serde(default)]
    pub sampling: Sampling,
    /// How it spares power.
    #[serde(default)]
    pub power: Power,
}

fn yes() -> bool {
    true
}

/// Which windows to keep for retraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// How uncertainty is measured. Default `none`: nothing is kept.
    pub strategy: Strategy,
    /// Keep a window when its uncertainty is above this, 0 to 1. Default 0.4.
    pub above: f32,
    /// Most samples a minute, over any minute, 0.01 to 6000. Default 6.
    pub per_minute: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { strategy: Strategy::None, above: 0.4, per_minute: 6.0 }
    }
}

/// How uncertainty is measured; each gives 0 (sure) to 1 (no idea). Settles, Active Learning Literature Survey (2009), 3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Nothing is kept.
    #[default]
    None,
    /// `1 - p1`
    LeastConfidence,
    /// `1 - (p1 - p2)`
    Margin,
    /// `-sum(p ln p) / ln(classes)`
    Entropy,
}
