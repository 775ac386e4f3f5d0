//! Whole runs, from made-up facts to what is printed.

use super::facts::Facts;
use super::fixture::{bad, good, silent};
use super::report::{Level, Report};
use super::{checks, judge};
use crate::fixture;
use crate::output::Output;

fn text(facts: &Facts, width: usize) -> String {
    judge(facts).text(Output::plain(), Some(width))
}

#[test]
fn a_good_device_at_80_columns() {
    insta::assert_snapshot!(text(&good(), 80));
}

#[test]
fn a_bad_device_at_80_columns() {
    insta::assert_snapshot!(text(&bad(), 80));
}

#[test]
fn a_bad_device_at_120_columns() {
    insta::assert_snapshot!(text(&bad(), 120));
}

#[test]
fn a_device_whose_inferd_does_not_run_at_80_columns() {
    insta::assert_snapshot!(text(&silent(), 80));
}

#[test]
fn a_bad_device_as_json() {
    insta::assert_snapshot!(fixture::json(&judge(&bad())));
}

#[test]
fn a_good_device_is_good_throughout_and_a_bad_one_fails() {
    let wrong: Vec<_> = checks::all(&good()).into_iter().filter(|check| check.level != Level::Ok).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!judge(&good()).has_problems());
    assert!(judge(&bad()).has_problems());
}

#[test]
fn whatever_is_wrong_says_what_to_type() {
    for facts in [bad(), silent()] {
        for check in checks::all(&facts) {
            let is_wrong = matches!(check.level, Level::Warning | Level::Problem);
            assert!(!is_wrong || check.next.iter().any(|next| !next.is_empty()), "{check:?}");
        }
    }
}

#[test]
fn no_line_is_wider_than_the_terminal_but_for_commands_and_words() {
    let report: Report = judge(&bad());
    for width in [80, 120] {
        let text = report.text(Output::plain(), Some(width));
        let long: Vec<_> = text.lines().filter(|line| line.chars().count() > width).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
}
