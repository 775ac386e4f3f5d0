use super::*;
use crate::doctor::fixture::{config, configuration as configured, good, unit as running};
use crate::doctor::report::Level;

/// A case: what it is, how the unit differs, what comes out.
type Case = (&'static str, fn(&mut Unit), Level, &'static str);

#[test]
fn each_state_of_the_unit_has_its_level_and_command() {
    let cases: [Case; 6] = [
        ("runs", |_| {}, Level::Ok, ""),
        ("absent", |unit| unit.load = "not-found".into(), Level::Warning, "sudo apt install inferd"),
        ("failed", |unit| unit.active = "failed".into(), Level::Problem, LOG),
        ("stopped", |unit| unit.active = "inactive".into(), Level::Warning, "sudo systemctl enable --now inferd"),
        ("disabled", |unit| unit.enabled = "disabled".into(), Level::Warning, "sudo systemctl enable inferd"),
        ("died", |unit| unit.restarts = 1, Level::Warning, LOG),
    ];
    for (case, change, level, next) in cases {
        let mut changed = running();
        change(&mut changed);
        let check = unit(BusKind::System, &Ok(changed));
        assert_eq!((check.level, check.next.first().map_or("", String::as_str)), (level, next), "{case}");
    }
    assert_eq!(unit(BusKind::Session, &Ok(running())).level, Level::Skipped);
}

#[test]
fn the_start_is_told_by_the_metrics_where_systemd_does_not_know() {
    let scrape = |text: &str| Scrape { address: String::new(), said: Ok(text.into()) };
    let by_metrics = since(None, Some(&scrape("process_start_time_seconds 1767225600\n")));
    assert_eq!(by_metrics, " since 2026-01-01T00:00:00Z");
    assert_eq!(since(Some(&running()), None), " since Fri 2026-11-20 08:00:00 UTC");
    assert_eq!(since(None, Some(&scrape("process_start_time_seconds 1e300\n"))), "");
}

#[test]
fn a_daemon_of_another_release_is_a_warning() {
    let facts = Facts { version: "0.2.0", ..good() };
    let check = service(&facts);
    assert_eq!((check.level, check.next.as_slice()), (Level::Warning, [RESTART.to_owned()].as_slice()));
}

#[test]
fn the_configuration_is_judged_by_the_files_and_by_what_is_in_force() {
    let level = |change: fn(&mut crate::doctor::facts::Loaded), daemon: Option<&Everything>| {
        let mut configuration = configured(config());
        change(configuration.loaded.as_mut().unwrap());
        super::configuration(&configuration, daemon).level
    };
    assert_eq!(level(|_| {}, None), Level::Ok);
    assert_eq!(level(|loaded| loaded.wrong.push("x".into()), None), Level::Problem);
    assert_eq!(level(|loaded| loaded.absent.push("x".into()), None), Level::Warning);
    assert_eq!(level(|loaded| loaded.hidden.push("x".into()), None), Level::Ok);
    let pending = Everything { pending_sections: vec!["metrics".into()], ..Everything::default() };
    assert_eq!(level(|_| {}, Some(&pending)), Level::Warning);
    let refused = Everything { config_error: "x".into(), ..Everything::default() };
    assert_eq!(level(|_| {}, Some(&refused)), Level::Problem);
}
