//! What the kernel holds runners to below the installed unit.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;
use super::installed::{journal, pipeline};

const GROUP: &str = "/sys/fs/cgroup/system.slice/inferd.service";

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn main_pid() -> String {
    let output = Command::new("systemctl").args(["show", "-p", "MainPID", "--value", "inferd"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn runner_of(name: &str) -> u64 {
    pipeline(name)["runner_pid"].as_u64().unwrap()
}

/// Each runner is alone in a group with the limits of the configuration, and goes before the daemon where memory runs out.
pub(super) fn are_set(names: &[&str]) {
    let daemon = main_pid();
    assert_eq!(read(format!("{GROUP}/daemon/cgroup.procs")), daemon, "{}", journal());
    assert_eq!(read(format!("/proc/{daemon}/oom_score_adj")), "-250");
    for name in names {
        let pid = runner_of(name);
        let group = PathBuf::from(format!("{GROUP}/runners/{pid}"));
        assert_eq!(read(group.join("cgroup.procs")), pid.to_string());
        assert_eq!(read(group.join("memory.max")), (2_u64 << 30).to_string());
        assert_eq!(read(group.join("memory.oom.group")), "1");
        assert_eq!(read(group.join("cpu.max")), "max 100000");
        assert_eq!(read(format!("/proc/{pid}/oom_score_adj")), "500");
    }
}

/// A runner that takes more memory than it may is ended; the daemon goes on and starts another.
pub(super) fn cost_a_runner_and_not_the_daemon(name: &str) {
    let (daemon, pid) = (main_pid(), runner_of(name));
    let group = PathBuf::from(format!("{GROUP}/runners/{pid}"));
    // A small model holds little, and what cannot be dropped of it may be less than any other figure.
    let mut limit = fs::OpenOptions::new().write(true).open(group.join("memory.max")).unwrap();
    limit.write_all(b"0").unwrap();
    let begun = Instant::now();
    loop {
        let now: Value = pipeline(name);
        let other = now["runner_pid"].as_u64().unwrap();
        if now["state"] == "running" && other != 0 && other != pid && !group.exists() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "no other runner: {now:#}\n{}", journal());
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{name}: another runner {:.1} s after the first had no memory", begun.elapsed().as_secs_f64());
    assert_eq!(main_pid(), daemon, "inferd has been started again\n{}", journal());
}
