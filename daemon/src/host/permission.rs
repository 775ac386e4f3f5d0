//! Why a device may not be opened, and what to do.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

/// What an operator has to do where the system refuses to let inferd open a device; `class` is what a unit calls its like
/// (`char-video4linux`).
pub fn refused(node: &Path, error: &io::Error, class: &str) -> String {
    let place = node.display();
    if error.raw_os_error() == Some(libc::EPERM) {
        return format!("{place} is kept from inferd by its unit: set `DeviceAllow={class} rw` in a drop-in");
    }
    let me = Uid::effective();
    let user = User::from_uid(me).ok().flatten().map_or_else(|| me.to_string(), |user| user.name);
    // A group that may not read and write is of no use.
    let group = node.metadata().ok().filter(|found| found.mode() & 0o060 == 0o060).map(|found| {
        let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
        group.map_or_else(|| found.gid().to_string(), |group| group.name)
    });
    sentence(&user, node, group.as_deref())
}

fn sentence(user: &str, node: &Path, group: Option<&str>) -> String {
    let place = node.display();
    match group {
        None | Some("root") => {
            format!("{place} may not be opened by the user {user}: give its group that right by a rule of udev's")
        }
        Some(group) => {
            format!("{place} is for the group {group} only: run `usermod -aG {group} {user}`, then restart inferd")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_named() {
        let node = Path::new("/dev/video0");
        let said = sentence("inferd", node, Some("video"));
        assert_eq!(
            said,
            "/dev/video0 is for the group video only: run `usermod -aG video inferd`, then restart inferd"
        );
        for group in [None, Some("root")] {
            assert!(sentence("inferd", node, group).contains("by a rule of udev's"));
        }
    }

    #[test]
    fn a_unit_that_keeps_a_device_is_told_from_a_group() {
        let error = |number| io::Error::from_raw_os_error(number);
        let null = Path::new("/dev/null");
        let said = refused(null, &error(libc::EPERM), "char-alsa");
        assert_eq!(said, "/dev/null is kept from inferd by its unit: set `DeviceAllow=char-alsa rw` in a drop-in");
        assert!(refused(null, &error(libc::EACCES), "char-alsa").starts_with("/dev/null "));
    }
}
