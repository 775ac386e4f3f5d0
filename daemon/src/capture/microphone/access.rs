//! Why a device cannot be opened, and what to do.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

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
            node.map_or_else(|| format!("cannot be opened: {}", errno.desc()), |node| forbidden(&node, errno))
        }
        errno if said.is_empty() => format!("cannot be opened: {}", errno.desc()),
        errno => format!("cannot be opened: {} (ALSA: {said})", errno.desc()),
    }
}

/// That sound cards are there of which nothing is to be seen, because they may not be opened.
pub(super) fn denied() -> Option<String> {
    refused(Path::new(NODES), "control").map(|(node, errno)| forbidden(&node, errno))
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

/// What to do about a node that may not be opened.
fn forbidden(node: &Path, errno: Errno) -> String {
    let node_text = node.display();
    if errno == Errno::EPERM {
        return format!("{node_text} is kept from inferd by its unit: set `DeviceAllow=char-alsa rw` in a drop-in");
    }
    let user = match User::from_uid(Uid::effective()) {
        Ok(Some(user)) => user.name,
        _ => Uid::effective().to_string(),
    };
    match fs::metadata(node) {
        Ok(found) if found.mode() & 0o060 == 0o060 => {
            let group = match Group::from_gid(Gid::from_raw(found.gid())) {
                Ok(Some(group)) => group.name,
                _ => found.gid().to_string(),
            };
            format!("{node_text} is for the group {group} only: run `usermod -aG {group} {user}`, then restart inferd")
        }
        _ => format!("{node_text} may not be opened by the user {user}: give its group that right by a rule of udev's"),
    }
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
    use std::os::unix::fs::PermissionsExt;

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
    fn who_may_open_a_device_is_said_by_group() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("pcmC0D0c");
        replace(&node, b"").unwrap();
        let user = User::from_uid(Uid::effective()).unwrap();
        let user = user.map_or_else(|| Uid::effective().to_string(), |user| user.name);
        let gid = Gid::from_raw(fs::metadata(&node).unwrap().gid());
        let group = Group::from_gid(gid).unwrap().map_or_else(|| gid.to_string(), |group| group.name);
        fs::set_permissions(&node, fs::Permissions::from_mode(0o660)).unwrap();
        let told = forbidden(&node, Errno::EACCES);
        let advice = format!("is for the group {group} only: run `usermod -aG {group} {user}`, then restart inferd");
        assert_eq!(told, format!("{} {advice}", node.display()));
        fs::set_permissions(&node, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(forbidden(&node, Errno::EACCES).contains("rule of udev's"));
        assert!(forbidden(&node, Errno::EPERM).contains("`DeviceAllow=char-alsa rw`"));
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
