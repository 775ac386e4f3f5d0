use super::*;
use crate::doctor::fixture::{config, disk as roomy, good, silent};
use crate::doctor::report::Level;

#[test]
fn a_kernel_without_landlock_is_a_problem_unless_the_configuration_lets_it_be() {
    let kernel = Kernel { modules: Ok(vec!["yama".into()]), seccomp: Ok(true), ..good().kernel };
    let mut config = config();
    let neither = Kernel { seccomp: Ok(false), ..kernel.clone() };
    for (policy, without_landlock, without_both) in [
        (SandboxPolicy::Full, Level::Problem, Level::Problem),
        (SandboxPolicy::Filtered, Level::Warning, Level::Problem),
        (SandboxPolicy::BestEffort, Level::Warning, Level::Warning),
    ] {
        config.runner.sandbox = policy;
        assert_eq!(sandbox(&kernel, None, Some(&config)).level, without_landlock, "{policy:?}");
        assert_eq!(sandbox(&neither, None, Some(&config)).level, without_both, "{policy:?}");
    }
    let unknown = Kernel { modules: Err("x".into()), seccomp: Ok(true), ..good().kernel };
    assert_eq!(sandbox(&unknown, None, Some(&config)).level, Level::Skipped);
    assert_eq!(sandbox(&good().kernel, None, None).level, Level::Ok);
}

#[test]
fn what_runners_have_reached_counts_more_than_what_the_kernel_promises() {
    let kernel = Kernel { modules: Ok(Vec::new()), seccomp: Ok(false), ..good().kernel };
    let mut daemon = good().daemon.unwrap();
    assert_eq!(sandbox(&kernel, Some(&daemon), None).level, Level::Ok);
    daemon.pipelines[0].sandbox = "partial".into();
    assert_eq!(sandbox(&good().kernel, Some(&daemon), None).level, Level::Warning);
}

#[test]
fn a_runner_that_is_not_seen_is_a_problem_only_where_none_runs_and_none_else_can_be_meant() {
    let unseen = || Facts { runner: Err("x".into()), ..good() };
    assert_eq!(runner(&unseen()).level, Level::Ok);
    assert_eq!(runner(&Facts { daemon: Err("x".into()), ..unseen() }).level, Level::Problem);
    let blind = Facts { daemon: Err("x".into()), configuration: silent().configuration, ..unseen() };
    assert_eq!(runner(&blind).level, Level::Skipped);
}

#[test]
fn a_disk_is_judged_by_what_is_left_for_models_and_samples() {
    let (config, full) = (config(), roomy());
    let cases = [
        (full, Level::Ok),
        (Disk { read_only: true, ..full }, Level::Problem),
        (Disk { free_bytes: LITTLE_BYTES - 1, ..full }, Level::Problem),
        (Disk { free_bytes: config.spool.max_bytes - 1, ..full }, Level::Warning),
        (Disk { free_bytes: config.spool.max_bytes, ..full }, Level::Ok),
        (Disk { free_files: 9, ..full }, Level::Warning),
        // btrfs counts none.
        (Disk { files: 0, free_files: 0, ..full }, Level::Ok),
    ];
    for (given, level) in cases {
        assert_eq!(disk(&Ok(given), Some(&config)).level, level, "{given:?}");
    }
}

#[test]
fn a_spool_that_fills_drops_or_cannot_be_sent_is_a_warning() {
    let config = config();
    let level = |change: fn(&mut Everything)| {
        let mut daemon = good().daemon.unwrap();
        change(&mut daemon);
        spool(&Ok(daemon), Some(&config)).level
    };
    assert_eq!(level(|_| {}), Level::Ok);
    assert_eq!(level(|daemon| daemon.spool.bytes = 250 << 20), Level::Warning);
    assert_eq!(level(|daemon| daemon.spool.pending = 9_000), Level::Warning);
    assert_eq!(level(|daemon| daemon.spool.dropped = 1), Level::Warning);
    assert_eq!(level(|daemon| daemon.spool.last_error = "x".into()), Level::Warning);
}

#[test]
fn a_clock_before_inferd_is_a_problem_and_one_that_drifts_a_warning() {
    let level = |year, synchronised| clock(&Clock { year, synchronised }).level;
    assert_eq!(level(2024, Ok(true)), Level::Problem);
    assert_eq!(level(2025, Ok(true)), Level::Ok);
    assert_eq!(level(2026, Ok(false)), Level::Warning);
    assert_eq!(level(2026, Err("x".into())), Level::Skipped);
}

#[test]
fn a_kernel_that_limits_no_memory_is_worth_a_warning() {
    let kernel = |limits| Kernel { limits, ..good().kernel };
    assert_eq!(limits(&kernel(Ok(vec!["cpu".into(), "memory".into()]))).level, Level::Ok);
    assert_eq!(limits(&kernel(Ok(vec!["cpu".into()]))).level, Level::Warning);
    assert_eq!(limits(&kernel(Ok(Vec::new()))).level, Level::Warning);
    assert_eq!(limits(&kernel(Err("x".into()))).level, Level::Skipped);
}
