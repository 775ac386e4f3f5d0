//! `inferctl` against a running inferd: exit codes, the JSON that programs rely on, jobs, watching, samples.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use inferd_tests::{Rig, fixtures, processes, rig, skip};
use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGSTOP};
use serde_json::Value;

/// A belt of 50 pictures a second for ever, its model installed.
fn belt() -> Rig {
    let pace = "fps = 50\nat_end = \"loop\"";
    let config = rig::pipeline_config("belt", "belt-inspect", &fixtures::recording("belt"), pace);
    let rig = Rig::start(&config).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    rig
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The value is an object with exactly these keys, in any order.
fn assert_keys(value: &Value, keys: &str) {
    let mut found: Vec<&str> =
        value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect();
    let mut expected: Vec<&str> = keys.split_whitespace().collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{value}");
}

#[test]
fn status_models_pipelines_and_samples_have_the_documented_json() {
    let rig = belt();
    rig.ctl(&["capture", "belt", "2"]).unwrap();
    let kept = |rig: &Rig| Ok(rig.ctl_json(&["samples"])?["spool"]["samples"].as_array().unwrap().len() == 2);
    rig.wait_for("two samples", kept).unwrap();

    let status = rig.ctl_json(&["status"]).unwrap();
    assert_keys(
        &status,
        "version status metrics_address config_error pending_sections pipelines models jobs spool problems",
    );
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_keys(&status["jobs"][0], "number operation state percent step error");
    let pipelines = rig.ctl_json(&["pipelines"]).unwrap();
    assert_keys(&pipelines, "pipelines");
    let belt = &pipelines["pipelines"][0];
    assert_keys(belt, "name state reason model version source counts runner_pid sandbox backend");
    let counts =
        "frames dropped windows events uncertain failed runner_restarts per_second latency_p50_ms latency_p99_ms";
    assert_keys(&belt["counts"], counts);
    let models = rig.ctl_json(&["models"]).unwrap();
    assert_keys(&models, "models");
    assert_keys(&models["models"][0], "name state active previous versions");
    assert_keys(&models["models"][0]["versions"][0], "version digest description kind task bytes");
    let samples = rig.ctl_json(&["samples"]).unwrap();
    assert_keys(&samples, "spool");
    assert_keys(&samples["spool"], "pending bytes uploaded dropped last_error samples");
    assert_keys(&samples["spool"]["samples"][0], "id pipeline time reason label confidence bytes");
}

#[test]
fn every_change_has_the_documented_json() {
    let rig = belt();
    let second = rig.pack(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    let job = rig.ctl_json(&["install", rig::path(&second).unwrap(), "--activate"]).unwrap();
    assert_keys(&job["job"], "number operation state percent step error");
    assert_eq!((&job["job"]["state"], &job["job"]["error"]), (&"succeeded".into(), &Value::Null));
    assert_eq!(rig.ctl_json(&["rollback", "belt-inspect"]).unwrap()["job"]["state"], "succeeded");
    assert_eq!(rig.pipeline("belt").unwrap()["version"], "1.0.0");
    assert_eq!(rig.ctl_json(&["activate", "belt-inspect", "1.1.0"]).unwrap()["job"]["state"], "succeeded");
    assert_eq!(rig.pipeline("belt").unwrap()["version"], "1.1.0");
    let begun = rig.ctl_json(&["activate", "belt-inspect", "1.0.0", "--no-wait"]).unwrap();
    let number = begun["job"]["number"].clone();
    let ended = |rig: &Rig| {
        let jobs = rig.ctl_json(&["status"])?["jobs"].clone();
        Ok(jobs.as_array().unwrap().iter().any(|job| job["number"] == number && job["state"] == "succeeded"))
    };
    rig.wait_for("the job that nobody waits for", ended).unwrap();
    assert_keys(&rig.ctl_json(&["capture", "belt", "3"]).unwrap()["capturing"], "pipeline count");
    assert_eq!(rig.ctl_json(&["samples", "--flush"]).unwrap()["flushing"], true);
    let reloaded = serde_json::json!({"reloaded": true, "pending_sections": []});
    assert_eq!(rig.ctl_json(&["reload"]).unwrap(), reloaded);
    let stopped = serde_json::json!({"stopped": "belt", "draining": false});
    assert_eq!(rig.ctl_json(&["stop", "belt"]).unwrap(), stopped);
    assert_eq!(rig.pipeline("belt").unwrap()["state"], "stopped", "it was waited for");
    assert_eq!(rig.ctl_json(&["start", "belt"]).unwrap()["started"], "belt");
    rig.wait_for_state("belt", "running").unwrap();
}

#[test]
fn a_version_is_removed_and_a_sample_discarded() {
    let rig = belt();
    rig.install(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    let removed = rig.ctl_json(&["remove", "belt-inspect", "1.1.0"]).unwrap();
    assert_eq!(removed["removed"], serde_json::json!({"model": "belt-inspect", "version": "1.1.0"}));
    assert!(!rig.state().join("models/belt-inspect/1.1.0").exists());
    rig.ctl(&["capture", "belt", "1"]).unwrap();
    let first =
        |rig: &Rig| rig.ctl_json(&["samples"]).unwrap()["spool"]["samples"][0]["id"].as_str().map(str::to_owned);
    rig.wait_for("a sample", |rig| Ok(first(rig).is_some())).unwrap();
    let id = first(&rig).unwrap();
    assert_eq!(rig.ctl_json(&["samples", "--discard", &id]).unwrap()["discarded"], id);
    rig.wait_for("it to be gone", |rig| Ok(rig.ctl_json(&["samples"])?["spool"]["pending"] == 0)).unwrap();
    assert!(!rig.state().join("spool").join(id).exists());
}

#[test]
fn bundles_are_packed_and_inspected_without_a_daemon() {
    let rig = Rig::new().unwrap();
    let bundle = rig.folder().join("belt.inferd");
    let folder = fixtures::model("belt-inspect", "1.0.0");
    let pack = ["bundle", "pack", rig::path(&folder).unwrap(), "-o", rig::path(&bundle).unwrap(), "--json"];
    let packed: Value = serde_json::from_str(&rig.ctl(&pack).unwrap()).unwrap();
    assert_keys(&packed["packed"], "path name version digest bytes left_out");
    assert_eq!(packed["packed"]["bytes"], std::fs::metadata(&bundle).unwrap().len());
    let inspected = rig.ctl_json(&["bundle", "inspect", rig::path(&bundle).unwrap()]).unwrap();
    let keys = "name version description licence digest bytes artifact input_shape golden files";
    assert_keys(&inspected["bundle"], keys);
    assert_eq!(inspected["bundle"]["digest"], packed["packed"]["digest"]);
    assert_eq!(inspected["bundle"]["golden"], 3);
    assert_keys(&inspected["bundle"]["files"][0], "path bytes sha256");

    let absent = rig.ctl_output(&["bundle", "pack", "/absent"]).unwrap();
    assert_eq!(code(&absent), 1);
    assert!(complained(&absent).contains("/absent"), "{absent:?}");
    let absent = rig.ctl_output(&["bundle", "inspect", "/absent.inferd", "--json"]).unwrap();
    assert_eq!(code(&absent), 1);
    assert_keys(&serde_json::from_str::<Value>(&said(&absent)).unwrap()["error"], "name message hint");
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let rig = belt();
    let file = rig.config_file();
    let checked = rig.ctl_json(&["check-config", rig::path(&file).unwrap()]).unwrap();
    assert_eq!(checked, serde_json::json!({"valid": true, "problems": []}));
    let checked = rig.daemon_command().arg("--check").output().unwrap();
    assert_eq!((code(&checked), said(&checked), complained(&checked)), (0, String::new(), String::new()));
}

#[test]
fn exit_code_0_is_done_1_refused_2_wrong_usage() {
    let rig = belt();
    assert_eq!(code(&rig.ctl_output(&["status"]).unwrap()), 0);
    let refused = rig.ctl_output(&["activate", "belt-inspect", "9.9.9"]).unwrap();
    assert_eq!((code(&refused), said(&refused)), (1, String::new()));
    assert!(complained(&refused).contains("no version 9.9.9"), "{refused:?}");
    for wrong in [
        &["activate", "belt-inspect"][..],
        &["activate", "belt-inspect", "newest"],
        &["capture", "belt", "0"],
        &["start", "Belt!"],
        &["frobnicate"],
        &["--bus", "user", "status"],
        &[],
    ] {
        let output = rig.ctl_output(wrong).unwrap();
        assert_eq!(code(&output), 2, "{wrong:?}: {output:?}");
        assert!(complained(&output).contains("--help"), "{wrong:?}: {output:?}");
    }
}

/// What is printed does not depend on whether there is a bus without inferd, or no bus at all.
#[test]
fn exit_code_3_is_nobody_there_and_says_how_to_start_it() {
    let mut rig = belt();
    rig.stop().unwrap();
    let commands: [&[&str]; 5] =
        [&["status"], &["models"], &["pipelines"], &["activate", "belt-inspect", "1.0.0"], &["samples"]];
    for command in commands {
        let output = rig.ctl_output(command).unwrap();
        assert_eq!(code(&output), 3, "{command:?}: {output:?}");
        assert!(complained(&output).contains("start it with `inferd --user`"), "{command:?}: {output:?}");
    }
    let mut on_no_bus = rig.ctl_command(&["status", "--json"]);
    let output = on_no_bus.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/absent/bus").output().unwrap();
    assert_eq!(code(&output), 3, "{output:?}");
    let error = serde_json::from_str::<Value>(&said(&output)).unwrap()["error"].clone();
    assert!(error["hint"].as_str().unwrap().contains("start it with"), "{error}");
    let watch = rig.ctl_output(&["watch"]).unwrap();
    assert_eq!(code(&watch), 3, "{watch:?}");
    assert!(complained(&watch).contains("is inferd running"), "{watch:?}");
}

/// As `nobody`, on a bus of the system's kind without polkit: reading is free, changing is not.
#[test]
fn exit_code_4_is_not_allowed() {
    let test = "exit_code_4_is_not_allowed";
    if !nix::unistd::Uid::effective().is_root() {
        return skip::say_but_fail_in_ci(test, "only root can become another user");
    }
    let mut rig = Rig::on_system_bus().unwrap();
    rig.configure("").unwrap();
    rig.launch().unwrap();
    // Nobody may not look into the folder where the programs were built.
    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let inferctl = open.path().join("inferctl");
    fs::copy(rig::program("inferctl"), &inferctl).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let asked = rig.ctl_command(arguments);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&inferctl).args(arguments);
        command.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(open.path());
        command.stdin(Stdio::null()).output().unwrap()
    };
    let status = as_nobody(&["status"]);
    assert_eq!(code(&status), 0, "{status:?}");
    for refused in [&["reload"][..], &["watch"]] {
        let output = as_nobody(refused);
        assert_eq!((code(&output), said(&output)), (4, String::new()), "{refused:?}: {output:?}");
        assert!(complained(&output).contains("sudo"), "{refused:?}: {output:?}");
    }
    assert_eq!(code(&rig.ctl_output(&["reload"]).unwrap()), 0, "root may");
}

/// The job's new runner is held, so that Ctrl-C comes before the end of the job whatever the machine does.
#[test]
fn exit_code_130_is_ctrl_c_and_the_job_goes_on() {
    let rig = Rig::start("").unwrap();
    let bundle = rig.pack(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let mut install = rig.ctl_command(&["install", rig::path(&bundle).unwrap()]);
    let install = install.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut runner = None;
    let begun = Instant::now();
    while runner.is_none() {
        assert!(begun.elapsed() < rig::PATIENCE, "no runner was started:\n{}", rig.log());
        runner = processes::children(rig.pid()).unwrap().first().copied();
    }
    rig::signal(runner.unwrap(), SIGSTOP).unwrap();
    let job = |rig: &Rig| rig.ctl_json(&["status"]).map(|status| status["jobs"][0].clone());
    rig.wait_for("the job to run", |rig| Ok(job(rig)?["state"] == "running")).unwrap();
    rig::signal(install.id(), SIGINT).unwrap();
    let ended = install.wait_with_output().unwrap();
    assert_eq!(code(&ended), 130, "{ended:?}");
    assert!(complained(&ended).contains("the job goes on"), "{ended:?}");
    assert_eq!(job(&rig).unwrap()["state"], "running");
    rig::signal(runner.unwrap(), SIGCONT).unwrap();
    rig.wait_for("the job to succeed", |rig| Ok(job(rig)?["state"] == "succeeded")).unwrap();
    assert_eq!(rig.ctl_json(&["models"]).unwrap()["models"][0]["active"], "1.0.0");
}

#[test]
fn install_shows_its_progress_line_by_line() {
    let rig = Rig::start("").unwrap();
    let bundle = rig.pack(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    let output = rig.ctl_output(&["install", rig::path(&bundle).unwrap()]).unwrap();
    let text = said(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((code(&output), lines.last()), (0, Some(&"install belt-inspect 1.0.0: done")), "{output:?}");
    assert!(lines.len() >= 2, "no progress before the end: {text}");
    let percent = |line: &&str| line.split_whitespace().find_map(|word| word.parse::<u8>().ok());
    let progress: Vec<u8> = lines[..lines.len() - 1].iter().map(|line| percent(line).unwrap()).collect();
    assert!(progress.is_sorted(), "{text}");
    // The same again changes nothing, and is done at once.
    let again = rig.ctl_output(&["install", rig::path(&bundle).unwrap()]).unwrap();
    assert_eq!(code(&again), 0, "{again:?}");
}

#[test]
fn watch_shows_as_many_outcomes_as_asked_for() {
    let rig = belt();
    let output = rig.ctl_output(&["watch", "--count", "3"]).unwrap();
    let text = said(&output);
    assert_eq!((code(&output), text.lines().count()), (0, 3), "{output:?}");
    for line in text.lines() {
        assert!(line.contains("belt") && line.contains("belt-inspect 1.0.0"), "the model is not named: {line}");
    }
    let json = said(&rig.ctl_output(&["watch", "belt", "--count", "3", "--json"]).unwrap());
    let windows: Vec<u64> =
        json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["window"].as_u64().unwrap()).collect();
    assert!(windows.windows(2).all(|pair| pair[1] == pair[0] + 1) && windows.len() == 3, "{windows:?}");
}

#[test]
fn a_watch_of_nothing_says_so() {
    let rig = belt();
    let output = rig.ctl_output(&["watch", "blet"]).unwrap();
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(complained(&output).contains("there is no pipeline `blet`"), "{output:?}");
    rig.ctl(&["stop", "belt"]).unwrap();
    let mut watch = rig.ctl_command(&["watch", "belt"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(watch.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "belt is stopped; `inferctl start belt`\n");
    // It goes on waiting: somebody may start it.
    assert!(watch.try_wait().unwrap().is_none());
    watch.kill().unwrap();
    watch.wait().unwrap();
}

/// `inferctl watch | head -1`.
#[test]
fn a_reader_that_goes_away_ends_a_watch_quietly() {
    let rig = belt();
    for arguments in [&["watch"][..], &["watch", "--json"]] {
        let mut watch = rig.ctl_command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(watch.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("belt"));
        let ended = watch.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), complained(&ended)), (Some(0), String::new()));
    }
}

/// A watch ends with exit code 3 when inferd does, not in silence.
#[test]
fn a_watch_says_when_inferd_ends() {
    let mut rig = belt();
    let mut watch = rig.ctl_command(&["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    let rest = std::thread::Builder::new().name("rest".into()).spawn(move || lines.lines().count()).unwrap();
    rig.stop().unwrap();
    let ended = watch.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    assert!(complained(&ended).contains("inferd ended the stream"), "{ended:?}");
    rest.join().unwrap();
}

#[test]
fn captured_windows_wait_until_they_are_flushed() {
    let target = tempfile::tempdir().unwrap();
    let pace = "fps = 50\nat_end = \"loop\"";
    // The pauses are long enough that only a flush explains an arrival.
    let config = format!(
        "[upload]\nto = \"directory\"\ndirectory = \"{}\"\nbackoff_first_ms = 3600000\nbackoff_max_ms = 3600000\n{}",
        target.path().join("share").display(),
        rig::pipeline_config("belt", "belt-inspect", &fixtures::recording("belt"), pace)
    );
    let share = target.path().join("share");
    std::fs::create_dir(&share).unwrap();
    let rig = Rig::start(&config).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    std::fs::remove_dir(&share).unwrap();
    rig.ctl(&["capture", "belt", "4"]).unwrap();
    let waiting = |rig: &Rig| {
        let spool = rig.ctl_json(&["samples"])?["spool"].clone();
        Ok(spool["pending"] == 4 && spool["last_error"] != "")
    };
    rig.wait_for("four samples and a failed upload", waiting).unwrap();
    assert!(rig.ctl(&["samples"]).unwrap().contains("inferctl samples --flush"));
    std::fs::create_dir(&share).unwrap();
    rig.ctl(&["samples", "--flush"]).unwrap();
    rig.wait_for("four uploads", |rig| Ok(rig.ctl_json(&["samples"])?["spool"]["uploaded"] == 4)).unwrap();
    assert_eq!(std::fs::read_dir(&share).unwrap().count(), 4);
}
