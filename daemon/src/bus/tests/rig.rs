//! A private bus, the objects on it, a client, and the owner that the test plays.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use inferd_core::Digest;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use zbus::{Connection, Message, connection};

use crate::bus::authority::Authority;
use crate::bus::{Bus, NAME, serve_on};
use crate::control::command::{Command, ControlError, Done, Reply};
use crate::control::state::{
    Counts, InstalledVersion, Job, JobKind, JobState, Model, Pipeline, PipelineState, Sample, Spool,
};
use crate::control::{Handle, State};

/// Longer than anything here takes, so that a hang is a failure and not a night.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A `dbus-daemon` that ends with the test.
pub(super) struct PrivateBus {
    process: Child,
    pub(super) address: String,
    _folder: tempfile::TempDir,
}

impl PrivateBus {
    /// `kind` is `session` or `system`; on either, everyone may own, send and receive anything: what is refused in
    /// these tests is refused by us.
    pub(super) fn start(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The folder must be open to the user as whom refused callers run.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = folder.path().join("bus.conf");
        crate::host::durable::replace(&config, configuration(kind, folder.path()).as_bytes()).unwrap();
        let mut process = Process::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            // It complains of limits that it may not raise.
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon runs (package `dbus`)");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().to_owned(), _folder: folder }
    }

    /// Lets it answer nothing any more.
    pub(super) fn freeze(&self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    }

    pub(super) async fn connect(&self) -> Connection {
        connection::Builder::address(self.address.as_str()).build().await.unwrap()
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(kind: &str, folder: &std::path::Path) -> String {
    format!(
        r#"<busconfig>
             <type>{kind}</type>
             <listen>unix:path={}/bus</listen>
             <auth>EXTERNAL</auth>
             <policy context="default">
               <allow user="*"/><allow own="*"/><allow send_type="*"/><allow receive_type="*"/>
               <allow send_destination="*" eavesdrop="false"/>
             </policy>
           </busconfig>"#,
        folder.display()
    )
}

/// The owner that the test plays.
pub(super) struct Owner {
    pub(super) state: watch::Sender<Arc<State>>,
    inbox: mpsc::Receiver<(Command, oneshot::Sender<Reply>)>,
}

impl Owner {
    pub(super) fn new(state: State) -> (Self, Handle) {
        let (sender, seen) = watch::channel(Arc::new(state));
        let (handle, inbox) = Handle::new(seen);
        (Self { state: sender, inbox }, handle)
    }

    /// The next command, answered.
    pub(super) async fn answer(&mut self, reply: Reply) -> Command {
        let (command, answer) = timeout(PATIENCE, self.inbox.recv()).await.expect("a command comes").unwrap();
        answer.send(reply).unwrap();
        command
    }

    /// As the real owner does: the state first, then the answer.
    pub(super) async fn change_and_answer(&mut self, change: impl FnOnce(&mut State)) {
        let (_, answer) = timeout(PATIENCE, self.inbox.recv()).await.expect("a command comes").unwrap();
        self.change(change);
        answer.send(Ok(Done::Now)).unwrap();
    }

    pub(super) fn was_asked_nothing(&mut self) -> bool {
        self.inbox.try_recv().is_err()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(|state| change(Arc::make_mut(state)));
    }
}

/// All of it, on a bus that lets everyone do anything.
pub(super) struct Rig {
    pub(super) client: Connection,
    pub(super) owner: Owner,
    pub(super) served: Bus,
    pub(super) bus: PrivateBus,
}

impl Rig {
    pub(super) async fn start() -> Self {
        Self::start_on("session", Authority::everyone()).await
    }

    pub(super) async fn start_on(kind: &str, authority: Authority) -> Self {
        let bus = PrivateBus::start(kind);
        let (owner, handle) = Owner::new(state());
        let served = serve_on(bus.connect().await, authority, handle).await.unwrap();
        Self { client: bus.connect().await, owner, served, bus }
    }

    /// Calls a method and plays the owner for it.
    pub(super) async fn call_answered<B>(&mut self, method: Method<'_>, body: &B, reply: Reply) -> (Command, Outcome)
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let call = method.call(&self.client, body);
        let (command, outcome) = tokio::join!(self.owner.answer(reply), call);
        (command, outcome)
    }
}

/// What a call came to; an error as its name and sentence.
pub(super) type Outcome = Result<Message, (String, String)>;

/// Path, interface (without `org.inferd1.`), member.
#[derive(Clone, Copy)]
pub(super) struct Method<'a>(pub(super) &'a str, pub(super) &'a str, pub(super) &'a str);

impl Method<'_> {
    pub(super) async fn call<B>(&self, client: &Connection, body: &B) -> Outcome
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let Self(path, interface, member) = *self;
        let interface = format!("org.inferd1.{interface}");
        let call = client.call_method(Some(NAME), path, Some(interface.as_str()), member, body);
        match timeout(PATIENCE, call).await.expect("the call is answered") {
            Ok(message) => Ok(message),
            Err(zbus::Error::MethodError(name, sentence, _)) => Err((name.to_string(), sentence.unwrap_or_default())),
            Err(error) => Err(("other".to_owned(), error.to_string())),
        }
    }
}

