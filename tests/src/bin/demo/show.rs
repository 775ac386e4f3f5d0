//! What happens, in order.

use std::time::{Duration, Instant};

use anyhow::ensure;
use inferd_tests::{fixtures, rig};

use crate::proof::Proof;
use crate::screen::{Paint, Screen};
use crate::stage::{ACTS, NEW, OLD, Stage, Swap};
use crate::{interrupt, proof, view};

/// How often the block is redrawn.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// How long each version is looked at before the next thing happens.
const LOOK_AT: Duration = Duration::from_secs(6);

/// How long one swap has the stage for itself.
const BETWEEN_SWAPS: Duration = Duration::from_secs(2);

/// How long anything that must happen may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs it; whether everything that was claimed was true.
///
/// # Errors
/// Where something did not happen at all, or Ctrl-C came.
pub(crate) fn run(keep: bool) -> anyhow::Result<bool> {
    interrupt::watch()?;
    let mut screen = Screen::new();
    screen.say("Three recordings, three models, one inferd, on a private bus in a temporary folder.\n");
    for act in &ACTS {
        screen.say(&format!("  {:<7} {:<13} {}", act.pipeline, act.model, act.about));
    }
    screen.say("");
    let mut show = Show { stage: Stage::set()?, screen, doing: String::new(), printed: Instant::now() };
    let played = show.play();
    show.screen.settle();
    let proof = played.map_err(|error| show.blame(error))?;
    show.screen.say(&proof.table(&show.screen));
    if keep && proof.holds() {
        show.stay()?;
    }
    show.stage.rig.stop()?;
    Ok(proof.holds())
}

struct Show {
    stage: Stage,
    screen: Screen,
    doing: String,
    /// When a line was printed last.
    printed: Instant,
}

impl Show {
    fn play(&mut self) -> anyhow::Result<Proof> {
        self.install(OLD)?;
        self.until("three streams, served by 1.0.0", PATIENCE, |stage| all_served_by(stage, OLD))?;
        self.wait(LOOK_AT)?;
        self.install(NEW)?;
        for act in &ACTS {
            self.swap(act.model)?;
            self.wait(BETWEEN_SWAPS)?;
        }
        self.until("three streams, served by 1.1.0", PATIENCE, |stage| all_served_by(stage, NEW))?;
        self.wait(LOOK_AT)?;
        let live = self.stage.scrape.clone();
        self.stop()?;
        self.until("the last samples are uploaded", PATIENCE, has_uploaded)?;
        Ok(proof::of(&self.stage, &live))
    }

    fn install(&mut self, version: &str) -> anyhow::Result<()> {
        for act in &ACTS {
            interrupt::check()?;
            let begun = Instant::now();
            self.stage.rig.install(&fixtures::model(act.model, version))?;
            let active = if version == OLD { "installed and active" } else { "installed beside 1.0.0" };
            let took = begun.elapsed().as_millis();
            self.note(&format!("{} {version} packed, verified, {active} ({took} ms)", act.model));
            self.look()?;
        }
        Ok(())
    }

    fn swap(&mut self, model: &'static str) -> anyhow::Result<()> {
        let swap = Swap::ask(&self.stage.rig, model)?;
        self.stage.swaps.push(swap);
        let doing = format!("inferctl activate {model} {NEW}, while it serves");
        self.until(&doing, PATIENCE, |stage| stage.swaps.iter().all(|swap| swap.took.is_some()))?;
        self.doing = format!("{model} {NEW} serves");
        let took = self.stage.swaps.last().and_then(|swap| swap.took).unwrap_or_default();
        self.note(&format!("{model} {NEW} started, proved on its golden samples, took over ({} ms)", took.as_millis()));
        Ok(())
    }

