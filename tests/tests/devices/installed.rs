//! inferd as it is installed: by its unit, as its user, under its sandbox, with three pipelines on three devices, each of which is
//! pulled out and put back.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use inferd_tests::Rig;
use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::path;
use inferd_tests::uhid::Accelerometer;
use inferd_tests::variant::write;
use serde_json::Value;

use super::{PATIENCE, camera, has_devices, limits, microphone, model_folder, pipeline_config, run};

const OUTCOMES: &str = "/run/inferd/outcomes.sock";

/// What `inferctl` prints on the machine's own bus.
fn ctl(arguments: &[&str]) -> String {
    let output = Command::new("inferctl").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "inferctl {arguments:?}: {said}\n{}", journal());
    String::from_utf8(output.stdout).unwrap()
}

pub(super) fn journal() -> String {
    let output = Command::new("journalctl").args(["--no-pager", "-u", "inferd", "-n", "60"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn pipeline(name: &str) -> Value {
    let all: Value = serde_json::from_str(&ctl(&["--json", "pipelines"])).unwrap();
    let found = all["pipelines"].as_array().unwrap().iter().find(|pipeline| pipeline["name"] == name);
    found.unwrap_or_else(|| panic!("no pipeline {name}: {all:#}")).clone()
}

fn wait_for_state(name: &str, state: &str) -> String {
    let begun = Instant::now();
    loop {
        let found = pipeline(name);
        if found["state"] == state {
            return found["reason"].as_str().unwrap_or_default().to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{name} is not {state}: {found:#}\n{}", journal());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn wait_for_outcomes(collector: &Collector, name: &str) {
    let begun = Instant::now();
    let served = |line: &&outcomes::Line| line.outcome["verdict"] != "failed";
    while outcomes::of(&collector.take(), name).iter().filter(|line| served(line)).count() < 1 {
        assert!(begun.elapsed() < PATIENCE, "{name} has no outcome\n{}", journal());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The installed inferd, which holds the devices that other tests want until it is stopped.
struct Service;

impl Service {
    fn start() -> Self {
        run("systemctl", &["start", "inferd"]);
        Self
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that failed has said more than this could.
        let _ = Command::new("systemctl").args(["stop", "inferd"]).status();
    }
}

#[test]
fn the_installed_service_runs_three_pipelines_on_three_devices() {
    if !has_devices("the_installed_service_runs_three_pipelines_on_three_devices") {
        return;
    }
    let config = pipeline_config("colour", "kind = \"camera\"\ndevice = \"/dev/video0\"\nfps = 5")
        + &pipeline_config("loudness", "kind = \"microphone\"\ndevice = \"Loopback\"")
        + &pipeline_config(
            "motion",
            "kind = \"imu\"\nnames = { ax = \"accel_x\", ay = \"accel_y\", az = \"accel_z\" }",
        );
    write(Path::new("/etc/inferd/inferd.toml"), config.as_bytes()).unwrap();
    let mut sensor = Some(Accelerometer::plug_in().unwrap());
    let service = Service::start();
    // The rig packs; its own inferd is never started.
    let rig = Rig::new().unwrap();
    for (name, artifact, input, labels) in super::models() {
        let bundle = rig.pack(&model_folder(&rig, name, &artifact, input, labels)).unwrap();
        ctl(&["install", path(&bundle).unwrap()]);
    }
    for name in ["colour", "loudness", "motion"] {
        wait_for_state(name, "running");
    }
    let collector = Collector::attach(Path::new(OUTCOMES)).unwrap();
    let owner =
        Command::new("systemctl").args(["show", "inferd", "-p", "User", "-p", "DevicePolicy"]).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&owner.stdout), ctl(&["pipelines"]));
    for name in ["colour", "loudness", "motion"] {
        wait_for_outcomes(&collector, name);
    }
    limits::are_set(&["colour", "loudness", "motion"]);
    limits::cost_a_runner_and_not_the_daemon("colour");
    for name in ["colour", "loudness", "motion"] {
        match name {
            "colour" => camera::plug("unbind"),
            "loudness" => microphone::plug("unbind"),
            _ => drop(sensor.take()),
        }
        println!("{name}: {}", wait_for_state(name, "waiting"));
        match name {
            "colour" => camera::plug("bind"),
            "loudness" => microphone::plug("bind"),
            _ => sensor = Some(Accelerometer::plug_in().unwrap()),
        }
        let begun = Instant::now();
        wait_for_state(name, "running");
        collector.take();
        wait_for_outcomes(&collector, name);
        println!("{name}: back after {:.1} s", begun.elapsed().as_secs_f64());
    }
    let security = Command::new("systemd-analyze").args(["security", "--no-pager", "inferd"]).output().unwrap();
    let report = String::from_utf8_lossy(&security.stdout).into_owned();
    println!("{}", report.lines().last().unwrap_or_default());
    drop(service);
    assert!(!journal().contains("the watchdog is not fed"), "{}", journal());
}
