//! Swapping models while streams run: nothing lost, nothing doubled, nothing left behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_tests::outcomes::{self, Collector, Line};
use inferd_tests::rig::{path, pipeline_config};
use inferd_tests::{Rig, fixtures, processes};

const PIPELINES: [(&str, &str); 3] = [("belt", "belt-inspect"), ("speech", "keyword"), ("motion", "gesture")];

/// Swaps of the belt's model in a row.
const SWAPS: usize = 100;

/// After this many everything that is made once has been made. A multiple of 20: every model is at 1.0.0 again, as it is
/// after the last.
const FIRST_FEW: usize = 20;

#[test]
fn a_hundred_swaps_under_load_lose_no_window_and_leave_nothing_behind() {
    let (rig, collector) = rig_with_both_versions();
    let mut before = None;
    for swap in 1..=SWAPS {
        swap_to(&rig, "belt-inspect", swap);
        if swap % 10 == 0 {
            swap_to(&rig, "keyword", swap / 10);
            swap_to(&rig, "gesture", swap / 10);
        }
        if swap == FIRST_FEW {
            before = Some(Footprint::settled(&rig));
        }
    }
    Footprint::settled(&rig).assert_like(&before.unwrap());
    assert_one_runner_each(&rig);
    let swaps = rig.scrape().unwrap();
    let succeeded = swaps.value("inferd_model_swaps_total", &[("model", "belt-inspect"), ("result", "succeeded")]);
    // The first is the installation's.
    assert_eq!(succeeded, Some(SWAPS as f64 + 1.0));
    let lines = drained(&rig, collector);
    for (pipeline, _) in PIPELINES {
        assert_whole(&rig, &lines, pipeline);
        let versions = outcomes::tally(&outcomes::of(&lines, pipeline)).by_version.len();
        assert_eq!(versions, 2, "{pipeline}: both versions served");
    }
    assert_eq!(outcomes::version_changes(&outcomes::of(&lines, "belt")), SWAPS);
}

#[test]
fn a_version_that_computes_something_else_never_serves() {
    let (rig, collector) = rig_with_both_versions();
    let runner = rig.runner_pid("belt").unwrap();
    let bundle = rig.pack(&with_wrong_golden(rig.folder())).unwrap();
    let output = rig.ctl_output(&["install", path(&bundle).unwrap(), "--activate", "--json"]).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said["job"]["state"], "failed", "{said}");
    assert_eq!(said["job"]["error"]["name"], "org.inferd1.Error.GoldenMismatch", "{said}");
    let message = said["job"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("golden/empty.jpg") && message.contains("differs by"), "{message}");

    let status = rig.ctl_json(&["status"]).unwrap();
    assert!(status["problems"].to_string().contains("golden/empty.jpg"), "{status}");
    assert_eq!(active(&rig, "belt-inspect"), ("1.0.0".into(), String::new()));
    assert_eq!(rig.runner_pid("belt").unwrap(), runner, "the old runner went on");
    assert_one_runner_each(&rig);
    rig.ctl(&["remove", "belt-inspect", "1.2.0"]).unwrap();
    let lines = drained(&rig, collector);
    assert_whole(&rig, &lines, "belt");
    assert_eq!(outcomes::version_changes(&outcomes::of(&lines, "belt")), 0);
}

#[test]
fn a_rollback_goes_back_under_load_and_what_serves_cannot_be_removed() {
    let (rig, collector) = rig_with_both_versions();
    let refused = rig.ctl_output(&["rollback", "belt-inspect"]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "there is nothing to go back to yet");
    swap_to(&rig, "belt-inspect", 1);
    assert_eq!(active(&rig, "belt-inspect"), ("1.1.0".into(), "1.0.0".into()));
    for version in ["1.0.0", "1.1.0"] {
        let refused = rig.ctl_output(&["remove", "belt-inspect", version, "--json"]).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{version}: {said}");
        assert_eq!(said["error"]["name"], "WrongState", "{version}: {said}");
    }
    rig.ctl(&["rollback", "belt-inspect"]).unwrap();
    assert_eq!(active(&rig, "belt-inspect").0, "1.0.0");
    assert_eq!(rig.pipeline("belt").unwrap()["version"], "1.0.0");
    let lines = drained(&rig, collector);
    assert_whole(&rig, &lines, "belt");
    let belt = outcomes::of(&lines, "belt");
    assert_eq!(outcomes::version_changes(&belt), 2);
    assert_eq!(
        (&belt[0].outcome["version"], &belt[belt.len() - 1].outcome["version"]),
        (&"1.0.0".into(), &"1.0.0".into())
    );
}

