//! What can be asked for, and how it can be refused.

use std::fs::File;

use inferd_core::Name;
use semver::Version;

/// Who asks, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A caller on the bus, by user id.
    User(u32),
    /// A bundle that appeared in `incoming/`.
    Incoming,
    /// The daemon itself.
    Service,
}

/// A change that is asked for.
#[derive(Debug)]
pub enum Command {
    /// Install a bundle; answered with [`Done::Job`].
    Install {
        /// The bundle, open for reading, at its start.
        bundle: File,
        /// Activate it afterwards, unless it is older than the active one. A model's first version is always activated.
        activate: bool,
        /// Who asks.
        origin: Origin,
    },
    /// Make a version the active one; answered with [`Done::Job`].
    Activate {
        /// The model.
        model: Name,
        /// The installed version.
        version: Version,
        /// It may be older than the active one.
        downgrade: bool,
        /// Who asks.
        origin: Origin,
    },
    /// Make the previous version the active one; answered with [`Done::Job`].
    Rollback {
        /// The model.
        model: Name,
        /// Who asks.
        origin: Origin,
    },
    /// Delete a version that is neither active nor previous.
    Remove {
        /// The model.
        model: Name,
        /// The installed version.
        version: Version,
        /// Who asks.
        origin: Origin,
    },
    /// Start a pipeline that is stopped, finished or failed.
    StartPipeline(Name),
    /// Stop a pipeline: its windows are served to the end first. Answered with [`Done::Now`] when it has stopped, with
    /// [`Done::Draining`] where that takes longer than a caller should wait for.
    StopPipeline(Name),
    /// Keep the next `count` windows of a pipeline as samples, whatever the model says.
    Capture {
        /// The pipeline.
        pipeline: Name,
        /// How many, 1 to 1000.
        count: u32,
    },
    /// Record what a pipeline's source gives from now on.
    Record {
        /// The pipeline.
        pipeline: Name,
        /// Where to, as [`inferd_core::recorded`] says.
        sink: File,
        /// For how long, 1 to 3600.
        seconds: u32,
        /// Who asks.
        origin: Origin,
    },
    /// Read the configuration again.
    Reload,
    /// Try all uploads now.
    FlushSpool,
    /// Delete a sample from the spool.
    DiscardSample(String),
    /// End a job before it changes anything.
    CancelJob(u32),
}

/// A command that was carried out, or a job that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is done.
    Now,
    /// It has begun and takes longer than a caller should wait for: a pipeline that still serves what it has.
    Draining,
    /// It goes on as this job, see [`State::jobs`](super::State::jobs).
    Job(u32),
}

/// The owner's answer.
pub type Reply = Result<Done, ControlError>;

/// Why a command was refused. Each variant is an error name on the bus; each text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such model, version, pipeline, job or sample.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done now; it may be later.
    #[error("{0}")]
    Busy(String),
    /// It can never be done as asked.
    #[error("{0}")]
    InvalidArgument(String),
    /// What it would act on is in use or in the wrong state.
    #[error("{0}")]
    WrongState(String),
    /// The bundle is damaged or not a bundle.
    #[error("{0}")]
    BundleInvalid(String),
    /// A file's digest is not the manifest's.
    #[error("{0}")]
    DigestMismatch(String),
    /// A golden sample gave another output than recorded.
    #[error("{0}")]
    GoldenMismatch(String),
    /// It is older than the active version, and that was not asked for.
    #[error("{0}")]
    VersionTooOld(String),
    /// The model cannot be loaded or run.
    #[error("{0}")]
    ModelRefused(String),
    /// The configuration is wrong; the one in force stays.
    #[error("{0}")]
    ConfigInvalid(String),
    /// The disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// The job was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A part of inferd failed that must not; the log says more.
    #[error("{0}")]
    Internal(String),
    /// The service is about to end.
    #[error("inferd is stopping")]
    Stopping,
}

impl ControlError {
    /// The last part of the error's name on the bus (`org.inferd1.Error.NAME`).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFound",
            Self::Busy(_) => "Busy",
            Self::InvalidArgument(_) => "InvalidArgument",
            Self::WrongState(_) => "WrongState",
            Self::BundleInvalid(_) => "BundleInvalid",
            Self::DigestMismatch(_) => "DigestMismatch",
            Self::GoldenMismatch(_) => "GoldenMismatch",
            Self::VersionTooOld(_) => "VersionTooOld",
            Self::ModelRefused(_) => "ModelRefused",
            Self::ConfigInvalid(_) => "ConfigInvalid",
            Self::NoSpace(_) => "NoSpace",
            Self::Io(_) => "Io",
            Self::Cancelled => "Cancelled",
            Self::Internal(_) => "Internal",
            Self::Stopping => "Stopping",
        }
    }
}
