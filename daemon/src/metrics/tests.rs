use std::collections::{BTreeMap, BTreeSet};

use inferd_core::{Digest, ModelId};

use super::*;
use crate::host::thermal::{Reading, Throttle, Zone};

/// Families by name: the type, and the names of the labels but for those of the type itself.
type Seen = BTreeMap<String, (String, BTreeSet<String>)>;

/// The families in a scrape.
fn served(text: &str) -> Seen {
    let mut families = Seen::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((series, labels)) = line.split_once('{') {
            let of_histogram = |suffix: &&str| series.ends_with(*suffix) && !families.contains_key(series);
            let suffix = ["_bucket", "_sum", "_count"].into_iter().find(of_histogram).unwrap_or_default();
            let family = families.get_mut(series.strip_suffix(suffix).unwrap()).expect("a family before its series");
            let (labels, _) = labels.rsplit_once('}').unwrap();
            let names = labels.split("\",").map(|label| label.split_once('=').unwrap().0.to_owned());
            family.1.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

/// The families in the table of `docs/metrics.md`.
fn documented() -> Seen {
    let rows = include_str!("../../../docs/metrics.md").lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (series, rest) = row.split_once("` | ").unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        let kind = rest.split(' ').next().unwrap();
        (name.to_owned(), (kind.to_owned(), labels.map(str::to_owned).collect()))
    })
    .collect()
}

fn scraped() -> String {
    let metrics = Metrics::new().unwrap();
    let name = "belt".parse().unwrap();
    let mut pipeline = metrics.pipeline(&name);
    pipeline.frames(3, [1, 2, 4]);
    metrics.pipeline_is(&name, "running");
    let model = ModelId {
        name: "inspect".parse().unwrap(),
        version: "1.2.0".parse().unwrap(),
        digest: Digest::from_bytes([0xab; 32]),
    };
    pipeline.show(Some(&model), Some("full"), std::process::id());
    metrics.swapped(&name, true);
    metrics.installed(false);
    metrics.reloaded(true);
    metrics.scrape(&Readings { heat: Arc::new(hot()), ..Readings::default() }).unwrap()
}

/// A machine that says everything.
fn hot() -> Reading {
    Reading {
        zones: vec![Zone { number: 3, kind: "cpu-thermal".to_owned(), milli_c: 81_500 }],
        throttled: vec![(Throttle::Cooling, true), (Throttle::UnderVoltage, false)],
        frequency_ratio: Some(0.5),
    }
}

#[test]
fn a_machine_shows_what_it_says_of_its_heat_and_nothing_else() {
    let metrics = Metrics::new().unwrap();
    let heat_lines = |heat: Reading| {
        let text = metrics.scrape(&Readings { heat: Arc::new(heat), ..Readings::default() }).unwrap();
        let is_heat = |line: &&str| line.starts_with("inferd_temperature") || line.starts_with("inferd_cpu");
        text.lines().filter(is_heat).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        heat_lines(hot()),
        [
            "inferd_cpu_frequency_ratio 0.5",
            r#"inferd_cpu_throttled{reason="cooling"} 1"#,
            r#"inferd_cpu_throttled{reason="under-voltage"} 0"#,
            r#"inferd_temperature_celsius{type="cpu-thermal",zone="3"} 81.5"#,
        ]
    );
    assert!(heat_lines(Reading::default()).is_empty(), "what it says no more is gone");
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    // A family without a series is not served; here each has one.
    assert_eq!(served(&scraped()), documented());
}

#[test]
fn a_model_that_is_gone_leaves_no_series() {
    let metrics = Metrics::new().unwrap();
    let [gone, kept] = ["gone", "kept"].map(|name| name.parse().unwrap());
    for (model, succeeded) in [(&gone, true), (&gone, false), (&kept, true)] {
        metrics.swapped(model, succeeded);
    }
    metrics.forget_model(&gone);
    let text = metrics.scrape(&Readings::default()).unwrap();
    assert!(!text.contains("gone") && text.contains(r#"{model="kept",result="succeeded"} 1"#), "{text}");
}

#[test]
fn what_is_counted_elsewhere_is_shown() {
    let sinks = crate::publish::Counts { readers: 2, refused: 3, ..Default::default() };
    let text = Metrics::new().unwrap().scrape(&Readings { sinks, ..Readings::default() }).unwrap();
    assert!(text.contains("\ninferd_sink_readers 2\n"), "{text}");
    assert!(text.contains("\ninferd_sink_readers_refused_total 3\n"), "{text}");
}

#[test]
fn names_follow_the_conventions() {
    for line in scraped().lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
}

#[test]
fn a_pipeline_that_is_gone_leaves_no_series() {
    let metrics = Metrics::new().unwrap();
    let name = "gone".parse().unwrap();
    metrics.pipeline(&name).skipped([1, 1]);
    metrics.pipeline_is(&name, "stopped");
    metrics.forget_pipeline(&name);
    assert!(!metrics.scrape(&Readings::default()).unwrap().contains("gone"));
}

#[test]
fn a_pipeline_has_one_state_also_when_it_does_not_run() {
    let metrics = Metrics::new().unwrap();
    let name = "belt".parse().unwrap();
    metrics.pipeline_is(&name, "waiting");
    let pipeline = metrics.pipeline(&name);
    metrics.pipeline_is(&name, "running");
    drop(pipeline);
    metrics.pipeline_is(&name, "stopped");
    let text = metrics.scrape(&Readings::default()).unwrap();
    let states: Vec<_> = text.lines().filter(|line| line.starts_with("inferd_pipeline_state{")).collect();
    assert_eq!(states, [r#"inferd_pipeline_state{pipeline="belt",state="stopped"} 1"#]);
}
