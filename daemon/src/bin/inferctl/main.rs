//! inferctl: shows what inferd does and tells it what to do, over D-Bus.
//!
//! Invariants:
//! - Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 inferd cannot be reached, 4 not authorised.
//! - With `--json`, standard output holds JSON of a stable shape (docs/inferctl.md) and nothing else; what is meant for
//!   people only goes to standard error.
//! - A reader that goes away (`inferctl watch | head`) ends the program quietly.
#![allow(clippy::print_stdout, reason = "standard output is what this program is for; only `output` writes to it")]

mod bundle;
mod check_config;
mod cli;
mod client;
mod command;
mod completions;
mod doctor;
mod failure;
mod figures;
mod job;
mod models;
mod output;
mod pipelines;
mod record;
mod samples;
mod service;
mod sources;
mod status;
mod support_bundle;
mod top;
mod view;
mod watch;

#[cfg(test)]
mod fixture;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, DaemonCommand, PipelineCommand};
use client::Client;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))
        .and_then(|runtime| {
            let ended = runtime.block_on(run(cli, &output));
            // A name that is still looked up keeps nobody waiting.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit_code()
        }
    }
}

async fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    match cli.command {
        Command::Top(what) => top::top(&what, cli.bus, *output).await,
        Command::Watch(what) => watch::watch(&what, cli.bus, output).await,
        Command::Bundle(what) => bundle::bundle(&what, output),
        Command::CheckConfig(what) => check_config::check(&what, output),
        Command::Doctor(what) => doctor::examine(&what, cli.bus, output).await,
        Command::SupportBundle(what) => support_bundle::make(&what, cli.bus, output).await,
        Command::Completions(what) => completions::print(&what, output),
        Command::CompleteNames(what) => completions::names(&what, cli.bus, output).await,
        Command::Daemon(command) => ask_daemon(command, &Client::connect(cli.bus).await?, output).await,
    }
}

async fn ask_daemon(command: DaemonCommand, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        DaemonCommand::Status => status::show(client, output).await,
        DaemonCommand::Models => models::list(client, output).await,
        DaemonCommand::Install(what) => models::install(client, output, what).await,
        DaemonCommand::Activate(what) => models::activate(client, output, what).await,
        DaemonCommand::Rollback(what) => models::rollback(client, output, what).await,
        DaemonCommand::Remove(what) => models::remove(client, output, &what).await,
        DaemonCommand::Sources => sources::list(client, output).await,
        DaemonCommand::Pipeline(command) => ask_about_pipelines(command, client, output).await,
        DaemonCommand::Samples(what) => samples::samples(client, output, &what).await,
        DaemonCommand::Reload => service::reload(client, output).await,
    }
}

async fn ask_about_pipelines(command: PipelineCommand, client: &Client, output: &Output) -> Result<(), Failure> {
    match command {
        PipelineCommand::Pipelines => pipelines::list(client, output).await,
        PipelineCommand::Start(what) => pipelines::start(client, output, &what.name).await,
        PipelineCommand::Stop(what) => pipelines::stop(client, output, &what.name).await,
        PipelineCommand::Capture(what) => pipelines::capture(client, output, &what).await,
        PipelineCommand::Record(what) => record::record(client, output, &what).await,
    }
}
