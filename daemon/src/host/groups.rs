//! Control groups (cgroup v2): one for the daemon, one for each runner, with the limits that the kernel enforces there.
//!
//! ```text
//! …/inferd.service          delegated to us by systemd (Delegate=); holds no process itself, as the kernel demands
//!     daemon/               inferd, and the programs of `command` sources
//!     runners/PID/          one runner: memory.max, memory.oom.group, cpu.max
//! ```
//!
//! Invariants:
//! - Only a group that systemd says it has delegated is touched: whoever starts inferd by hand keeps the groups as they are.
//! - A limit that cannot be set is told, and the runner serves without it: its address space is limited in any case.
//! - A runner's group goes with its process.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the kernel shows control groups.
const MOUNTED_AT: &str = "/sys/fs/cgroup";
/// What limits are set with; a Raspberry Pi's kernel has no `memory` unless its command line asks for it.
const CONTROLLERS: [&str; 2] = ["cpu", "memory"];
/// The daemon moves the data of all runners: it comes first where processors are short. A group's default is 100.
const DAEMON_CPU_WEIGHT: &str = "400";
/// `cpu.max` is so many microseconds of every [`PERIOD_US`].
const PERIOD_US: u64 = 100_000;

/// Why runners get no groups of their own.
#[derive(Debug, thiserror::Error)]
pub enum NoGroups {
    /// There is no cgroup v2, or it is somebody else's: inferd was not started by a unit with `Delegate=`.
    #[error("no control group is delegated to inferd; its unit does that (Delegate=)")]
    NotDelegated,
    /// The group is ours, and cannot be set up.
    #[error("cannot set up {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a runner may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// Bytes of memory, what it has mapped of files counted.
    pub memory_bytes: u64,
    /// Percent of one processor; `None` for all there is.
    pub cpu_percent: Option<u32>,
}

/// The groups of runners. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    runners: PathBuf,
    /// Those of [`CONTROLLERS`] that there are.
    controllers: Vec<&'static str>,
}

impl Groups {
    /// Takes over the group that this process was started in: moves the process one down, and makes room for runners.
    ///
    /// # Errors
    /// [`NoGroups`]; nothing has been moved, or the process lies in `daemon/`.
    pub fn take_over() -> Result<Self, NoGroups> {
        Self::take_over_of(Path::new("/proc/self/cgroup"))
    }

    fn take_over_of(listed: &Path) -> Result<Self, NoGroups> {
        let group = own_group(listed)?;
        match xattr::get(&group, "user.delegate") {
            Ok(Some(value)) if value == b"1" => divide(&group),
            Ok(_) | Err(_) => Err(NoGroups::NotDelegated),
        }
    }

    /// The limits that the kernel can enforce here: some of `cpu`, `memory`.
    pub fn controllers(&self) -> &[&'static str] {
        &self.0.controllers
    }

    /// Puts a process into a group of its own. What of its limits cannot be set is logged.
    ///
    /// # Errors
    /// There is no such group now: the process stays in the daemon's.
    pub fn place(&self, pid: u32, limits: GroupLimits) -> Result<Group, NoGroups> {
        let group = Group(self.0.runners.join(pid.to_string()));
        make(&group.0)?;
        for (controller, file, value) in settings(limits) {
            if !self.0.controllers.contains(&controller) {
                continue;
            }
            if let Err(error) = write(&group.0.join(file), &value) {
                tracing::warn!(%error, pid, "a runner goes without one of its limits");
            }
        }
        write(&group.0.join("cgroup.procs"), &pid.to_string())?;
        Ok(group)
    }
}

/// The group of one process, which is removed when this is dropped: once the process is gone and waited for.
#[derive(Debug)]
pub struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::debug!(group = %self.0.display(), %error, "the group of a runner stays");
        }
    }
}

