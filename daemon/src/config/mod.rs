//! The configuration as the rooms receive it: one struct a room, every value checked, every default and unit here.
//!
//! Keys are `snake_case` in TOML; `INFERD__SECTION__KEY` in the environment overrides. `config/inferd.toml` lists every key
//! with its default, and a test holds it against these structs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use inferd_core::Name;
use serde::Deserialize;

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folders and identity.
    pub service: Service,
    /// D-Bus.
    pub bus: Bus,
    /// The metrics endpoint.
    pub metrics: Metrics,
    /// Runner processes.
    pub runner: Runner,
    /// The model store.
    pub models: Models,
    /// The queue of samples on disk.
    pub spool: Spool,
    /// Where samples go.
    pub upload: Upload,
    /// Where outcomes go.
    pub sinks: Sinks,
    /// The pipelines by name.
    pub pipelines: BTreeMap<Name, Pipeline>,
}

/// Folders and identity.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Models and samples; must outlive a reboot. Default `/var/lib/inferd`.
    pub state_dir: PathBuf,
    /// Sockets; may be lost at a reboot. Default `/run/inferd`.
    pub runtime_dir: PathBuf,
    /// Names this device in samples, 1 to 128 characters. Default: the host's name.
    pub device_id: Option<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self { state_dir: "/var/lib/inferd".into(), runtime_dir: "/run/inferd".into(), device_id: None }
    }
}

/// D-Bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bus {
    /// Which bus to serve on. Default `system`.
    pub connect: BusChoice,
}

/// Which bus to serve on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusChoice {
    /// The machine's bus.
    #[default]
    System,
    /// The user's bus; for development.
    Session,
    /// No bus: the daemon runs what is configured and cannot be controlled.
    None,
}

/// The metrics endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Serve it at all. Default `true`.
    pub enabled: bool,
    /// Address and port. Port 0 takes a free one, which the log names. Default `127.0.0.1:9469`.
    pub listen: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 9469)) }
    }
}

/// Runner processes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runner {
    /// The program. Default `/usr/libexec/inferd/inferd-runner`; where that is absent, `inferd-runner` beside `inferd`.
    pub program: Option<PathBuf>,
    /// Address space of one runner in bytes, 64 MiB to 64 GiB. Default 2 GiB.
    pub memory_max_bytes: u64,
    /// Compute threads of one runner, 1 to 64. Default 1.
    pub threads: u32,
    /// What to do where the kernel cannot confine a runner fully. Default `full`.
    pub sandbox: SandboxPolicy,
    /// Time to load, warm up and prove a model, 100 ms to 10 min. Default 60 s.
    pub start_timeout_ms: u64,
    /// Time for one window before its runner counts as hung, 10 ms to 10 min. Default 5 s.
    pub deadline_ms: u64,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            program: None,
            memory_max_bytes: 2 << 30,
            threads: 1,
            sandbox: SandboxPolicy::Full,
            start_timeout_ms: 60_000,
            deadline_ms: 5_000,
        }
    }
}

/// What to do where the kernel cannot confine a runner fully.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxPolicy {
    /// Refuse to serve.
    #[default]
    Full,
    /// Serve with what there is, and report it.
    BestEffort,
}

/// The model store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Install bundles that appear in `<state_dir>/incoming`. Default `true`.
    pub watch_incoming: bool,
    /// Activate what was installed from there. Default `false`; a model's first version is always activated.
    pub activate_incoming: bool,
    /// The largest bundle and the largest unpacked bundle, in bytes, 1 MiB to 16 GiB. Default 1 GiB.
    pub max_bundle_bytes: u64,
}

impl Default for Models {
    fn default() -> Self {
        Self { watch_incoming: true, activate_incoming: false, max_bundle_bytes: 1 << 30 }
    }
}

/// The queue of samples on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    /// Most bytes on disk, temporary files counted, 1 MiB to 1 TiB. Default 256 MiB.
    pub max_bytes: u64,
    /// Most samples, 1 to 1000000. Default 10000.
    pub max_samples: u32,
}

impl Default for Spool {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_samples: 10_000 }
    }
}

/// Where samples go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upload {
    /// The kind of destination. Default `none`: samples stay in the spool.
    pub to: Destination,
    /// For `directory`: an existing folder.
    pub directory: Option<PathBuf>,
    /// For `http`: where samples are POSTed, `http://` or `https://`.
    pub url: Option<String>,
    /// For `http`: a file whose only line is sent as `Authorization: Bearer …`.
    pub token_file: Option<PathBuf>,
    /// For `http`: time for one upload, 100 ms to 10 min. Default 30 s.
    pub timeout_ms: u64,
    /// First pause after a failure, doubled at each further one, 10 ms to 1 h. Default 1 s.
    pub backoff_first_ms: u64,
    /// Longest pause, up to 1 day. Default 5 min.
    pub backoff_max_ms: u64,
}

