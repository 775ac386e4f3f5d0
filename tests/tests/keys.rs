//! Keys of `inferd.toml` do what `docs/configuration.md` says, seen from outside: those that no other test depends on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::thread::Builder;

use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::{PATIENCE, pipeline_config, pipeline_config_with};
use inferd_tests::service_manager::ServiceManager;
use inferd_tests::variant::write;
use inferd_tests::{Rig, fixtures};

/// Played once, as fast as it goes.
const FAST: &str = "pace = \"fast\"";

/// A pipeline of the belt's pictures that waits to be started.
fn belt(keys: &str, name: &str) -> String {
    let keys = format!("enabled = false\n{keys}");
    pipeline_config_with(&keys, name, "belt-inspect", &fixtures::recording("belt"), FAST)
}

/// Plays a pipeline to its end.
fn play(rig: &Rig, pipeline: &str) {
    rig.ctl(&["start", pipeline]).unwrap();
    rig.wait_for_state(pipeline, "finished").unwrap();
}

/// `pipelines.*.threshold`, `pipelines.*.margin`: instead of the manifest's 0.6 and 0.1.
#[test]
fn a_pipeline_has_its_own_threshold_and_margin() {
    let cases = [
        ("manifest", "", 0.6, 0.1),
        ("threshold", "threshold = 0.9", 0.9, 0.1),
        ("margin", "threshold = 0.0\nmargin = 0.7", 0.0, 0.7),
    ];
    let config: String = cases.iter().map(|(name, keys, ..)| belt(keys, name)).collect();
    let rig = Rig::start(&config).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let mut counts = Vec::new();
    for (name, _, threshold, margin) in cases {
        play(&rig, name);
        rig.wait_for("its outcomes", |_| Ok(collector.count(name) == 120)).unwrap();
        let lines = collector.lines();
        let unsure = outcomes::of(&lines, name).into_iter().filter(|line| {
            let figure = |field: &str| line.outcome[field].as_f64().unwrap();
            let is_unsure = line.outcome["verdict"] == "uncertain";
            let expected = figure("confidence") < threshold || figure("margin") < margin;
            assert_eq!(is_unsure, expected, "{name}: {}", line.outcome);
            is_unsure
        });
        counts.push(unsure.count());
    }
    assert!(counts[0] > 0 && counts[1] > counts[0] && counts[2] > counts[0], "the keys make a difference: {counts:?}");
}

/// Puts a bundle into `incoming`.
fn drop_in(rig: &Rig, model: &str, version: &str) {
    let bundle = rig.pack(&fixtures::model(model, version)).unwrap();
    fs::rename(bundle, rig.state().join(format!("incoming/{model}-{version}.inferd"))).unwrap();
}

/// The active version of a model, and how many are installed; none before the first.
fn versions(rig: &Rig) -> anyhow::Result<(String, usize)> {
    let model = rig.ctl_json(&["models"])?["models"][0].clone();
    let active = model["active"].as_str().unwrap_or_default().to_owned();
    Ok((active, model["versions"].as_array().map_or(0, Vec::len)))
}

#[test]
fn activate_incoming_activates_what_is_dropped_in() {
    for (config, active) in [("", "1.0.0"), ("[models]\nactivate_incoming = true\n", "1.1.0")] {
        let rig = Rig::start(config).unwrap();
        drop_in(&rig, "belt-inspect", "1.0.0");
        rig.wait_for("the first version, which is active in any case", |rig| Ok(versions(rig)? == ("1.0.0".into(), 1)))
            .unwrap();
        drop_in(&rig, "belt-inspect", "1.1.0");
        let is_empty = |rig: &Rig| Ok(fs::read_dir(rig.state().join("incoming"))?.next().is_none());
        rig.wait_for("the bundles to be cleared away", is_empty).unwrap();
        assert_eq!(versions(&rig).unwrap(), (active.into(), 2), "{config}");
    }
}

#[test]
fn without_watch_incoming_what_is_dropped_in_stays_there() {
    let rig = Rig::start("[models]\nwatch_incoming = false\n").unwrap();
    drop_in(&rig, "gesture", "1.0.0");
    // As long as a whole installation takes nothing happens to it.
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let models = rig.ctl_json(&["models"]).unwrap();
    assert_eq!(models["models"].as_array().unwrap().len(), 1, "{models}");
    assert!(rig.state().join("incoming/gesture-1.0.0.inferd").exists());
}

