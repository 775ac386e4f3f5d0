//! Killing: a runner, the daemon, both. Nothing that was begun or kept is lost, and nothing stays behind.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking and prints its figures"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use inferd_tests::outcomes::{self, Collector, Line};
use inferd_tests::receiver::Receiver;
use inferd_tests::rig::{pipeline_config_with, signal};
use inferd_tests::{Rig, fixtures, processes};
use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
use sha2::{Digest as _, Sha256};

/// Three pipelines on one model, each with its own runner: what is done to one must not be felt by the others.
const BELTS: [&str; 3] = ["left", "middle", "right"];

/// Frames per second of each: well within what a runner takes, so that a pause is seen as such.
const FPS: u32 = 25;

#[test]
fn a_killed_runner_is_replaced_within_a_second_and_costs_no_window() {
    let (rig, collector) = running_belts("");
    let daemon = rig.pid();
    for round in 0..10 {
        let pipeline = BELTS[round % BELTS.len()];
        let runner = rig.runner_pid(pipeline).unwrap();
        let windows = collector.count(pipeline);
        signal(runner, SIGKILL).unwrap();
        wait_for_windows(&rig, &collector, pipeline, windows + 10);
        assert_ne!(rig.runner_pid(pipeline).unwrap(), runner);
    }
    assert_eq!(rig.pid(), daemon);
    assert_eq!(restarts(&rig, "died"), [4, 3, 3], "10 kills in turn");
    let mut rig = rig;
    assert!(rig.is_running());
    let lines = stopped(&rig, collector);
    for pipeline in BELTS {
        let lines = outcomes::of(&lines, pipeline);
        let gap = outcomes::largest_gap(&lines);
        println!("{pipeline}: {} windows, largest gap {gap:?}", lines.len());
        assert_whole(&lines);
        assert!(lines.iter().all(|line| line.outcome["verdict"] != "failed"), "{pipeline}: a kill costs no window");
        assert!(gap < Duration::from_secs(1), "{pipeline}: {gap:?} without an outcome");
    }
}

#[test]
fn a_runner_that_keeps_dying_is_restarted_ever_more_slowly_and_still_recovers() {
    let (rig, collector) = running_belts("");
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let runner = rig.runner_pid("left").unwrap();
        let killed = Instant::now();
        signal(runner, SIGKILL).unwrap();
        rig.wait_for("another runner", |rig| Ok(rig.runner_pid("left").is_ok_and(|pid| pid != runner))).unwrap();
        pauses.push(killed.elapsed());
    }
    println!("pauses until the next runner: {pauses:?}");
    // 0, 100, 200, 400, 800 ms are the pauses before the start itself.
    assert!(pauses[4] >= Duration::from_millis(800), "{pauses:?}");
    let windows = collector.count("left");
    wait_for_windows(&rig, &collector, "left", windows + 10);
    let lines = stopped(&rig, collector);
    BELTS.iter().for_each(|pipeline| assert_whole(&outcomes::of(&lines, pipeline)));
    for bystander in &BELTS[1..] {
        let gap = outcomes::largest_gap(&outcomes::of(&lines, bystander));
        assert!(gap < Duration::from_secs(1), "{bystander} felt it: {gap:?}");
    }
}

#[test]
fn a_hung_runner_fails_one_window_at_the_deadline_and_is_replaced() {
    let (rig, collector) = running_belts("[runner]\ndeadline_ms = 500\n");
    let runner = rig.runner_pid("left").unwrap();
    signal(runner, SIGSTOP).unwrap();
    rig.wait_for("another runner", |rig| Ok(rig.runner_pid("left").is_ok_and(|pid| pid != runner))).unwrap();
    let windows = collector.count("left");
    wait_for_windows(&rig, &collector, "left", windows + 20);
    assert_eq!(restarts(&rig, "hung"), [1, 0, 0]);
    assert!(!processes::is_alive(runner), "the hung runner is gone");
    let lines = stopped(&rig, collector);
    BELTS.iter().for_each(|pipeline| assert_whole(&outcomes::of(&lines, pipeline)));
    let failed: Vec<_> = lines.iter().filter(|line| line.outcome["verdict"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].outcome["pipeline"], "left");
    assert_eq!(failed[0].outcome["error"]["stage"], "deadline");
    let gap = outcomes::largest_gap(&outcomes::of(&lines, "left"));
    println!("largest gap with a deadline of 500 ms: {gap:?}");
    assert!(gap < Duration::from_millis(1500), "{gap:?}");
}

#[test]
fn no_runner_outlives_a_killed_daemon() {
    let (mut rig, _collector) = running_belts("");
    let runners = processes::children(rig.pid()).unwrap();
    assert_eq!(runners.len(), BELTS.len());
    rig.kill();
    rig.wait_for("the runners to end", |_| Ok(!runners.iter().any(|pid| processes::is_alive(*pid)))).unwrap();
}

