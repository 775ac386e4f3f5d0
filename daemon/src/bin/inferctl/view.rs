//! What the daemon shows, as plain values. Their serde names are the stable JSON shapes of docs/inferctl.md.

use std::collections::HashMap;

use inferd::bus::path;
use serde::Serialize;
use zbus::OwnedVariant;

use crate::client::{Client, Objects, Values};
use crate::failure::{self, Failure};

/// Everything, as `inferctl status --json` prints it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Everything {
    pub(crate) version: String,
    pub(crate) status: String,
    pub(crate) metrics_address: String,
    pub(crate) config_error: String,
    pub(crate) pending_sections: Vec<String>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) models: Vec<Model>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) spool: Spool,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) source: String,
    pub(crate) counts: Counts,
    pub(crate) runner_pid: u32,
    pub(crate) sandbox: String,
    pub(crate) backend: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) frames: u64,
    pub(crate) dropped: u64,
    pub(crate) windows: u64,
    pub(crate) events: u64,
    pub(crate) uncertain: u64,
    pub(crate) failed: u64,
    pub(crate) runner_restarts: u64,
    pub(crate) per_second: f64,
    pub(crate) latency_p50_ms: f64,
    pub(crate) latency_p99_ms: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) active: String,
    pub(crate) previous: String,
    pub(crate) versions: Vec<Version>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Version {
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) description: String,
    pub(crate) kind: String,
    pub(crate) task: String,
    pub(crate) bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Job {
    pub(crate) number: u32,
    pub(crate) operation: String,
    pub(crate) state: String,
    pub(crate) percent: u32,
    pub(crate) step: String,
    pub(crate) error: Option<JobError>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct JobError {
    pub(crate) name: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Spool {
    pub(crate) pending: u64,
    pub(crate) bytes: u64,
    pub(crate) uploaded: u64,
    pub(crate) dropped: u64,
    pub(crate) last_error: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) time: String,
    pub(crate) reason: String,
    pub(crate) label: String,
    pub(crate) confidence: f64,
    pub(crate) bytes: u64,
}

impl Everything {
    pub(crate) async fn read(client: &Client) -> Result<Self, Failure> {
        let (manager, objects) = client.everything().await?;
        let mut manager = Taken(manager);
        let mut everything = Self {
            version: manager.take("Version")?,
            status: manager.take("Status")?,
            metrics_address: manager.take("MetricsAddress")?,
            config_error: manager.take("ConfigError")?,
            pending_sections: manager.take("PendingSections")?,
            ..Self::default()
        };
        everything.add(objects)?;
        Ok(everything)
    }

    fn add(&mut self, objects: Objects) -> Result<(), Failure> {
        for (path, mut interfaces) in objects {
            let mut values = |interface: &str| interfaces.remove(&format!("org.inferd1.{interface}")).map(Taken);
            if let (Some(name), Some(values)) = (path::name_in(path::PIPELINES, &path), values("Pipeline")) {
                self.pipelines.push(Pipeline::take(name, values)?);
            }
            if let (Some(name), Some(values)) = (path::name_in(path::MODELS, &path), values("Model")) {
                self.models.push(Model::take(name, values)?);
            }
            if let (Some(number), Some(values)) = (job_number(&path), values("Job")) {
                self.jobs.push(Job::take(number, values)?);
            }
            if let Some(values) = values("Spool") {
                self.spool = Spool::take(values)?;
            }
        }
        self.pipelines.sort_by(|a, b| a.name.cmp(&b.name));
        self.models.sort_by(|a, b| a.name.cmp(&b.name));
        self.jobs.sort_by_key(|job| job.number);
        Ok(())
    }
}

impl Job {
    pub(crate) async fn read(client: &Client, path: &str) -> Result<Self, Failure> {
        let values = client.values(path, "Job").await?;
        Self::take(job_number(path).unwrap_or_default(), Taken(values))
    }

    fn take(number: u32, mut from: Taken) -> Result<Self, Failure> {
        let (percent, step) = from.take("Progress")?;
        let (name, message): (String, String) = from.take("Error")?;
        let name = failure::short_name(&name).to_owned();
        let error = (!name.is_empty()).then_some(JobError { name, message });
        Ok(Self { number, operation: from.take("Operation")?, state: from.take("State")?, percent, step, error })
    }
}

fn job_number(path: &str) -> Option<u32> {
    path.strip_prefix(path::JOBS)?.strip_prefix('/')?.parse().ok()
}

impl Pipeline {
    fn take(name: String, mut from: Taken) -> Result<Self, Failure> {
        Ok(Self {
            name,
            state: from.take("State")?,
            reason: from.take("Reason")?,
            model: from.take("Model")?,
            version: from.take("ActiveVersion")?,
            source: from.take("Source")?,
            counts: Counts::take(Taken(from.take("Counts")?))?,
            runner_pid: from.take("RunnerPid")?,
            sandbox: from.take("Sandbox")?,
            backend: from.take("Backend")?,
        })
    }
}

impl Counts {
    fn take(mut from: Taken) -> Result<Self, Failure> {
        Ok(Self {
            frames: from.take("frames")?,
            dropped: from.take("dropped")?,
            windows: from.take("windows")?,
            events: from.take("events")?,
            uncertain: from.take("uncertain")?,
            failed: from.take("failed")?,
            runner_restarts: from.take("runner_restarts")?,
            per_second: from.take("per_second")?,
            latency_p50_ms: from.take("latency_p50_ms")?,
            latency_p99_ms: from.take("latency_p99_ms")?,
        })
    }
}

impl Model {
    fn take(name: String, mut from: Taken) -> Result<Self, Failure> {
        let versions: Vec<HashMap<String, OwnedVariant>> = from.take("Versions")?;
        Ok(Self {
            name,
            state: from.take("State")?,
            active: from.take("ActiveVersion")?,
            previous: from.take("PreviousVersion")?,
            versions: versions.into_iter().map(|version| Version::take(Taken(version))).collect::<Result<_, _>>()?,
        })
    }
}

impl Version {
    fn take(mut from: Taken) -> Result<Self, Failure> {
        Ok(Self {
            version: from.take("version")?,
            digest: from.take("digest")?,
            description: from.take("description")?,
            kind: from.take("kind")?,
            task: from.take("task")?,
            bytes: from.take("bytes")?,
        })
    }
}

impl Spool {
    fn take(mut from: Taken) -> Result<Self, Failure> {
        let samples: Vec<HashMap<String, OwnedVariant>> = from.take("Samples")?;
        Ok(Self {
            pending: from.take("Pending")?,
            bytes: from.take("Bytes")?,
            uploaded: from.take("Uploaded")?,
            dropped: from.take("Dropped")?,
            last_error: from.take("LastError")?,
            samples: samples.into_iter().map(|sample| Sample::take(Taken(sample))).collect::<Result<_, _>>()?,
        })
    }
}

impl Sample {
    fn take(mut from: Taken) -> Result<Self, Failure> {
        Ok(Self {
            id: from.take("id")?,
            pipeline: from.take("pipeline")?,
            time: from.take("time")?,
            reason: from.take("reason")?,
            label: from.take("label")?,
            confidence: from.take("confidence")?,
            bytes: from.take("bytes")?,
        })
    }
}

/// Values that are taken out by name.
pub(crate) struct Taken(pub(crate) Values);

impl Taken {
    pub(crate) fn take<T: TryFrom<OwnedVariant>>(&mut self, name: &str) -> Result<T, Failure> {
        let value = self.0.remove(name).and_then(|value| value.try_into().ok());
        value.ok_or_else(|| {
            Failure::failed(format!("inferd's answer lacks `{name}`"))
                .hint("are inferd and inferctl of the same release? (`inferctl --version`, `inferd --version`)")
        })
    }
}
