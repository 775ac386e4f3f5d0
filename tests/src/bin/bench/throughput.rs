//! Windows per second through the whole pipeline, as a share of the bare loop's: recording, frame memory, socket, sealed
//! runner, judge, sampling, metrics, and a reader at the outcomes socket.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::Builder;
use std::time::{Duration, Instant};

use inferd_tests::metrics::{self, Scrape};
use inferd_tests::{Rig, rig};

use crate::bare::Bare;
use crate::models::Model;
use crate::report::{Row, quantile};

/// How long each takes its turn.
const TURN: Duration = Duration::from_millis(1500);

/// Windows before a turn counts: caches, clocks of the processor, the page cache.
const WARM_UP: f64 = 100.0;

/// Measures a model in so many rounds.
///
/// # Errors
/// Where a side does not run.
pub(crate) fn measure(model: &Model, rounds: usize) -> anyhow::Result<Row> {
    let mut rig = Rig::new()?;
    let recording = model.write_recording(rig.folder())?;
    let source = "pace = \"fast\"\nat_end = \"loop\"\n";
    rig.configure(&rig::pipeline_config_with("enabled = false", "bench", model.name, &recording, source))?;
    rig.launch()?;
    rig.install(&model.write_folder(rig.folder())?)?;
    read_and_forget(&rig.outcomes_socket())?;
    let url = rig.metrics_url()?;
    let mut bare = Bare::load(model)?;
    bare.run_for(TURN / 4)?;
    let mut rows = Rounds::default();
    for round in 0..rounds {
        // Whoever goes first changes, so that neither always meets the machine as the other has left it.
        let (turn, alone) = if round % 2 == 0 {
            (pipeline_turn(&rig, &url)?, bare.run_for(TURN)?)
        } else {
            let alone = bare.run_for(TURN)?;
            (pipeline_turn(&rig, &url)?, alone)
        };
        rows.add(&turn, alone);
    }
    rig.stop()?;
    Ok(rows.row(&model.what))
}

/// What came of the rounds, a figure for each.
#[derive(Default)]
struct Rounds {
    pipeline: Vec<f64>,
    alone: Vec<f64>,
    ratio: Vec<f64>,
    between_us: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, turn: &Turn, alone: f64) {
        let ratio = turn.per_second / alone;
        eprintln!(
            "  {:8.1} / {alone:8.1} windows/s = {ratio:.3}; a window: model {:.0} µs, stages around it {:.0} µs, \
             between two {:.0} µs",
            turn.per_second, turn.model_us, turn.around_us, turn.between_us
        );
        self.pipeline.push(turn.per_second);
        self.alone.push(alone);
        self.ratio.push(ratio);
        self.between_us.push(turn.between_us);
    }

    fn row(mut self, what: &str) -> Row {
        let ratio = quantile(&mut self.ratio, 0.5);
        Row {
            what: format!("windows/s through the pipeline : bare loop; {what}"),
            aim: "≥ 0.97",
            measured: format!(
                "{ratio:.3} (rounds {:.3} to {:.3}; {:.0} : {:.0}; {:.0} µs between two windows)",
                self.ratio[0],
                self.ratio[self.ratio.len() - 1],
                quantile(&mut self.pipeline, 0.5),
                quantile(&mut self.alone, 0.5),
                quantile(&mut self.between_us, 0.5)
            ),
            met: Some(ratio >= 0.97),
        }
    }
}

/// A turn of the pipeline, and where a window's time went in it.
struct Turn {
    per_second: f64,
    model_us: f64,
    /// Decoding, preprocessing, postprocessing.
    around_us: f64,
    /// The runner computes one window at a time: what is in no stage passed between two windows.
    between_us: f64,
}

fn pipeline_turn(rig: &Rig, url: &str) -> anyhow::Result<Turn> {
    let before = windows(&metrics::scrape(url)?);
    rig.ctl(&["start", "bench"])?;
    rig.wait_for("windows", |_| Ok(windows(&metrics::scrape(url)?) >= before + WARM_UP))?;
    let (first, begun) = (metrics::scrape(url)?, Instant::now());
    std::thread::sleep(TURN);
    let (last, seconds) = (metrics::scrape(url)?, begun.elapsed().as_secs_f64());
    rig.ctl(&["stop", "bench"])?;
    rig.wait_for_state("bench", "stopped")?;
    let windows = windows(&last) - windows(&first);
    let stage_us = |stage| 1e6 * (spent_in(stage, &last) - spent_in(stage, &first)) / windows;
    let (model_us, around_us) =
        (stage_us("inference"), stage_us("decode") + stage_us("preprocess") + stage_us("postprocess"));
    let between_us = 1e6 * seconds / windows - model_us - around_us;
    Ok(Turn { per_second: windows / seconds, model_us, around_us, between_us })
}

fn windows(scrape: &Scrape) -> f64 {
    scrape.sum("inferd_windows_total", &[("pipeline", "bench")])
}

fn spent_in(stage: &str, scrape: &Scrape) -> f64 {
    scrape.sum("inferd_stage_seconds_sum", &[("pipeline", "bench"), ("stage", stage)])
}

/// A reader that keeps up: without one no line is made.
fn read_and_forget(socket: &Path) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    // It ends with the daemon.
    Builder::new().name("reader".into()).spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while stream.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
    })?;
    Ok(())
}
