//! inferctl as a program, against the real bus room on a real `dbus-daemon`: what it prints, and how it exits.
//!
//! The address of a bus is read from the environment, which a running process must not change: the serving side is this
//! same test program, started again with the environment it needs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use inferd::bus;
use inferd::config::BusChoice;
use inferd::control::Handle;
use inferd::control::command::{Command as Asked, ControlError, Done, Reply};
use inferd::control::state::{Job, JobKind, JobState, Model, State};
use tokio::sync::watch;

/// Set for the serving side.
const SERVES: &str = "INFERCTL_TEST_SERVES";
/// What the serving side prints when it is ready.
const SERVED: &str = "served";

/// Started by [`Daemon::start`]: an owner that knows one model, on the session bus that the environment names.
#[test]
fn serve() {
    if std::env::var_os(SERVES).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (state, seen) = watch::channel(Arc::new(initial()));
        let (handle, mut inbox) = Handle::new(seen);
        let _bus = bus::serve(BusChoice::Session, handle).await.unwrap();
        println!("\n{SERVED}");
        while let Some((asked, reply)) = inbox.recv().await {
            reply.send(answer(&asked, &state)).unwrap();
        }
    });
}

fn initial() -> State {
    let model = Model { active: Some("1.0.0".parse().unwrap()), ..Model::default() };
    State { status: "nothing runs".into(), models: [("belt".parse().unwrap(), model)].into(), ..State::default() }
}

/// 1.1.0 is activated; 6.6.6 fails its golden samples; the rest is not there.
fn answer(asked: &Asked, state: &watch::Sender<Arc<State>>) -> Reply {
    match asked {
        Asked::Activate { version, .. } if version.major == 1 => Ok(begin(state, JobState::Succeeded)),
        Asked::Activate { .. } => {
            let error = ControlError::GoldenMismatch("golden sample 3 differs".into());
            Ok(begin(state, JobState::Failed(error)))
        }
        Asked::Install { .. } => Ok(begin(state, JobState::Running)),
        Asked::Reload => Ok(Done::Now),
        _ => Err(ControlError::NotFound("it is not there".into())),
    }
}

fn begin(state: &watch::Sender<Arc<State>>, end: JobState) -> Done {
    let number = u32::try_from(state.borrow().jobs.len()).unwrap() + 1;
    let job = Job {
        kind: JobKind::Activate,
        operation: "activate belt".into(),
        state: JobState::Running,
        percent: 10,
        step: "starting".into(),
    };
    let set = move |state: &watch::Sender<Arc<State>>, job: Job| {
        state.send_modify(|state| drop(Arc::make_mut(state).jobs.insert(number, job)));
    };
    set(state, job.clone());
    let state = state.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        set(&state, Job { state: end, percent: 100, step: "promoted".into(), ..job });
    });
    Done::Job(number)
}

/// A private bus, and [`serve`] on it.
struct Daemon {
    processes: Vec<Child>,
    address: String,
    folder: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let mut daemon = Self::bus_only();
        let mut server = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve", "--nocapture"])
            .env("DBUS_SESSION_BUS_ADDRESS", &daemon.address)
            .env(SERVES, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        daemon.processes.push(server);
        assert!(lines.map_while(Result::ok).any(|line| line == SERVED), "the bus is not served");
        daemon
    }

