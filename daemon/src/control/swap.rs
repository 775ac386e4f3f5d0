//! Making another version the active one while streams run. Blocks; called where that is allowed.
//!
//! The order is what makes it safe: every runner is proven first, then the choice is made durable, then pipelines are
//! promoted. A crash or an error before the choice leaves the old version in every sense; after it a restart comes up
//! with the new one, which was proven.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use inferd_core::Name;
use semver::Version;

use super::ControlError;
use super::launch::{self, Deps};
use crate::capture;
use crate::config;
use crate::engine::{self, Runner, RunnerSettings, StartError};
use crate::host::error::with_causes;
use crate::model::bundle::BundleError;
use crate::model::rollout::Step;
use crate::model::store::{LoadedVersion, StoreError};
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
    pub(super) pipelines: Vec<Arc<Handle>>,
    /// Set to give up before anything is changed.
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Swap {
    /// Carries it out; `progress` is told each step.
    pub(super) fn run(self, mut progress: impl FnMut(Step)) -> Result<(), ControlError> {
        progress(Step::Staged);
        let version = Arc::new(self.deps.store.load(&self.model, &self.version)?);
        for pipeline in &self.pipelines {
            capture::fits(pipeline.source(), &version.manifest)
                .map_err(|mismatch| ControlError::ModelRefused(format!("{}: {mismatch}", version.id)))?;
        }
        let settings = launch::settings(&self.runner).map_err(ControlError::Io)?;
        // Also where no pipeline runs it: a version that does not work here must not become the active one.
        let mut proven = Vec::with_capacity(self.pipelines.len());
        for _ in 0..self.pipelines.len().max(1) {
            proven.push(self.prove(&settings, &version, &mut progress)?);
        }
        self.deps.store.activate(&self.model, &self.version)?;
        progress(Step::Promoted);
        self.promote(proven, settings.deadline.saturating_mul(2).saturating_add(PROMOTION_MARGIN));
        progress(Step::Committed);
        Ok(())
    }

    fn prove(
        &self,
        settings: &RunnerSettings,
        version: &Arc<LoadedVersion>,
        progress: &mut impl FnMut(Step),
    ) -> Result<Runner, ControlError> {
        let runner = engine::prove(settings, Arc::clone(version), |step| {
            progress(match step {
                engine::Step::Starting => Step::Starting,
                engine::Step::Golden => Step::Golden,
            });
        })?;
        if self.cancelled.load(Ordering::Acquire) {
            return Err(ControlError::Cancelled);
        }
        Ok(runner)
    }

    fn promote(&self, proven: Vec<Runner>, patience: Duration) {
        for (pipeline, runner) in self.pipelines.iter().zip(proven) {
            match pipeline.promote(runner, patience) {
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
