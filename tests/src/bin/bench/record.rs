//! What the metrics cost a window.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use inferd::metrics::Metrics;
use inferd_core::ModelId;
use inferd_core::outcome::{Inference, Outcome, Verdict};
use inferd_core::prediction::{Prediction, StageTimes};

use crate::report::{Row, quantile};

/// Windows in a batch; a single one is too short for a clock.
const BATCH: u32 = 10_000;

/// Records the same outcome over and over.
///
/// # Errors
/// Where there is no registry.
pub(crate) fn measure(rounds: usize) -> anyhow::Result<Row> {
    let outcome = outcome()?;
    let metrics = Metrics::new()?.pipeline(&outcome.pipeline);
    let mut each_us: Vec<f64> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            (0..BATCH).for_each(|_| metrics.record(black_box(&outcome)));
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
        })
        .collect();
    let each_us = quantile(&mut each_us, 0.5);
    Ok(Row {
        what: "metrics of a window".into(),
        aim: "≤ 10 µs, with drift",
        measured: format!("{each_us:.2} µs (median of {rounds} x {BATCH}); drift is to come"),
        met: None,
    })
}

fn outcome() -> anyhow::Result<Outcome> {
    let times = StageTimes { decode_ns: 90_000, preprocess_ns: 80_000, inference_ns: 600_000, postprocess_ns: 2_000 };
    let model = ModelId { name: "belt".parse()?, version: "1.0.0".parse()?, digest: "0".repeat(64).parse()? };
    Ok(Outcome {
        pipeline: "bench".parse()?,
        window: 1,
        captured_unix_ns: 1,
        latency_ns: 900_000,
        model: Arc::new(model),
        labels: ["empty".to_owned(), "part".to_owned()].into(),
        verdict: Verdict::Event,
        class: Some(1),
        confidence: 0.9,
        margin: 0.8,
        result: Ok(Inference { prediction: Prediction::Classes(vec![0.1, 0.9]), times }),
    })
}
