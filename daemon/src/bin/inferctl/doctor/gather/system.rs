//! What the kernel, systemd and the user database say.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use inferd::config::{self, Config};
use jiff::Zoned;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{Group, Uid, User, getgrouplist};

use crate::command::{Keep, ask};
use crate::doctor::checks::GROUPS;
use crate::doctor::facts::{Account, Clock, Disk, Kernel, Looked, Runner, Unit};

/// The user that the package makes.
const SERVICE_USER: &str = "inferd";

/// systemd and the clock's service answer at once, or not at all.
const WITHIN: Duration = Duration::from_secs(5);

/// What is asked for fits many times.
const MAX_BYTES: usize = 1 << 16;

async fn said(program: &[&str]) -> Looked<String> {
    let said = ask(program, WITHIN, MAX_BYTES, Keep::First).await?;
    if said.status.success() {
        return Ok(String::from_utf8_lossy(&said.stdout).into_owned());
    }
    let first = said.stderr.lines().next().unwrap_or_default();
    Err(format!("{} failed: {first}", program.first().unwrap_or(&"")))
}

pub(super) async fn unit() -> Looked<Unit> {
    const ASKED: &str = "--property=LoadState,ActiveState,SubState,UnitFileState,Result,NRestarts,ActiveEnterTimestamp,\
                         SupplementaryGroups,ProtectSystem,ReadWritePaths";
    said(&["systemctl", "show", "inferd.service", ASKED]).await.map(|text| unit_of(&text))
}

/// Lines of `Key=Value`.
fn unit_of(text: &str) -> Unit {
    let values: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |key: &str| values.get(key).copied().unwrap_or_default();
    let words = |key: &str| value(key).split_whitespace().map(str::to_owned);
    Unit {
        load: value("LoadState").to_owned(),
        active: value("ActiveState").to_owned(),
        sub: value("SubState").to_owned(),
        enabled: value("UnitFileState").to_owned(),
        result: value("Result").to_owned(),
        restarts: value("NRestarts").parse().unwrap_or_default(),
        since: value("ActiveEnterTimestamp").to_owned(),
        groups: words("SupplementaryGroups").collect(),
        strict: value("ProtectSystem") == "strict",
        // `-` and `+` before a path are systemd's: may be absent, below the unit's root.
        writable: words("ReadWritePaths").map(|path| path.trim_start_matches(['-', '+']).into()).collect(),
    }
}

pub(super) async fn synchronised() -> Looked<bool> {
    let text = said(&["timedatectl", "show", "--property=NTPSynchronized"]).await?;
    match text.trim() {
        "NTPSynchronized=yes" => Ok(true),
        "NTPSynchronized=no" => Ok(false),
        other => Err(format!("timedatectl says `{other}`")),
    }
}

pub(super) fn clock(synchronised: Looked<bool>) -> Clock {
    Clock { year: Zoned::now().year(), synchronised }
}

/// The user that the service runs as, or the current one.
pub(super) fn account(own: bool) -> Looked<Account> {
    let (user, who) = if own {
        (User::from_uid(Uid::effective()), "this user")
    } else {
        (User::from_name(SERVICE_USER), "the user inferd")
    };
    let user = user.map_err(|error| format!("users cannot be looked up: {error}"))?;
    let user = user.ok_or_else(|| format!("{who} does not exist: the package makes it"))?;
    let name = CString::new(user.name.as_str()).map_err(|error| error.to_string())?;
    let gids = getgrouplist(&name, user.gid).map_err(|error| format!("groups cannot be looked up: {error}"))?;
    let groups = gids.iter().filter_map(|gid| Group::from_gid(*gid).ok().flatten()).map(|group| group.name).collect();
    Ok(Account { name: user.name, uid: user.uid.as_raw(), gids: gids.iter().map(|gid| gid.as_raw()).collect(), groups })
}

/// Those groups of interest that there are.
pub(super) fn groups() -> Vec<String> {
    let there = |name: &&str| Group::from_name(name).is_ok_and(|group| group.is_some());
    GROUPS.iter().filter(|name| there(name)).map(|name| (*name).to_owned()).collect()
}

pub(super) fn runner(config: Option<&Config>) -> Looked<Runner> {
    let settings = config.map_or_else(config::Runner::default, |config| config.runner.clone());
    let program = settings.locate().map_err(|error| error.to_string())?;
    match std::fs::metadata(&program) {
        Ok(found) => {
            let executable = found.is_file() && found.permissions().mode() & 0o111 != 0;
            Ok(Runner { program, executable })
        }
        Err(error) => Err(format!("{} cannot be run: {error}", program.display())),
    }
}

pub(super) fn kernel() -> Kernel {
    let unreadable = |path: &str| {
        let path = path.to_owned();
        move |error: io::Error| format!("{path} cannot be read: {error}")
    };
    let (modules, status) = ("/sys/kernel/security/lsm", "/proc/self/status");
    let modules = std::fs::read_to_string(modules).map_err(unreadable(modules));
    let status = std::fs::read_to_string(status).map_err(unreadable(status));
    Kernel {
        modules: modules.map(|text| text.trim().split(',').map(str::to_owned).collect()),
        seccomp: status.map(|text| text.lines().any(|line| line.starts_with("Seccomp:"))),
        limits: limits(),
    }
}

/// What inferd has passed on to the groups of its runners.
fn limits() -> Looked<Vec<String>> {
    let passed_on = "/sys/fs/cgroup/system.slice/inferd.service/runners/cgroup.subtree_control";
    match std::fs::read_to_string(passed_on) {
        Ok(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("runners have no control groups: inferd does not run by its unit, or not in system.slice".to_owned())
        }
        Err(error) => Err(format!("{passed_on} cannot be read: {error}")),
    }
}

/// The file system that a folder is on, or would be.
pub(super) fn disk(folder: &Path) -> Looked<Disk> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let found = statvfs(there).map_err(|error| format!("{} cannot be looked at: {error}", there.display()))?;
    let block = found.fragment_size();
    Ok(Disk {
        bytes: found.blocks().saturating_mul(block),
        free_bytes: found.blocks_available().saturating_mul(block),
        files: found.files(),
        free_files: found.files_available(),
        read_only: found.flags().contains(FsFlags::ST_RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_shows_is_read() {
        let unit = unit_of(
            "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=3\n\
             ActiveEnterTimestamp=Fri 2026-11-20 08:00:00 UTC\nSupplementaryGroups=video audio\n\
             ProtectSystem=strict\nReadWritePaths=-/srv/samples /mnt/x\n",
        );
        assert!(unit.runs() && unit.strict);
        assert_eq!((unit.restarts, unit.since.as_str()), (3, "Fri 2026-11-20 08:00:00 UTC"));
        assert_eq!(unit.groups, ["video", "audio"]);
        assert_eq!(unit.writable, [Path::new("/srv/samples"), Path::new("/mnt/x")]);
        assert!(!unit_of("").runs());
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_that_it_would_be_on() {
        let folder = tempfile::tempdir().unwrap();
        let (there, later) = (disk(folder.path()).unwrap(), disk(&folder.path().join("a/b")).unwrap());
        assert!(there.bytes > 0);
        assert_eq!(there.bytes, later.bytes);
    }
}
