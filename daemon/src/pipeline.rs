//! The journey of a frame: read this first.
//!
//! A pipeline is one thread. Its source's thread puts frames into a queue; this one cuts them into windows, gives windows
//! to a runner, and takes every window that comes back through judge, metrics, sampling and sinks. It sleeps in one
//! `poll` on everything that can happen, and never waits for a disk, a network or the bus.
//!
//! Invariants:
//! - Exactly one outcome leaves for each window, in the order of their numbers: also for those that no runner has served
//!   when it ends.
//! - A swap happens between two windows. Outcomes name the version that served them.
//! - Stopping serves what was begun: windows in flight come to their end first. Only when that takes longer than the
//!   service has, pipelines are abandoned: their runners are killed.

mod control;
mod figures;
mod limit;
mod status;

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use inferd_core::Name;
use inferd_core::outcome::{FailedStage, Failure, Outcome};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::capture::{End, FrameQueue, Rest, Source, SourceInfo, Window, Windower, Wiring};
use crate::engine::{Back, Engine, Health, Runner, RunnerSettings, Served};
use crate::host::attendance::{Attendance, Roll};
use crate::host::clock::Clock;
use crate::host::error::with_causes;
use crate::host::thermal::Thermal;
use crate::host::wake::Bell;
use crate::judge::Judge;
use crate::metrics::PipelineMetrics;
use crate::model::store::LoadedVersion;
use crate::publish::Publisher;
use crate::sampling::Sampler;
use crate::spool::{Offered, Spool};
use control::{Answer, Inbox, Promotion};
pub use control::{Handle, Promoted};
pub use figures::{Counts, PipelineState};
use limit::Limit;
use status::Ended;
pub use status::{Serving, Snapshot, Status};

/// What a pipeline is made of.
pub struct Parts {
    /// Its name.
    pub name: Name,
    /// Its configuration.
    pub config: crate::config::Pipeline,
    /// The opened source.
    pub source: Box<dyn Source>,
    /// A proven runner.
    pub runner: Runner,
    /// How further runners are started.
    pub settings: RunnerSettings,
    /// Time.
    pub clock: Clock,
    /// How hot the machine is.
    pub thermal: Thermal,
    /// Its figures.
    pub metrics: PipelineMetrics,
    /// Where samples go.
    pub spool: Spool,
    /// Where outcomes go.
    pub publisher: Publisher,
    /// Told when the pipeline has ended or changed.
    pub changed: Arc<tokio::sync::Notify>,
}

