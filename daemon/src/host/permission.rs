//! Who may open a device, for messages.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

/// What an operator has to do where inferd may not open a device: which group it is for.
pub fn may_not_open(device: &Path) -> String {
    let me = Uid::effective();
    let user = User::from_uid(me).ok().flatten().map_or_else(|| me.to_string(), |user| user.name);
    let group = device.metadata().ok().and_then(|meta| Group::from_gid(Gid::from_raw(meta.gid())).ok().flatten());
    sentence(&user, device, group.map(|group| group.name).as_deref())
}

fn sentence(user: &str, device: &Path, group: Option<&str>) -> String {
    let place = device.display();
    match group {
        None | Some("root") => {
            format!("{user} may not open {place}; a udev rule has to give it to a group that {user} is in")
        }
        Some(group) => format!(
            "{user} may not open {place}, which is for the group {group}: `sudo usermod -a -G {group} {user}`, then start inferd \
             again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_named() {
        let device = Path::new("/dev/video0");
        let said = sentence("inferd", device, Some("video"));
        assert!(said.contains("is for the group video: `sudo usermod -a -G video inferd`"), "{said}");
        assert!(sentence("inferd", device, Some("root")).contains("a udev rule"));
        assert!(may_not_open(device).contains("may not open /dev/video0"));
    }
}
