//! `org.inferd1.Pipeline` at `/org/inferd1/pipeline/NAME`.

use std::fs::File;

use inferd_core::Name;
use zbus::message::Header;
use zbus::{Connection, OwnedFd, Variant, interface};

use super::Dictionary;
use crate::bus::access::Access;
use crate::bus::authority::Action;
use crate::bus::error::Refused;
use crate::bus::text::text;
use crate::control::Command;
use crate::control::state::{Counts, Pipeline};

pub(in crate::bus) struct PipelineObject {
    pub(in crate::bus) access: Access,
    pub(in crate::bus) name: Name,
}

/// A source, a model and what becomes of its windows.
#[interface(name = "org.inferd1.Pipeline")]
impl PipelineObject {
    /// Starts it where it is stopped, finished or failed; where it is being stopped, as soon as it has.
    async fn start(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.access.permit(connection, &call, Action::ControlPipeline).await?;
        self.access.run(Command::StartPipeline(self.name.clone())).await
    }

    /// Stops it; windows that are under way are served first. Answers when it has stopped; where that takes longer than 10 s it
    /// answers before, and State says when it has.
    async fn stop(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.access.permit(connection, &call, Action::ControlPipeline).await?;
        self.access.run(Command::StopPipeline(self.name.clone())).await
    }

    /// Keeps the next windows, 1 to 1000, as samples, whatever the model says of them.
    async fn capture(
        &self,
        count: u32,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.access.permit(connection, &call, Action::Capture).await?;
        self.access.run(Command::Capture { pipeline: self.name.clone(), count }).await
    }

    /// Writes what its source gives from now on, for 1 to 3600 seconds, to a descriptor that is open for writing: lines of JSON,
    /// a `frame`'s followed by as many bytes as its `bytes` says, the last one `end`. Frames are left out while nobody reads,
    /// and counted; after 10 s of that it breaks off. One recording at a time.
    async fn record(
        &self,
        sink: OwnedFd,
        seconds: u32,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        let origin = self.access.permit(connection, &call, Action::Capture).await?;
        let sink = File::from(std::os::fd::OwnedFd::from(sink));
        self.access.run(Command::Record { pipeline: self.name.clone(), sink, seconds, origin }).await
    }

    /// `stopped`, `waiting`, `starting`, `running`, `resting`, `finished` or `failed`.
    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.read(|pipeline| pipeline.state.word())
    }

    /// Why it waits, rests or has failed; empty otherwise.
    #[zbus(property)]
    fn reason(&self) -> String {
        self.read(|pipeline| text(&pipeline.reason))
    }

    /// The model's name.
    #[zbus(property)]
    fn model(&self) -> String {
        self.read(|pipeline| text(pipeline.model.as_str()))
    }

    /// The version that serves; empty while none does.
    #[zbus(property)]
    fn active_version(&self) -> String {
        self.read(|pipeline| pipeline.version.as_ref().map(|version| text(version.to_string())).unwrap_or_default())
    }

    /// The source in a line.
    #[zbus(property)]
    fn source(&self) -> String {
        self.read(|pipeline| text(&pipeline.source))
    }

    /// Figures since it was started: `frames`, `dropped`, `windows`, `events`, `uncertain`, `failed`,
    /// `runner_restarts` (t); over the last moments `per_second`, `latency_p50_ms`, `latency_p99_ms` (d). A change is
    /// told at most once a second.
    #[zbus(property)]
    fn counts(&self) -> Dictionary {
        self.read(|pipeline| counts_entry(pipeline.counts))
    }

    /// The runner's process id; 0 while there is none.
    #[zbus(property)]
    fn runner_pid(&self) -> u32 {
        self.read(|pipeline| pipeline.runner_pid)
    }

    /// How far the runner is confined: `full`, `partial`, `none`; empty while there is no runner.
    #[zbus(property)]
    fn sandbox(&self) -> String {
        self.read(|pipeline| text(&pipeline.sandbox))
    }

    /// The backend that computes; empty while there is no runner.
    #[zbus(property)]
    fn backend(&self) -> String {
        self.read(|pipeline| text(&pipeline.backend))
    }
}

impl PipelineObject {
    fn read<T: Default>(&self, value: impl FnOnce(&Pipeline) -> T) -> T {
        self.access.state().pipelines.get(&self.name).map(value).unwrap_or_default()
    }
}

fn counts_entry(counts: Counts) -> Dictionary {
    Dictionary::from([
        ("frames", Variant::from(counts.frames)),
        ("dropped", counts.dropped.into()),
        ("windows", counts.windows.into()),
        ("events", counts.events.into()),
        ("uncertain", counts.uncertain.into()),
        ("failed", counts.failed.into()),
        ("runner_restarts", counts.runner_restarts.into()),
        ("per_second", counts.per_second.into()),
        ("latency_p50_ms", counts.latency_p50_ms.into()),
        ("latency_p99_ms", counts.latency_p99_ms.into()),
    ])
}
