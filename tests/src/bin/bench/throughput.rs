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
    let rest = "pace = \"fast\"\nat_end = \"loop\"\n";
    let config = rig::pipeline_config("bench", model.name, &recording, rest);
    rig.configure(&config.replace("[pipelines.bench]", "[pipelines.bench]\nenabled = false"))?;
    rig.launch()?;
    rig.install(&model.write_folder(rig.folder())?)?;
    read_and_forget(&rig.outcomes_socket())?;
    let url = rig.metrics_url()?;
    let mut bare = Bare::load(model)?;
    bare.run_for(TURN / 4)?;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // Whoever goes first changes, so that neither always meets the machine as the other has left it.
        let (turn, alone) = if round % 2 == 0 {
            (pipeline_turn(&rig, &url)?, bare.run_for(TURN)?)
        } else {
            let alone = bare.run_for(TURN)?;
            (pipeline_turn(&rig, &url)?, alone)
        };
        let pipeline = turn.per_second;
        eprintln!("  {pipeline:8.1} / {alone:8.1} windows/s = {:.3}; {}", pipeline / alone, turn.explained);
        ours.push(pipeline);
        theirs.push(alone);
        ratios.push(pipeline / alone);
    }
    rig.stop()?;
    let ratio = quantile(&mut ratios, 0.5);
    Ok(Row {
        what: format!("windows/s through the pipeline : bare loop; {}", model.what),
        aim: "≥ 0.97",
        measured: format!(
            "{ratio:.3} (rounds {:.3} to {:.3}; {:.0} : {:.0})",
            ratios[0],
            ratios[ratios.len() - 1],
            quantile(&mut ours, 0.5),
            quantile(&mut theirs, 0.5)
        ),
        met: Some(ratio >= 0.97),
    })
}

/// A turn of the pipeline.
struct Turn {
    per_second: f64,
    /// Where its time went.
    explained: String,
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
    let per_second = (windows(&last) - windows(&first)) / seconds;
    Ok(Turn { per_second, explained: explain(&first, &last, seconds) })
}

fn windows(scrape: &Scrape) -> f64 {
    scrape.sum("inferd_windows_total", &[("pipeline", "bench")])
}

/// The runner computes one window at a time: what is not in a stage passed between two windows.
fn explain(first: &Scrape, last: &Scrape, seconds: f64) -> String {
    let share = |stage| {
        let spent =
            |scrape: &Scrape| scrape.sum("inferd_stage_seconds_sum", &[("pipeline", "bench"), ("stage", stage)]);
        100.0 * (spent(last) - spent(first)) / seconds
    };
    let inference = share("inference");
    let around = share("decode") + share("preprocess") + share("postprocess");
    format!(
        "inference {inference:.1} %, stages around it {around:.1} %, between windows {:.1} %",
        100.0 - inference - around
    )
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
