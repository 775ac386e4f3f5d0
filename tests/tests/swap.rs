//! Swapping models while streams run: nothing lost, nothing doubled, nothing left behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use inferd_tests::hold::Hold;
use inferd_tests::outcomes::Counter;
use inferd_tests::rig::{path, pipeline_config, pipeline_config_with};
use inferd_tests::variant::{Variant, write};
use inferd_tests::{Rig, fixtures, processes};

const PIPELINES: [(&str, &str); 3] = [("belt", "belt-inspect"), ("speech", "keyword"), ("motion", "gesture")];

/// Swaps of the belt's model in a row.
const SWAPS: usize = 100;

/// Swaps before the first look at memory: there and back, so that what is made once has been made, and nothing more.
const WARM_UP: usize = 2;

/// Memory that frames lie in: every source's, and what windows of sound and of motion are cut into.
const FRAMES_FILE: &str = "memfd:inferd-frames (deleted)";
const FRAMES_FILES: usize = 5;

/// Swaps before a second look. A multiple of 20: every model is at 1.0.0 again, as it is after the last.
const FIRST_FEW: usize = 20;

#[test]
fn a_hundred_swaps_under_load_lose_no_window_and_leave_nothing_behind() {
    let (rig, counter) = rig_with_both_versions();
    for swap in 1..=WARM_UP {
        PIPELINES.iter().for_each(|(_, model)| swap_to(&rig, model, swap));
    }
    let before = Footprint::settled(&rig);
    let mut early = None;
    for swap in 1..=SWAPS {
        swap_to(&rig, "belt-inspect", swap);
        if swap % 10 == 0 {
            swap_to(&rig, "keyword", swap / 10);
            swap_to(&rig, "gesture", swap / 10);
        }
        if swap == FIRST_FEW {
            early = Some(Footprint::settled(&rig));
        }
    }
    // The heap of several threads finds its size in the first tens of swaps (400 swaps: half of its growth in 20 of them,
    // 3.4 % in all); what leaks grows on. So the daemon by itself is held to 5 % from the early one on.
    let after = Footprint::settled(&rig);
    after.assert_like(&before, 0.1);
    after.assert_like(&early.unwrap(), 0.05);
    rig.wait_for("memory files to be given back", |rig| Ok(processes::memory_files(rig.pid())? <= before.memory_files))
        .unwrap();
    assert_one_runner_each(&rig);
    let swaps = rig.scrape().unwrap();
    let succeeded = swaps.value("inferd_model_swaps_total", &[("model", "belt-inspect"), ("result", "succeeded")]);
    // The first is the installation's.
    assert_eq!(succeeded, Some((WARM_UP + SWAPS) as f64 + 1.0));
    // Their windows are far apart: a version may have been swapped out again before it had one.
    for (pipeline, model) in &PIPELINES[1..] {
        swap_to(&rig, model, 1);
        rig.wait_for("a window of each version", |_| Ok(counter.of(pipeline).by_version.len() == 2)).unwrap();
    }
    drain(&rig, &counter);
    for (pipeline, _) in PIPELINES {
        assert_whole(&rig, &counter, pipeline);
        assert_eq!(counter.of(pipeline).by_version.len(), 2, "{pipeline}: both versions served");
    }
    assert_eq!(counter.of("belt").version_changes, WARM_UP + SWAPS);
}

#[test]
fn a_version_that_computes_something_else_never_serves() {
    let (rig, counter) = rig_with_both_versions();
    let runner = rig.runner_pid("belt").unwrap();
    let bundle = rig.pack(with_wrong_golden(&rig).folder()).unwrap();
    let output = rig.ctl_output(&["install", path(&bundle).unwrap(), "--activate", "--json"]).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said["job"]["state"], "failed", "{said}");
    assert_eq!(said["job"]["error"]["name"], "GoldenMismatch", "{said}");
    let message = said["job"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("golden/empty.jpg") && message.contains("differs by"), "{message}");

    let status = rig.ctl_json(&["status"]).unwrap();
    assert!(status["problems"].to_string().contains("golden/empty.jpg"), "{status}");
    assert_eq!(active(&rig, "belt-inspect"), ("1.0.0".into(), String::new()));
    assert_eq!(rig.runner_pid("belt").unwrap(), runner, "the old runner went on");
    assert_one_runner_each(&rig);
    let models = rig.ctl_json(&["models"]).unwrap().to_string();
    assert!(!models.contains("1.2.0"), "what it has installed is taken away again: {models}");
    drain(&rig, &counter);
    assert_whole(&rig, &counter, "belt");
    assert_eq!(counter.of("belt").version_changes, 0);
}

