//! A pipeline that serves while something bad comes in, and the proof that it did not notice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use inferd_tests::outcomes::{Collector, of, tally};
use inferd_tests::variant::Variant;
use inferd_tests::{Rig, fixtures, outside, processes, rig};
use serde_json::Value;

/// The model that serves, and its version.
pub(crate) const MODEL: &str = "belt-inspect";
pub(crate) const VERSION: &str = "1.0.0";

/// Outcomes that have to come after something bad before it counts as survived.
const MORE: usize = 20;

/// inferd with a pipeline `belt` that plays 50 pictures a second for ever.
pub(crate) struct Serving {
    pub(crate) rig: Rig,
    collector: Collector,
    daemon: u32,
    runner: u32,
    models: BTreeSet<PathBuf>,
}

/// The configuration of `belt`.
pub(crate) fn belt(rest: &str) -> String {
    let pace = format!("fps = 50\nat_end = \"loop\"\n{rest}");
    rig::pipeline_config("belt", MODEL, &fixtures::recording_of(MODEL), &pace)
}

impl Serving {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Beside other pipelines.
    pub(crate) fn with(config: &str) -> Self {
        let rig = Rig::start(&(belt("") + config)).unwrap();
        Self::on(rig)
    }

    /// On a rig whose configuration has the pipeline.
    pub(crate) fn on(rig: Rig) -> Self {
        rig.install(&fixtures::model(MODEL, VERSION)).unwrap();
        rig.wait_for_state("belt", "running").unwrap();
        let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
        let serving = Self {
            daemon: rig.pid(),
            runner: runner_of(&rig, "belt"),
            models: outside::tree(&rig.state().join("models")).unwrap(),
            collector,
            rig,
        };
        serving.more_outcomes();
        serving
    }

    /// The next version of the model that serves, to be made bad.
    pub(crate) fn next_version(&self) -> Variant {
        let variant = Variant::of(MODEL, VERSION, self.rig.folder()).unwrap();
        variant.manifest("version = \"1.0.0\"", "version = \"1.2.0\"").unwrap()
    }

    /// Installing and activating the variant fails like this.
    pub(crate) fn refuses(&self, variant: &Variant, name: &str, words: &[&str]) {
        let bundle = self.rig.pack(variant.folder()).unwrap();
        self.refuses_bundle(&bundle, name, words);
    }

    pub(crate) fn refuses_bundle(&self, bundle: &Path, name: &str, words: &[&str]) {
        let arguments = ["install", rig::path(bundle).unwrap(), "--activate", "--json"];
        assert_failed_job(&self.rig.ctl_output(&arguments).unwrap(), name, words);
    }

    /// Nothing has happened: the same processes and files, and every window has one outcome of the old version.
    pub(crate) fn goes_on(&mut self) {
        self.more_outcomes();
        self.same_processes();
        assert_eq!(outside::tree(&self.rig.state().join("models")).unwrap(), self.models, "files in the store");
        let lines = self.collector.lines();
        let belt = of(&lines, "belt");
        let tally = tally(&belt);
        assert!(tally.is_whole(), "{tally:?}");
        assert_eq!(tally.by_version.keys().collect::<Vec<_>>(), [VERSION], "{tally:?}");
        let failed = belt.iter().find(|line| line.outcome["verdict"] == "failed");
        assert!(failed.is_none(), "{failed:?}");
    }

    /// The daemon and the runner of `belt` are those from the beginning, and there is no other runner.
    pub(crate) fn same_processes(&mut self) {
        assert!(self.rig.is_running(), "inferd has ended:\n{}", self.rig.log());
        assert_eq!(self.rig.pid(), self.daemon);
        assert_eq!(processes::children(self.daemon).unwrap(), [self.runner], "runners\n{}", self.rig.log());
        assert_eq!(self.rig.pipeline("belt").unwrap()["counts"]["runner_restarts"], 0);
    }

    pub(crate) fn more_outcomes(&self) {
        let before = self.collector.count("belt");
        let more = |_: &Rig| Ok(self.collector.count("belt") >= before + MORE);
        self.rig.wait_for("outcomes to go on", more).unwrap();
    }

    /// Every outcome of a pipeline so far.
    pub(crate) fn outcomes(&self, pipeline: &str) -> Vec<Value> {
        let lines = self.collector.lines();
        of(&lines, pipeline).into_iter().map(|line| line.outcome.clone()).collect()
    }
}

pub(crate) fn runner_of(rig: &Rig, pipeline: &str) -> u32 {
    let pid = rig.pipeline(pipeline).unwrap()["runner_pid"].as_u64().unwrap();
    u32::try_from(pid).unwrap()
}

/// `--json` of a job that failed: exit code 1, the error's name, and words of its sentence.
pub(crate) fn assert_failed_job(output: &Output, name: &str, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let job = serde_json::from_str::<Value>(&said).unwrap()["job"].clone();
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["error"]["name"], *name, "{job}");
    assert_words(job["error"]["message"].as_str().unwrap(), words);
}

/// `--json` of a command that was refused at once.
pub(crate) fn assert_refused(output: &Output, name: &str, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let error = serde_json::from_str::<Value>(&said).unwrap()["error"].clone();
    assert_eq!(error["name"], name, "{error}");
    assert_words(&format!("{} {}", error["message"], error["hint"]), words);
}

pub(crate) fn assert_words(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}
