//! inferd as a service: what it tells the service manager, reloads, its folders, its end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use inferd_tests::hold::Hold;
use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::{PATIENCE, path, pipeline_config, pipeline_config_with, signal};
use inferd_tests::service_manager::ServiceManager;
use inferd_tests::{Rig, fixtures, metrics, processes};
use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGSTOP, SIGTERM};

/// What the unit promises.
const STOP_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn ready_is_told_once_everything_answers_or_says_why_it_does_not() {
    let (mut rig, manager) = managed(&belt_config("belt", "fps = 50\nat_end = \"loop\""));
    rig.spawn().unwrap();
    // A pipeline that cannot run keeps nobody waiting: by then it says why.
    let heard = manager.wait_for("READY=1", PATIENCE).unwrap();
    assert!(heard[0].contains("STATUS=0 of 1 pipelines run"), "{heard:?}");
    let waiting = rig.pipeline("belt").unwrap();
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    assert!(waiting["reason"].as_str().unwrap().contains("model belt-inspect is not installed"), "{waiting}");
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    rig.stop().unwrap();
    manager.wait_for("STOPPING=1", PATIENCE).unwrap();

    // With a model there is something to wait for; nothing below is tried a second time.
    rig.spawn().unwrap();
    let heard = manager.wait_for("READY=1", PATIENCE).unwrap();
    assert_eq!(heard.len(), 1, "nothing comes before it: {heard:?}");
    assert!(heard[0].contains("STATUS=1 of 1 pipelines run"), "{heard:?}");
    assert_eq!(rig.pipeline("belt").unwrap()["state"], "running");
    assert!(processes::is_alive(rig.runner_pid("belt").unwrap()));
    let url = rig.metrics_url().unwrap();
    assert_eq!(metrics::get(&url).unwrap().0, 200);
    assert_eq!(metrics::get(&url.replace("/metrics", "/readyz")).unwrap().0, 200);
    Collector::attach(&rig.outcomes_socket()).unwrap();
}

#[test]
fn while_a_model_loads_the_start_goes_on_and_can_be_ended_in_order() {
    let source = "fps = 50\nat_end = \"loop\"";
    let (mut rig, manager) = managed(&format!("{}{}", belt_config("belt", source), belt_config("other", source)));
    let hold = Hold::on(&mut rig).unwrap();
    rig.spawn().unwrap();
    manager.wait_for("READY=1", PATIENCE).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.stop().unwrap();
    manager.wait_for("STOPPING=1", PATIENCE).unwrap();

    hold.hold().unwrap();
    hold.let_one_pass().unwrap();
    rig.launch().unwrap();
    let running =
        |rig: &Rig| ["belt", "other"].into_iter().find(|one| rig.pipeline(one).unwrap()["state"] == "running");
    rig.wait_for("one of the two to run", |rig| Ok(running(rig).is_some())).unwrap();
    let one = running(&rig).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let heard = manager.wait_for("EXTEND_TIMEOUT_USEC=30000000", Duration::from_secs(20)).unwrap();
    assert!(!heard.concat().contains("READY=1"), "the other loads still: {heard:?}");
    let took = rig.stop().unwrap();
    assert!(took < STOP_WITHIN, "{took:?}");
    manager.wait_for("STOPPING=1", PATIENCE).expect("what serves is drained, ready or not");
    assert!(rig.log().contains("stopped"));
    let lines = collector.finish();
    let tally = outcomes::tally(&outcomes::of(&lines, one));
    assert_eq!((tally.lost, tally.doubled, tally.out_of_order), (0, 0, 0));
}

#[test]
fn the_watchdog_is_fed_in_time() {
    let (mut rig, manager) = managed("");
    rig.set_env("WATCHDOG_USEC", "1000000");
    rig.spawn().unwrap();
    manager.wait_for("READY=1", PATIENCE).unwrap();
    for ping in 0..4 {
        // Half a second apart; the manager would act after a whole one.
        manager.wait_for("WATCHDOG=1", Duration::from_secs(1)).unwrap_or_else(|error| panic!("ping {ping}: {error:#}"));
    }
}