/// A pipeline cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source cannot feed the model.
    #[error(transparent)]
    Mismatch(#[from] crate::capture::Mismatch),
    /// No thread, no descriptor.
    #[error("the system gives no thread or descriptor")]
    System(#[from] std::io::Error),
}

/// The thread's own.
struct Pipeline {
    /// Dropped with it, also where it panics.
    _guard: Guard,
    name: Name,
    config: crate::config::Pipeline,
    frames: FrameQueue,
    source: Option<JoinHandle<()>>,
    /// A source that breaks is not worth another try.
    ends_for_good: bool,
    windows: Windower,
    limit: Limit,
    engine: Engine,
    judge: Judge,
    judged: Arc<LoadedVersion>,
    sampler: Sampler,
    clock: Clock,
    metrics: PipelineMetrics,
    spool: Spool,
    publisher: Publisher,
    inbox: Inbox,
    status: Arc<Status>,
    bell: Bell,
    attendance: Attendance,
    /// Who waits for a promotion that has been begun.
    promoting: Option<Answer>,
    abandoned: bool,
}

/// Starts a pipeline's thread and its source's.
///
/// # Errors
/// [`PipelineError`]; nothing runs then.
pub fn start(parts: Parts) -> Result<Handle, PipelineError> {
    let version = Arc::clone(parts.runner.version());
    let info: SourceInfo = parts.source.info().clone();
    let ends_for_good = parts.source.ends_for_good();
    let windows = Windower::new(info.clone(), &version.manifest)?;
    let bell = Bell::new()?;
    let status = Arc::new(Status::new(Arc::clone(&parts.changed)));
    let wiring = Wiring {
        pipeline: parts.name.clone(),
        clock: parts.clock.clone(),
        bell: bell.clone(),
        rest: Rest::of(&parts.config.power),
    };
    let (frames, source) = parts.source.start(wiring)?;
    let attendance = Attendance::default();
    let rolls = [("its thread", attendance.clone()), ("the thread of its source", frames.attendance().clone())]
        .map(|(who, attendance)| (who, Roll::new(attendance, parts.clock.now())));
    let (handle, inbox) = control::pair(info, frames.clone(), Arc::clone(&status), bell.clone(), rolls);
    // From here on the source's thread ends, whatever happens.
    let guard = Guard { frames: frames.clone(), status: Arc::clone(&status) };
    let pipeline = Pipeline {
        _guard: guard,
        judge: Judge::new(&version.manifest, parts.config.threshold, parts.config.margin),
        sampler: Sampler::new(&parts.config.sampling, parts.clock.clone()),
        limit: Limit::new(&parts.name, &parts.config.power, parts.thermal),
        engine: Engine::new(parts.settings, parts.runner, parts.clock.clone(), bell.clone()),
        name: parts.name,
        config: parts.config,
        frames,
        source: Some(source),
        ends_for_good,
        windows,
        judged: version,
        clock: parts.clock,
        metrics: parts.metrics,
        spool: parts.spool,
        publisher: parts.publisher,
        inbox,
        status,
        bell,
        attendance,
        promoting: None,
        abandoned: false,
    };
    let thread = Builder::new().name(format!("pipe-{}", pipeline.name)).spawn(move || pipeline.run())?;
    Ok(handle.with_thread(thread))
}

/// What must happen however a pipeline's thread comes to its end, or where it is never begun.
struct Guard {
    frames: FrameQueue,
    status: Arc<Status>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.frames.stop();
        if std::thread::panicking() {
            let reason = "the pipeline panicked; this is a defect of inferd".to_owned();
            self.status.end(Ended::Failed { reason, for_good: false });
        }
    }
}

impl Pipeline {
    fn run(mut self) {
        let ended = loop {
            self.bell.hush();
            self.attendance.come_round();
            self.obey();
            self.feed();
            while let Some(back) = self.engine.poll() {
                match back {
                    Back::Served(served) => self.finish(served),
                    Back::Recalled(windows) => self.cut_again(windows),
                }
                self.feed();
            }
            self.report();
            if let Some(ended) = self.ended() {
                break ended;
            }
            self.sleep();
        };
        for unserved in self.engine.give_up("the pipeline ended before a runner had served this window") {
            self.finish(unserved);
        }
        self.frames.stop();
        if let Some(source) = self.source.take() {
            // A source's thread ends within one frame's reading; it does not panic on input.
            let _ = source.join();
        }
        if let Some(reason) = self.status.end(ended) {
            tracing::error!(pipeline = %self.name, reason, "pipeline failed");
        }
    }

    /// Moves windows from the source to the runner while it has room.
    fn feed(&mut self) {
        while self.engine.has_room() && !self.status.is_stopping() {
            match self.windows.cut(|taken| self.limit.wants(taken)) {
                Ok(Some(window)) => self.engine.submit(window),
                Ok(None) => match self.frames.pop() {
                    Some(frame) => self.windows.push(frame),
                    None => return,
                },
                Err(error) => return self.status.fail(with_causes(&error)),
            }
        }
    }

    /// A version has taken over that looks at other windows than those that waited for a runner.
    fn cut_again(&mut self, windows: Vec<Window>) {
        let Some(first) = windows.first() else { return };
        if !self.status.is_stopping() && self.windows.rewind(first.seq) {
            // They were wanted.
            self.limit.begin_anew();
            return;
        }
        for window in windows {
            let reason = "it was cut for the version before, which did not serve it".to_owned();
            let result = Err(Failure { stage: FailedStage::Preprocess, reason });
            self.finish(Served { window, version: Arc::clone(self.engine.version()), result });
        }
    }

    /// The end of a window's journey.
    fn finish(&mut self, served: Served) {
        if !Arc::ptr_eq(&self.judged, &served.version) {
            self.judge = Judge::new(&served.version.manifest, self.config.threshold, self.config.margin);
            self.judged = Arc::clone(&served.version);
        }
        let (window, outcome) = self.judge(served);
        self.metrics.record(&outcome);
        self.status.record(&outcome, self.clock.now());
        if let Some(reason) = self.sampler.consider(&outcome) {
            self.spool.offer(Offered {
                outcome: outcome.clone(),
                reason,
                format: window.format,
                channels: window.channels,
                bytes: window.slot.bytes().to_vec(),
            });
        }
        self.publisher.send(&outcome);
    }

