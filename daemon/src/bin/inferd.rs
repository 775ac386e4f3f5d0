//! inferd, the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use inferd::app::{self, Options};
use inferd::config::BusChoice;
use inferd::host::log;

/// Runs machine-learning models as a service.
#[derive(Debug, Parser)]
#[command(name = "inferd", version, about)]
struct Arguments {
    /// The configuration; `conf.d` beside it is read too.
    #[arg(long, value_name = "FILE", default_value = "/etc/inferd/inferd.toml")]
    config: PathBuf,

    /// Check the configuration, say what is wrong, and end.
    #[arg(long)]
    check: bool,

    /// Serve on the user's bus instead of the configured one.
    #[arg(long)]
    user: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options { config_file: arguments.config, bus: arguments.user.then_some(BusChoice::Session) };
    if arguments.check {
        return app::load_config(&options).map_or_else(|problems| refuse(&problems), |_| ExitCode::SUCCESS);
    }
    let (config, absent) = match app::load_config_for_start(&options) {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    log::start();
    for problem in absent {
        tracing::warn!(%problem, "this is configured and not there; it is used once it is");
    }
    // One thread: what waits for the outside is little, and the data path has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let ended = runtime.block_on(app::run(options, config));
        // A job that still proves a model or reads a bundle has changed nothing yet; it would hold up the end.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "inferd cannot run");
            ExitCode::FAILURE
        }
    }
}

fn refuse(problems: &str) -> ExitCode {
    log::to_person(problems);
    ExitCode::FAILURE
}
