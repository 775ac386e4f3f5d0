//! Bringing a pipeline up: its version, its source, a proven runner. Blocks; called where that is allowed. The owner starts
//! the thread, if what was launched is still what is wanted.

use std::sync::Arc;

use inferd_core::Name;
use inferd_core::manifest::{Manifest, Task};
use inferd_core::wire::Limits;
use tokio::sync::Notify;

use crate::capture::{self, Needs, Source};
use crate::config;
use crate::engine::{self, RunnerSettings, StartError};
use crate::host::clock::Clock;
use crate::host::error::with_causes;
use crate::host::groups::{GroupLimits, Groups};
use crate::host::thermal::Thermal;
use crate::metrics::Metrics;
use crate::model::bundle::BundleError;
use crate::model::store::{Loaded, LoadedVersion, Store, StoreError};
use crate::pipeline::Parts;
use crate::publish::Publisher;
use crate::spool::Spool;

/// What every pipeline is made with.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Models.
    pub store: Arc<Store>,
    /// Time.
    pub clock: Clock,
    /// Where runners are held to limits by the kernel, if anywhere.
    pub groups: Option<Groups>,
    /// How hot the machine is.
    pub thermal: Thermal,
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

/// Makes all that a pipeline is started with, for its model's active version.
pub(super) fn launch(
    deps: &Deps,
    runner: &config::Runner,
    name: &Name,
    config: &config::Pipeline,
) -> Result<Box<Parts>, NotLaunched> {
    let Loaded { version, golden } = active_version(&deps.store, &config.model)?;
    let needs = Needs::of(&version.manifest);
    let source = capture::open(&config.source, &needs).map_err(|error| NotLaunched::Waiting(with_causes(&error)))?;
    check_fit(&*source, &version)?;
    check_threshold(config.threshold, &version.manifest)
        .map_err(|problem| NotLaunched::Failed(format!("{}: {problem}", version.id)))?;
    let settings = settings(runner, deps.groups.as_ref()).map_err(NotLaunched::Failed)?;
    let proven = engine::prove(&settings, version, &golden, |_| {});
    let runner = proven.map_err(|error| not_proven(&error))?;
    Ok(Box::new(Parts {
        name: name.clone(),
        config: config.clone(),
        source,
        runner,
        settings,
        clock: deps.clock.clone(),
        thermal: deps.thermal.clone(),
        metrics: deps.metrics.pipeline(name),
        spool: deps.spool.clone(),
        publisher: deps.publisher.clone(),
        changed: Arc::clone(&deps.changed),
    }))
}

/// What this machine cannot do now it may do later; what the version cannot do, it will not.
fn not_proven(error: &StartError) -> NotLaunched {
    let text = with_causes(error);
    match error {
        StartError::Golden(_) | StartError::Refused(_) => NotLaunched::Failed(text),
        StartError::Spawn { .. } | StartError::Failed { .. } => NotLaunched::Waiting(text),
    }
}

fn not_loaded(error: &StoreError) -> NotLaunched {
    let text = with_causes(error);
    match error {
        StoreError::Io(_) | StoreError::Bundle(BundleError::Io(_)) => NotLaunched::Waiting(text),
        _ => NotLaunched::Failed(text),
    }
}

/// A pipeline's own threshold lies where scores of the version's task do, as the manifest's must.
pub(super) fn check_threshold(threshold: Option<f32>, manifest: &Manifest) -> Result<(), String> {
    let task = &manifest.output.task;
    let share = matches!(task, Task::Classification { .. } | Task::Detection(_));
    match threshold {
        Some(threshold) if share && !(0.0..=1.0).contains(&threshold) => {
            Err(format!("the pipeline's `threshold` is {threshold}; 0 to 1 is expected for {}", task.word()))
        }
        _ => Ok(()),
    }
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
    store.load(model, &active).map_err(|error| not_loaded(&error))
}

fn check_fit(source: &dyn Source, version: &LoadedVersion) -> Result<(), NotLaunched> {
    capture::fits(source.info(), &version.manifest)
        .map_err(|mismatch| NotLaunched::Failed(format!("{}: {mismatch}", version.id)))
}

/// How runners are started by this configuration.
pub(super) fn settings(runner: &config::Runner, groups: Option<&Groups>) -> Result<RunnerSettings, String> {
    let limits = GroupLimits { memory_bytes: runner.memory_max_bytes, cpu_percent: runner.cpu_max_percent };
    Ok(RunnerSettings {
        program: runner.locate().map_err(|error| error.to_string())?,
        limits: Limits { memory_bytes: runner.memory_max_bytes, threads: runner.threads, sandbox: runner.sandbox },
        group: groups.map(|groups| (groups.clone(), limits)),
        start_timeout: runner.start_timeout(),
        deadline: runner.deadline(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(output: &str) -> Manifest {
        let text = format!(
            "format = 1\nname = \"m\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\nartifact = {{ file = \"model.onnx\" }}\n\
             input = {{ kind = \"tensor\", shape = [1, 4] }}\noutput = {{ {output} }}\n"
        );
        Manifest::parse(&text, &mut |_| Err(String::new())).unwrap()
    }

    #[test]
    fn a_threshold_lies_where_the_scores_of_its_task_do() {
        let classes = manifest("task = \"classification\", labels = [\"a\", \"b\"], activation = \"softmax\"");
        let anomaly = manifest("task = \"anomaly\"");
        for (manifest, threshold, fits) in [
            (&classes, None, true),
            (&classes, Some(0.0), true),
            (&classes, Some(1.0), true),
            (&classes, Some(7.0), false),
            (&classes, Some(-0.1), false),
            (&anomaly, Some(7.0), true),
        ] {
            assert_eq!(check_threshold(threshold, manifest).is_ok(), fits, "{threshold:?}");
        }
        let said = check_threshold(Some(7.0), &classes).unwrap_err();
        assert_eq!(said, "the pipeline's `threshold` is 7; 0 to 1 is expected for classification");
    }

    #[test]
    fn only_what_can_pass_is_tried_again() {
        let failed = StartError::Failed { model: "m".into(), source: crate::engine::LinkError::Closed };
        for (error, again) in [
            (StartError::Golden("differs".into()), false),
            (StartError::Refused("no such operator".into()), false),
            (StartError::Spawn { program: "/p".into(), source: std::io::Error::other("no memory") }, true),
            (failed, true),
        ] {
            assert_eq!(matches!(not_proven(&error), NotLaunched::Waiting(_)), again, "{error}");
        }
        let no_model = StoreError::NoModel("m".parse().unwrap());
        assert!(matches!(not_loaded(&no_model), NotLaunched::Failed(_)));
    }
}