/// Three pipelines under way on 1.0.0, 1.1.0 installed beside it, the collector attached before the first window. The
/// belt is played as fast as its model takes it.
fn rig_with_both_versions() -> (Rig, Collector) {
    let config: String = PIPELINES
        .iter()
        .map(|(pipeline, model)| {
            let pace = if *pipeline == "belt" { "fast" } else { "realtime" };
            let source = format!("pace = \"{pace}\"\nat_end = \"loop\"");
            let table = pipeline_config(pipeline, model, &fixtures::recording_of(model), &source);
            table.replacen("\n[pipelines", "\nenabled = false\n[pipelines", 1)
        })
        .collect();
    let rig = Rig::start(&config).unwrap();
    for (_, model) in PIPELINES {
        rig.install(&fixtures::model(model, "1.0.0")).unwrap();
        rig.install(&fixtures::model(model, "1.1.0")).unwrap();
    }
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    for (pipeline, _) in PIPELINES {
        rig.ctl(&["start", pipeline]).unwrap();
        rig.wait_for_state(pipeline, "running").unwrap();
    }
    rig.wait_for("the first windows", |_| Ok(PIPELINES.iter().all(|(pipeline, _)| collector.count(pipeline) > 0)))
        .unwrap();
    (rig, collector)
}

/// Odd swaps go to 1.1.0, even ones back.
fn swap_to(rig: &Rig, model: &str, swap: usize) {
    let version = if swap % 2 == 1 { "1.1.0" } else { "1.0.0" };
    rig.ctl(&["activate", model, version]).unwrap();
}

/// The active version and the previous one.
fn active(rig: &Rig, model: &str) -> (String, String) {
    let models = rig.ctl_json(&["models"]).unwrap();
    let entry = models["models"].as_array().unwrap().iter().find(|entry| entry["name"] == model).unwrap();
    (entry["active"].as_str().unwrap().to_owned(), entry["previous"].as_str().unwrap().to_owned())
}

/// Version 1.2.0: 1.1.0 with one expected output changed.
fn with_wrong_golden(folder: &Path) -> PathBuf {
    let (from, to) = (fixtures::model("belt-inspect", "1.1.0"), folder.join("belt-inspect-1.2.0"));
    fs::create_dir_all(to.join("golden")).unwrap();
    for file in ["model.onnx", "model.toml"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    for file in fs::read_dir(from.join("golden")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join("golden").join(file.file_name())).unwrap();
    }
    let manifest = fs::read_to_string(from.join("model.toml")).unwrap();
    write(&to.join("model.toml"), manifest.replacen("\"1.1.0\"", "\"1.2.0\"", 1).as_bytes());
    let expected = to.join("golden/empty.npy");
    let mut npy = fs::read(&expected).unwrap();
    let last = npy.len() - 4;
    npy[last..].copy_from_slice(&0.5_f32.to_le_bytes());
    write(&expected, &npy);
    to
}

fn write(path: &Path, bytes: &[u8]) {
    fs::File::create(path).and_then(|mut file| std::io::Write::write_all(&mut file, bytes)).unwrap();
}

/// Stops every pipeline and gives all outcomes.
fn drained(rig: &Rig, collector: Collector) -> Vec<Line> {
    for (pipeline, _) in PIPELINES {
        rig.ctl(&["stop", pipeline]).unwrap();
        let ended = rig.wait_for_state(pipeline, "stopped").unwrap();
        let windows = usize::try_from(ended["counts"]["windows"].as_u64().unwrap()).unwrap();
        rig.wait_for("the last lines", |_| Ok(collector.count(pipeline) >= windows)).unwrap();
    }
    let lines = collector.lines();
    assert_eq!(outcomes::missed(&lines), 0, "the collector was too slow; nothing is proven");
    lines
}

