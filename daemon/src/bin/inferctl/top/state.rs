//! What is known of inferd, fed with what the bus and the outcomes' socket tell and with the time. Pure: it reads no clock.
//!
//! Invariants:
//! - Only of pipelines that inferd lists is anything remembered, so memory is bounded by the configuration.
//! - Another process is another inferd: everything that was remembered of the one before is forgotten.
//! - While inferd is silent the last that it told stays, with since when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::History;
use super::process::Process;
use super::seen::Seen;
use crate::failure::Failure;
use crate::status::{self, Problem};
use crate::view::{Everything, Pipeline};

/// Something that was heard.
#[derive(Debug)]
pub(crate) enum Feed {
    /// The bus told everything.
    Told(Box<Told>),
    /// It did not answer.
    Silent(Failure),
    /// An outcome.
    Outcome(Seen),
    /// So many outcomes were not read fast enough.
    Missed(u64),
    /// Whether outcomes can be read.
    Outcomes(Result<(), Failure>),
}

/// What the bus told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) everything: Everything,
    /// Where this machine shows it.
    pub(crate) process: Option<Process>,
}

/// inferd, as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// What it told last; `None` before the first time.
    told: Option<Told>,
    problems: Vec<Problem>,
    histories: BTreeMap<String, History>,
    /// Why nothing is heard of it, and since when.
    silent: Option<(Duration, Failure)>,
    /// Why there are no outcomes.
    no_outcomes: Option<Failure>,
    /// Outcomes that were not read fast enough.
    missed: u64,
}

impl State {
    /// Takes what was heard at a time since the program began.
    pub(crate) fn take(&mut self, at: Duration, feed: Feed) {
        match feed {
            Feed::Told(told) => self.hear(at, *told),
            Feed::Silent(failure) => {
                let since = self.silent.as_ref().map_or(at, |(since, _)| *since);
                self.silent = Some((since, failure));
            }
            Feed::Outcome(seen) => {
                if let Some(history) = self.histories.get_mut(&seen.pipeline) {
                    history.saw(at, seen);
                }
            }
            Feed::Missed(count) => self.missed = self.missed.saturating_add(count),
            Feed::Outcomes(link) => self.no_outcomes = link.err(),
        }
    }

    fn hear(&mut self, at: Duration, mut told: Told) {
        if self.is_another(&told) {
            self.histories.clear();
            self.missed = 0;
        }
        self.silent = None;
        self.problems = status::problems(&told.everything);
        // They can be many, and only how many there are is shown.
        told.everything.spool.samples = Vec::new();
        self.histories.retain(|name, _| told.everything.pipelines.iter().any(|pipeline| &pipeline.name == name));
        for pipeline in &told.everything.pipelines {
            self.histories.entry(pipeline.name.clone()).or_default().read(at, &pipeline.counts);
        }
        self.told = Some(told);
    }

    fn is_another(&self, told: &Told) -> bool {
        let pid = |told: &Told| told.process.as_ref().map(|process| process.pid);
        self.told.as_ref().and_then(pid).zip(pid(told)).is_some_and(|(before, now)| before != now)
    }

    /// What inferd told last.
    pub(crate) const fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    /// The pipelines, by name.
    pub(crate) fn pipelines(&self) -> &[Pipeline] {
        self.told.as_ref().map_or(&[], |told| told.everything.pipelines.as_slice())
    }

    /// What is remembered of a pipeline that inferd lists.
    pub(crate) fn history(&self, name: &str) -> Option<&History> {
        self.histories.get(name)
    }

    /// What is wrong, as `inferctl status` says it.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What is wrong with one pipeline.
    pub(crate) fn problems_of(&self, pipeline: &Pipeline) -> Vec<Problem> {
        self.told.as_ref().map(|told| status::pipeline_problems(pipeline, &told.everything)).unwrap_or_default()
    }

    /// Why nothing is heard of inferd, and since when.
    pub(crate) const fn silent(&self) -> Option<&(Duration, Failure)> {
        self.silent.as_ref()
    }

    /// Why there are no outcomes.
    pub(crate) const fn no_outcomes(&self) -> Option<&Failure> {
        self.no_outcomes.as_ref()
    }

    /// Outcomes that were not read fast enough since inferd was started or this program was.
    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::BusKind;
    use crate::fixture;

    fn told(pid: u32, windows: u64) -> Feed {
        let mut everything = fixture::everything();
        everything.pipelines[0].counts.windows = windows;
        let process = Some(Process { pid, ..Process::default() });
        Feed::Told(Box::new(Told { everything, process }))
    }

    fn outcome(pipeline: &str) -> Feed {
        Feed::Outcome(Seen { pipeline: pipeline.into(), ..Seen::default() })
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn silent() -> Feed {
        Feed::Silent(Failure::unreachable(BusKind::System, "it does not run"))
    }

    #[test]
    fn an_inferd_that_was_started_again_has_no_past() {
        let mut state = State::default();
        state.take(at(0), told(100, 1000));
        state.take(at(1), outcome("belt"));
        state.take(at(1), Feed::Missed(5));
        assert_eq!((state.history("belt").unwrap().kept(), state.missed()), (1, 5));
        // It counted on beyond where the one before was, so the counters alone do not tell.
        state.take(at(2), told(200, 2000));
        let history = state.history("belt").unwrap();
        assert_eq!((history.kept(), history.uncertain_share(), state.missed()), (0, None, 0));
    }

    #[test]
    fn a_silent_inferd_stays_as_it_was_last_heard_of_with_since_when() {
        let mut state = State::default();
        state.take(at(0), told(100, 1000));
        state.take(at(1), outcome("belt"));
        state.take(at(5), silent());
        state.take(at(9), silent());
        assert_eq!(state.silent().map(|(since, _)| *since), Some(at(5)));
        assert_eq!((state.pipelines().len(), state.history("belt").unwrap().kept()), (2, 1));
        state.take(at(10), told(100, 1000));
        assert!(state.silent().is_none());
        assert_eq!(state.history("belt").unwrap().kept(), 1, "it is the same process, which only did not answer");
    }

    #[test]
    fn nothing_is_remembered_of_a_pipeline_that_is_not_there() {
        let mut state = State::default();
        state.take(at(0), outcome("belt"));
        assert!(state.history("belt").is_none());
        state.take(at(0), told(100, 1));
        state.take(at(0), outcome("ghost"));
        assert!(state.history("ghost").is_none());
        let fewer = Everything { pipelines: vec![fixture::everything().pipelines.remove(1)], ..Everything::default() };
        state.take(at(1), Feed::Told(Box::new(Told { everything: fewer, process: None })));
        assert!(state.history("belt").is_none() && state.history("door").is_some());
    }

    #[test]
    fn samples_are_counted_and_not_kept() {
        let mut state = State::default();
        state.take(at(0), told(100, 1));
        let spool = &state.told().unwrap().everything.spool;
        assert_eq!((spool.pending, spool.samples.len()), (1, 0));
    }
}