/// A property, read the way any client reads it.
pub(super) async fn property<T>(client: &Connection, path: &str, interface: &str, name: &str) -> T
where
    T: TryFrom<zbus::OwnedVariant, Error: std::fmt::Debug>,
{
    let interface = format!("org.inferd1.{interface}");
    let reply = client
        .call_method(Some(NAME), path, Some("org.freedesktop.DBus.Properties"), "Get", &(interface, name))
        .await
        .unwrap();
    let value: zbus::OwnedVariant = reply.body().deserialize().unwrap();
    value.try_into().unwrap()
}

/// One model, one pipeline, one job, one sample.
pub(super) fn state() -> State {
    State {
        status: "1 pipeline runs".into(),
        models: BTreeMap::from([("belt-inspect".parse().unwrap(), model())]),
        pipelines: BTreeMap::from([("belt".parse().unwrap(), pipeline())]),
        jobs: BTreeMap::from([(1, job(JobState::Running))]),
        spool: Spool { pending: 1, bytes: 2048, samples: vec![sample()], ..Spool::default() },
        metrics_address: "http://127.0.0.1:9469/metrics".into(),
        config_error: String::new(),
        pending_sections: Vec::new(),
    }
}

fn model() -> Model {
    let version = InstalledVersion {
        version: "1.0.0".parse().unwrap(),
        digest: Digest::from_bytes([7; 32]),
        description: "Scratches on a belt".into(),
        kind: "image",
        task: "classification",
        bytes: 123_456,
    };
    Model { versions: vec![version], active: Some("1.0.0".parse().unwrap()), previous: None }
}

fn pipeline() -> Pipeline {
    Pipeline {
        enabled: true,
        state: PipelineState::Running,
        reason: String::new(),
        model: "belt-inspect".parse().unwrap(),
        version: Some("1.0.0".parse().unwrap()),
        source: "recording /data/belt, 10 fps, loop".into(),
        counts: Counts { windows: 10, ..Counts::default() },
        runner_pid: 4711,
        sandbox: "full".into(),
        backend: "tract".into(),
    }
}

pub(super) fn job(state: JobState) -> Job {
    Job {
        kind: JobKind::Activate,
        operation: "activate belt-inspect 1.1.0".into(),
        state,
        percent: 30,
        step: "warming".into(),
    }
}

fn sample() -> Sample {
    Sample {
        id: "s1".into(),
        pipeline: "belt".parse().unwrap(),
        reason: "margin 0.1".into(),
        time: "2026-01-01T00:00:00.000Z".into(),
        label: "scratch".into(),
        confidence: 0.5,
        bytes: 2048,
    }
}

/// Every way to be refused.
pub(super) fn control_errors() -> Vec<ControlError> {
    let sentence = || "because of this; do that".to_owned();
    vec![
        ControlError::NotFound(sentence()),
        ControlError::Busy(sentence()),
        ControlError::InvalidArgument(sentence()),
        ControlError::WrongState(sentence()),
        ControlError::BundleInvalid(sentence()),
        ControlError::DigestMismatch(sentence()),
        ControlError::GoldenMismatch(sentence()),
        ControlError::VersionTooOld(sentence()),
        ControlError::ModelRefused(sentence()),
        ControlError::ConfigInvalid(sentence()),
        ControlError::NoSpace(sentence()),
        ControlError::Io(sentence()),
        ControlError::Cancelled,
        ControlError::Stopping,
        ControlError::Internal(sentence()),
    ]
}
