//! `make bench`: what inferd costs, against the bare inference loop on the same frames, on this machine, now.
//!
//! What is compared runs in turns, round by round, in one run, and medians are given: what else the machine does meets
//! both. The figures of record are in `docs/benchmarks.md`.
//!
//! - [`throughput`]: windows per second through the whole pipeline, as a share of the bare loop's
//! - [`bare`]: that loop
//! - [`footprint`]: latency that inferd adds, memory, the time to start, the price of a scrape
//! - [`floor`]: what of that latency the machine takes for waking threads
//! - [`record`]: what the metrics cost a window
//! - [`models`]: the models and frames that are used
//! - [`report`]: the table

mod bare;
mod floor;
mod footprint;
mod models;
mod record;
mod report;
mod throughput;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some(floor::ECHO) {
        return floor::echo();
    }
    let quick = std::env::var_os("QUICK").is_some();
    report::say(&report::machine());
    let mut rows = Vec::new();
    for model in models::all()? {
        eprintln!("{}: the pipeline and the bare loop, in turns", model.what);
        rows.push(throughput::measure(&model, if quick { 3 } else { 15 })?);
    }
    eprintln!("latency, memory, start, scrape");
    rows.extend(footprint::measure(quick)?);
    rows.push(record::measure(if quick { 3 } else { 15 })?);
    report::say(&report::table(&rows));
    report::say(&report::load());
    Ok(())
}
