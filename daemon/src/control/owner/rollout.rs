//! Installing bundles and making versions the active ones. Bundles that are dropped in are taken one at a time, up to the end
//! of their swap, so that two versions of one model are activated in their order and none is turned away.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use inferd_core::Name;
use semver::Version;

use super::{Event, Owner, flatten};
use crate::control::command::{ControlError, Done, Origin, Reply};
use crate::control::state::JobKind;
use crate::control::swap::Swap;
use crate::model::incoming::Offer;
use crate::model::store::Installed;

/// Installs that run at once, each with a thread and a bundle's worth of disk; one more is answered [`ControlError::Busy`].
const INSTALLS: usize = 4;

/// The incoming bundle that is being installed or activated.
pub(super) struct AtHand {
    job: u32,
    path: PathBuf,
}

/// A swap that waits for another one of its model.
pub(super) struct HeldSwap {
    job: u32,
    model: Name,
    version: Version,
}

impl Owner {
    pub(super) fn install(&mut self, bundle: File, activate: bool, origin: &Origin) -> Reply {
        if self.installing >= INSTALLS {
            let text = format!("{INSTALLS} bundles are being installed; wait for one of them");
            return Err(ControlError::Busy(text));
        }
        Ok(Done::Job(self.begin_install(bundle, activate, origin)))
    }

    pub(super) const fn takes_incoming(&self) -> bool {
        self.at_hand.is_none() && self.installing < INSTALLS
    }

    pub(super) fn install_incoming(&mut self, offer: Offer) {
        // As the service was started, like the rest of `[models]`.
        let activate = self.started.models.activate_incoming;
        let job = self.begin_install(offer.bundle, activate, &Origin::Incoming);
        self.at_hand = Some(AtHand { job, path: offer.path });
    }

    fn begin_install(&mut self, bundle: File, activate: bool, origin: &Origin) -> u32 {
        let kind = if activate { JobKind::InstallAndActivate } else { JobKind::Install };
        let job = self.jobs.begin(kind, "install".to_owned());
        tracing::info!(job, ?origin, "bundle is being installed");
        self.installing += 1;
        let (store, gate) = (Arc::clone(&self.deps.store), self.jobs.gate(job));
        let work = move || store.install_if(bundle, || gate.commit().is_ok()).map_err(ControlError::from);
        self.background(work, move |done| Event::Installed { job, activate, result: flatten(done) });
        job
    }

    /// An install may be followed by a swap, which a pipeline waits for.
    pub(super) fn installed(&mut self, job: u32, activate: bool, result: Result<Installed, ControlError>) {
        self.installing -= 1;
        let installed = match result {
            Ok(installed) => installed,
            Err(error) => {
                self.deps.metrics.installed(false);
                return self.end_job(job, Err(error));
            }
        };
        tracing::info!(model = %installed.id, bytes = installed.bytes, already = installed.already, "version is installed");
        let (name, version) = (installed.id.name, installed.id.version);
        self.jobs.rename(job, format!("install {name} {version}"));
        let newer = self.active_version(&name).filter(|active| version < *active);
        let is_swapped = (activate || installed.first) && newer.is_none();
        if is_swapped && !installed.already {
            self.unproven.insert(job);
        } else {
            self.deps.metrics.installed(true);
        }
        if !is_swapped {
            // It may have replaced a damaged version that a pipeline could not load.
            self.retry_pipelines_of(&name);
            return self.end_job(job, not_activated(&name, &version, newer.filter(|_| activate)));
        }
        // The version is there, and stays if it can serve; activating it can be cancelled still.
        self.jobs.gate(job).reopen();
        if self.is_incoming(job) && self.busy.contains(&name) {
            self.held = Some(HeldSwap { job, model: name, version });
        } else {
            self.swap_or_refuse(job, name, version);
        }
    }

    pub(super) fn active_version(&self, model: &Name) -> Option<Version> {
        self.deps.store.list().into_iter().find(|entry| entry.name == *model)?.active
    }

    /// One job at a time changes a model.
    pub(super) fn not_busy(&self, model: &Name) -> Result<(), ControlError> {
        if self.busy.contains(model) {
            return Err(ControlError::Busy(format!("another job changes model {model}; wait for it")));
        }
        Ok(())
    }

