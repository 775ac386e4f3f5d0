//! Fixed values to print in tests.

use serde::Serialize;

use crate::view::{Counts, Everything, Job, JobError, Model, Pipeline, Sample, Spool, Version};

/// Two pipelines of which one has failed, a model of two versions, a job at work and one that failed, samples.
pub(crate) fn everything() -> Everything {
    Everything {
        version: "0.1.0".into(),
        status: "1 of 2 pipelines runs".into(),
        metrics_address: "http://127.0.0.1:9469/metrics".into(),
        config_error: "/etc/inferd/inferd.toml:7: pipelines.belt.modle: unknown key; did you mean `model`?".into(),
        pending_sections: vec!["metrics".into()],
        pipelines: vec![running(), failed()],
        models: vec![Model {
            name: "belt-inspect".into(),
            state: "active".into(),
            active: "1.1.0".into(),
            previous: "1.0.0".into(),
            versions: vec![version("1.0.0", 210_000), version("1.1.0", 215_400), version("2.0.0", 1_215_400)],
        }],
        jobs: vec![job(3, "running", None), job(4, "failed", Some("golden sample 3 differs by 0.4"))],
        spool: Spool {
            pending: 1,
            bytes: 61_440,
            uploaded: 12,
            dropped: 0,
            last_error: "http://samples.example: connection refused".into(),
            samples: vec![sample()],
        },
    }
}

fn running() -> Pipeline {
    Pipeline {
        name: "belt".into(),
        state: "running".into(),
        model: "belt-inspect".into(),
        version: "1.1.0".into(),
        source: "recording /data/belt, 10 fps, loop".into(),
        counts: Counts {
            frames: 1000,
            windows: 1000,
            events: 40,
            uncertain: 7,
            per_second: 10.0,
            latency_p50_ms: 3.2,
            latency_p99_ms: 12.8,
            ..Counts::default()
        },
        runner_pid: 4711,
        sandbox: "full".into(),
        backend: "tract".into(),
        ..Pipeline::default()
    }
}

fn failed() -> Pipeline {
    Pipeline {
        name: "door".into(),
        state: "failed".into(),
        reason: "model `knock` is not installed".into(),
        model: "knock".into(),
        source: "recording /data/door.wav".into(),
        counts: Counts { frames: 12, dropped: 2, windows: 10, failed: 1, runner_restarts: 3, ..Counts::default() },
        ..Pipeline::default()
    }
}

fn version(version: &str, bytes: u64) -> Version {
    Version {
        version: version.into(),
        digest: "0123456789abcdef".repeat(4),
        description: "Scratches on a belt".into(),
        kind: "image".into(),
        task: "classification".into(),
        bytes,
    }
}

fn job(number: u32, state: &str, error: Option<&str>) -> Job {
    Job {
        number,
        operation: format!("activate belt-inspect 1.{number}.0"),
        state: state.into(),
        percent: 30,
        step: "warming".into(),
        error: error.map(|message| JobError { name: "GoldenMismatch".into(), message: message.into() }),
    }
}

fn sample() -> Sample {
    Sample {
        id: "01J0000000".into(),
        pipeline: "belt".into(),
        time: "2026-01-01T00:00:00.000Z".into(),
        reason: "margin 0.9 above 0.4".into(),
        label: "scratch".into(),
        confidence: 0.55,
        bytes: 61_440,
    }
}

/// As `--json` prints it.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap()
}
