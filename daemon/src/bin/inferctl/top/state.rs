//! What is known, and what the user has chosen. Pure: fed with news and keys, drawn by [`draw`](super::draw).

use std::collections::{BTreeMap, VecDeque};

use super::feed::{News, Outcome};
use super::keys::Key;
use crate::view::{Counts, Everything, Pipeline};

/// Looks that are remembered of a pipeline, one a second.
const REMEMBERED: usize = 120;
/// Outcomes that are remembered of a pipeline.
const OUTCOMES: usize = 32;

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    GoOn,
    Leave,
}

/// What the screen shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    List,
    Details,
    Help,
}

/// By what the list is sorted; the worst first but for names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Name,
    Rate,
    Latency,
    Uncertain,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Name => Self::Rate,
            Self::Rate => Self::Latency,
            Self::Latency => Self::Uncertain,
            Self::Uncertain => Self::Name,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rate => "rate",
            Self::Latency => "latency",
            Self::Uncertain => "uncertain",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// `None` before the first look.
    pub(super) everything: Option<Everything>,
    /// Why inferd does not answer now; empty where it does.
    pub(super) gone: String,
    /// Why there are no outcomes; empty where there are.
    pub(super) no_outcomes: String,
    pub(super) page: Page,
    pub(super) order: Order,
    pub(super) paused: bool,
    chosen: String,
    histories: BTreeMap<String, History>,
}

/// The last minutes of a pipeline, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    looks: VecDeque<Look>,
    pub(super) outcomes: VecDeque<Outcome>,
    /// Sum and number of the confidences since the last look.
    sure: (f64, u32),
}

#[derive(Clone, Copy, Debug)]
struct Look {
    windows: u64,
    uncertain: u64,
    latency_p99_ms: f64,
    /// Mean of the outcomes' since the look before; `None` where there were none with one.
    confidence: Option<f64>,
}

impl State {
    /// Whether there is something else to show.
    pub(super) fn learn(&mut self, news: News) -> bool {
        if self.paused {
            return false;
        }
        match news {
            News::Everything(everything) => self.look(*everything),
            News::Gone(reason) => self.gone = reason,
            News::Outcomes(trouble) => self.no_outcomes = trouble.unwrap_or_default(),
            News::Outcome(outcome) => {
                self.histories.entry(outcome.pipeline.clone()).or_default().add(outcome);
                // The next look draws it.
                return false;
            }
        }
        true
    }

    fn look(&mut self, everything: Everything) {
        self.gone.clear();
        let known = |name: &str| everything.pipelines.iter().any(|pipeline| pipeline.name == name);
        self.histories.retain(|name, _| known(name));
        for pipeline in &everything.pipelines {
            self.histories.entry(pipeline.name.clone()).or_default().look(&pipeline.counts);
        }
        if !known(&self.chosen) {
            self.chosen = everything.pipelines.first().map(|first| first.name.clone()).unwrap_or_default();
            if self.page == Page::Details {
                self.page = Page::List;
            }
        }
        self.everything = Some(everything);
    }

    pub(super) fn obey(&mut self, key: Key) -> Step {
        match key {
            Key::Leave => return Step::Leave,
            Key::Back if self.page == Page::List => return Step::Leave,
            Key::Back => self.page = Page::List,
            Key::Up => self.choose(-1),
            Key::Down => self.choose(1),
            Key::Details if self.page == Page::List && !self.chosen.is_empty() => self.page = Page::Details,
            Key::Details => self.page = Page::List,
            Key::Help if self.page == Page::Help => self.page = Page::List,
            Key::Help => self.page = Page::Help,
            Key::Pause => self.paused = !self.paused,
            Key::Sort => self.order = self.order.next(),
            Key::Redraw => {}
        }
        Step::GoOn
    }

    fn choose(&mut self, by: isize) {
        let names: Vec<String> = self.pipelines().iter().map(|pipeline| pipeline.name.clone()).collect();
        let now = names.iter().position(|name| *name == self.chosen).unwrap_or_default();
        let next = now.saturating_add_signed(by).min(names.len().saturating_sub(1));
        if let Some(name) = names.get(next) {
            self.chosen.clone_from(name);
        }
    }

    /// In the order that was asked for.
    pub(super) fn pipelines(&self) -> Vec<&Pipeline> {
        let mut all: Vec<&Pipeline> = self.everything.iter().flat_map(|everything| &everything.pipelines).collect();
        let worst = |value: fn(&Self, &Pipeline) -> f64| {
            move |a: &&Pipeline, b: &&Pipeline| value(self, b).total_cmp(&value(self, a)).then(a.name.cmp(&b.name))
        };
        match self.order {
            Order::Name => all.sort_by(|a, b| a.name.cmp(&b.name)),
            Order::Rate => all.sort_by(worst(|_, pipeline| pipeline.counts.per_second)),
            Order::Latency => all.sort_by(worst(|_, pipeline| pipeline.counts.latency_p99_ms)),
            Order::Uncertain => all.sort_by(worst(|state, pipeline| {
                state.history(&pipeline.name).and_then(History::uncertain).unwrap_or_default()
            })),
        }
        all
    }

    pub(super) fn history(&self, name: &str) -> Option<&History> {
        self.histories.get(name)
    }

    /// The pipeline that the user has chosen; the first one where none was.
    pub(super) fn chosen(&self) -> Option<&Pipeline> {
        self.everything.as_ref()?.pipelines.iter().find(|pipeline| pipeline.name == self.chosen)
    }
}

impl History {
    fn look(&mut self, counts: &Counts) {
        // It was started again: what was counted before says nothing of now.
        if self.looks.back().is_some_and(|last| last.windows > counts.windows) {
            self.looks.clear();
        }
        let (sum, number) = std::mem::take(&mut self.sure);
        let confidence = (number > 0).then(|| sum / f64::from(number));
        keep(
            &mut self.looks,
            REMEMBERED,
            Look {
                windows: counts.windows,
                uncertain: counts.uncertain,
                latency_p99_ms: counts.latency_p99_ms,
                confidence,
            },
        );
    }

    fn add(&mut self, outcome: Outcome) {
        if outcome.confidence > 0.0 {
            self.sure.0 += outcome.confidence;
            self.sure.1 = self.sure.1.saturating_add(1);
        }
        keep(&mut self.outcomes, OUTCOMES, outcome);
    }

    /// Uncertain windows in percent of those since the first look that is remembered; `None` where there were none.
    pub(super) fn uncertain(&self) -> Option<f64> {
        let (first, last) = (self.looks.front()?, self.looks.back()?);
        let windows = last.windows.saturating_sub(first.windows);
        let uncertain = last.uncertain.saturating_sub(first.uncertain);
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let share = (windows > 0).then(|| uncertain as f64 / windows as f64 * 100.0);
        share
    }

    /// The mean of the last outcomes', where they have one.
    pub(super) fn confidence(&self) -> Option<f64> {
        self.looks.iter().rev().find_map(|look| look.confidence)
    }

    /// The 99th percentiles of latency in milliseconds, oldest first; `None` where nothing was served.
    pub(super) fn latencies(&self) -> Vec<Option<f64>> {
        self.looks.iter().map(|look| (look.latency_p99_ms > 0.0).then_some(look.latency_p99_ms)).collect()
    }

    /// 0 to 1, oldest first.
    pub(super) fn confidences(&self) -> Vec<Option<f64>> {
        self.looks.iter().map(|look| look.confidence).collect()
    }
}

fn keep<T>(ring: &mut VecDeque<T>, most: usize, value: T) {
    while ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(value);
}
