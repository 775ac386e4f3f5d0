//! Tests that cannot run here say so where it is seen: the test harness swallows what a passing test prints.

use std::io::Write as _;

/// A test cannot run, for want of something that CI does not have either.
pub fn say(test: &str, why: &str) {
    // Written directly: what `eprintln!` prints is captured, and shown of failing tests only.
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {why} ***\n");
}

/// A test cannot run, for want of something that CI has to have.
///
/// # Panics
/// In CI (`CI=true`): there a test that never runs would be taken for one that passes.
pub fn say_but_fail_in_ci(test: &str, why: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "{test} cannot run, and CI skips no test: {why}");
    say(test, why);
}