    pub(super) fn swap_or_refuse(&mut self, job: u32, model: Name, version: Version) {
        if let Err(busy) = self.not_busy(&model) {
            self.deps.metrics.swapped(&model, false);
            return self.end_job(job, Err(busy));
        }
        self.outdate_launches_of(&model);
        self.busy.insert(model.clone());
        let swap = Swap {
            deps: self.deps.clone(),
            runner: self.config.runner.clone(),
            model: model.clone(),
            version: version.clone(),
            pipelines: self.serving_pipelines_of(&model),
            gate: self.jobs.gate(job),
        };
        let events = self.event_sender.clone();
        let work = move || {
            // Nobody reads any more only at the very end.
            swap.run(|step, percent| drop(events.blocking_send(Event::Step { job, step, percent })))
        };
        self.background(work, move |done| Event::Swapped { job, model, version, result: flatten(done) });
    }

    /// What this job has installed and what then turned out to be no version that can serve is taken away again: the same
    /// version, mended, can be installed.
    pub(super) fn swapped(&mut self, job: u32, model: Name, version: Version, result: Result<(), ControlError>) {
        let is_new = self.unproven.remove(&job);
        match result {
            Err(error @ (ControlError::GoldenMismatch(_) | ControlError::ModelRefused(_))) if is_new => {
                self.deps.metrics.installed(false);
                let store = Arc::clone(&self.deps.store);
                let (name, number) = (model.clone(), version.clone());
                let work = move || {
                    if let Err(error) = store.remove(&name, &number) {
                        tracing::error!(model = %name, version = %number, %error, "a version that cannot serve stays");
                    }
                };
                self.background(work, move |_| Event::Withdrawn { job, model, version, error });
            }
            result => {
                if is_new {
                    self.deps.metrics.installed(true);
                }
                self.swap_ended(job, &model, &version, result);
            }
        }
    }

    pub(super) fn withdrawn(&mut self, job: u32, model: &Name, version: &Version, error: ControlError) {
        self.swap_ended(job, model, version, Err(error));
        self.forget_figures_of(model);
    }

    fn swap_ended(&mut self, job: u32, model: &Name, version: &Version, result: Result<(), ControlError>) {
        self.deps.metrics.swapped(model, result.is_ok());
        self.busy.remove(model);
        if result.is_ok() {
            tracing::info!(%model, %version, "version is active");
            self.retry_pipelines_of(model);
        }
        self.follow_active(model);
        // The new runners came with the settings of when the swap began.
        self.tell_runner_settings();
        self.end_job(job, result);
        if let Some(held) = self.held.take_if(|held| held.model == *model) {
            self.swap_or_refuse(held.job, held.model, held.version);
        }
    }

    pub(super) fn cancel(&mut self, job: u32) -> Reply {
        self.jobs.cancel(job)?;
        // One that has not begun its swap has no next step at which it would notice.
        if self.held.take_if(|held| held.job == job).is_some() {
            self.end_job(job, Err(ControlError::Cancelled));
        }
        Ok(Done::Now)
    }

    fn is_incoming(&self, job: u32) -> bool {
        self.at_hand.as_ref().is_some_and(|at_hand| at_hand.job == job)
    }

    /// Ends a job; the file of an incoming bundle is removed, or set aside with the reason.
    fn end_job(&mut self, job: u32, result: Result<(), ControlError>) {
        if self.unproven.remove(&job) {
            // Its swap was refused or cancelled before it began.
            self.deps.metrics.installed(true);
        }
        if let (Some(at_hand), Some(incoming)) = (&self.at_hand, &self.incoming)
            && at_hand.job == job
        {
            let (incoming, path) = (Arc::clone(incoming), at_hand.path.clone());
            let outcome = result.as_ref().copied().map_err(ToString::to_string);
            let work = move || {
                if let Err(error) = incoming.finish(&path, outcome) {
                    tracing::error!(%error, "cannot clear up after an incoming bundle");
                }
            };
            self.background(work, |_| Event::ClearedAway);
        }
        self.jobs.end(job, result);
    }
}

/// A bundle that is installed and to be activated does not take a model back: that is asked for by itself.
fn not_activated(model: &Name, version: &Version, newer: Option<Version>) -> Result<(), ControlError> {
    let Some(newer) = newer else { return Ok(()) };
    Err(ControlError::VersionTooOld(format!(
        "{model} {version} is installed, and not activated: {newer} is active and newer; `inferctl activate {model} {version}` \
         goes back to it"
    )))
}