    /// Stops the pipelines, so that nothing is on its way when figures are compared.
    fn stop(&mut self) -> anyhow::Result<()> {
        for act in &ACTS {
            interrupt::check()?;
            self.stage.rig.ctl(&["stop", act.pipeline])?;
        }
        self.until("the streams are stopped", PATIENCE, |stage| {
            ACTS.iter().all(|act| stage.state(act) == "stopped" && has_all_outcomes(stage, act.pipeline))
        })
    }

    fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look()?;
            std::thread::sleep(REDRAW_EVERY);
        }
        Ok(())
    }

    fn until(&mut self, what: &str, patience: Duration, holds: impl Fn(&Stage) -> bool) -> anyhow::Result<()> {
        what.clone_into(&mut self.doing);
        let begun = Instant::now();
        loop {
            self.look()?;
            if holds(&self.stage) {
                return Ok(());
            }
            ensure!(begun.elapsed() < patience, "waited {patience:?} in vain: {what}");
            std::thread::sleep(REDRAW_EVERY / 4);
        }
    }

    fn look(&mut self) -> anyhow::Result<()> {
        interrupt::check()?;
        self.stage.look()?;
        if self.screen.is_live() {
            self.screen.draw(&view::block(&self.screen, &self.stage, &self.doing));
        } else if self.printed.elapsed() >= LINE_EVERY {
            self.printed = Instant::now();
            self.screen.say(&view::line(&self.stage));
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        let mark = self.screen.paint(Paint::Good, "✔");
        self.screen.say(&format!("{mark} {text}"));
    }

    /// An error with what inferd logged, unless Ctrl-C is the reason.
    fn blame(&mut self, error: anyhow::Error) -> anyhow::Error {
        if interrupt::came() {
            // It got the same Ctrl-C, and perhaps lost its bus first: how it ends is no news.
            let _ = self.stage.rig.stop();
            return error;
        }
        error.context(format!("inferd's log:\n{}", self.stage.rig.log()))
    }

    /// Plays on until Ctrl-C.
    fn stay(&mut self) -> anyhow::Result<()> {
        for act in &ACTS {
            self.stage.rig.ctl(&["start", act.pipeline])?;
        }
        let text = how_to_talk(&self.stage)?;
        self.screen.say(&text);
        while !interrupt::came() {
            // Nobody looks at what comes now; it is read so that nothing piles up.
            self.stage.forget();
            std::thread::sleep(REDRAW_EVERY);
        }
        Ok(())
    }
}

fn all_served_by(stage: &Stage, version: &str) -> bool {
    ACTS.iter().all(|act| stage.figures(act).version() == version)
}

/// Whether every outcome that the metrics count has come through the socket.
fn has_all_outcomes(stage: &Stage, pipeline: &str) -> bool {
    let came = inferd_tests::outcomes::of(&stage.lines, pipeline).len();
    proof::equals(came, stage.scrape.sum("inferd_windows_total", &[("pipeline", pipeline)]))
}

fn has_uploaded(stage: &Stage) -> bool {
    !stage.receiver.samples().is_empty() && stage.scrape.value("inferd_spool_samples", &[]) == Some(0.0)
}

fn how_to_talk(stage: &Stage) -> anyhow::Result<String> {
    let ctl = rig::program("inferctl");
    let socket = stage.rig.outcomes_socket();
    Ok(format!(
        "\nEverything runs on until Ctrl-C. In another terminal:\n\n  \
         export DBUS_SESSION_BUS_ADDRESS='{}' INFERD_BUS=session\n  \
         export INFERD_OUTCOMES_SOCKET={socket}\n  \
         {ctl} status\n  {ctl} watch belt\n  {ctl} rollback belt-inspect\n  \
         curl {}\n\n  \
         configuration  {}\n  outcomes       {socket}\n  log            {}/daemon.log\n",
        stage.rig.bus_address(),
        stage.metrics_url,
        rig::path(&stage.rig.config_file())?,
        stage.rig.folder().display(),
        ctl = ctl.display(),
        socket = socket.display(),
    ))
}
