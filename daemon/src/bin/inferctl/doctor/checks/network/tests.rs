use super::*;
use crate::doctor::fixture::{account, file, good, reached as made_up, unit as running};
use crate::doctor::report::Level;

#[test]
fn an_upload_folder_must_be_writable_for_the_user_and_for_the_unit() {
    let folder_of = |mode| File { is_folder: true, ..file("/srv/samples", mode) };
    let level = |folder: &File, unit: Option<&Unit>| super::folder(folder, &Ok(account()), unit).level;
    assert_eq!(level(&folder_of(0o775), None), Level::Ok);
    assert_eq!(level(&folder_of(0o755), None), Level::Problem);
    assert_eq!(level(&file("/srv/samples", 0o666), None), Level::Problem);
    assert_eq!(level(&folder_of(0o775), Some(&running())), Level::Problem);
    let open = Unit { writable: vec!["/srv".into()], ..running() };
    assert_eq!(level(&folder_of(0o775), Some(&open)), Level::Ok);
}

#[test]
fn a_name_that_leads_nowhere_is_told_from_a_place_that_does_not_answer() {
    let check = |outcome| reached(&made_up("mqtt", "broker", 1883, outcome));
    assert_eq!(check(Outcome::NoName("x".into())).next, ["getent hosts broker"]);
    assert_eq!(check(Outcome::NoAnswer("x".into())).next, ["nc -vz -w 3 broker 1883"]);
    assert_eq!(check(Outcome::Connected(1)).level, Level::Ok);
}

#[test]
fn metrics_of_another_program_are_none_of_ours() {
    let scrape = |text: &str| Scrape { address: "http://x".into(), said: Ok(text.into()) };
    assert_eq!(metrics(Some(&scrape("node_load1 0.1\n")), true).level, Level::Problem);
    assert_eq!(metrics(good().metrics.as_ref(), true).level, Level::Ok);
    assert_eq!(metrics(None, true).level, Level::Ok);
    assert_eq!(metrics(None, false).level, Level::Skipped);
}