#[test]
fn a_rollback_goes_back_under_load_and_what_serves_cannot_be_removed() {
    let (rig, counter) = rig_with_both_versions();
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
    drain(&rig, &counter);
    assert_whole(&rig, &counter, "belt");
    // There and back: it ends with the version that it began with.
    let belt = counter.of("belt");
    assert_eq!((belt.version_changes, belt.by_version.len()), (2, 2), "{belt:?}");
}

#[test]
fn a_pipeline_that_comes_up_during_a_swap_serves_the_new_version() {
    let mut rig = Rig::new().unwrap();
    let hold = Hold::on(&mut rig).unwrap();
    let recording = fixtures::recording_of("belt-inspect");
    let belt = pipeline_config("belt", "belt-inspect", &recording, "at_end = \"loop\"");
    let late = pipeline_config_with("enabled = false", "late", "belt-inspect", &recording, "at_end = \"loop\"");
    rig.configure(&format!("{belt}{late}")).unwrap();
    rig.launch().unwrap();
    for version in ["1.0.0", "1.1.0"] {
        rig.install(&fixtures::model("belt-inspect", version)).unwrap();
    }
    rig.wait_for_state("belt", "running").unwrap();
    let swap = |version: &str| {
        rig.ctl(&["activate", "belt-inspect", version, "--no-wait"]).unwrap();
        rig.wait_for("the swap to begin", |rig| Ok(job(rig)?["step"] == "starting")).unwrap();
    };
    let is_over = |version: &str| {
        hold.release().unwrap();
        rig.wait_for("the swap to end", |rig| Ok(job(rig)?["state"] != "running")).unwrap();
        assert_eq!(job(&rig).unwrap()["state"], "succeeded");
        for pipeline in ["belt", "late"] {
            let serves = |rig: &Rig| {
                let found = rig.pipeline(pipeline)?;
                Ok(found["state"] == "running" && found["version"] == version)
            };
            rig.wait_for(&format!("{pipeline} to serve {version}"), serves).unwrap();
        }
    };

    // The swap first, then the pipeline.
    hold.hold().unwrap();
    swap("1.1.0");
    rig.ctl(&["start", "late"]).unwrap();
    assert_eq!(rig.pipeline("late").unwrap()["state"], "waiting");
    is_over("1.1.0");

    // The pipeline first: it has read which version is active before the swap begins.
    rig.ctl(&["stop", "late"]).unwrap();
    hold.hold().unwrap();
    rig.ctl(&["start", "late"]).unwrap();
    rig.wait_for("its runner", |rig| Ok(processes::children(rig.pid())?.len() == 2)).unwrap();
    swap("1.0.0");
    is_over("1.0.0");
    rig.wait_for("old runners to end", |rig| Ok(processes::children(rig.pid())?.len() == 2)).unwrap();
}

/// The newest job.
fn job(rig: &Rig) -> anyhow::Result<serde_json::Value> {
    let jobs = rig.ctl_json(&["status"])?["jobs"].clone();
    Ok(jobs.as_array().and_then(|jobs| jobs.last()).cloned().unwrap_or_default())
}

