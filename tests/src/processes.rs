//! What the system says of processes: children, memory, open files. Read from `/proc`, as `ps` does.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

/// The processes that `parent` started and that are not reaped, zombies too.
///
/// # Errors
/// Where `/proc` cannot be listed.
pub fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let all = fs::read_dir("/proc")?.filter_map(Result::ok);
    let pids = all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let is_child = |pid: &u32| field(*pid, "PPid").is_ok_and(|text| text == parent.to_string());
    let mut children: Vec<u32> = pids.filter(is_child).collect();
    children.sort_unstable();
    Ok(children)
}

/// Whether a process is there and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    field(pid, "State").is_ok_and(|state| !state.starts_with(['Z', 'X']))
}

/// Whether a process was stopped by a signal.
pub fn is_stopped(pid: u32) -> bool {
    field(pid, "State").is_ok_and(|state| state.starts_with('T'))
}

/// Resident memory in kilobytes.
///
/// # Errors
/// Where the process is gone.
pub fn resident_kb(pid: u32) -> anyhow::Result<u64> {
    kilobytes(pid, "VmRSS")
}

/// Resident memory in kilobytes without mapped memory files, which [`memory_files`] counts.
///
/// # Errors
/// Where the process is gone.
pub fn resident_without_memory_files_kb(pid: u32) -> anyhow::Result<u64> {
    Ok(kilobytes(pid, "VmRSS")?.saturating_sub(kilobytes(pid, "RssShmem")?))
}

fn kilobytes(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = field(pid, name)?;
    text.trim_end_matches("kB").trim().parse().with_context(|| format!("{name} of {pid} is `{text}`"))
}

/// Bytes of the memory files (`memfd_create`) that a process has open, each counted once. Memory that it holds without
/// having it mapped, so that no resident size tells of it.
///
/// # Errors
/// Where the process is gone.
pub fn memory_files(pid: u32) -> anyhow::Result<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(Result::ok).map(|entry| entry.path());
    let memory =
        descriptors.filter(|path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:")));
    // The path leads through the descriptor to the file itself.
    let files = memory.filter_map(|path| fs::metadata(path).ok());
    let sizes: BTreeMap<u64, u64> = files.map(|file| (file.ino(), file.size())).collect();
    Ok(sizes.values().sum())
}

/// What the open descriptors of a process lead to, sorted.
///
/// # Errors
/// Where the process is gone.
pub fn open_files(pid: u32) -> anyhow::Result<Vec<PathBuf>> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(Result::ok);
    // One that is closed between listing and reading was not there for long.
    let mut files: Vec<PathBuf> = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    files.sort_unstable();
    Ok(files)
}

fn field(pid: u32, name: &str) -> anyhow::Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("the status of {pid} has no {name}"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    #[test]
    fn memory_files_are_counted_once_however_often_they_are_open() {
        let own = std::process::id();
        let before = memory_files(own).unwrap();
        let mut file = fs::File::from(memfd_create("counted", MFdFlags::empty()).unwrap());
        file.write_all(&[1; 70_000]).unwrap();
        let again = file.try_clone().unwrap();
        assert_eq!(memory_files(own).unwrap(), before + 70_000);
        drop((file, again));
        assert_eq!(memory_files(own).unwrap(), before);
    }
}
