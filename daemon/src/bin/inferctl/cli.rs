//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use inferd_core::Name;
use semver::Version;

use crate::completions::{CompleteNames, Completions};
use crate::doctor::Doctor;
use crate::support_bundle::SupportBundle;

const AFTER: &str = "\
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 inferd cannot be reached, 4 not authorised (run it
with sudo), 130 interrupted.
Environment: INFERD_BUS (as --bus), INFERD_OUTCOMES_SOCKET (as --socket of top and watch), NO_COLOR (no colours).";

/// Show what inferd does, and tell it what to do
#[derive(Debug, Parser)]
#[command(name = "inferctl", version, after_help = AFTER, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The bus on which inferd is
    #[arg(long, global = true, value_enum, default_value_t = BusKind::System, env = "INFERD_BUS", value_name = "BUS")]
    pub(crate) bus: BusKind,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The bus on which inferd is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BusKind {
    /// The machine's bus: the installed service
    System,
    /// The user's bus: an inferd started by hand
    Session,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Daemon(DaemonCommand),
    /// A live view of what runs, on the whole screen
    Top(Top),
    /// Show outcomes as they come
    Watch(Watch),
    /// Make a bundle of a folder, or look into one
    #[command(subcommand)]
    Bundle(Bundle),
    /// Check a configuration without running it
    CheckConfig(CheckConfig),
    /// Check this machine, and say what to do about what is wrong
    Doctor(Doctor),
    /// Collect what whoever helps you needs, without secrets and without samples
    SupportBundle(SupportBundle),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print names that can be completed
    #[command(hide = true)]
    CompleteNames(CompleteNames),
}

/// What is asked of the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// What runs, how fast, and what is wrong
    Status,
    /// List models and their versions
    Models,
    /// Install a bundle; a model's first version becomes active in any case
    Install(Install),
    /// Make an installed version the one that serves
    Activate(Activate),
    /// Go back to the version before; twice is where you were
    Rollback(Rollback),
    /// Delete a version that is neither active nor previous
    Remove(OneVersion),
    /// List the cameras, microphones and sensors that are attached, and how a pipeline uses them
    Sources,
    #[command(flatten)]
    Pipeline(PipelineCommand),
    /// List the samples that wait to be uploaded, send or delete them
    Samples(Samples),
    /// Read the configuration again; a wrong one changes nothing
    Reload,
}

/// What is asked of the daemon about pipelines.
#[derive(Debug, Subcommand)]
pub(crate) enum PipelineCommand {
    /// List pipelines
    Pipelines,
    /// Start a pipeline
    Start(Pipeline),
    /// Stop a pipeline
    Stop(Pipeline),
    /// Keep the next windows of a pipeline as samples
    Capture(Capture),
    /// Record what a pipeline's source gives, in files that a recording source plays
    Record(Record),
}

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The bundle (.inferd)
    pub(crate) file: PathBuf,
    /// Make it the active version afterwards
    #[arg(long)]
    pub(crate) activate: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Wait {
    /// Begin the job and do not wait for its end
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OneVersion {
    /// The model
    pub(crate) name: Name,
    /// The version, as in `inferctl models`
    pub(crate) version: Version,
}

#[derive(Debug, Args)]
pub(crate) struct Activate {
    #[command(flatten)]
    pub(crate) what: OneVersion,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The model
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Pipeline {
    /// The pipeline
    pub(crate) name: Name,
}

#[derive(Debug, Args)]
pub(crate) struct Capture {
    /// The pipeline
    pub(crate) name: Name,
    /// How many windows
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) count: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Only this pipeline
    pub(crate) pipeline: Option<Name>,
    /// End after so many outcomes
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) outcomes: Outcomes,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) outcomes: Outcomes,
}

#[derive(Debug, Args)]
pub(crate) struct Outcomes {
    /// Where inferd serves outcomes
    #[arg(long, env = "INFERD_OUTCOMES_SOCKET", default_value = "/run/inferd/outcomes.sock", value_name = "PATH")]
    pub(crate) socket: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The pipeline
    pub(crate) name: Name,
    /// For how long, 1 to 3600
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// The folder to make
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Samples {
    /// Try all uploads now
    #[arg(long, conflicts_with = "discard")]
    pub(crate) flush: bool,
    /// Delete a sample that was not uploaded
    #[arg(long, value_name = "ID")]
    pub(crate) discard: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Make a bundle of a folder with a model.toml
    Pack {
        /// The folder
        folder: PathBuf,
        /// The bundle; NAME-VERSION.inferd here where it is not given
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show what is in a bundle, and verify its digests
    Inspect {
        /// The bundle
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// The configuration; conf.d beside it and the environment are read too
    #[arg(default_value = "/etc/inferd/inferd.toml")]
    pub(crate) file: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
