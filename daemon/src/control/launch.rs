//! Bringing a pipeline up: its version, its source, a proven runner, its thread. Blocks; called where that is allowed.

use std::sync::Arc;

use inferd_core::Name;
use inferd_core::wire::Limits;
use tokio::sync::Notify;

use crate::capture::{self, Player};
use crate::config;
use crate::engine::{self, RunnerSettings};
use crate::host::clock::Clock;
use crate::host::error::with_causes;
use crate::metrics::Metrics;
use crate::model::store::{Loaded, LoadedVersion, Store};
use crate::pipeline::{self, Handle, Parts};
use crate::publish::Publisher;
use crate::spool::Spool;

/// What every pipeline is made with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Models.
    pub store: Arc<Store>,
    /// Time.
    pub clock: Clock,
    /// Figures.
    pub metrics: Metrics,
    /// Samples.
    pub spool: Spool,
    /// Outcomes.
    pub publisher: Publisher,
    /// Rung by pipelines when the owner should look.
    pub changed: Arc<Notify>,
}

/// Why a pipeline is not running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotLaunched {
    /// Something is missing that may come: it is tried again.
    Waiting(String),
    /// It does not fit together: an operator is needed.
    Failed(String),
}

/// Launches a pipeline with its model's active version.
pub(super) fn launch(
    deps: &Deps,
    runner: &config::Runner,
    name: &Name,
    config: &config::Pipeline,
) -> Result<Handle, NotLaunched> {
    let Loaded { version, golden } = active_version(&deps.store, &config.model)?;
    let config::Source::Recording(recording) = &config.source;
    let player = capture::open(recording).map_err(|error| NotLaunched::Waiting(with_causes(&error)))?;
    check_fit(&player, &version)?;
    let settings = settings(runner).map_err(NotLaunched::Failed)?;
    let proven = engine::prove(&settings, version, &golden, |_| {});
    let runner = proven.map_err(|error| NotLaunched::Waiting(with_causes(&error)))?;
    let parts = Parts {
        name: name.clone(),
        config: config.clone(),
        player,
        runner,
        settings,
        clock: deps.clock.clone(),
        metrics: deps.metrics.pipeline(name),
        spool: deps.spool.clone(),
        publisher: deps.publisher.clone(),
        changed: Arc::clone(&deps.changed),
    };
    pipeline::start(parts).map_err(|error| NotLaunched::Failed(with_causes(&error)))
}

fn active_version(store: &Store, model: &Name) -> Result<Loaded, NotLaunched> {
    let entry = store.list().into_iter().find(|entry| entry.name == *model);
    let Some(active) = entry.as_ref().and_then(|entry| entry.active.clone()) else {
        let step = match entry {
            Some(_) => format!("no version of model {model} is active; `inferctl activate {model} VERSION`"),
            None => format!("model {model} is not installed; `inferctl install FILE`"),
        };
        return Err(NotLaunched::Waiting(step));
    };
    store.load(model, &active).map_err(|error| NotLaunched::Failed(with_causes(&error)))
}

fn check_fit(player: &Player, version: &LoadedVersion) -> Result<(), NotLaunched> {
    capture::fits(player.info(), &version.manifest)
        .map_err(|mismatch| NotLaunched::Failed(format!("{}: {mismatch}", version.id)))
}

/// How runners are started by this configuration.
pub(super) fn settings(runner: &config::Runner) -> Result<RunnerSettings, String> {
    Ok(RunnerSettings {
        program: runner.locate().map_err(|error| error.to_string())?,
        limits: Limits {
            memory_bytes: runner.memory_max_bytes,
            threads: runner.threads,
            require_full_sandbox: runner.sandbox == config::SandboxPolicy::Full,
        },
        start_timeout: runner.start_timeout(),
        deadline: runner.deadline(),
    })
}
