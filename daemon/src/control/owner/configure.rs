//! Reading the configuration again while the service runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::supervised::Supervised;
use super::{Event, Owner};
use crate::config::Config;
use crate::control::command::{ControlError, Done, Reply};
use crate::control::launch;
use crate::host::service;
use crate::model::store::Store;

/// Callers that may wait for a reading; one more is answered [`ControlError::Busy`].
const WAITING: usize = 64;

/// Who waits for the configuration to be read.
#[derive(Default)]
pub(super) struct Reading {
    /// For the reading that is under way; empty where none is.
    now: Vec<oneshot::Sender<Reply>>,
    /// For the one after it: what they want read may have been written after this one began.
    next: Vec<oneshot::Sender<Reply>>,
}

impl Owner {
    /// Reads the configuration again, on another thread: a recording on a share that hangs would hang us. A wrong one
    /// changes nothing.
    pub(super) fn reload(&mut self, reply: oneshot::Sender<Reply>) {
        if self.reading.now.is_empty() {
            self.reading.now.push(reply);
            self.read_config();
        } else if self.reading.next.len() < WAITING {
            self.reading.next.push(reply);
        } else {
            let text = "the configuration is being read, and too many wait for that already".to_owned();
            self.answer(reply, Err(ControlError::Busy(text)));
        }
    }

    fn read_config(&self) {
        if self.is_ready() {
            service::reloading();
        }
        let (read, store) = (Arc::clone(&self.read_config), Arc::clone(&self.deps.store));
        let work = move || {
            let config = read()?;
            check_thresholds(&config, &store)?;
            Ok(config)
        };
        self.background(work, |done| Event::ConfigRead(Box::new(done.unwrap_or_else(Err))));
    }

    pub(super) fn config_read(&mut self, read: Result<Config, String>) {
        self.deps.metrics.reloaded(read.is_ok());
        let result = match read {
            Ok(config) => {
                self.config_error.clear();
                self.take_config(config);
                Ok(Done::Now)
            }
            Err(problems) => {
                tracing::error!(problems, "the configuration is wrong; the one before it stays in force");
                self.config_error.clone_from(&problems);
                Err(ControlError::ConfigInvalid(problems))
            }
        };
        if self.is_ready() {
            service::ready(&self.snapshot().status);
        }
        for reply in std::mem::take(&mut self.reading.now) {
            self.answer(reply, result.clone());
        }
        self.reading.now = std::mem::take(&mut self.reading.next);
        if !self.reading.now.is_empty() {
            self.read_config();
        }
    }

    /// Changes what differs: pipelines at once; runners at their next start, but for the deadline, which counts at once; the
    /// rest at the next start of the service.
    fn take_config(&mut self, config: Config) {
        let runners_differ = self.config.runner != config.runner;
        self.config = config;
        if runners_differ {
            self.tell_runner_settings();
        }
        for section in self.pending_sections() {
            tracing::warn!(section, "this section was changed; that takes effect at the next start of inferd");
        }
        self.adopt_pipelines();
        tracing::info!(pipelines = self.config.pipelines.len(), "configuration is in force");
    }

    pub(super) fn tell_runner_settings(&self) {
        match launch::settings(&self.config.runner, self.deps.groups.as_ref()) {
            Ok(settings) => {
                for handle in self.pipelines.values().filter_map(Supervised::running) {
                    handle.settings(settings.clone());
                }
            }
            // The next launch says so as well, as the reason why its pipeline waits.
            Err(error) => tracing::error!(error, "runners go on with the settings before"),
        }
    }

    /// Sections that differ from what the service was started with, and that take effect at its next start only.
    pub(super) fn pending_sections(&self) -> Vec<&'static str> {
        let (started, now) = (&self.started, &self.config);
        [
            ("service", started.service != now.service),
            ("bus", started.bus != now.bus),
            ("metrics", started.metrics != now.metrics),
            ("models", started.models != now.models),
            ("spool", started.spool != now.spool),
            ("upload", started.upload != now.upload),
            ("sinks", started.sinks != now.sinks),
        ]
        .into_iter()
        .filter_map(|(section, differs)| differs.then_some(section))
        .collect()
    }

    /// Brings the supervised pipelines in line with the configuration.
    pub(super) fn adopt_pipelines(&mut self) {
        let now = self.deps.clock.now();
        for (name, pipeline) in &mut self.pipelines {
            match self.config.pipelines.get(name) {
                Some(config) if *config == pipeline.config => pipeline.keep(now),
                Some(config) => pipeline.change(config.clone(), now),
                None => pipeline.remove(),
            }
        }
        for (name, config) in &self.config.pipelines {
            self.pipelines.entry(name.clone()).or_insert_with(|| Supervised::new(config.clone(), now));
        }
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// Whether thresholds lie where scores of the versions do that serve: what the configuration alone does not tell.
fn check_thresholds(config: &Config, store: &Store) -> Result<(), String> {
    for (name, pipeline) in &config.pipelines {
        // What lies between 0 and 1 fits every task.
        if pipeline.threshold.is_none_or(|threshold| (0.0..=1.0).contains(&threshold)) {
            continue;
        }
        let entry = store.list().into_iter().find(|entry| entry.name == pipeline.model);
        let active = entry.and_then(|entry| entry.active);
        // What cannot be loaded has its own reason why the pipeline does not run.
        let Some(Ok(loaded)) = active.map(|active| store.load(&pipeline.model, &active)) else { continue };
        launch::check_threshold(pipeline.threshold, &loaded.version.manifest)
            .map_err(|problem| format!("pipelines.{name}.threshold: {}: {problem}", loaded.version.id))?;
    }
    Ok(())
}
