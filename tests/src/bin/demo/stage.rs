//! The running system, and what has come from it so far.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use inferd_tests::metrics::{self, Scrape};
use inferd_tests::outcomes::{Collector, Line};
use inferd_tests::receiver::Receiver;
use inferd_tests::{Rig, fixtures, rig};

use crate::figures::Figures;

/// A pipeline of the demo.
pub(crate) struct Act {
    /// Its name.
    pub(crate) pipeline: &'static str,
    /// Its model.
    pub(crate) model: &'static str,
    /// What it listens to or looks at.
    pub(crate) about: &'static str,
    /// Keys of its source.
    source: &'static str,
}

/// The three.
pub(crate) const ACTS: [Act; 3] = [
    Act { pipeline: "belt", model: "belt-inspect", about: "a camera above a conveyor belt", source: "fps = 30" },
    Act { pipeline: "speech", model: "keyword", about: "a microphone", source: "" },
    Act { pipeline: "motion", model: "gesture", about: "a motion sensor", source: "" },
];

/// Windows of which a model is less sure than this are kept: uncertainty, 0 to 1.
pub(crate) const ABOVE: f64 = 0.4;

/// The version that everything begins with.
pub(crate) const OLD: &str = "1.0.0";

/// The version that everything ends with.
pub(crate) const NEW: &str = "1.1.0";

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) rig: Rig,
    pub(crate) receiver: Receiver,
    pub(crate) metrics_url: String,
    pub(crate) begun: Instant,
    pub(crate) swaps: Vec<Swap>,
    collector: Collector,
    pub(crate) lines: Vec<Line>,
    /// The last scrape.
    pub(crate) scrape: Scrape,
}

impl Stage {
    /// Starts inferd with three pipelines that wait for their models.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub(crate) fn set() -> anyhow::Result<Self> {
        let receiver = Receiver::start()?;
        let rig = Rig::start(&config(&receiver.url()))?;
        let metrics_url = rig.metrics_url()?;
        Ok(Self {
            collector: Collector::attach(&rig.outcomes_socket())?,
            scrape: metrics::scrape(&metrics_url)?,
            metrics_url,
            rig,
            receiver,
            begun: Instant::now(),
            swaps: Vec::new(),
            lines: Vec::new(),
        })
    }

    /// Takes in what has come.
    ///
    /// # Errors
    /// Where inferd does not answer any more.
    pub(crate) fn look(&mut self) -> anyhow::Result<()> {
        self.lines.extend(self.collector.take());
        self.scrape =
            metrics::scrape(&self.metrics_url).with_context(|| format!("inferd's log:\n{}", self.rig.log()))?;
        for swap in &mut self.swaps {
            swap.look()?;
        }
        Ok(())
    }

    /// Takes in what has come and keeps none of it.
    pub(crate) fn forget(&self) {
        drop(self.collector.take());
    }

    /// Figures of a pipeline.
    pub(crate) fn figures(&self, act: &Act) -> Figures {
        Figures::of(&self.lines, act.pipeline)
    }

    /// The state of a pipeline, as the metrics say.
    pub(crate) fn state(&self, act: &Act) -> &'static str {
        let is = |state: &&str| {
            self.scrape.value("inferd_pipeline_state", &[("pipeline", act.pipeline), ("state", state)]) == Some(1.0)
        };
        ["stopped", "waiting", "starting", "running", "resting", "finished", "failed"]
            .into_iter()
            .find(is)
            .unwrap_or("-")
    }

    /// The swap of a pipeline's model, once it was asked for.
    pub(crate) fn swap(&self, act: &Act) -> Option<&Swap> {
        self.swaps.iter().find(|swap| swap.model == act.model)
    }
}

fn config(upload_url: &str) -> String {
    let mut config = format!("[upload]\nto = \"http\"\nurl = \"{upload_url}\"\n");
    for act in &ACTS {
        let rest = format!(
            "at_end = \"loop\"\n{}\n[pipelines.{}.sampling]\nstrategy = \"least-confidence\"\nabove = {ABOVE}\n\
             per_minute = 60\n",
            act.source, act.pipeline
        );
        config += &rig::pipeline_config(act.pipeline, act.model, &fixtures::recording_of(act.model), &rest);
    }
    config
}

/// What was heard of a swap.
#[derive(Debug, Default)]
struct Heard {
    /// The last line.
    step: String,
    /// When it said no more.
    took: Option<Duration>,
}

/// `inferctl activate`, running or ended.
pub(crate) struct Swap {
    model: &'static str,
    child: Child,
    heard: Arc<Mutex<Heard>>,
    /// How long it took, once it has succeeded.
    pub(crate) took: Option<Duration>,
}

impl Swap {
    /// Asks for the new version of a model.
    ///
    /// # Errors
    /// Where `inferctl` cannot be started.
    pub(crate) fn ask(rig: &Rig, model: &'static str) -> anyhow::Result<Self> {
        let mut command = rig.ctl_command(&["activate", model, NEW]);
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let heard = Arc::<Mutex<Heard>>::default();
        let (said, complained) = (child.stdout.take(), child.stderr.take());
        let sink = Arc::clone(&heard);
        Builder::new().name("swap".into()).spawn(move || follow(said, complained, begun, &sink))?;
        Ok(Self { model, child, heard, took: None })
    }

    /// The last step, without the words before it.
    pub(crate) fn step(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.step.rsplit(": ").next().unwrap_or_default().trim().to_owned()
    }

    fn look(&mut self) -> anyhow::Result<()> {
        if self.took.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            ensure!(status.success(), "{} was not swapped: {}", self.model, self.step());
            self.took = self.heard.lock().unwrap_or_else(PoisonError::into_inner).took;
        }
        Ok(())
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(said: Option<ChildStdout>, complained: Option<ChildStderr>, begun: Instant, heard: &Mutex<Heard>) {
    let heard = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    for line in said.into_iter().flat_map(|pipe| BufReader::new(pipe).lines().map_while(Result::ok)) {
        heard().step = line;
    }
    heard().took = Some(begun.elapsed());
    for line in complained.into_iter().flat_map(|pipe| BufReader::new(pipe).lines().map_while(Result::ok)) {
        heard().step = line;
    }
}
