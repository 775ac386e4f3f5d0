//! What inferd adds to a window's latency, its memory, its start, the price of a scrape.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use inferd_tests::outcomes::{Collector, Line};
use inferd_tests::service_manager::ServiceManager;
use inferd_tests::{Rig, fixtures, metrics, processes, rig};
use serde_json::Value;

use crate::floor::Chain;
use crate::report::{Row, quantile};

/// Measures all of it.
///
/// # Errors
/// Where inferd does not run.
pub(crate) fn measure(quick: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![at_rest()?];
    rows.extend(at_work(if quick { Duration::from_secs(5) } else { Duration::from_secs(40) })?);
    let rounds = if quick { 3 } else { 15 };
    rows.push(start(rounds, "", "≤ 300 ms", "without models")?);
    rows.push(start(rounds, &three_pipelines(), "", "three pipelines that run")?);
    Ok(rows)
}

/// Resident memory without pipelines, after a request from the bus and one over HTTP.
fn at_rest() -> anyhow::Result<Row> {
    let rig = Rig::start("")?;
    rig.scrape()?;
    let resident = resident_mb(rig.pid())?;
    Ok(Row {
        what: "resident memory of inferd at rest".into(),
        aim: "≤ 15 MB",
        measured: format!("{resident:.1} MB"),
        met: Some(resident <= 15.0),
    })
}

/// Three pipelines at a calm pace.
fn at_work(time: Duration) -> anyhow::Result<Vec<Row>> {
    let rig = Rig::start(&three_pipelines())?;
    for model in fixtures::MODELS {
        rig.install(&fixtures::model(model, "1.1.0"))?;
    }
    for model in fixtures::MODELS {
        rig.wait_for_state(model, "running")?;
    }
    let collector = Collector::attach(&rig.outcomes_socket())?;
    let floor = Chain::start(time)?;
    let mut floor_us = floor.finish()?;
    let mut rows = latency(&collector.take())?;
    rows.push(floor_row(&mut floor_us));
    rows.extend(memory(&rig)?);
    rows.push(scrape(&rig.metrics_url()?)?);
    Ok(rows)
}

fn three_pipelines() -> String {
    let one = |model: &str| {
        let rest = if model == "belt-inspect" { "at_end = \"loop\"\nfps = 25\n" } else { "at_end = \"loop\"\n" };
        rig::pipeline_config(model, model, &fixtures::recording_of(model), rest)
    };
    fixtures::MODELS.map(one).concat()
}

/// A window's latency without the runner's own stages: queues, threads that wake, the socket to the runner and back.
fn latency(lines: &[Line]) -> anyhow::Result<Vec<Row>> {
    let mut added_us: Vec<f64> = lines.iter().filter_map(|line| added_us(&line.outcome)).collect();
    ensure!(added_us.len() > 100, "only {} windows came", added_us.len());
    let windows = added_us.len();
    let row = |share: f64, name: &str, aim, limit_us: f64, added_us: &mut [f64]| {
        let added = quantile(added_us, share);
        let measured = format!("{added:.0} µs ({windows} windows)");
        Row { what: format!("latency that inferd adds, {name}"), aim, measured, met: Some(added <= limit_us) }
    };
    Ok(vec![row(0.5, "p50", "≤ 100 µs", 100.0, &mut added_us), row(0.99, "p99", "≤ 1 ms", 1000.0, &mut added_us)])
}

/// What of it the machine takes, whatever runs on it.
fn floor_row(times_us: &mut [f64]) -> Row {
    let (p50, p99) = (quantile(times_us, 0.5), quantile(times_us, 0.99));
    Row {
        what: "of that, three wake-ups with nothing between them, at the same time".into(),
        aim: "",
        measured: format!("p50 {p50:.0} µs, p99 {p99:.0} µs"),
        met: None,
    }
}

fn added_us(outcome: &Value) -> Option<f64> {
    let stages = outcome["stages_ms"].as_object()?;
    let own: f64 = stages.values().filter_map(Value::as_f64).sum();
    Some((outcome["latency_ms"].as_f64()? - own) * 1e3)
}

fn memory(rig: &Rig) -> anyhow::Result<Vec<Row>> {
    let unpromised = |what, mb: f64| Row { what, aim: "", measured: format!("{mb:.1} MB"), met: None };
    let mut rows = vec![unpromised("resident memory of inferd with three pipelines".into(), resident_mb(rig.pid())?)];
    for model in fixtures::MODELS {
        let pid = rig.pipeline(model)?["runner_pid"].as_u64().context("a pipeline has no runner")?;
        rows.push(unpromised(
            format!("resident memory of the runner of {model} 1.1.0"),
            resident_mb(u32::try_from(pid)?)?,
        ));
    }
    Ok(rows)
}

/// `VmRSS` of `/proc/PID/status`, in megabytes of 10^6 bytes.
fn resident_mb(pid: u32) -> anyhow::Result<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a process has no 2^52 kilobytes")]
    Ok(processes::resident_kb(pid)? as f64 * 1024.0 / 1e6)
}

fn scrape(url: &str) -> anyhow::Result<Row> {
    let mut times_ms = Vec::new();
    let mut bytes = 0;
    for _ in 0..200 {
        let begun = Instant::now();
        bytes = metrics::scrape(url)?.0.len();
        times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let (p50, p99) = (quantile(&mut times_ms, 0.5), quantile(&mut times_ms, 0.99));
    Ok(Row {
        what: "a scrape, three pipelines running".into(),
        aim: "≤ 5 ms",
        measured: format!("p50 {p50:.2} ms, p99 {p99:.2} ms, {} kB", bytes / 1000),
        met: Some(p99 <= 5.0),
    })
}

/// From exec to `READY=1`.
fn start(rounds: usize, pipelines: &str, aim: &'static str, what: &str) -> anyhow::Result<Row> {
    let mut rig = Rig::start(pipelines)?;
    if !pipelines.is_empty() {
        for model in fixtures::MODELS {
            rig.install(&fixtures::model(model, "1.1.0"))?;
        }
    }
    rig.stop()?;
    let manager = ServiceManager::listen(rig.folder())?;
    let mut times_ms = Vec::new();
    for _ in 0..rounds {
        let mut command = rig.daemon_command();
        command.env("NOTIFY_SOCKET", manager.address()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let mut daemon = command.spawn()?;
        manager.wait_for("READY=1", rig::PATIENCE)?;
        times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        rig::signal(daemon.id(), nix::sys::signal::Signal::SIGTERM)?;
        daemon.wait()?;
        manager.forget()?;
    }
    let median = quantile(&mut times_ms, 0.5);
    let measured = format!("{median:.0} ms (median of {rounds})");
    let met = (!aim.is_empty()).then_some(median <= 300.0);
    Ok(Row { what: format!("start to READY, {what}"), aim, measured, met })
}
