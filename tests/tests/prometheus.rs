//! A real Prometheus scrapes inferd, and what it stores is what inferd did.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use inferd_tests::outcomes::Collector;
use inferd_tests::variant::{Variant, write};
use inferd_tests::{Rig, fixtures, metrics, rig, skip};
use serde_json::Value;

/// Prometheus with a temporary configuration and store; ends when dropped.
struct Prometheus {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `target` every second.
    fn scraping(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [ {{ job_name: inferd, static_configs: [ {{ targets: [ '{target}' ] }} ] }} ]\n"
        );
        write(&config, text.as_bytes()).unwrap();
        // Free for the moment; Prometheus cannot be told to take any free one and say which.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, address, _folder: folder }
    }

    /// The newest value of an instant query with one result; `None` while there is none.
    fn value(&self, query: &str) -> Option<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, body) = metrics::get(&format!("http://{}/api/v1/query?query={encoded}", self.address)).ok()?;
        let answer: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says loudly where a program is absent; in CI that is a failure.
fn is_there(program: &str, test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !there {
        skip::say_but_fail_in_ci(test, &format!("no `{program}`; apt install prometheus"));
    }
    there
}

/// The three pipelines, each once through its recording, as fast as it goes.
fn three_pipelines() -> String {
    let recordings = fixtures::MODELS.map(|model| (model, fixtures::recording_of(model)));
    recordings.map(|(model, recording)| rig::pipeline_config(model, model, &recording, "pace = \"fast\"")).concat()
}

fn install_all(rig: &Rig) {
    for model in fixtures::MODELS {
        rig.install(&fixtures::model(model, "1.0.0")).unwrap();
    }
}

#[test]
fn prometheus_scrapes_what_inferd_did() {
    if !is_there("prometheus", "prometheus_scrapes_what_inferd_did") {
        return;
    }
    let rig = Rig::start(&three_pipelines()).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let url = rig.metrics_url().unwrap();
    let target = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let prometheus = Prometheus::scraping(target);
    rig.wait_for("the first scrape", |_| Ok(prometheus.value("up") == Some(1.0))).unwrap();
    install_all(&rig);
    for (model, windows) in [("belt-inspect", 120), ("keyword", 79), ("gesture", 59)] {
        rig.wait_for_state(model, "finished").unwrap();
        rig.wait_for("its outcomes", |_| Ok(collector.count(model) == windows)).unwrap();
        let sum = format!("sum(inferd_windows_total{{pipeline=\"{model}\"}})");
        let count = |_: &Rig| Ok(prometheus.value(&sum) == Some(windows as f64));
        rig.wait_for(&format!("Prometheus to have counted {windows} windows of {model}"), count).unwrap();
        let latencies = format!("inferd_window_latency_seconds_count{{pipeline=\"{model}\"}}");
        assert_eq!(prometheus.value(&latencies), Some(windows as f64));
    }
    assert_eq!(prometheus.value("up"), Some(1.0));
    by_verdict(&prometheus, &collector);
    let p99 = "histogram_quantile(0.99, sum by (le) (inferd_window_latency_seconds_bucket))";
    assert!(prometheus.value(p99).is_some_and(|seconds| seconds > 0.0 && seconds < 60.0));
}

/// Each verdict has been counted as often as outcomes had it.
fn by_verdict(prometheus: &Prometheus, collector: &Collector) {
    let lines = collector.lines();
    for verdict in ["event", "normal", "uncertain", "failed"] {
        let outcomes = lines.iter().filter(|line| line.outcome["verdict"] == verdict).count();
        let counted = prometheus.value(&format!("sum(inferd_windows_total{{verdict=\"{verdict}\"}})"));
        assert_eq!(counted, Some(outcomes as f64), "{verdict}");
    }
}

/// Promtool's linter: names, units, help texts, the format itself.
#[test]
fn promtool_finds_nothing_wrong_with_a_scrape() {
    if !is_there("promtool", "promtool_finds_nothing_wrong_with_a_scrape") {
        return;
    }
    let rig = Rig::start(&three_pipelines()).unwrap();
    install_all(&rig);
    for model in fixtures::MODELS {
        rig.wait_for_state(model, "finished").unwrap();
    }
    let text = rig.scrape().unwrap().0;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ended = promtool.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

/// While a pipeline runs whose model has been swapped, every family of docs/metrics.md is served with its type and labels,
/// and nothing else; what was counted of a model goes with its last version.
#[test]
fn what_is_documented_is_what_is_served() {
    let recording = fixtures::recording("belt");
    let rig = Rig::start(&rig::pipeline_config("belt", "belt-inspect", &recording, "at_end = \"loop\"")).unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.0.0")).unwrap();
    rig.wait_for_state("belt", "running").unwrap();
    rig.install(&fixtures::model("belt-inspect", "1.1.0")).unwrap();
    rig.ctl(&["activate", "belt-inspect", "1.1.0"]).unwrap();
    let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let documentation = std::fs::read_to_string(documentation).unwrap();
    let scrape = rig.scrape().unwrap();
    let (everywhere, some_machines) = documentation.split_once("Only where the kernel tells it").unwrap();
    let (mut served, heat) = (scrape.families(), metrics::documented(some_machines));
    for (name, documented) in &heat {
        assert!(served.remove(name).is_none_or(|served| served == *documented), "{name}");
    }
    assert_eq!(heat.len(), 3);
    assert_eq!(served, metrics::documented(everywhere));
    let swaps = |model: &str| rig.scrape().unwrap().value("inferd_model_swaps_total", &[("model", model)]);
    assert_eq!(swaps("belt-inspect"), Some(2.0), "the first version is activated as it is installed");

    // What could not serve is taken away, and its figures with it.
    let wrong = Variant::of("belt-inspect", "1.0.0", rig.folder()).unwrap();
    let wrong = wrong.manifest("name = \"belt-inspect\"", "name = \"wrong\"").unwrap();
    let wrong = wrong.manifest("golden/part-ok.npy", "golden/empty.npy").unwrap();
    rig.install(wrong.folder()).unwrap_err();
    assert_eq!((swaps("wrong"), swaps("belt-inspect")), (None, Some(2.0)));
    let failed = rig.scrape().unwrap().value("inferd_model_installs_total", &[("result", "failed")]);
    assert_eq!(failed, Some(1.0));
}
