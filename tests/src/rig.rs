//! inferd, running: a private session bus, a temporary state folder, a configuration.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::variant::write;

/// How long conditions are waited for: far more than they need on a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running inferd. Everything ends and is removed when it is dropped.
#[derive(Debug)]
pub struct Rig {
    folder: TempDir,
    bus: Child,
    bus_kind: &'static str,
    bus_address: String,
    daemon: Option<Child>,
    environment: Vec<(String, String)>,
}

impl Rig {
    /// A bus and a folder; nothing runs yet.
    ///
    /// # Errors
    /// Where `dbus-daemon` or `setpriv` is absent or the folder cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        Self::on_bus(&["--session"])
    }

    /// The same on a bus of the system's kind, open to every user: what is refused there is refused by inferd.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn on_system_bus() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("bus.conf");
        let text = "<busconfig><type>system</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>\
                    <policy context='default'><allow user='*'/><allow own='*'/><allow send_destination='*'/>\
                    <allow send_type='*'/><allow receive_type='*'/></policy></busconfig>";
        write(&config, text.as_bytes())?;
        let mut rig = Self::on_bus(&["--config-file", path(&config)?])?;
        rig.bus_kind = "system";
        Ok(rig)
    }

    fn on_bus(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("inferd-").tempdir()?;
        // The bus ends with the thread that starts it: a test that is killed drops nothing.
        let mut bus = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "dbus-daemon"])
            .args(arguments)
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start setpriv; apt install util-linux")?;
        let mut bus_address = String::new();
        let said = bus.stdout.take().context("dbus-daemon has no standard output")?;
        BufReader::new(said).read_line(&mut bus_address)?;
        let bus_address = bus_address.trim().to_owned();
        ensure!(!bus_address.is_empty(), "cannot start dbus-daemon; apt install dbus");
        Ok(Self { folder, bus, bus_kind: "session", bus_address, daemon: None, environment: Vec::new() })
    }

    /// A rig that runs this configuration; `[service]`, `[bus]` and `[metrics]` are added.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn start(config: &str) -> anyhow::Result<Self> {
        let mut rig = Self::new()?;
        rig.configure(config)?;
        rig.launch()?;
        Ok(rig)
    }

    /// The temporary folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where models and samples are.
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// Where outcomes are read.
    pub fn outcomes_socket(&self) -> PathBuf {
        self.folder().join("run/outcomes.sock")
    }

    /// The bus's address.
    pub fn bus_address(&self) -> &str {
        &self.bus_address
    }

    /// The process id of the bus.
    pub fn bus_pid(&self) -> u32 {
        self.bus.id()
    }

    /// Sets a variable for the daemon's next start.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Replaces the configuration; a running daemon notices.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn configure(&self, config: &str) -> anyhow::Result<()> {
        let folder = self.folder().display();
        let text = format!(
            "[service]\nstate_dir = \"{folder}/state\"\nruntime_dir = \"{folder}/run\"\ndevice_id = \"rig\"\n\
             [bus]\nconnect = \"{}\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n{config}",
            self.bus_kind
        );
        let temporary = self.folder().join("inferd.toml.new");
        write(&temporary, text.as_bytes())?;
        Ok(std::fs::rename(temporary, self.config_file())?)
    }

    /// The configuration's file.
    pub fn config_file(&self) -> PathBuf {
        self.folder().join("inferd.toml")
    }

    /// The daemon as a command, for tests that expect it not to start.
    pub fn daemon_command(&self) -> Command {
        let mut command = Command::new(program("inferd"));
        command.arg("--config").arg(self.config_file()).env(self.bus_variable(), &self.bus_address);
        command.env("INFERD_LOG", "info").env("INFERD__RUNNER__PROGRAM", program("inferd-runner"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Where programs look for the address of the bus.
    fn bus_variable(&self) -> &'static str {
        if self.bus_kind == "system" { "DBUS_SYSTEM_BUS_ADDRESS" } else { "DBUS_SESSION_BUS_ADDRESS" }
    }

    /// Starts the daemon and waits until the bus answers. Its log is `daemon.log` in the folder.
    ///
    /// # Errors
    /// Where it ends instead; the log is in the error.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        let begun = Instant::now();
        while self.try_ctl(&["status"]).is_err() {
            ensure!(self.is_running(), "inferd ended at its start; its log:\n{}", self.log());
            ensure!(begun.elapsed() < PATIENCE, "inferd did not answer within {PATIENCE:?}; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts the daemon and waits for nothing.
    ///
    /// # Errors
    /// Where the program cannot be started.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let mut command = self.daemon_command();
        self.spawn_as(command.stdout(Stdio::null())).map(drop)
    }

    /// Starts a command as the daemon and waits for nothing; gives its standard output where that is a pipe.
    ///
    /// # Errors
    /// Where the program cannot be started.
    pub fn spawn_as(&mut self, command: &mut Command) -> anyhow::Result<Option<ChildStdout>> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder().join("daemon.log"))?;
        let mut daemon = command.stderr(log).spawn().context("cannot start inferd")?;
        let output = daemon.stdout.take();
        self.daemon = Some(daemon);
        Ok(output)
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("daemon.log")).unwrap_or_default()
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or(0, Child::id)
    }

    /// Whether the daemon is still the process that was launched.
    pub fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(|daemon| matches!(daemon.try_wait(), Ok(None)))
    }

    /// Kills the daemon as a power cut would: without a word.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // Both fail only where it is gone already.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Ends the daemon as the service manager does; gives how long that took.
    ///
    /// # Errors
    /// Where it has to be killed after [`PATIENCE`] or ends with a failure.
    pub fn stop(&mut self) -> anyhow::Result<Duration> {
        let mut daemon = self.daemon.take().context("inferd does not run")?;
        let begun = Instant::now();
        signal(daemon.id(), nix::sys::signal::Signal::SIGTERM)?;
        loop {
            if let Some(status) = daemon.try_wait()? {
                ensure!(status.success(), "inferd ended with {status}:\n{}", self.log());
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                let _ = daemon.kill();
                anyhow::bail!("inferd did not end within {PATIENCE:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `inferctl` as a command on the rig's bus.
    pub fn ctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("inferctl"));
        command.args(arguments).env(self.bus_variable(), &self.bus_address).env("INFERD_BUS", self.bus_kind);
        command.env("INFERD_OUTCOMES_SOCKET", self.outcomes_socket()).stdin(Stdio::null());
        command
    }

    /// Runs `inferctl`; gives its standard output.
    ///
    /// # Errors
    /// Where it does not succeed; its words are in the error.
    pub fn ctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.try_ctl(arguments).with_context(|| format!("inferd's log:\n{}", self.log()))
    }

    fn try_ctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.ctl_output(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "inferctl {arguments:?}: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs `inferctl`, however it ends.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn ctl_output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.ctl_command(arguments).output().context("cannot start inferctl")
    }

    /// Runs `inferctl --json`.
    ///
    /// # Errors
    /// Where it fails or says no JSON.
    pub fn ctl_json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let with_json: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        Ok(serde_json::from_str(&self.ctl(&with_json)?)?)
    }

    /// Packs a model folder into a bundle in the rig's folder.
    ///
    /// # Errors
    /// Where that is refused.
    pub fn pack(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let name = folder.file_name().context("a model folder has a name")?.to_string_lossy().into_owned();
        let bundle = self.folder().join(format!("{name}.inferd"));
        self.try_ctl(&["bundle", "pack", path(folder)?, "-o", path(&bundle)?])?;
        Ok(bundle)
    }

    /// Packs and installs a model folder; a model's first version becomes active.
    ///
    /// # Errors
    /// Where that is refused.
    pub fn install(&self, folder: &Path) -> anyhow::Result<()> {
        let bundle = self.pack(folder)?;
        self.ctl(&["install", path(&bundle)?]).map(drop)
    }

    /// One pipeline as `inferctl pipelines --json` shows it.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn pipeline(&self, name: &str) -> anyhow::Result<Value> {
        let all = self.ctl_json(&["pipelines"])?;
        let found = all["pipelines"].as_array().and_then(|all| all.iter().find(|one| one["name"] == name)).cloned();
        found.with_context(|| format!("no pipeline {name} in {all}"))
    }

    /// The process that serves a pipeline.
    ///
    /// # Errors
    /// Where there is none.
    pub fn runner_pid(&self, pipeline: &str) -> anyhow::Result<u32> {
        let pid = self.pipeline(pipeline)?["runner_pid"].as_u64().unwrap_or_default();
        ensure!(pid > 0, "{pipeline} has no runner");
        Ok(u32::try_from(pid)?)
    }

    /// Waits until a pipeline is in a state.
    ///
    /// # Errors
    /// Where it is not within [`PATIENCE`].
    pub fn wait_for_state(&self, name: &str, state: &str) -> anyhow::Result<Value> {
        self.wait_for(&format!("{name} to be {state}"), |rig| Ok(rig.pipeline(name)?["state"] == state))?;
        self.pipeline(name)
    }

    /// Waits for a condition.
    ///
    /// # Errors
    /// Where it does not come true within [`PATIENCE`]; the log is in the error.
    pub fn wait_for(&self, what: &str, mut holds: impl FnMut(&Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !holds(self)? {
            ensure!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}; inferd's log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where metrics are served.
    ///
    /// # Errors
    /// Where the daemon does not say.
    pub fn metrics_url(&self) -> anyhow::Result<String> {
        let status = self.ctl_json(&["status"])?;
        Ok(status["metrics_address"].as_str().with_context(|| format!("no metrics address in {status}"))?.to_owned())
    }

    /// A scrape.
    ///
    /// # Errors
    /// Where the endpoint does not answer 200.
    pub fn scrape(&self) -> anyhow::Result<crate::metrics::Scrape> {
        crate::metrics::scrape(&self.metrics_url()?)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill();
        // Both fail only where it is gone already.
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

/// A program of the workspace, beside the one that runs.
pub fn program(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap_or_default();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.join(name)
}

/// Sends a signal to a process.
///
/// # Errors
/// Where it is gone.
pub fn signal(pid: u32, signal: nix::sys::signal::Signal) -> anyhow::Result<()> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
    Ok(nix::sys::signal::kill(pid, signal)?)
}

/// A path as text.
///
/// # Errors
/// Where it is not UTF-8.
pub fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path of the tests is UTF-8")
}

/// The configuration of a pipeline that plays a recording. `rest` are keys of its source, and what comes after.
pub fn pipeline_config(name: &str, model: &str, recording: &Path, rest: &str) -> String {
    pipeline_config_with("", name, model, recording, rest)
}

/// The same with lines of the pipeline's own table before its source, as `enabled = false`.
pub fn pipeline_config_with(keys: &str, name: &str, model: &str, recording: &Path, rest: &str) -> String {
    format!(
        "[pipelines.{name}]\nmodel = \"{model}\"\n{keys}\n[pipelines.{name}.source]\nkind = \"recording\"\n\
         path = \"{}\"\n{rest}\n",
        recording.display()
    )
}
