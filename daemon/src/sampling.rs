//! Which windows are worth keeping for retraining: those of whose prediction the model is unsure, at a bounded rate,
//! and those that somebody asked for.
//!
//! Uncertainty is 0 (sure) to 1 (no idea), by the formulas of Settles, Active Learning Literature Survey (2009), 3.1,
//! documented at [`Strategy`]. It is measured on class scores; for boxes it is `1 - score` of the best one, whatever the
//! strategy; anomaly scores, values and raw tensors have none.
//!
//! Invariants:
//! - Over any minute at most `per_minute` windows are kept, rounded down; where that is less than one, at most one over
//!   any `1 / per_minute` minutes. Requested windows neither use this budget nor wait for it.
//! - A failed window is kept only when requested: it holds nothing that a label could be put on.
//! - The times of kept windows are all that is remembered: at most 6000.

use std::collections::VecDeque;
use std::time::Duration;

use inferd_core::outcome::Outcome;
use inferd_core::prediction::{Prediction, rank};

use crate::config::{self, Strategy};
use crate::host::clock::{Clock, Tick};
pub use crate::spool::{Reason, Why};

/// Considers one pipeline's windows, on that pipeline's thread.
#[derive(Debug)]
pub struct Sampler {
    strategy: Strategy,
    above: f32,
    budget: Budget,
    requested: u32,
    throttled: u64,
    clock: Clock,
}

impl Sampler {
    /// A sampler with its whole budget.
    pub fn new(config: &config::Sampling, clock: Clock) -> Self {
        Self {
            strategy: config.strategy,
            above: config.above,
            budget: Budget::per_minute(config.per_minute),
            requested: 0,
            throttled: 0,
            clock,
        }
    }

    /// Whether to keep this window, and why.
    pub fn consider(&mut self, outcome: &Outcome) -> Option<Reason> {
        let prediction = outcome.result.as_ref().ok().map(|inference| &inference.prediction);
        let uncertainty = prediction.and_then(|prediction| uncertainty(self.strategy, prediction));
        if self.requested > 0 {
            self.requested -= 1;
            return Some(Reason { why: Why::Requested, uncertainty: uncertainty.unwrap_or(0.0) });
        }
        let why = why(self.strategy)?;
        // A failed window has no prediction, and so no uncertainty.
        let uncertainty = uncertainty.filter(|&measured| measured > self.above)?;
        if !self.budget.take(self.clock.now()) {
            self.throttled = self.throttled.saturating_add(1);
            return None;
        }
        Some(Reason { why, uncertainty })
    }

    /// Keeps at least the next `count` windows, whatever the model says of them.
    pub fn capture(&mut self, count: u32) {
        self.requested = self.requested.max(count);
    }

    /// Windows that were uncertain enough but over the budget.
    pub const fn throttled(&self) -> u64 {
        self.throttled
    }
}

const fn why(strategy: Strategy) -> Option<Why> {
    match strategy {
        Strategy::None => None,
        Strategy::LeastConfidence => Some(Why::LeastConfidence),
        Strategy::Margin => Some(Why::Margin),
        Strategy::Entropy => Some(Why::Entropy),
    }
}

fn uncertainty(strategy: Strategy, prediction: &Prediction) -> Option<f32> {
    let measured = match (strategy, prediction) {
        (Strategy::None, _) => return None,
        (_, Prediction::Boxes(boxes)) => 1.0 - boxes.iter().map(|found| found.score).reduce(f32::max)?,
        (Strategy::LeastConfidence, Prediction::Classes(scores)) => 1.0 - rank(scores)?.confidence,
        (Strategy::Margin, Prediction::Classes(scores)) => 1.0 - rank(scores)?.margin,
        (Strategy::Entropy, Prediction::Classes(scores)) => entropy(scores)?,
        (_, Prediction::Anomaly(_) | Prediction::Values(_) | Prediction::Raw(_)) => return None,
    };
    Some(measured.clamp(0.0, 1.0))
}

/// `-sum(p ln p) / ln(classes)`. A single score is that of a class against its absence, so two classes.
#[expect(clippy::cast_precision_loss, reason = "a model has far fewer than 2^24 classes")]
fn entropy(scores: &[f32]) -> Option<f32> {
    let part = |p: f32| if p > 0.0 { -p * p.ln() } else { 0.0 };
    match scores {
        [] => None,
        [p] => Some((part(*p) + part(1.0 - *p)) / 2_f32.ln()),
        _ => Some(scores.iter().map(|&p| part(p)).sum::<f32>() / (scores.len() as f32).ln()),
    }
}

/// At most `most` in any stretch of `span`.
#[derive(Debug)]
struct Budget {
    most: usize,
    span: Duration,
    /// When the last `most` were taken, oldest first.
    taken: VecDeque<Tick>,
}

impl Budget {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are checked: 0.01 to 6000")]
    fn per_minute(rate: f32) -> Self {
        let minutes = if rate < 1.0 { 1.0 / f64::from(rate.max(0.01)) } else { 1.0 };
        Self { most: (rate as usize).max(1), span: Duration::from_secs_f64(60.0 * minutes), taken: VecDeque::new() }
    }

    fn take(&mut self, now: Tick) -> bool {
        while self.taken.front().is_some_and(|&oldest| now.since(oldest) >= self.span) {
            self.taken.pop_front();
        }
        let left = self.taken.len() < self.most;
        if left {
            self.taken.push_back(now);
        }
        left
    }
}

#[cfg(test)]
mod tests;
