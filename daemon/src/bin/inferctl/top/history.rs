//! What is remembered of one pipeline: the last minute, and its last outcomes.
//!
//! Invariants:
//! - Bounded: at most [`MAX_READINGS`] readings, [`SECONDS`] seconds and [`MAX_OUTCOMES`] outcomes, the oldest go first.
//! - Shares and means are of what was counted; where nothing was, there is none (never NaN).
//! - Counters that go back are those of another start: readings before them are forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::seen::Seen;
use crate::view::Counts;

/// How many seconds are remembered.
pub(crate) const SECONDS: usize = 60;

/// Most outcomes that are kept.
pub(crate) const MAX_OUTCOMES: usize = 200;

/// A reading a second at most, and the one that was newest a minute ago.
const MAX_READINGS: usize = SECONDS + 1;

const MINUTE: Duration = Duration::from_secs(SECONDS as u64);

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    readings: VecDeque<Reading>,
    /// By the second's number since the program began, oldest first.
    seconds: VecDeque<(u64, Second)>,
    /// Oldest first.
    outcomes: VecDeque<Seen>,
}

/// Counters at a time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Duration,
    windows: u64,
    uncertain: u64,
    dropped: u64,
}

/// The outcomes that came within a second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    worst_ms: f64,
    scores: u32,
    score_sum: f64,
}

/// Milliseconds that a stage took, over the outcomes that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct StageTime {
    pub(crate) mean_ms: f64,
    pub(crate) worst_ms: f64,
}

impl History {
    /// Takes counters that were read at a time since the program began.
    pub(crate) fn read(&mut self, at: Duration, counts: &Counts) {
        let reading = Reading { at, windows: counts.windows, uncertain: counts.uncertain, dropped: counts.dropped };
        if self.readings.back().is_some_and(|last| last.windows > reading.windows || last.dropped > reading.dropped) {
            self.readings.clear();
        }
        self.readings.push_back(reading);
        // The newest of those that are a minute old stays: the minute begins with it.
        while self.readings.len() > MAX_READINGS || self.readings.get(1).is_some_and(|second| second.at + MINUTE <= at)
        {
            self.readings.pop_front();
        }
        self.forget_seconds_before(at);
    }

    /// Takes an outcome that came at a time since the program began.
    pub(crate) fn saw(&mut self, at: Duration, seen: Seen) {
        let number = at.as_secs();
        if self.seconds.back().is_none_or(|(newest, _)| *newest < number) {
            self.seconds.push_back((number, Second::default()));
            self.forget_seconds_before(at);
        }
        if let Some((_, second)) = self.seconds.back_mut() {
            second.worst_ms = second.worst_ms.max(seen.latency_ms);
            if let Some(score) = seen.confidence {
                second.scores = second.scores.saturating_add(1);
                second.score_sum += score;
            }
        }
        if self.outcomes.len() == MAX_OUTCOMES {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(seen);
    }

    fn forget_seconds_before(&mut self, at: Duration) {
        let oldest = at.as_secs().saturating_sub(SECONDS as u64 - 1);
        while self.seconds.front().is_some_and(|(number, _)| *number < oldest) {
            self.seconds.pop_front();
        }
    }

    /// The share of windows over the last minute that were uncertain.
    pub(crate) fn uncertain_share(&self) -> Option<f64> {
        let windows = self.over_the_minute(|reading| reading.windows);
        (windows > 0).then(|| ratio(self.over_the_minute(|reading| reading.uncertain), windows))
    }

    /// Frames that were dropped over the last minute.
    pub(crate) fn dropped_lately(&self) -> u64 {
        self.over_the_minute(|reading| reading.dropped)
    }

    fn over_the_minute(&self, counter: impl Fn(&Reading) -> u64) -> u64 {
        let ends = self.readings.front().zip(self.readings.back());
        ends.map_or(0, |(first, last)| counter(last).saturating_sub(counter(first)))
    }

    /// The mean score of the last minute's outcomes that have one.
    pub(crate) fn confidence(&self) -> Option<f64> {
        mean(self.seconds.iter().map(|(_, second)| second))
    }

    /// The longest latency of the last minute, milliseconds.
    pub(crate) fn worst_ms(&self) -> Option<f64> {
        self.seconds.iter().map(|(_, second)| second.worst_ms).reduce(f64::max)
    }

    /// The longest latency in each part of the last minute, oldest first.
    pub(crate) fn latency_trend(&self, now: Duration, parts: usize) -> Vec<Option<f64>> {
        self.trend(now, parts, |seconds| seconds.iter().map(|second| second.worst_ms).reduce(f64::max))
    }

    /// The mean score in each part of the last minute, oldest first.
    pub(crate) fn confidence_trend(&self, now: Duration, parts: usize) -> Vec<Option<f64>> {
        self.trend(now, parts, |seconds| mean(seconds.iter().copied()))
    }

    /// Parts begin at whole multiples of their length, so that a bar keeps its height while it moves to the left.
    fn trend(&self, now: Duration, parts: usize, one: impl Fn(&[&Second]) -> Option<f64>) -> Vec<Option<f64>> {
        let length = SECONDS.div_ceil(parts.max(1)) as u64;
        let newest = now.as_secs() / length;
        let in_part = |part: u64| {
            let within = self.seconds.iter().filter(|(number, _)| number / length == part);
            one(&within.map(|(_, second)| second).collect::<Vec<_>>())
        };
        (0..parts as u64).rev().map(|back| newest.checked_sub(back).and_then(in_part)).collect()
    }

    /// The last outcomes, newest first.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &Seen> {
        self.outcomes.iter().rev()
    }

    /// The times of the stages over the outcomes that are kept; `None` where none has any.
    pub(crate) fn stages(&self) -> Option<[StageTime; 4]> {
        let mut stages = [StageTime::default(); 4];
        let mut count = 0_u32;
        for times in self.outcomes.iter().filter_map(|seen| seen.stages_ms) {
            count += 1;
            for (stage, ms) in stages.iter_mut().zip(times) {
                stage.mean_ms += (ms - stage.mean_ms) / f64::from(count);
                stage.worst_ms = stage.worst_ms.max(ms);
            }
        }
        (count > 0).then_some(stages)
    }

    /// How often each label came in the outcomes that are kept, the most frequent first.
    pub(crate) fn labels(&self) -> Vec<(&str, usize)> {
        let mut counts = BTreeMap::new();
        for label in self.outcomes.iter().filter_map(|seen| seen.label.as_deref()) {
            *counts.entry(label).or_insert(0_usize) += 1;
        }
        let mut labels: Vec<_> = counts.into_iter().collect();
        labels.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        labels
    }

    /// How many outcomes are kept.
    pub(crate) fn kept(&self) -> usize {
        self.outcomes.len()
    }
}

fn mean<'a>(seconds: impl Iterator<Item = &'a Second>) -> Option<f64> {
    let (sum, count) =
        seconds.fold((0.0, 0.0), |(sum, count), second| (sum + second.score_sum, count + f64::from(second.scores)));
    (count > 0.0).then(|| sum / count)
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown in whole percent")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests;
