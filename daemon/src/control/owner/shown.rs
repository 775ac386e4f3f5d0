//! What others see: the snapshot of everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Owner;
use crate::control::state::{self, State};

/// The most samples that the state lists.
const LISTED_SAMPLES: usize = 1000;

impl Owner {
    /// Publishes the state, if it has changed.
    pub(super) fn publish(&self) {
        let state = self.snapshot();
        for (name, pipeline) in &state.pipelines {
            self.deps.metrics.pipeline_is(name, pipeline.state.word());
        }
        self.state.send_if_modified(|published| {
            let modified = **published != state;
            if modified {
                *published = Arc::new(state);
            }
            modified
        });
    }

    pub(super) fn snapshot(&self) -> State {
        let now = self.deps.clock.now();
        let pipelines: BTreeMap<_, _> =
            self.pipelines.iter().map(|(name, pipeline)| (name.clone(), pipeline.snapshot(now))).collect();
        State {
            status: state::status_line(&pipelines, &self.config_error),
            models: self
                .deps
                .store
                .list()
                .into_iter()
                .map(|entry| (entry.name.clone(), state::Model::from(entry)))
                .collect(),
            pipelines,
            jobs: self.jobs.snapshot(),
            spool: self.spool(),
            metrics_address: self.metrics_address.clone(),
            config_error: self.config_error.clone(),
            pending_sections: self.pending_sections(),
        }
    }

    fn spool(&self) -> state::Spool {
        let counts = self.deps.spool.counts();
        let uploads = self.uploads.status();
        let samples = self.deps.spool.list(LISTED_SAMPLES);
        state::Spool {
            pending: counts.pending,
            bytes: counts.bytes,
            uploaded: uploads.uploaded,
            dropped: counts.dropped_in_all(),
            last_error: uploads.last_error,
            samples: samples.iter().map(|entry| state::Sample::from(&**entry)).collect(),
        }
    }
}

impl From<&crate::spool::Entry> for state::Sample {
    fn from(entry: &crate::spool::Entry) -> Self {
        Self {
            id: entry.id.to_string(),
            pipeline: entry.pipeline.clone(),
            reason: entry.reason.why.word().to_owned(),
            time: entry.time.clone(),
            label: entry.label.clone().unwrap_or_default(),
            confidence: entry.confidence,
            bytes: entry.bytes,
        }
    }
}
