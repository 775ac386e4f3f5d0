//! What can be seen of inferd from the outside: its files. Its processes: [`processes`](crate::processes).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every file and folder below a folder, relative to it. What is deleted meanwhile may or may not be among them.
///
/// # Errors
/// Where it cannot be listed.
pub fn tree(folder: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let entries = match std::fs::read_dir(&next) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && next != folder => continue,
            entries => entries?,
        };
        for entry in entries {
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