impl Default for Upload {
    fn default() -> Self {
        Self {
            to: Destination::None,
            directory: None,
            url: None,
            token_file: None,
            timeout_ms: 30_000,
            backoff_first_ms: 1_000,
            backoff_max_ms: 300_000,
        }
    }
}

/// The kind of destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// Samples stay in the spool.
    #[default]
    None,
    /// A folder, for example a mounted share.
    Directory,
    /// An HTTP server.
    Http,
}

/// Where outcomes go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sinks {
    /// JSON lines to standard output. Default `false`.
    pub stdout: bool,
    /// JSON lines to readers of `<runtime_dir>/outcomes.sock`. Default `true`.
    pub socket: bool,
}

impl Default for Sinks {
    fn default() -> Self {
        Self { stdout: false, socket: true }
    }
}

/// A source, a model and what to do with outcomes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The model's name.
    pub model: Name,
    /// Start it with the service. Default `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where frames come from.
    pub source: Source,
    /// Instead of the manifest's `decision.threshold`.
    #[serde(default)]
    pub threshold: Option<f32>,
    /// Instead of the manifest's `decision.margin`.
    #[serde(default)]
    pub margin: Option<f32>,
    /// Which windows to keep.
    #[serde(default)]
    pub sampling: Sampling,
}

fn yes() -> bool {
    true
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// Files.
    Recording(Recording),
}

/// A recording, played.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// A folder of images or `.npy` tensors (in the order of their names), or a `.mjpeg`, `.y4m`, `.wav`, `.csv` or `.npy` file.
    pub path: PathBuf,
    /// How fast. Default `realtime`.
    #[serde(default)]
    pub pace: Pace,
    /// What happens after the last frame. Default `stop`.
    #[serde(default)]
    pub at_end: AtEnd,
    /// Frames per second of images and tensors, 0.001 to 1000. Default: a Y4M's own, else 10.
    #[serde(default)]
    pub fps: Option<f64>,
    /// Rows per second of a CSV that has no timestamp column, 0.001 to 100000.
    #[serde(default)]
    pub rate_hz: Option<f64>,
    /// The CSV column with seconds. Default `t`, where there is one and `rate_hz` is not given.
    #[serde(default)]
    pub timestamp: Option<String>,
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// At its own pace; waits for the model rather than drop a window.
    #[default]
    Realtime,
    /// As fast as the model takes it.
    Fast,
    /// At its own pace like a device: what the model cannot take in time is dropped, newest kept, and counted.
    Live,
}

/// What happens after the last frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AtEnd {
    /// The pipeline is finished.
    #[default]
    Stop,
    /// It starts over; the stream goes on without a seam.
    Loop,
}

/// Which windows to keep for retraining.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// How uncertainty is measured. Default `none`: nothing is kept.
    pub strategy: Strategy,
    /// Keep a window when its uncertainty is above this, 0 to 1. Default 0.4.
    pub above: f32,
    /// Most samples a minute, over any minute, 0.01 to 6000. Default 6.
    pub per_minute: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { strategy: Strategy::None, above: 0.4, per_minute: 6.0 }
    }
}

/// How uncertainty is measured; each gives 0 (sure) to 1 (no idea). Settles, Active Learning Literature Survey (2009), 3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Nothing is kept.
    #[default]
    None,
    /// `1 - p1`
    LeastConfidence,
    /// `1 - (p1 - p2)`
    Margin,
    /// `-sum(p ln p) / ln(classes)`
    Entropy,
}

impl Runner {
    /// Time to load, warm up and prove a model.
    pub const fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }

    /// Time for one window.
    pub const fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

impl Service {
    /// Where bundles are dropped to be installed.
    pub fn incoming_dir(&self) -> PathBuf {
        self.state_dir.join("incoming")
    }

    /// Where models are.
    pub fn models_dir(&self) -> PathBuf {
        self.state_dir.join("models")
    }

    /// Where samples wait.
    pub fn spool_dir(&self) -> PathBuf {
        self.state_dir.join("spool")
    }

    /// The socket that outcomes are read from.
    pub fn outcomes_socket(&self) -> PathBuf {
        self.runtime_dir.join("outcomes.sock")
    }
}