/// Controller, file, value.
fn settings(limits: GroupLimits) -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let cpu = limits.cpu_percent.map(|percent| format!("{} {PERIOD_US}", u64::from(percent) * PERIOD_US / 100));
    [
        ("memory", "memory.max", Some(limits.memory_bytes.to_string())),
        // All of it or nothing: half a runner answers nobody.
        ("memory", "memory.oom.group", Some("1".to_owned())),
        ("cpu", "cpu.max", cpu),
    ]
    .into_iter()
    .filter_map(|(controller, file, value)| Some((controller, file, value?)))
}

/// The folder of the group that a process is in, by its `/proc/PID/cgroup`: the line `0::PATH` (cgroups(7)).
fn own_group(listed: &Path) -> Result<PathBuf, NoGroups> {
    let lines = fs::read_to_string(listed).map_err(|source| failed(listed, source))?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(NoGroups::NotDelegated)?;
    Ok(Path::new(MOUNTED_AT).join(path))
}

/// A group may have processes or groups with limits, never both: the processes go first.
fn divide(group: &Path) -> Result<Groups, NoGroups> {
    let (daemon, runners) = (group.join("daemon"), group.join("runners"));
    make(&daemon)?;
    write(&daemon.join("cgroup.procs"), &std::process::id().to_string())?;
    let listed = group.join("cgroup.controllers");
    let there = fs::read_to_string(&listed).map_err(|source| failed(&listed, source))?;
    let controllers: Vec<&str> =
        CONTROLLERS.into_iter().filter(|name| there.split_whitespace().any(|other| other == *name)).collect();
    make(&runners)?;
    for folder in [group, &runners] {
        for controller in &controllers {
            write(&folder.join("cgroup.subtree_control"), &format!("+{controller}"))?;
        }
    }
    if controllers.contains(&"cpu") {
        write(&daemon.join("cpu.weight"), DAEMON_CPU_WEIGHT)?;
    }
    Ok(Groups(Arc::new(Inner { runners, controllers })))
}

fn make(folder: &Path) -> Result<(), NoGroups> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(folder, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// To a file of the kernel's, which is there already; each write is one order.
fn write(file: &Path, value: &str) -> Result<(), NoGroups> {
    let written = OpenOptions::new().write(true).open(file).and_then(|mut opened| opened.write_all(value.as_bytes()));
    written.map_err(|source| failed(file, source))
}

fn failed(path: &Path, source: io::Error) -> NoGroups {
    NoGroups::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_that_of_version_two() {
        let folder = tempfile::tempdir().unwrap();
        let listed = folder.path().join("cgroup");
        for (lines, expected) in [
            ("0::/system.slice/inferd.service\n", Some("/sys/fs/cgroup/system.slice/inferd.service")),
            ("9:name=systemd:/\n4:memory:/a\n0::/b/c\n", Some("/sys/fs/cgroup/b/c")),
            ("4:memory:/a\n", None),
        ] {
            crate::host::durable::replace(&listed, lines.as_bytes()).unwrap();
            assert_eq!(own_group(&listed).ok(), expected.map(PathBuf::from), "{lines}");
        }
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let limits = GroupLimits { memory_bytes: 64 << 20, cpu_percent: Some(150) };
        let written: Vec<String> = settings(limits).map(|(_, file, value)| format!("{file}={value}")).collect();
        assert_eq!(written, ["memory.max=67108864", "memory.oom.group=1", "cpu.max=150000 100000"]);
        assert!(!settings(GroupLimits { cpu_percent: None, ..limits }).any(|(controller, ..)| controller == "cpu"));
    }

    #[test]
    fn a_group_that_is_not_delegated_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let listed = folder.path().join("cgroup");
        for lines in ["0::/\n", "0::/no-such.slice/inferd.service\n"] {
            crate::host::durable::replace(&listed, lines.as_bytes()).unwrap();
            assert!(matches!(Groups::take_over_of(&listed), Err(NoGroups::NotDelegated)), "{lines}");
        }
    }
}
