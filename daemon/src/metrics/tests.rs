use super::*;

fn scraped() -> String {
    let metrics = Metrics::new().unwrap();
    let name = "belt".parse().unwrap();
    let mut pipeline = metrics.pipeline(&name);
    pipeline.frames(3, 1);
    metrics.pipeline_is(&name, "running");
    pipeline.show(None, Some("full"), std::process::id());
    metrics.swapped(&name, true);
    metrics.installed(false);
    metrics.reloaded(true);
    metrics.scrape(&Readings::default()).unwrap()
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let text = scraped();
    let served: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let page = include_str!("../../../docs/metrics.md");
    let documented: std::collections::BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next()).collect();
    // A family without a series yet is not served; all that this test touches are.
    let missing: Vec<_> = served.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    let unknown: Vec<_> =
        documented.iter().filter(|name| !served.contains(*name) && **name != "inferd_pipeline_model_info").collect();
    assert!(unknown.is_empty(), "documented but not served: {unknown:?}");
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
    drop(metrics.pipeline(&name));
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
