//! The words and figures that describe a pipeline to people and programs.

/// What a pipeline is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PipelineState {
    /// Not asked to run.
    Stopped,
    /// It cannot run yet (no model, source absent) and tries again.
    Waiting,
    /// Its runner is being started.
    Starting,
    /// Windows are served.
    Running,
    /// Its source is closed on purpose: it is outside its active hours, or in the off part of its duty cycle.
    Resting,
    /// The recording has ended.
    Finished,
    /// It cannot run; an operator is needed.
    Failed,
}

impl PipelineState {
    /// All states, in the order in which they are documented.
    pub const ALL: [Self; 7] =
        [Self::Stopped, Self::Waiting, Self::Starting, Self::Running, Self::Resting, Self::Finished, Self::Failed];

    /// The word used on the bus, in metrics and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Resting => "resting",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// Figures since a pipeline was started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Frames from the source.
    pub frames: u64,
    /// Frames dropped: the model was slower than a live source, they could not be read, or the device had lost them.
    pub dropped: u64,
    /// Windows with an outcome.
    pub windows: u64,
    /// Of these, events.
    pub events: u64,
    /// Of these, uncertain.
    pub uncertain: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Runners that died, hung or broke the protocol.
    pub runner_restarts: u64,
    /// Outcomes per second over the last ten seconds.
    pub per_second: f64,
    /// Median time from frame to outcome over the last outcomes, milliseconds.
    pub latency_p50_ms: f64,
    /// Its 99th percentile, milliseconds.
    pub latency_p99_ms: f64,
}