/// Three pipelines under way on 1.0.0, 1.1.0 installed beside it, the counter attached before the first window. The belt
/// is played as fast as its model takes it: its runner always has two windows.
fn rig_with_both_versions() -> (Rig, Counter) {
    let mut rig = Rig::new().unwrap();
    let pictures = large_pictures(rig.folder());
    let config: String = PIPELINES
        .iter()
        .map(|(pipeline, model)| {
            let (pace, recording) = match *pipeline {
                "belt" => ("fast", pictures.clone()),
                _ => ("realtime", fixtures::recording_of(model)),
            };
            let source = format!("pace = \"{pace}\"\nat_end = \"loop\"");
            pipeline_config_with("enabled = false", pipeline, model, &recording, &source)
        })
        .collect();
    rig.configure(&config).unwrap();
    rig.launch().unwrap();
    for (_, model) in PIPELINES {
        rig.install(&fixtures::model(model, "1.0.0")).unwrap();
        rig.install(&fixtures::model(model, "1.1.0")).unwrap();
    }
    let counter = Counter::attach(&rig.outcomes_socket()).unwrap();
    for (pipeline, _) in PIPELINES {
        rig.ctl(&["start", pipeline]).unwrap();
        rig.wait_for_state(pipeline, "running").unwrap();
    }
    rig.wait_for("the first windows", |_| Ok(PIPELINES.iter().all(|(pipeline, _)| counter.of(pipeline).outcomes > 0)))
        .unwrap();
    (rig, counter)
}

/// A folder of pictures that take a runner long to shrink. With the fixture's own small ones a busy machine makes lines
/// faster than it reads them; then some are dropped, and nothing is proven.
fn large_pictures(below: &Path) -> PathBuf {
    let folder = below.join("pictures");
    std::fs::create_dir(&folder).unwrap();
    let mut random = fastrand::Rng::with_seed(64);
    for number in 0..4 {
        let pixels: Vec<u8> = (0..WIDTH * HEIGHT * 3).map(|_| random.u8(..)).collect();
        write(&folder.join(format!("{number}.bmp")), &[bmp_header().as_slice(), &pixels].concat()).unwrap();
    }
    folder
}

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 960;

