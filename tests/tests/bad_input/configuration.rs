//! Configurations that are wrong, or refer to what is not there.

use std::process::{Command, Output};

use inferd_tests::outcomes::Collector;
use inferd_tests::{Rig, fixtures, outside, rig};
use serde_json::Value;

use crate::serving::{Serving, assert_refused, assert_words, belt};

/// What both ways of checking say of a configuration that is wrong; both exit with 1.
fn problems(rig: &Rig) -> String {
    let file = rig.config_file();
    let checked = Command::new(rig::program("inferd")).arg("--config").arg(&file).arg("--check").output().unwrap();
    let asked = rig.ctl_output(&["check-config", rig::path(&file).unwrap()]).unwrap();
    assert_eq!((checked.status.code(), asked.status.code()), (Some(1), Some(1)), "{checked:?} {asked:?}");
    let (checked, asked) = (text(&checked), text(&asked));
    assert_eq!(asked.trim_start_matches("inferctl: "), checked, "the two do not say the same");
    checked
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_a_suggestion() {
    let rig = Rig::new().unwrap();
    rig.configure("[runner]\nthread = 2\n").unwrap();
    let said = problems(&rig);
    let place = format!("{}:{}:", rig.config_file().display(), line_of(&rig, "thread = 2"));
    assert_words(&said, &[&place, "runner.thread", "unknown key `thread`", "did you mean `threads`?"]);

    let asked = rig.ctl_output(&["check-config", rig::path(&rig.config_file()).unwrap(), "--json"]).unwrap();
    let json: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!((asked.status.code(), &json["valid"]), (Some(1), &Value::Bool(false)));
    assert_eq!(json["problems"][0]["key"], "runner.thread");
}

fn line_of(rig: &Rig, line: &str) -> usize {
    let text = std::fs::read_to_string(rig.config_file()).unwrap();
    text.lines().position(|found| found == line).unwrap() + 1
}

#[test]
fn every_problem_is_told_at_once() {
    let rig = Rig::new().unwrap();
    rig.configure("[spool]\nmax_samples = 0\n[upload]\nto = \"http\"\n[runner]\ndeadline_ms = \"soon\"\n").unwrap();
    let said = problems(&rig);
    let words =
        ["3 problems", "spool.max_samples: is 0; 1 to", "upload.url: is missing", "runner.deadline_ms: is the string"];
    assert_words(&said, &words);
}

#[test]
fn a_recording_that_is_not_there() {
    let rig = Rig::new().unwrap();
    rig.configure(&rig::pipeline_config("belt", "belt-inspect", "/absent/belt".as_ref(), "")).unwrap();
    let said = problems(&rig);
    assert_words(&said, &["pipelines.belt.source.path", "/absent/belt", "No such file", "is expected"]);

    // It may be there later, so a start goes on without it (service.rs); not so with a value that can never be right.
    let never = "[runner]\nthreads = 0\n".to_owned();
    rig.configure(&(never + &rig::pipeline_config("belt", "belt-inspect", "/absent/belt".as_ref(), ""))).unwrap();
    let refused = rig.daemon_command().output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "it must not run with it: {}", text(&refused));
    assert_words(&text(&refused), &["runner.threads", "pipelines.belt.source.path", "/absent/belt"]);
    assert!(!rig.state().exists(), "a configuration that is refused makes no folders");
}

#[test]
fn a_folder_without_a_picture_and_a_file_of_no_known_kind() {
    let rig = Rig::new().unwrap();
    let empty = rig.folder().join("empty");
    std::fs::create_dir(&empty).unwrap();
    rig.configure(&rig::pipeline_config("belt", "belt-inspect", &empty, "")).unwrap();
    assert_words(&problems(&rig), &["a folder without a .jpg, .png, .bmp or .npy file"]);
    rig.configure(&rig::pipeline_config("belt", "belt-inspect", &rig.config_file(), "")).unwrap();
    assert_words(&problems(&rig), &["a .mjpeg, .y4m, .wav, .csv or .npy file is expected"]);
}

/// A change that is wrong changes nothing, is reported, and is forgotten once it is mended.
#[test]
fn a_wrong_change_while_it_runs_changes_nothing() {
    let mut serving = Serving::start();
    let absent = rig::pipeline_config("second", "gesture", "/absent.csv".as_ref(), "");
    serving.rig.configure(&(belt("") + &absent)).unwrap();
    let refused = serving.rig.ctl_output(&["reload", "--json"]).unwrap();
    assert_refused(&refused, "ConfigInvalid", &["pipelines.second.source.path", "/absent.csv"]);
    let status = serving.rig.ctl_json(&["status"]).unwrap();
    assert_words(status["config_error"].as_str().unwrap(), &["/absent.csv"]);
    assert_eq!(status["pipelines"].as_array().unwrap().len(), 1);
    serving.goes_on();

    serving.rig.configure(&belt("")).unwrap();
    serving.rig.ctl(&["reload"]).unwrap();
    assert_eq!(serving.rig.ctl_json(&["status"]).unwrap()["config_error"], "");
    serving.goes_on();
}

/// What only the model tells: its scores lie between 0 and 1.
#[test]
fn a_threshold_that_no_score_can_reach_changes_nothing() {
    let mut serving = Serving::start();
    let pipeline = belt("").replace("[pipelines.belt]", "[pipelines.belt]\nthreshold = 5");
    serving.rig.configure(&pipeline).unwrap();
    let refused = serving.rig.ctl_output(&["reload", "--json"]).unwrap();
    let words = ["pipelines.belt.threshold", "belt-inspect 1.0.0", "is 5; 0 to 1 is expected for classification"];
    assert_refused(&refused, "ConfigInvalid", &words);
    serving.goes_on();
}

#[test]
fn a_pipeline_whose_model_is_not_installed_waits_and_starts_by_itself() {
    let play = rig::pipeline_config("gesture", "gesture", &fixtures::recording_of("gesture"), "pace = \"fast\"");
    let rig = Rig::start(&play).unwrap();
    let waiting = rig.wait_for_state("gesture", "waiting").unwrap();
    assert_words(waiting["reason"].as_str().unwrap(), &["model gesture is not installed", "`inferctl install FILE`"]);
    let ready = rig.metrics_url().unwrap().replace("/metrics", "/readyz");
    let (status, why) = inferd_tests::metrics::get(&ready).unwrap();
    assert_eq!(status, 503);
    assert_words(&why, &["gesture waiting: model gesture is not installed; `inferctl install FILE`"]);
    let healthy = inferd_tests::metrics::get(&ready.replace("/readyz", "/healthz")).unwrap();
    assert_eq!(healthy, (200, "ok\n".to_owned()), "inferd itself is well");

    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.0.0")).unwrap();
    rig.wait_for_state("gesture", "finished").unwrap();
    rig.wait_for("all 59 windows", |_| Ok(collector.count("gesture") == 59)).unwrap();
    assert_eq!(inferd_tests::metrics::get(&ready).unwrap().0, 200);
}

#[test]
fn two_inferds_on_one_state_folder() {
    let mut serving = Serving::start();
    let before = outside::tree(&serving.rig.state()).unwrap();
    let second = serving.rig.daemon_command().output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    let first = format!("process {}", serving.rig.pid());
    let state = serving.rig.state();
    assert_words(&text(&second), &["another inferd", &first, rig::path(&state).unwrap(), "service.state_dir"]);
    assert_eq!(outside::tree(&serving.rig.state()).unwrap(), before);
    // The outcomes' socket and the name on the bus are still the first's.
    serving.goes_on();
    Collector::attach(&serving.rig.outcomes_socket()).unwrap();
}