/// The daemon itself is well; a part that it needs does not answer.
#[test]
fn a_part_that_hangs_leaves_the_watchdog_hungry() {
    let (mut rig, manager) = managed("");
    rig.set_env("WATCHDOG_USEC", "1000000");
    rig.spawn().unwrap();
    manager.wait_for("WATCHDOG=1", PATIENCE).unwrap();
    let bus = rig.bus_pid();
    signal(bus, SIGSTOP).unwrap();
    rig.wait_for("the bus to be stopped", |_| Ok(processes::is_stopped(bus))).unwrap();
    // An answer may have been on its way.
    let _ = manager.wait_for("WATCHDOG=1", Duration::from_millis(100));
    assert!(manager.wait_for("WATCHDOG=1", Duration::from_millis(2500)).is_err(), "fed, though the bus hangs");
    assert!(rig.is_running(), "{}", rig.log());
    signal(bus, SIGCONT).unwrap();
    manager.wait_for("WATCHDOG=1", PATIENCE).unwrap();
}

#[test]
fn a_hangup_reloads_as_the_service_manager_expects_it() {
    let (mut rig, manager) = managed("");
    rig.spawn().unwrap();
    manager.wait_for("READY=1", PATIENCE).unwrap();
    signal(rig.pid(), SIGHUP).unwrap();
    let heard = manager.wait_for("RELOADING=1", PATIENCE).unwrap();
    let reloading = heard.last().unwrap();
    let stamp = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    let age = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000 - stamp.parse::<i64>().unwrap();
    assert!((0..60_000_000).contains(&age), "the stamp is {age} µs old");
    manager.wait_for("READY=1", PATIENCE).unwrap();
    let reloads = rig.scrape().unwrap();
    assert_eq!(reloads.value("inferd_config_reloads_total", &[("result", "succeeded")]), Some(1.0));
}

#[test]
fn a_bad_file_is_noticed_without_being_told_and_logged() {
    let good = belt_config("belt", "fps = 50\nat_end = \"loop\"");
    let rig = Rig::start(&good).unwrap();
    rig.configure(&good.replace("fps = 50", "fpz = 50")).unwrap();
    rig.wait_for("the problem", |rig| Ok(rig.ctl_json(&["status"])?["config_error"] != "")).unwrap();
    let status = rig.ctl_json(&["status"]).unwrap();
    let line = fs::read_to_string(rig.config_file()).unwrap().lines().position(|line| line.starts_with("fpz")).unwrap();
    let place = format!("{}:{}: pipelines.belt.source", rig.config_file().display(), line + 1);
    for said in
        [status["config_error"].as_str().unwrap(), status["problems"][0]["message"].as_str().unwrap(), &rig.log()]
    {
        assert!(said.contains(&place) && said.contains("fpz") && said.contains("`fps`"), "{place}: {said}");
    }
    rig.configure(&good).unwrap();
    rig.wait_for("the problem to go", |rig| Ok(rig.ctl_json(&["status"])?["config_error"] == "")).unwrap();
}