/// 24 bits a pixel, not compressed: file header (14 bytes) and BITMAPINFOHEADER (40).
fn bmp_header() -> Vec<u8> {
    let bytes = WIDTH * HEIGHT * 3;
    let file = [54 + bytes, 0, 54].map(u32::to_le_bytes).concat();
    let planes_and_bits = [1_u16, 24].map(u16::to_le_bytes).concat();
    let info = [40, WIDTH, HEIGHT].map(u32::to_le_bytes).concat();
    [b"BM".to_vec(), file, info, planes_and_bits, [0, bytes, 0, 0, 0, 0].map(u32::to_le_bytes).concat()].concat()
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
fn with_wrong_golden(rig: &Rig) -> Variant {
    let variant = Variant::of("belt-inspect", "1.1.0", rig.folder()).unwrap();
    let variant = variant.manifest("version = \"1.1.0\"", "version = \"1.2.0\"").unwrap();
    let changed = variant.file("golden/empty.npy", |mut npy| {
        let last = npy.len() - 4;
        npy[last..].copy_from_slice(&0.5_f32.to_le_bytes());
        npy
    });
    changed.unwrap()
}

/// Stops every pipeline and waits for all of its outcomes.
fn drain(rig: &Rig, counter: &Counter) {
    for (pipeline, _) in PIPELINES {
        rig.ctl(&["stop", pipeline]).unwrap();
        let ended = rig.wait_for_state(pipeline, "stopped").unwrap();
        let windows = usize::try_from(ended["counts"]["windows"].as_u64().unwrap()).unwrap();
        let all_came = |_: &Rig| {
            anyhow::ensure!(counter.missed() == 0, "the counter was too slow; nothing is proven");
            Ok(counter.of(pipeline).outcomes >= windows)
        };
        let came = rig.wait_for("the last lines", all_came);
        came.unwrap_or_else(|error| panic!("{windows} windows of {pipeline}, {:?}: {error:#}", counter.of(pipeline)));
    }
}

/// Every window from the first to the last that inferd counted has one outcome, in order, none failed.
fn assert_whole(rig: &Rig, counter: &Counter, pipeline: &str) {
    let tally = counter.of(pipeline);
    println!("{pipeline}: {tally:?}");
    assert!(tally.is_whole() && tally.first == Some(0) && tally.failed == 0, "{pipeline}: {tally:?}");
    let counted = rig.pipeline(pipeline).unwrap()["counts"]["windows"].as_u64();
    assert_eq!(counted, Some(tally.outcomes as u64), "{pipeline}");
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
    /// Bytes of verified models and of frame memory, also where nobody has them mapped.
    memory_files: u64,
    files: Vec<PathBuf>,
}

impl Footprint {
    /// The medians of several readings, once the old runners have gone.
    fn settled(rig: &Rig) -> Self {
        rig.wait_for("old runners to end", |rig| Ok(processes::children(rig.pid())?.len() == PIPELINES.len())).unwrap();
        // A pipeline lets go of the old version at its next window, and makes the memory that it cuts windows into.
        let count = |files: &[PathBuf], name: &str| files.iter().filter(|file| file.ends_with(name)).count();
        rig.wait_for("every pipeline to serve a window", |rig| {
            let files = Self::read(rig).files;
            let (models, frames) = (count(&files, "memfd:model.onnx (deleted)"), count(&files, FRAMES_FILE));
            Ok((models, frames) == (PIPELINES.len(), FRAMES_FILES))
        })
        .unwrap();
        let readings: Vec<_> = (0..9).map(|_| Self::read(rig)).collect();
        let median = |of: fn(&Self) -> u64| {
            let mut values: Vec<u64> = readings.iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let files = readings.iter().min_by_key(|reading| reading.files.len()).unwrap().files.clone();
        Self {
            daemon_kb: median(|one| one.daemon_kb),
            runners_kb: median(|one| one.runners_kb),
            memory_files: median(|one| one.memory_files),
            files,
        }
    }

    fn read(rig: &Rig) -> Self {
        // Readings are spread over the streams' work, not over one moment of it.
        std::thread::sleep(Duration::from_millis(150));
        let runners = processes::children(rig.pid()).unwrap();
        // Frames are shared by both sides and would hide what grows.
        let resident_kb = |pid| processes::resident_without_memory_files_kb(pid).unwrap();
        Self {
            daemon_kb: resident_kb(rig.pid()),
            runners_kb: runners.iter().map(|pid| resident_kb(*pid)).sum(),
            memory_files: processes::memory_files(rig.pid()).unwrap(),
            files: processes::open_files(rig.pid()).unwrap(),
        }
    }

    /// Memory with the runners is within 5 % of what it was; `most` is how much the daemon by itself may have grown.
    fn assert_like(&self, before: &Self, most: f64) {
        let grown = |now: u64, before: u64| now as f64 / before as f64 - 1.0;
        let daemon = grown(self.daemon_kb, before.daemon_kb);
        let all = grown(self.daemon_kb + self.runners_kb, before.daemon_kb + before.runners_kb);
        println!(
            "daemon {} -> {} kB ({:+.1} %), with runners {} -> {} kB ({:+.1} %), memory files {} -> {} B, \
             descriptors {} -> {}",
            before.daemon_kb,
            self.daemon_kb,
            daemon * 100.0,
            before.daemon_kb + before.runners_kb,
            self.daemon_kb + self.runners_kb,
            all * 100.0,
            before.memory_files,
            self.memory_files,
            before.files.len(),
            self.files.len()
        );
        assert!(all.abs() <= 0.05, "memory of inferd with its runners changed by {:.1} %", all * 100.0);
        assert!(daemon <= most, "memory of inferd grew by {:.1} %", daemon * 100.0);
        let files = |files: &[PathBuf]| files.iter().map(|file| format!("{}\n", file.display())).collect::<String>();
        assert!(
            self.files.len() <= before.files.len(),
            "before:\n{}\nafter:\n{}",
            files(&before.files),
            files(&self.files)
        );
    }
}
