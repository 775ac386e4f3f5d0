//! The configuration as the rooms receive it: one struct a room, every value checked, every default and unit here.
//!
//! [`load()`] is the way in, [`load_for_start`] that of a start: `layers` reads files and environment, the config crate merges them, serde types them, `check`
//! holds every value against what is documented on the fields. [`watch()`] says when to load again.
//!
//! Keys are `snake_case` in TOML; `INFERD__SECTION__KEY` in the environment overrides. `config/inferd.toml` lists every key
//! with its default, and a test holds it against these structs.

mod check;
mod layers;
mod load;
mod pipeline;
mod power;
mod problem;
mod source;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use inferd_core::Name;
use inferd_core::wire::SandboxPolicy;
use serde::{Deserialize, Deserializer, Serialize};

pub use load::{load, load_for_start};
pub use pipeline::{Pipeline, Sampling, Strategy};
pub use power::{Hours, Power, Span};
pub use problem::{ConfigProblem, Place, Severity, describe};
pub use source::{
    AtEnd, Broker, Camera, CameraFormat, Command, ControlValue, Imu, MessageFormat, Microphone, Mqtt, Pace, Recording,
    Source, StreamFormat,
};
pub use watch::{WatchError, watch};

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Models and samples; an absolute path that outlives a reboot. Default `/var/lib/inferd`.
    pub state_dir: PathBuf,
    /// Sockets; an absolute path of at most 93 bytes that may be lost at a reboot. Default `/run/inferd`.
    pub runtime_dir: PathBuf,
    /// Names this device in samples, 1 to 128 of `a-z A-Z 0-9 - _ . :`. Default: the host's name.
    pub device_id: Option<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self { state_dir: "/var/lib/inferd".into(), runtime_dir: "/run/inferd".into(), device_id: None }
    }
}

/// D-Bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bus {
    /// Which bus to serve on. Default `system`.
    pub connect: BusChoice,
}

/// Which bus to serve on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Serve it at all. Default `true`.
    pub enabled: bool,
    /// Address and port. Port 0 takes a free one, which the log names. Default `127.0.0.1:9469`.
    #[serde(deserialize_with = "address_and_port")]
    pub listen: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 9469)) }
    }
}

fn address_and_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "is \"{text}\"; an IP address and a port as in \"127.0.0.1:9469\" is expected"
        ))
    })
}

/// Runner processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runner {
    /// The program. Default `/usr/libexec/inferd/inferd-runner`; where that is absent, `inferd-runner` beside `inferd`.
    pub program: Option<PathBuf>,
    /// Address space of one runner, and its memory where the kernel can limit that, in bytes, 64 MiB to 64 GiB. Default 2 GiB.
    pub memory_max_bytes: u64,
    /// Processor time of one runner in percent of one processor, 5 to 6400; `None` for all there is.
    pub cpu_max_percent: Option<u32>,
    /// Compute threads of one runner, 1 to 64. Default 1.
    pub threads: u32,
    /// What must confine a runner for it to serve. Default `filtered`.
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
            cpu_max_percent: None,
            threads: 1,
            sandbox: SandboxPolicy::Filtered,
            start_timeout_ms: 60_000,
            deadline_ms: 5_000,
        }
    }
}

/// The model store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Where the packages put the runner.
const PACKAGED_RUNNER: &str = "/usr/libexec/inferd/inferd-runner";

impl Runner {
    /// The program: as configured, else where packages put it, else beside the program that runs.
    ///
    /// # Errors
    /// Where the path of the program that runs cannot be told.
    pub fn locate(&self) -> std::io::Result<PathBuf> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None if std::path::Path::new(PACKAGED_RUNNER).exists() => Ok(PACKAGED_RUNNER.into()),
            None => Ok(std::env::current_exe()?.with_file_name("inferd-runner")),
        }
    }

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

#[cfg(test)]
mod tests;
