//! What can be read: one snapshot of everything, replaced whole at each change. Published at most once a second for
//! figures that only count up, at once for anything else.

use std::collections::BTreeMap;

use inferd_core::Name;
use semver::Version;

pub use crate::model::store::VersionEntry as InstalledVersion;
pub use crate::pipeline::{Counts, PipelineState};

/// A snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// One line: what runs and what is wrong.
    pub status: String,
    /// Models by name.
    pub models: BTreeMap<Name, Model>,
    /// Pipelines by name.
    pub pipelines: BTreeMap<Name, Pipeline>,
    /// Jobs by number; ended ones stay until 64 newer ones have been begun.
    pub jobs: BTreeMap<u32, Job>,
    /// Samples that wait.
    pub spool: Spool,
    /// Where metrics are served (`http://127.0.0.1:9469/metrics`); empty where they are not.
    pub metrics_address: String,
    /// The last reload's error; empty where it went well.
    pub config_error: String,
    /// Sections of the configuration that differ from what the service was started with, and that take effect at its next
    /// start.
    pub pending_sections: Vec<&'static str>,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Installed versions, oldest first.
    pub versions: Vec<InstalledVersion>,
    /// The active one.
    pub active: Option<Version>,
    /// The one before it.
    pub previous: Option<Version>,
}

/// A pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// It is configured to run; one that is not may have been started by hand.
    pub enabled: bool,
    /// What it is doing.
    pub state: PipelineState,
    /// Why, where it is waiting, resting or failed; empty otherwise.
    pub reason: String,
    /// The model's name.
    pub model: Name,
    /// The version that serves; `None` while none does.
    pub version: Option<Version>,
    /// The source in a line (`recording /data/belt, 10 fps, loop`).
    pub source: String,
    /// Figures since it was started.
    pub counts: Counts,
    /// The runner's process id; 0 while there is none.
    pub runner_pid: u32,
    /// `full`, `partial`, `none`; empty while there is no runner.
    pub sandbox: String,
    /// The backend that serves; empty while there is no runner.
    pub backend: String,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What was asked for.
    pub kind: JobKind,
    /// What it does, for people (`install belt-inspect 1.1.0`).
    pub operation: String,
    /// How far it is.
    pub state: JobState,
    /// 0 to 100.
    pub percent: u8,
    /// The step it is at (`staged`, `starting`, `golden`, `committed`, `promoted`).
    pub step: String,
}

/// What a job was begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// To put a bundle into the store.
    Install,
    /// To put a bundle into the store and make it the active version.
    InstallAndActivate,
    /// To make an installed version the active one.
    Activate,
    /// To go back to the version before.
    Rollback,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// At work.
    Running,
    /// Done.
    Succeeded,
    /// Given up; nothing was changed.
    Failed(super::ControlError),
}

impl JobState {
    /// The word used on the bus and for people.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
        }
    }
}

/// Samples that wait to be uploaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spool {
    /// How many.
    pub pending: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Uploaded since the start.
    pub uploaded: u64,
    /// Dropped since the start, for whatever reason.
    pub dropped: u64,
    /// Why the last upload failed; empty where it did not.
    pub last_error: String,
    /// The waiting samples, oldest first, at most 1000.
    pub samples: Vec<Sample>,
}

/// A waiting sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its id: the folder's name.
    pub id: String,
    /// The pipeline it came from.
    pub pipeline: Name,
    /// Why it was kept.
    pub reason: String,
    /// When it was captured, RFC 3339.
    pub time: String,
    /// The deciding label; empty where there is none.
    pub label: String,
    /// How sure the model was.
    pub confidence: f32,
    /// Bytes on disk.
    pub bytes: u64,
}

impl From<crate::model::store::ModelEntry> for Model {
    fn from(entry: crate::model::store::ModelEntry) -> Self {
        Self { versions: entry.versions, active: entry.active, previous: entry.previous }
    }
}

/// One line for `systemctl status`: how many pipelines run, and what is wrong.
pub(super) fn status_line(pipelines: &BTreeMap<Name, Pipeline>, config_error: &str) -> String {
    if !config_error.is_empty() {
        return "the configuration on disk is wrong; the one before it is in force".to_owned();
    }
    if pipelines.is_empty() {
        return "no pipeline is configured; see inferd.toml(5)".to_owned();
    }
    let running = pipelines.values().filter(|pipeline| pipeline.state == PipelineState::Running).count();
    let resting = pipelines.values().filter(|pipeline| pipeline.state == PipelineState::Resting).count();
    let trouble = |pipeline: &&Pipeline| matches!(pipeline.state, PipelineState::Waiting | PipelineState::Failed);
    let mut line = format!("{running} of {} pipelines run", pipelines.len());
    if resting > 0 {
        line = format!("{line}, {resting} rest");
    }
    for (name, pipeline) in pipelines.iter().filter(|(_, pipeline)| trouble(pipeline)) {
        line = format!("{line}; {name} {}: {}", pipeline.state.word(), pipeline.reason);
    }
    line
}

impl State {
    /// Whether every pipeline that should run has come up or has said why it does not.
    pub fn is_settled(&self) -> bool {
        let undecided = |pipeline: &Pipeline| {
            pipeline.state == PipelineState::Starting
                || (pipeline.state == PipelineState::Waiting && pipeline.reason.is_empty())
        };
        !self.status.is_empty() && !self.pipelines.values().any(undecided)
    }

    /// The pipelines that should serve and do not, a line each, with the reason. What is not enabled, was stopped by hand, or
    /// rests, should not.
    pub fn not_serving(&self) -> String {
        let lines = self.pipelines.iter().filter(|(_, pipeline)| pipeline.enabled && !is_as_asked(pipeline.state));
        lines.map(|(name, pipeline)| format!("{name} {}: {}\n", pipeline.state.word(), pipeline.reason)).collect()
    }
}

/// It serves, or does not because nobody wants it to.
const fn is_as_asked(state: PipelineState) -> bool {
    match state {
        PipelineState::Running | PipelineState::Resting | PipelineState::Finished | PipelineState::Stopped => true,
        PipelineState::Waiting | PipelineState::Starting | PipelineState::Failed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(enabled: bool, state: PipelineState) -> State {
        let pipeline = Pipeline {
            enabled,
            state,
            reason: "of this".into(),
            model: "m".parse().unwrap(),
            version: None,
            source: String::new(),
            counts: Counts::default(),
            runner_pid: 0,
            sandbox: String::new(),
            backend: String::new(),
        };
        State { pipelines: [("belt".parse().unwrap(), pipeline)].into(), ..State::default() }
    }

    #[test]
    fn a_pipeline_that_rests_is_told_and_is_no_trouble() {
        let line = |state| status_line(&with(true, state).pipelines, "");
        assert_eq!(line(PipelineState::Resting), "0 of 1 pipelines run, 1 rest");
        assert_eq!(line(PipelineState::Running), "1 of 1 pipelines run");
        assert_eq!(line(PipelineState::Waiting), "0 of 1 pipelines run; belt waiting: of this");
        assert!(State { status: "well".into(), ..with(true, PipelineState::Resting) }.is_settled());
    }

    #[test]
    fn only_enabled_pipelines_count_for_readiness() {
        for state in PipelineState::ALL {
            let is_well = ["running", "resting", "finished", "stopped"].contains(&state.word());
            let expected = if is_well { String::new() } else { format!("belt {}: of this\n", state.word()) };
            assert_eq!(with(true, state).not_serving(), expected);
            assert_eq!(with(false, state).not_serving(), "");
        }
    }
}