#[test]
fn every_spooled_sample_arrives_however_often_inferd_is_killed() {
    let receiver = Receiver::start().unwrap();
    let mut rig = Rig::new().unwrap();
    rig.configure(&sampling_config(&receiver, true)).unwrap();
    rig.launch().unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let mut spooled = BTreeMap::new();
    for round in 0..6 {
        // Refused at first, then taken over a slow link: the kill falls into an upload.
        receiver.refuse(true);
        receiver.delay(Duration::from_millis(30));
        let is_new = |id: &&String| !spooled.contains_key(*id);
        rig.wait_for("new samples in the spool", |rig| Ok(complete(rig).keys().filter(is_new).count() >= 15)).unwrap();
        let before = receiver.samples().len();
        receiver.refuse(false);
        rig.wait_for("some uploads", |_| Ok(receiver.samples().len() >= before + 3 + round)).unwrap();
        rig.kill();
        let left = complete(&rig);
        println!("round {round}: {} received, {} left in the spool", receiver.samples().len(), left.len());
        spooled.extend(left);
        rig.launch().unwrap();
    }
    rig.kill();
    spooled.extend(complete(&rig));
    rig.configure(&sampling_config(&receiver, false)).unwrap();
    receiver.delay(Duration::ZERO);
    rig.launch().unwrap();
    rig.wait_for("the spool to be empty", |rig| Ok(rig.ctl_json(&["samples"])?["spool"]["pending"] == 0)).unwrap();
    assert_all_received(&spooled, &receiver);
    assert!(!rig.state().join("spool/quarantine").exists() || is_empty(&rig.state().join("spool/quarantine")));
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// What `sample.json` was, and the payload's digest, by id: folders that are named by an id are complete.
fn complete(rig: &Rig) -> BTreeMap<String, (Vec<u8>, String)> {
    let Ok(spool) = fs::read_dir(rig.state().join("spool")) else { return BTreeMap::new() };
    let folders = spool.filter_map(Result::ok).map(|entry| entry.path());
    let samples = folders.filter_map(|folder| {
        let id = folder.file_name()?.to_str()?.to_owned();
        // While inferd runs a sample may be delivered and deleted under our eyes.
        let sample = fs::read(folder.join("sample.json")).ok()?;
        let payload = fs::read(folder.join("payload.jpg")).ok()?;
        (!id.starts_with(".tmp-")).then(|| (id, (sample, sha256(&payload))))
    });
    samples.collect()
}

fn assert_all_received(spooled: &BTreeMap<String, (Vec<u8>, String)>, receiver: &Receiver) {
    let received = receiver.samples();
    let again = received.values().filter(|one| one.times > 1).count();
    println!(
        "{} samples were in the spool at a kill, {} received, {again} of them twice",
        spooled.len(),
        received.len()
    );
    assert!(spooled.len() >= 50, "only {} samples were at stake", spooled.len());
    for (id, (sample, digest)) in spooled {
        let one = received.get(id).unwrap_or_else(|| panic!("sample {id} was spooled and never arrived"));
        let expected: serde_json::Value = serde_json::from_slice(sample).unwrap();
        assert_eq!(one.sample, expected, "{id}");
        assert_eq!(&sha256(&one.payload), digest, "{id}");
        assert_eq!(one.sample["payload"]["sha256"], digest.as_str(), "{id}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn sampling_config(receiver: &Receiver, enabled: bool) -> String {
    let source = "fps = 40\nat_end = \"loop\"\n[pipelines.belt.sampling]\nstrategy = \"margin\"\nabove = 0.05\nper_minute = 6000";
    let enabled = format!("enabled = {enabled}");
    let pipeline = pipeline_config_with(&enabled, "belt", "belt-inspect", &fixtures::recording("belt"), source);
    let url = receiver.url();
    format!("[upload]\nto = \"http\"\nurl = \"{url}\"\nbackoff_first_ms = 20\nbackoff_max_ms = 200\n{pipeline}")
}

/// Three pipelines under way, the collector attached before their first windows.
fn running_belts(more: &str) -> (Rig, Collector) {
    let source = format!("fps = {FPS}\nat_end = \"loop\"");
    let recording = fixtures::recording("belt");
    let table = |name: &&str| pipeline_config_with("enabled = false", name, "belt-inspect", &recording, &source);
    let config: String = BELTS.iter().map(table).collect();
    let rig = Rig::start(&format!("{more}{config}")).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    for pipeline in BELTS {
        rig.ctl(&["start", pipeline]).unwrap();
        rig.wait_for_state(pipeline, "running").unwrap();
        wait_for_windows(&rig, &collector, pipeline, 10);
    }
    (rig, collector)
}

fn wait_for_windows(rig: &Rig, collector: &Collector, pipeline: &str, windows: usize) {
    rig.wait_for(&format!("{windows} windows of {pipeline}"), |_| Ok(collector.count(pipeline) >= windows)).unwrap();
}

fn restarts(rig: &Rig, reason: &str) -> [u32; 3] {
    let scrape = rig.scrape().unwrap();
    BELTS.map(|pipeline| {
        let labels = [("pipeline", pipeline), ("reason", reason)];
        scrape.value("inferd_runner_restarts_total", &labels).unwrap_or_default() as u32
    })
}

/// Stops the pipelines; gives all outcomes.
fn stopped(rig: &Rig, collector: Collector) -> Vec<Line> {
    for pipeline in BELTS {
        rig.ctl(&["stop", pipeline]).unwrap();
        let ended = rig.wait_for_state(pipeline, "stopped").unwrap();
        let windows = usize::try_from(ended["counts"]["windows"].as_u64().unwrap()).unwrap();
        wait_for_windows(rig, &collector, pipeline, windows);
    }
    let lines = collector.lines();
    assert_eq!(outcomes::missed(&lines), 0, "the collector was too slow; nothing is proven");
    lines
}

/// Every window from the first on has one outcome, in order.
fn assert_whole(lines: &[&Line]) {
    let tally = outcomes::tally(lines);
    assert!(tally.is_whole() && tally.first == Some(0), "{tally:?}");
}
