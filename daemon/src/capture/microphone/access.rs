//! Why a device cannot be opened, and what to do.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::host::permission;

/// Where the kernel has its sound devices.
const NODES: &str = "/dev/snd";

/// Where it says what is done with them.
const STATES: &str = "/proc/asound";

/// Why a capture device (its card's number and its own, where they are known) cannot be opened; `said` are the library's words.
pub(super) fn why_not(errno: Errno, said: &str, numbers: Option<(i32, u32)>) -> String {
    match errno {
        Errno::EBUSY => busy(holder(Path::new(STATES), numbers)),
        Errno::EACCES | Errno::EPERM => {
            let node = numbers.map(|(card, device)| Path::new(NODES).join(format!("pcmC{card}D{device}c")));
            let node = node.or_else(|| refused(Path::new(NODES), "pcm").map(|(node, _)| node));
            node.map_or_else(
                || format!("cannot be opened: {}", errno.desc()),
                |node| permission::refused(&node, &errno.into(), "char-alsa"),
            )
        }
        errno if said.is_empty() => format!("cannot be opened: {}", errno.desc()),
        errno => format!("cannot be opened: {} (ALSA: {said})", errno.desc()),
    }
}

/// That sound cards are there of which nothing is to be seen, because they may not be opened.
pub(super) fn denied() -> Option<String> {
    refused(Path::new(NODES), "control").map(|(node, errno)| permission::refused(&node, &errno.into(), "char-alsa"))
}

/// The first of the nodes with such names that may not be opened.
fn refused(nodes: &Path, prefix: &str) -> Option<(PathBuf, Errno)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(nodes).ok()?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    paths.sort_unstable();
    paths.into_iter().find_map(|path| {
        // Both ways, as the library does.
        let error = OpenOptions::new().read(true).write(true).open(&path).err()?;
        matches!(error.kind(), io::ErrorKind::PermissionDenied).then(|| (path, errno_of(&error)))
    })
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

/// Who records from a device, or from any where it is not known.
fn holder(states: &Path, numbers: Option<(i32, u32)>) -> Option<u32> {
    let folder = |(card, device)| states.join(format!("card{card}/pcm{device}c"));
    let devices = match numbers {
        Some(numbers) => vec![folder(numbers)],
        None => entries(states, "card").flat_map(|card| entries(&card, "pcm")).filter(|path| records(path)).collect(),
    };
    devices.iter().flat_map(|device| entries(device, "sub")).find_map(|sub| owner(&sub.join("status")))
}

fn records(device: &Path) -> bool {
    device.as_os_str().as_encoded_bytes().ends_with(b"c")
}

/// What is in a folder and begins so, in order.
fn entries(folder: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes())));
    found.sort_unstable();
    found.into_iter()
}

/// The process that a state names: `owner_pid   : 1234`.
fn owner(status: &Path) -> Option<u32> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("owner_pid"))?;
    line.trim_start().strip_prefix(':')?.trim().parse().ok()
}

fn busy(holder: Option<u32>) -> String {
    match holder {
        None => "is held by another program".to_owned(),
        Some(pid) if pid == std::process::id() => "is held by another pipeline of inferd's".to_owned(),
        // Its name may be hidden from us.
        Some(pid) => match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => format!("is held by another program: {} (process {pid})", name.trim_end()),
            Err(_) => format!("is held by another program: process {pid}"),
        },
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::host::durable::replace;

    fn state(states: &Path, device: &str, text: &str) {
        fs::create_dir_all(states.join(device)).unwrap();
        replace(&states.join(device).join("status"), text.as_bytes()).unwrap();
    }

    #[test]
    fn who_holds_a_device_is_told_by_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let states = folder.path();
        state(states, "card0/pcm0p/sub0", "state: RUNNING\nowner_pid   : 11\n");
        state(states, "card0/pcm0c/sub0", "closed\n");
        state(states, "card1/pcm0c/sub0", "closed\n");
        state(states, "card1/pcm0c/sub1", "state: RUNNING\nowner_pid   : 4711\ntrigger_time: 1.2\nhw_ptr      : 9\n");
        let cases = [(Some((0, 0)), None), (Some((1, 0)), Some(4711)), (Some((2, 0)), None), (None, Some(4711))];
        for (numbers, expected) in cases {
            assert_eq!(holder(states, numbers), expected, "{numbers:?}");
        }
        assert_eq!(busy(Some(std::process::id())), "is held by another pipeline of inferd's");
        assert_eq!(busy(None), "is held by another program");
        let parent = std::os::unix::process::parent_id();
        let name = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap();
        assert_eq!(busy(Some(parent)), format!("is held by another program: {} (process {parent})", name.trim_end()));
    }

    #[test]
    fn the_library_is_quoted_where_the_system_says_little() {
        assert_eq!(why_not(Errno::EINVAL, "", None), "cannot be opened: Invalid argument");
        let said = "Unknown PCM hall";
        assert_eq!(
            why_not(Errno::ENOENT, said, None),
            format!("cannot be opened: No such file or directory (ALSA: {said})")
        );
    }
}