#[test]
fn stdout_has_the_lines_of_the_socket() {
    let mut rig = Rig::new().unwrap();
    rig.configure(&format!("[sinks]\nstdout = true\n{}", belt("", "belt"))).unwrap();
    let mut command = rig.daemon_command();
    let mut stdout = rig.spawn_as(command.stdout(Stdio::piped())).unwrap().unwrap();
    rig.wait_for("inferd to answer", |rig| Ok(rig.ctl_output(&["status"])?.status.success())).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let socket = UnixStream::connect(rig.outcomes_socket()).unwrap();
    // Both end when inferd does.
    let read = Builder::new()
        .name("socket".into())
        .spawn(move || BufReader::new(socket).lines().map_while(Result::ok).collect());
    let socket: std::thread::JoinHandle<Vec<String>> = read.unwrap();
    let read = Builder::new().name("stdout".into()).spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    play(&rig, "belt");
    rig.stop().unwrap();
    let printed = read.unwrap().join().unwrap().unwrap();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!((printed.len(), printed), (120, socket.join().unwrap().iter().map(String::as_str).collect()));
}

#[test]
fn without_socket_there_is_none_and_windows_are_served_all_the_same() {
    let rig = Rig::start(&format!("[sinks]\nsocket = false\n{}", belt("", "belt"))).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    play(&rig, "belt");
    assert!(!rig.outcomes_socket().exists());
    let watch = rig.ctl_output(&["watch"]).unwrap();
    assert_eq!(watch.status.code(), Some(3), "{watch:?}");
    assert_eq!(rig.pipeline("belt").unwrap()["counts"]["windows"], 120);
}

#[test]
fn without_metrics_nobody_listens() {
    for enabled in [true, false] {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut rig = Rig::new().unwrap();
        rig.configure("").unwrap();
        rig.set_env("INFERD__METRICS__LISTEN", &address.to_string());
        rig.set_env("INFERD__METRICS__ENABLED", &enabled.to_string());
        rig.launch().unwrap();
        assert_eq!(TcpStream::connect(address).is_ok(), enabled, "{address}");
        assert_eq!(rig.metrics_url().unwrap().is_empty(), !enabled);
    }
}

#[test]
fn on_no_bus_it_runs_what_is_configured() {
    let config = pipeline_config("belt", "belt-inspect", &fixtures::recording("belt"), "fps = 50\nat_end = \"loop\"");
    let mut rig = Rig::start(&config).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.stop().unwrap();
    let manager = ServiceManager::listen(rig.folder()).unwrap();
    rig.set_env("NOTIFY_SOCKET", &manager.address());
    rig.set_env("INFERD__BUS__CONNECT", "none");
    rig.spawn().unwrap();
    manager.wait_for("READY=1", PATIENCE).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.wait_for("outcomes", |_| Ok(collector.count("belt") >= 10)).unwrap();
    let status = rig.ctl_output(&["status"]).unwrap();
    assert_eq!(status.status.code(), Some(3), "{status:?}");
    rig.stop().unwrap();
}

#[test]
fn memory_max_bytes_is_all_that_a_runner_can_have() {
    /// Addresses beside the model's, for shared frames: `docs/configuration.md` says how many.
    const FRAMES_ROOM: u64 = 16 << 30;
    let limit = 1_000_u64 << 20;
    let config = pipeline_config("belt", "belt-inspect", &fixtures::recording("belt"), "at_end = \"loop\"");
    let rig = Rig::start(&format!("[runner]\nmemory_max_bytes = {limit}\n{config}")).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    let runner = rig.runner_pid("belt").unwrap();
    let limits = fs::read_to_string(format!("/proc/{runner}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max address space")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let whole = (limit + FRAMES_ROOM).to_string();
    assert_eq!(words[3..5], [whole.as_str(), whole.as_str()], "soft and hard: {line}");
    // The model gets none of the room for frames: it is taken.
    let status = fs::read_to_string(format!("/proc/{runner}/status")).unwrap();
    let taken = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let taken_kb: u64 = taken.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(taken_kb * 1024 >= FRAMES_ROOM, "{taken}");
}

/// The fixture's motion with its first column named otherwise.
fn motion(folder: &Path, column: &str) -> std::path::PathBuf {
    let text = fs::read_to_string(fixtures::recording("motion.csv")).unwrap();
    let rest = text.strip_prefix("t,").unwrap();
    let file = folder.join("motion.csv");
    write(&file, format!("{column},{rest}").as_bytes()).unwrap();
    file
}

#[test]
fn timestamp_names_the_column_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = motion(folder.path(), "clock");
    let named = format!("{FAST}\ntimestamp = \"clock\"");
    let config =
        pipeline_config("named", "gesture", &file, &named) + &pipeline_config("unnamed", "gesture", &file, FAST);
    let rig = Rig::start(&config).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.0.0")).unwrap();
    rig.wait_for_state("named", "finished").unwrap();
    rig.wait_for("all 59 windows", |_| Ok(collector.count("named") == 59)).unwrap();
    let without =
        |rig: &Rig| Ok(rig.pipeline("unnamed")?["reason"].as_str().is_some_and(|why| why.contains("timestamp")));
    rig.wait_for("the other to say what it lacks", without).unwrap();
    assert_eq!(collector.count("unnamed"), 0);
}