    fn bus_only() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .arg(format!("--address=unix:path={}/bus", folder.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon runs (package `dbus`)");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { processes: vec![bus], address: address.trim().to_owned(), folder }
    }

    fn inferctl(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_inferctl"))
            .args(arguments)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("INFERD_BUS", "session")
            .output()
            .unwrap();
        Ran::of(output)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Exit code, standard output, standard error.
#[derive(Debug)]
struct Ran(i32, String, String);

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self(output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.1).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

#[test]
fn a_job_is_shown_step_by_step_until_it_ends() {
    let daemon = Daemon::start();
    let ran = daemon.inferctl(&["activate", "belt", "1.1.0"]);
    assert_eq!((ran.0, ran.1.as_str()), (0, "activate belt:  10 %  starting\nactivate belt: done\n"), "{ran:?}");
    let ran = daemon.inferctl(&["activate", "belt", "1.1.0", "--json"]);
    assert_eq!((ran.0, ran.json()["job"]["state"].as_str()), (0, Some("succeeded")), "{ran:?}");
    let ran = daemon.inferctl(&["activate", "belt", "1.1.0", "--no-wait", "--json"]);
    assert_eq!((ran.0, ran.json()["job"]["state"].as_str()), (0, Some("running")), "{ran:?}");
}

#[test]
fn a_failed_job_and_a_refusal_exit_with_1_and_say_why() {
    let daemon = Daemon::start();
    let ran = daemon.inferctl(&["activate", "belt", "6.6.6"]);
    assert_eq!(ran.0, 1);
    assert!(ran.2.contains("golden sample 3 differs"), "{ran:?}");
    let ran = daemon.inferctl(&["activate", "belt", "6.6.6", "--json"]);
    assert_eq!(ran.json()["job"]["error"]["name"], "GoldenMismatch");
    assert_eq!(ran.0, 1);
    let ran = daemon.inferctl(&["rollback", "belt"]);
    assert!(ran.0 == 1 && ran.2.contains("it is not there"), "{ran:?}");
    let ran = daemon.inferctl(&["rollback", "bolt"]);
    assert!(ran.0 == 1 && ran.2.contains("no model `bolt`") && ran.2.contains("inferctl models"), "{ran:?}");
}

#[test]
fn a_file_is_installed_and_an_absent_one_is_not() {
    let daemon = Daemon::start();
    let file = daemon.folder.path().join("a.inferd");
    std::fs::File::create(&file).unwrap().write_all(b"bundle").unwrap();
    let ran = daemon.inferctl(&["install", file.to_str().unwrap(), "--no-wait"]);
    assert!(ran.0 == 0 && ran.1.contains("has begun"), "{ran:?}");
    let ran = daemon.inferctl(&["install", "/absent.inferd"]);
    assert!(ran.0 == 1 && ran.2.contains("/absent.inferd"), "{ran:?}");
}

#[test]
fn what_is_shown_is_what_is_served() {
    let daemon = Daemon::start();
    let ran = daemon.inferctl(&["status"]);
    assert!(ran.0 == 0 && ran.1.contains("nothing runs"), "{ran:?}");
    let ran = daemon.inferctl(&["models", "--json"]);
    assert_eq!(ran.json()["models"][0]["active"], "1.0.0");
    assert_eq!(daemon.inferctl(&["reload"]).0, 0);
}

#[test]
fn wrong_usage_is_2_and_no_daemon_is_3() {
    let daemon = Daemon::bus_only();
    assert_eq!(daemon.inferctl(&["activate", "belt", "one"]).0, 2);
    assert_eq!(daemon.inferctl(&["capture", "belt", "0"]).0, 2);
    let ran = daemon.inferctl(&["status"]);
    assert!(ran.0 == 3 && ran.2.contains("does not run") && ran.2.contains("start it with"), "{ran:?}");
    let ran = daemon.inferctl(&["watch", "--socket", "/absent.sock"]);
    assert!(ran.0 == 3 && ran.2.contains("/absent.sock"), "{ran:?}");
}

#[test]
fn a_watch_counts_filters_and_ends_quietly_when_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("outcomes.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let serving = std::thread::Builder::new().name("outcomes".into()).spawn(move || serve_outcomes(&listener)).unwrap();
    let watch = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inferctl"));
        command.arg("watch").args(arguments).arg("--socket").arg(&socket);
        command
    };
    let ran = Ran::of(watch(&["belt", "--count", "2", "--json"]).output().unwrap());
    let lines: Vec<&str> = ran.1.lines().collect();
    assert!(ran.0 == 0 && lines.len() == 2 && lines.iter().all(|line| line.contains("\"belt\"")), "{ran:?}");

    let mut endless = watch(&[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(endless.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("belt"), "{first}");
    // The reader is gone now, as `head` would be.
    assert_eq!(endless.wait().unwrap().code(), Some(0));
    std::os::unix::net::UnixStream::connect(Path::new(&socket)).unwrap();
    serving.join().unwrap();
}

/// Two readers get outcomes until they hang up; the third ends it.
fn serve_outcomes(listener: &UnixListener) {
    for _ in 0..2 {
        let (mut reader, _) = listener.accept().unwrap();
        for window in 0.. {
            let pipeline = if window % 2 == 0 { "belt" } else { "door" };
            let line = format!(
                r#"{{"time":"2026-01-01T00:00:00.000Z","pipeline":"{pipeline}","window":{window},"verdict":"normal"}}"#
            );
            if writeln!(reader, "{line}").is_err() {
                break;
            }
        }
    }
    listener.accept().unwrap();
}