/// Every window from the first to the last that inferd counted has one outcome, in order, none failed.
fn assert_whole(rig: &Rig, lines: &[Line], pipeline: &str) {
    let lines = outcomes::of(lines, pipeline);
    let tally = outcomes::tally(&lines);
    println!("{pipeline}: {tally:?}");
    assert_eq!((tally.lost, tally.doubled, tally.out_of_order), (0, 0, 0), "{pipeline}");
    assert_eq!(lines[0].outcome["window"], 0, "{pipeline}");
    let counted = rig.pipeline(pipeline).unwrap()["counts"]["windows"].as_u64();
    assert_eq!(counted, Some(tally.outcomes as u64), "{pipeline}");
    assert!(lines.iter().all(|line| line.outcome["verdict"] != "failed"), "{pipeline}");
}

fn assert_one_runner_each(rig: &Rig) {
    let mut serving: Vec<u32> = PIPELINES.iter().map(|(pipeline, _)| rig.runner_pid(pipeline).unwrap()).collect();
    serving.sort_unstable();
    // The old one is killed at the swap and reaped a moment later, when the kernel has taken it apart.
    rig.wait_for("the children of inferd to be the runners that serve", |rig| {
        Ok(processes::children(rig.pid())? == serving)
    })
    .unwrap();
}

/// What inferd and its runners take up.
#[derive(Debug)]
struct Footprint {
    daemon_kb: u64,
    runners_kb: u64,
    files: Vec<PathBuf>,
}

impl Footprint {
    /// The medians of several readings, once the old runners have gone.
    fn settled(rig: &Rig) -> Self {
        rig.wait_for("old runners to end", |rig| Ok(processes::children(rig.pid())?.len() == PIPELINES.len())).unwrap();
        let readings: Vec<_> = (0..9).map(|_| Self::read(rig)).collect();
        let median = |of: fn(&Self) -> u64| {
            let mut values: Vec<u64> = readings.iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let files = readings.iter().min_by_key(|reading| reading.files.len()).unwrap().files.clone();
        Self { daemon_kb: median(|one| one.daemon_kb), runners_kb: median(|one| one.runners_kb), files }
    }

    fn read(rig: &Rig) -> Self {
        // Readings are spread over the streams' work, not over one moment of it.
        std::thread::sleep(Duration::from_millis(150));
        let runners = processes::children(rig.pid()).unwrap();
        Self {
            daemon_kb: processes::resident_kb(rig.pid()).unwrap(),
            runners_kb: runners.iter().map(|pid| processes::resident_kb(*pid).unwrap()).sum(),
            files: processes::open_files(rig.pid()).unwrap(),
        }
    }

    fn assert_like(&self, before: &Self) {
        let grown = |now: u64, before: u64| now as f64 / before as f64 - 1.0;
        let daemon = grown(self.daemon_kb, before.daemon_kb);
        let all = grown(self.daemon_kb + self.runners_kb, before.daemon_kb + before.runners_kb);
        println!(
            "daemon {} -> {} kB ({:+.1} %), with runners {} -> {} kB ({:+.1} %), descriptors {} -> {}",
            before.daemon_kb,
            self.daemon_kb,
            daemon * 100.0,
            before.daemon_kb + before.runners_kb,
            self.daemon_kb + self.runners_kb,
            all * 100.0,
            before.files.len(),
            self.files.len()
        );
        assert!(all.abs() <= 0.05, "memory of inferd with its runners changed by {:.1} %", all * 100.0);
        assert!(daemon <= 0.05, "memory of inferd grew by {:.1} %", daemon * 100.0);
        let files = |files: &[PathBuf]| files.iter().map(|file| format!("{}\n", file.display())).collect::<String>();
        assert!(
            self.files.len() <= before.files.len(),
            "before:\n{}\nafter:\n{}",
            files(&before.files),
            files(&self.files)
        );
    }
}
