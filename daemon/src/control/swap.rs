//! Making another version the active one while streams run. Blocks; called where that is allowed.
//!
//! The order is what makes it safe: every runner is proven first, then the choice is made durable, then pipelines are
//! promoted. A crash or an error before the choice leaves the old version in every sense; after it a restart comes up
//! with the new one, which was proven.

use std::sync::Arc;
use std::time::Duration;

use inferd_core::Name;
use semver::Version;

use super::ControlError;
use super::jobs::Gate;
use super::launch::{self, Deps};
use crate::capture;
use crate::config;
use crate::engine::{self, Runner, RunnerSettings, StartError};
use crate::host::error::with_causes;
use crate::model::bundle::BundleError;
use crate::model::rollout::Step;
use crate::model::store::{Loaded, StoreError};
use crate::pipeline::{Handle, Promoted};

/// Time for a pipeline to take a promotion, beyond the deadlines of the two windows that its runner may have.
const PROMOTION_MARGIN: Duration = Duration::from_secs(5);

/// A swap that is asked for.
pub(super) struct Swap {
    pub(super) deps: Deps,
    pub(super) runner: config::Runner,
    pub(super) model: Name,
    pub(super) version: Version,
    /// The pipelines that run this model.
    pub(super) pipelines: Vec<Affected>,
    /// Passed before anything is changed.
    pub(super) gate: Arc<Gate>,
}

/// A pipeline that runs the model.
pub(super) struct Affected {
    pub(super) handle: Arc<Handle>,
    /// Its own threshold, where it has one.
    pub(super) threshold: Option<f32>,
}

impl Swap {
    /// Carries it out; `progress` is told each step, and how much of the whole is behind it in percent.
    pub(super) fn run(self, mut progress: impl FnMut(Step, u8)) -> Result<(), ControlError> {
        progress(Step::Staged, Step::Staged.percent());
        self.gate.check()?;
        let loaded = self.deps.store.load(&self.model, &self.version)?;
        let version = &loaded.version;
        for pipeline in &self.pipelines {
            let refused = |problem: String| ControlError::ModelRefused(format!("{}: {problem}", version.id));
            capture::fits(pipeline.handle.source(), &version.manifest)
                .map_err(|mismatch| refused(mismatch.to_string()))?;
            launch::check_threshold(pipeline.threshold, &version.manifest).map_err(refused)?;
        }
        let settings = launch::settings(&self.runner, self.deps.groups.as_ref()).map_err(ControlError::Io)?;
        // Also where no pipeline runs it: a version that does not work here must not become the active one.
        let count = self.pipelines.len().max(1);
        let mut proven = Vec::with_capacity(count);
        for nth in 0..count {
            proven.push(self.prove(&settings, &loaded, |step| progress(step, percent_of(step, nth, count)))?);
        }
        drop(loaded);
        self.gate.commit()?;
        self.deps.store.activate(&self.model, &self.version)?;
        progress(Step::Committed, Step::Committed.percent());
        self.promote(proven, settings.deadline.saturating_mul(2).saturating_add(PROMOTION_MARGIN));
        progress(Step::Promoted, Step::Promoted.percent());
        Ok(())
    }

    fn prove(
        &self,
        settings: &RunnerSettings,
        loaded: &Loaded,
        mut progress: impl FnMut(Step),
    ) -> Result<Runner, ControlError> {
        self.gate.check()?;
        let runner = engine::prove(settings, Arc::clone(&loaded.version), &loaded.golden, |step| {
            progress(match step {
                engine::Step::Starting => Step::Starting,
                engine::Step::Golden => Step::Golden,
            });
        })?;
        self.gate.check()?;
        Ok(runner)
    }

    fn promote(&self, proven: Vec<Runner>, patience: Duration) {
        for (pipeline, runner) in self.pipelines.iter().zip(proven) {
            match pipeline.handle.promote(runner, patience) {
                // A promotion is replaced by that of a later choice, which holds then.
                Promoted::Yes | Promoted::Replaced => {}
                Promoted::Late => {
                    tracing::warn!(model = %self.model, ?patience, "a pipeline has not taken its model's new version yet");
                }
                // It comes up with the version that is active now.
                Promoted::Ended => tracing::info!(model = %self.model, "a pipeline ended while its model was swapped"),
                Promoted::Mismatch(mismatch) => {
                    tracing::error!(model = %self.model, %mismatch, "a pipeline refused a version that fitted before");
                }
            }
        }
    }
}

/// Runners are proven one after the other: each has an equal share of the way from the first start to the promotion.
fn percent_of(step: Step, nth: usize, count: usize) -> u8 {
    let (first, last) = (usize::from(Step::Starting.percent()), usize::from(Step::Committed.percent()));
    let done = usize::from(step.percent()).clamp(first, last) - first;
    u8::try_from(first + (nth * (last - first) + done) / count).unwrap_or(Step::Committed.percent())
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        let text = with_causes(&error);
        if error.is_storage_full() {
            return Self::NoSpace(format!("{text}; make room, then try again"));
        }
        match error {
            StoreError::NoModel(_) | StoreError::NoVersion { .. } | StoreError::NoPrevious(_) => Self::NotFound(text),
            StoreError::VersionTaken { .. } => Self::InvalidArgument(text),
            StoreError::InUse { .. } | StoreError::Locked { .. } => Self::WrongState(text),
            StoreError::Cancelled => Self::Cancelled,
            StoreError::Bundle(BundleError::DigestMismatch { .. }) => Self::DigestMismatch(text),
            StoreError::Bundle(BundleError::Io(_)) | StoreError::Io(_) => Self::Io(text),
            StoreError::Bundle(_) => Self::BundleInvalid(text),
        }
    }
}

impl From<StartError> for ControlError {
    fn from(error: StartError) -> Self {
        let text = with_causes(&error);
        match error {
            StartError::Golden(_) => Self::GoldenMismatch(text),
            StartError::Refused(_) | StartError::Failed { .. } => Self::ModelRefused(text),
            StartError::Spawn { .. } => Self::Io(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_however_many_runners_are_proven() {
        for count in 1..=5 {
            let steps =
                (0..count).flat_map(|nth| [Step::Starting, Step::Golden].map(|step| percent_of(step, nth, count)));
            let percents: Vec<u8> = steps.chain([Step::Committed, Step::Promoted].map(Step::percent)).collect();
            assert!(percents.is_sorted_by(|a, b| a < b), "{count}: {percents:?}");
        }
        assert_eq!((percent_of(Step::Starting, 0, 1), percent_of(Step::Golden, 0, 1)), (10, 70));
    }
}