    fn judge(&self, served: Served) -> (Window, Outcome) {
        let decided = self.judge.decide(&served.result);
        let outcome = Outcome {
            pipeline: self.name.clone(),
            window: served.window.seq,
            captured_unix_ns: served.window.captured_unix_ns,
            latency_ns: u64::try_from(self.clock.now().since(served.window.captured).as_nanos()).unwrap_or(u64::MAX),
            model: Arc::clone(&served.version.id),
            labels: Arc::clone(&served.version.labels),
            verdict: decided.verdict,
            class: decided.class,
            confidence: decided.confidence,
            margin: decided.margin,
            result: served.result,
        };
        (served.window, outcome)
    }

    fn obey(&mut self) {
        let orders = self.inbox.take();
        if let Some(settings) = orders.settings {
            self.engine.change_settings(settings);
        }
        if let Some(promotion) = orders.promotion {
            self.promote(promotion);
        }
        if orders.capture > 0 {
            self.sampler.capture(orders.capture);
        }
        if orders.stop {
            self.frames.stop();
            self.status.stop();
        }
        self.abandoned |= orders.abandon;
    }

    fn promote(&mut self, Promotion { runner, answer }: Promotion) {
        if let Err(mismatch) = self.windows.change(&runner.version().manifest) {
            return answer.send(Promoted::Mismatch(mismatch));
        }
        self.engine.promote(*runner);
        if let Some(earlier) = self.promoting.replace(answer) {
            earlier.send(Promoted::Replaced);
        }
    }

    /// Tells figures and state what has changed since the last time round.
    fn report(&mut self) {
        for restart in self.engine.take_restarts() {
            self.metrics.restarted(restart);
            self.status.restarted();
        }
        let (frames, obstacle) = self.frames.look();
        self.metrics.frames(frames.accepted, [frames.overflown, frames.unreadable, frames.lost]);
        self.metrics.source_restarts(frames.restarts);
        self.status.frames(frames);
        self.metrics.skipped(self.limit.skipped());
        self.metrics.throttled(self.sampler.throttled());
        if self.status.serves(&self.engine, obstacle.as_ref()) {
            let runner = self.engine.runner();
            let level = runner.map(|runner| runner.ready().sandbox.level());
            let version = &self.engine.version().id;
            self.metrics.show(Some(version), level, runner.map_or(0, Runner::pid));
        }
        // Told only now: whoever waits for it reads the new version everywhere.
        if !self.engine.is_promoting()
            && let Some(answer) = self.promoting.take()
        {
            answer.send(Promoted::Yes);
        }
    }

    fn ended(&self) -> Option<Ended> {
        if self.abandoned {
            return Some(Ended::Stopped);
        }
        if !self.engine.is_idle() {
            // Without a runner what was begun may wait for a long time: stopping does not.
            let stuck = self.status.is_stopping() && matches!(self.engine.health(), Health::Waiting(_));
            return stuck.then_some(Ended::Stopped);
        }
        if self.status.is_stopping() {
            return Some(Ended::Stopped);
        }
        match self.frames.ended()? {
            End::Finished => Some(Ended::Finished),
            End::Broken(reason) => Some(Ended::Failed { reason, for_good: self.ends_for_good }),
        }
    }

    /// Until a frame, an order, an answer, or the next deadline.
    fn sleep(&self) {
        let _waiting = self.attendance.wait();
        let now = self.clock.now();
        // Rounded up: a deadline that is missed by less than a millisecond would be polled for in circles.
        let patience = self.engine.wake_at().map(|tick| tick.since(now) + Duration::from_millis(1));
        let timeout =
            patience.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let bell = PollFd::new(self.bell.as_fd(), PollFlags::POLLIN);
        // The only failure is an interruption, after which there is the same to do as after a wake-up.
        let _ = match self.engine.socket() {
            Some(socket) => poll(&mut [bell, PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout),
            None => poll(&mut [bell], timeout),
        };
    }
}

#[cfg(test)]
mod tests;