#[test]
fn what_is_not_there_yet_keeps_nothing_else_from_starting() {
    let mut rig = Rig::new().unwrap();
    let share = rig.folder().join("share");
    let absent = pipeline_config("late", "belt-inspect", &share, "at_end = \"loop\"");
    let upload = format!("[upload]\nto = \"directory\"\ndirectory = \"{}/samples\"\n", share.display());
    rig.configure(&format!("{upload}{}{absent}", belt_config("belt", "at_end = \"loop\""))).unwrap();
    let checked = rig.daemon_command().arg("--check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && said.contains("pipelines.late.source.path"), "{said}");

    rig.launch().unwrap();
    assert!(
        rig.log().contains("pipelines.late.source.path") && rig.log().contains("upload.directory"),
        "{}",
        rig.log()
    );
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    rig.wait_for("late to miss its share", |rig| {
        let late = rig.pipeline("late")?;
        Ok(late["state"] == "waiting" && late["reason"].as_str().is_some_and(|why| why.contains(path(&share).unwrap())))
    })
    .unwrap();
    rig.ctl(&["capture", "belt", "1"]).unwrap();
    rig.wait_for("the upload to fail", |rig| {
        Ok(rig.ctl_json(&["samples"])?["spool"]["last_error"].to_string().contains("upload.directory"))
    })
    .unwrap();

    std::os::unix::fs::symlink(fixtures::recording("belt"), rig.folder().join("mounted")).unwrap();
    fs::rename(rig.folder().join("mounted"), &share).unwrap();
    rig.wait_for_state("late", "running").unwrap();
}

#[test]
fn what_a_reload_cannot_change_is_named_until_the_next_start() {
    let mut rig = Rig::start("").unwrap();
    let changed = "[spool]\nmax_samples = 5\n[models]\nactivate_incoming = true\n";
    rig.configure(changed).unwrap();
    let pending = serde_json::json!(["models", "spool"]);
    assert_eq!(rig.ctl_json(&["reload"]).unwrap()["pending_sections"], pending);
    let status = rig.ctl_json(&["status"]).unwrap();
    assert_eq!(status["pending_sections"], pending);
    assert!(status["problems"][0]["message"].as_str().unwrap().contains("[models], [spool]"), "{status}");
    assert!(rig.ctl(&["reload"]).unwrap().contains("[models], [spool]"));
    rig.configure("").unwrap();
    assert_eq!(rig.ctl_json(&["reload"]).unwrap()["pending_sections"], serde_json::json!([]));
    rig.configure(changed).unwrap();
    rig.stop().unwrap();
    rig.launch().unwrap();
    assert_eq!(rig.ctl_json(&["status"]).unwrap()["pending_sections"], serde_json::json!([]));
}

#[test]
fn a_new_deadline_reaches_a_pipeline_that_runs() {
    let belt = belt_config("belt", "fps = 50\nat_end = \"loop\"");
    let (rig, _collector) = running(&format!("[runner]\ndeadline_ms = 600000\n{belt}"));
    let runner = rig.runner_pid("belt").unwrap();
    rig.configure(&format!("[runner]\ndeadline_ms = 500\n{belt}")).unwrap();
    rig.ctl(&["reload"]).unwrap();
    assert_eq!(rig.runner_pid("belt").unwrap(), runner, "nothing was started again");
    signal(runner, SIGSTOP).unwrap();
    rig.wait_for("a new runner", |rig| {
        let pid = rig.pipeline("belt")?["runner_pid"].as_u64();
        Ok(pid != Some(0) && pid != Some(runner.into()))
    })
    .unwrap();
}

#[test]
fn a_start_while_it_is_being_stopped_starts_it_again() {
    let belt = belt_config("belt", "fps = 50\nat_end = \"loop\"");
    let (rig, _collector) = running(&format!("[runner]\ndeadline_ms = 600000\n{belt}"));
    let runner = rig.runner_pid("belt").unwrap();
    signal(runner, SIGSTOP).unwrap();
    rig.wait_for("the runner to be held", |_| Ok(processes::is_stopped(runner))).unwrap();
    // Without a window that is with the runner there would be nothing to serve, and it would stop at once.
    rig.wait_for("windows to wait for it", |rig| {
        let counts = &rig.pipeline("belt")?["counts"];
        Ok(counts["frames"].as_u64() > counts["windows"].as_u64().map(|windows| windows + 2))
    })
    .unwrap();
    let mut stop = rig.ctl_command(&["stop", "belt"]).stdout(Stdio::piped()).spawn().unwrap();
    rig.wait_for("the stop to arrive", |rig| Ok(rig.log().contains("StopPipeline"))).unwrap();
    rig.ctl(&["start", "belt"]).unwrap();
    assert!(stop.try_wait().unwrap().is_none(), "a stop is answered when it has stopped");
    signal(runner, SIGCONT).unwrap();
    assert!(stop.wait().unwrap().success());
    rig.wait_for_state("belt", "running").unwrap();
    rig.wait_for("another runner", |rig| Ok(rig.runner_pid("belt").is_ok_and(|pid| pid != runner))).unwrap();
}

#[test]
fn pipelines_come_and_go_with_the_file_and_leave_the_others_alone() {
    let source = "fps = 50\nat_end = \"loop\"";
    let (belt, other) = (belt_config("belt", source), belt_config("other", source));
    let (rig, collector) = running(&belt);
    let runner = rig.runner_pid("belt").unwrap();
    rig.configure(&format!("{belt}{other}")).unwrap();
    rig.wait_for("the new pipeline", |rig| Ok(rig.pipeline("other").is_ok_and(|one| one["state"] == "running")))
        .unwrap();
    rig.wait_for("its windows", |_| Ok(collector.count("other") > 20)).unwrap();
    let added = rig.runner_pid("other").unwrap();
    rig.configure(&belt).unwrap();
    rig.wait_for("it to go", |rig| Ok(rig.pipeline("other").is_err())).unwrap();
    rig.wait_for("its runner to end", |_| Ok(!processes::is_alive(added))).unwrap();
    let gone = rig.scrape().unwrap();
    assert_eq!(gone.value("inferd_pipeline_state", &[("pipeline", "other"), ("state", "running")]), None);

    assert_eq!(rig.runner_pid("belt").unwrap(), runner);
    let windows = collector.count("belt");
    rig.wait_for("more windows", |_| Ok(collector.count("belt") > windows + 20)).unwrap();
    let lines = collector.lines();
    for pipeline in ["belt", "other"] {
        let tally = outcomes::tally(&outcomes::of(&lines, pipeline));
        assert!(tally.is_whole(), "{pipeline}: {tally:?}");
    }
}

#[test]
fn a_clean_stop_serves_what_was_begun() {
    let (mut rig, manager) = managed(&belt_config("belt", "pace = \"fast\"\nat_end = \"loop\""));
    rig.launch().unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.wait_for("windows", |_| Ok(collector.count("belt") > 50)).unwrap();
    // With the runner held, the two windows that it has are what a careless stop would lose.
    let runner = rig.runner_pid("belt").unwrap();
    signal(runner, SIGSTOP).unwrap();
    rig.wait_for("the runner to be held", |_| Ok(processes::is_stopped(runner))).unwrap();
    rig.wait_for("all that was answered", |rig| all_are_read(rig, &collector)).unwrap();
    let before = collector.count("belt");
    signal(rig.pid(), SIGTERM).unwrap();
    manager.wait_for("STOPPING=1", PATIENCE).unwrap();
    signal(runner, SIGCONT).unwrap();
    let took = rig.stop().unwrap();
    println!("stopped in {took:?}");
    assert!(took < STOP_WITHIN, "{took:?}");
    let lines = collector.finish();
    let tally = outcomes::tally(&outcomes::of(&lines, "belt"));
    assert!(tally.outcomes >= before + 2, "{before} before, {} in the end", tally.outcomes);
    assert!(tally.is_whole(), "{tally:?}");
    assert!(lines.iter().all(|line| line.outcome["verdict"] != "failed"));
    assert!(!processes::is_alive(runner));
    assert!(!rig.outcomes_socket().exists());
}

#[test]
fn a_stop_right_after_a_recording_loses_no_window() {
    let source = "pace = \"fast\"\nat_end = \"stop\"";
    let recording = fixtures::recording("belt");
    let config = pipeline_config_with("enabled = false", "belt", "belt-inspect", &recording, source);
    let mut rig = Rig::start(&config).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.ctl(&["start", "belt"]).unwrap();
    rig.wait_for_state("belt", "finished").unwrap();
    let took = rig.stop().unwrap();
    assert!(took < STOP_WITHIN, "{took:?}");
    let lines = collector.finish();
    let frames = fs::read_dir(fixtures::recording("belt")).unwrap().count();
    let windows: Vec<_> = lines.iter().map(|line| line.outcome["window"].as_u64().unwrap()).collect();
    assert_eq!(windows, (0..frames as u64).collect::<Vec<_>>());
}

#[test]
fn a_stop_with_a_hung_runner_takes_no_longer_than_promised() {
    let belt = belt_config("belt", "fps = 50\nat_end = \"loop\"");
    let (mut rig, _collector) = running(&format!("[runner]\ndeadline_ms = 600000\n{belt}"));
    let runner = rig.runner_pid("belt").unwrap();
    signal(runner, SIGSTOP).unwrap();
    rig.wait_for("the runner to be held", |_| Ok(processes::is_stopped(runner))).unwrap();
    let took = rig.stop().unwrap();
    println!("stopped in {took:?}");
    assert!(took < STOP_WITHIN, "{took:?}");
    rig.wait_for("the runner to end", |_| Ok(!processes::is_alive(runner))).unwrap();
}

#[test]
fn bundles_of_one_model_that_are_dropped_in_together_are_all_taken() {
    let rig = Rig::start("[models]\nactivate_incoming = true\n").unwrap();
    let incoming = rig.state().join("incoming");
    for version in ["1.0.0", "1.1.0"] {
        let bundle = rig.pack(&fixtures::model("belt-inspect", version)).unwrap();
        fs::rename(bundle, incoming.join(format!("{version}.inferd"))).unwrap();
    }
    rig.wait_for("both to be cleared away", |_| Ok(fs::read_dir(&incoming)?.count() == 0)).unwrap();
    let models = rig.ctl_json(&["models"]).unwrap();
    assert_eq!(models["models"][0]["versions"].as_array().unwrap().len(), 2, "{models}");
    let jobs = rig.ctl_json(&["status"]).unwrap()["jobs"].clone();
    assert!(jobs.as_array().unwrap().iter().all(|job| job["state"] == "succeeded"), "{jobs}");
}

#[test]
fn a_bundle_that_is_dropped_in_waits_for_another_change_of_its_model() {
    let mut rig = Rig::new().unwrap();
    let hold = Hold::on(&mut rig).unwrap();
    rig.configure("[models]\nactivate_incoming = true\n").unwrap();
    rig.launch().unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let bundle = rig.pack(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    hold.hold().unwrap();
    rig.ctl(&["activate", "belt-inspect", "1.0.0", "--no-wait"]).unwrap();
    let incoming = rig.state().join("incoming");
    fs::rename(bundle, incoming.join("belt.inferd")).unwrap();
    let jobs = |rig: &Rig| Ok::<_, anyhow::Error>(rig.ctl_json(&["status"])?["jobs"].as_array().unwrap().clone());
    rig.wait_for("it to be installed", |rig| {
        Ok(jobs(rig)?.iter().any(|job| job["operation"] == "install belt-inspect 1.1.0"))
    })
    .unwrap();
    hold.release().unwrap();
    rig.wait_for("it to be cleared away", |_| Ok(fs::read_dir(&incoming)?.count() == 0)).unwrap();
    assert!(jobs(&rig).unwrap().iter().all(|job| job["state"] == "succeeded"), "{:?}", jobs(&rig));
    assert_eq!(rig.ctl_json(&["models"]).unwrap()["models"][0]["active"], "1.1.0");
}

#[test]
fn a_cancelled_swap_changes_nothing_and_a_cancel_that_comes_too_late_is_refused() {
    let mut rig = Rig::new().unwrap();
    let hold = Hold::on(&mut rig).unwrap();
    rig.configure("").unwrap();
    rig.launch().unwrap();
    for version in ["1.0.0", "1.1.0"] {
        rig.install(&fixtures::model("belt-inspect", version)).unwrap();
    }
    hold.hold().unwrap();
    let begun = rig.ctl_json(&["activate", "belt-inspect", "1.1.0", "--no-wait"]).unwrap();
    let object = format!("/org/inferd1/job/{}", begun["job"]["number"]);
    let cancel = || {
        let address = format!("--bus={}", rig.bus_address());
        let call = [address.as_str(), "--print-reply", "--dest=org.inferd1", object.as_str(), "org.inferd1.Job.Cancel"];
        std::process::Command::new("dbus-send").args(call).output().unwrap()
    };
    assert!(cancel().status.success());
    hold.release().unwrap();
    let job =
        |rig: &Rig| Ok::<_, anyhow::Error>(rig.ctl_json(&["status"])?["jobs"].as_array().unwrap().last().cloned());
    rig.wait_for("the job to end", |rig| Ok(job(rig)?.unwrap()["state"] != "running")).unwrap();
    assert_eq!(job(&rig).unwrap().unwrap()["error"]["name"], "Cancelled");
    assert_eq!(rig.ctl_json(&["models"]).unwrap()["models"][0]["active"], "1.0.0");
    let late = String::from_utf8_lossy(&cancel().stderr).into_owned();
    assert!(late.contains("WrongState"), "{late}");
}

#[test]
fn readiness_says_what_is_missing() {
    let rig = Rig::start(&belt_config("belt", "at_end = \"loop\"")).unwrap();
    let url = rig.metrics_url().unwrap();
    let get = |page: &str| metrics::get(&url.replace("/metrics", page)).unwrap();
    assert_eq!(get("/healthz"), (200, "ok\n".into()));
    rig.wait_for_state("belt", "waiting").unwrap();
    rig.wait_for("a reason", |rig| Ok(rig.pipeline("belt")?["reason"] != "")).unwrap();
    let (status, why) = get("/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("belt waiting: model belt-inspect is not installed; `inferctl install FILE`"), "{why}");
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    assert_eq!(get("/readyz").0, 200);
}

fn belt_config(name: &str, source: &str) -> String {
    pipeline_config(name, "belt-inspect", &fixtures::recording("belt"), source)
}

/// A rig with a service manager, not started.
fn managed(config: &str) -> (Rig, ServiceManager) {
    let mut rig = Rig::new().unwrap();
    rig.configure(config).unwrap();
    let manager = ServiceManager::listen(rig.folder()).unwrap();
    rig.set_env("NOTIFY_SOCKET", &manager.address());
    (rig, manager)
}

/// A rig whose pipeline `belt` runs, with a collector.
fn running(config: &str) -> (Rig, Collector) {
    let rig = Rig::start(config).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    rig.wait_for("windows", |_| Ok(collector.count("belt") > 10)).unwrap();
    (rig, collector)
}

/// Whether the collector has every outcome that inferd has counted.
fn all_are_read(rig: &Rig, collector: &Collector) -> anyhow::Result<bool> {
    let first = collector.lines().first().and_then(|line| line.outcome["window"].as_u64()).unwrap_or_default();
    let windows = rig.pipeline("belt")?["counts"]["windows"].as_u64().unwrap_or_default();
    Ok(windows == first + collector.count("belt") as u64)
}
