//! What can be seen of inferd from the outside: its processes and its files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The process ids of a process's children that still run, by `/proc`.
pub fn children(of: u32) -> BTreeSet<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return BTreeSet::new() };
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|&pid| parent(pid) == Some(of)).collect()
}

/// A process's parent; also that of a zombie, which is a process that nobody waited for.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// Every file and folder below a folder, relative to it.
///
/// # Errors
/// Where it cannot be listed.
pub fn tree(folder: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path.clone());
            }
            found.insert(path.strip_prefix(folder).unwrap_or(&path).to_owned());
        }
    }
    Ok(found)
}
