//! Does the machine give what inferd needs: its runner, what confines it, room on the disk, the time.

use inferd::config::Config;
use inferd_core::wire::SandboxPolicy;

use crate::doctor::facts::{Clock, Disk, Facts, Kernel, Looked, Runner};
use crate::doctor::report::Check;
use crate::figures::{bytes, counted};
use crate::view::Everything;

/// Less than this, and a model cannot be installed any more.
const LITTLE_BYTES: u64 = 64 << 20;

/// The earliest year that can be: a device without a clock of its own begins in 1970 or with its firmware's build.
const FIRST_YEAR: i16 = 2025;

const EDIT: &str = "sudoedit /etc/inferd/inferd.toml";
const REINSTALL: &str = "sudo apt install --reinstall inferd";

/// Is the program there that computes. What runs was found, whatever this user can see.
pub(super) fn runner(facts: &Facts) -> Check {
    let name = "runner";
    let why = match &facts.runner {
        Ok(Runner { program, executable: true }) => return Check::ok(name, program.display().to_string()),
        Ok(Runner { program, executable: false }) => format!("{} is no program that can be run", program.display()),
        Err(why) => why.clone(),
    };
    if facts.daemon.as_ref().is_ok_and(|daemon| daemon.pipelines.iter().any(|pipeline| pipeline.runner_pid != 0)) {
        return Check::ok(name, "inferd has found it: runners run");
    }
    match facts.configuration.config() {
        Some(_) => Check::problem(name, why, REINSTALL),
        None => Check::skipped(name, &format!("{why}, and the configuration, which may name another, is not known")),
    }
}

/// How far runners are confined: as inferd has found, or as the kernel promises.
pub(super) fn sandbox(kernel: &Kernel, daemon: Option<&Everything>, config: Option<&Config>) -> Check {
    let name = "sandbox";
    let reached: Vec<_> =
        daemon.iter().flat_map(|daemon| &daemon.pipelines).filter(|p| !p.sandbox.is_empty()).collect();
    let partial: Vec<String> =
        reached.iter().filter(|p| p.sandbox != "full").map(|p| format!("{} ({})", p.name, p.sandbox)).collect();
    if !partial.is_empty() {
        let message = format!("runners are not fully confined: {}", partial.join(", "));
        return Check::warning(name, message, "cat /sys/kernel/security/lsm");
    }
    if !reached.is_empty() {
        return Check::ok(name, format!("full for {}", counted(reached.len() as u64, "runner")));
    }
    let (modules, seccomp) = match (&kernel.modules, &kernel.seccomp) {
        (Ok(modules), Ok(seccomp)) => (modules, *seccomp),
        (Err(why), _) | (_, Err(why)) => return Check::skipped(name, why),
    };
    let lacks: Vec<&str> = [("Landlock", modules.iter().any(|module| module == "landlock")), ("seccomp", seccomp)]
        .into_iter()
        .filter_map(|(what, has)| (!has).then_some(what))
        .collect();
    if lacks.is_empty() {
        return Check::ok(name, "the kernel has Landlock and seccomp; no runner runs that could be asked");
    }
    let refused = config.is_none_or(|config| match config.runner.sandbox {
        SandboxPolicy::Full => true,
        SandboxPolicy::Filtered => lacks.contains(&"seccomp"),
        SandboxPolicy::BestEffort => false,
    });
    let lacks = lacks.join(" and no ");
    if refused {
        let message = format!(
            "the kernel has no {lacks}: runners refuse to serve. Use one that has (Landlock may have to be named in `lsm=` on \
             its command line), or set sandbox = \"filtered\" or \"best-effort\" in [runner]"
        );
        return Check::problem(name, message, "cat /sys/kernel/security/lsm").then(EDIT);
    }
    let message = format!("the kernel has no {lacks}: runners will be confined in part only");
    Check::warning(name, message, "cat /sys/kernel/security/lsm")
}

/// Does the kernel hold runners to their memory and processor time.
pub(super) fn limits(kernel: &Kernel) -> Check {
    let name = "limits";
    match &kernel.limits {
        Err(why) => Check::skipped(name, why),
        Ok(limits) if limits.iter().any(|limit| limit == "memory") => {
            Check::ok(name, format!("the kernel holds runners to theirs: {}", limits.join(", ")))
        }
        Ok(_) => {
            let message = "the kernel does not limit the memory of runners, only their address space: put cgroup_enable=memory \
                           on its command line (Raspberry Pi OS: /boot/firmware/cmdline.txt) and reboot";
            Check::warning(name, message, "cat /sys/fs/cgroup/cgroup.controllers")
        }
    }
}

/// Can anything be written where models and samples are.
pub(super) fn disk(disk: &Looked<Disk>, config: Option<&Config>) -> Check {
    let name = "disk";
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return Check::skipped(name, why),
    };
    let place =
        config.map_or_else(|| "/var/lib/inferd".to_owned(), |config| config.service.state_dir.display().to_string());
    if disk.read_only {
        let message = format!("the file system of {place} is read-only: nothing can be installed or kept");
        return Check::problem(name, message, format!("findmnt -T {place}")).then("dmesg | grep -i 'remount'");
    }
    let look = format!("df -h {place}");
    let free = format!("{} of {} free at {place}", bytes(disk.free_bytes), bytes(disk.bytes));
    if disk.free_bytes < LITTLE_BYTES {
        return Check::problem(name, free, look);
    }
    if disk.files > 0 && disk.free_files < disk.files / 100 {
        let message = format!("only {} left at {place}", counted(disk.free_files, "inode"));
        return Check::warning(name, message, format!("df -i {place}"));
    }
    let wanted = config.map_or(0, |config| config.spool.max_bytes);
    if disk.free_bytes < wanted {
        let message = format!("{free}, less than the {} that samples may take", bytes(wanted));
        return Check::warning(name, message, look);
    }
    Check::ok(name, free)
}

/// Samples against their limit.
pub(super) fn spool(daemon: &Looked<Everything>, config: Option<&Config>) -> Check {
    let name = "spool";
    let Ok(daemon) = daemon else { return Check::skipped(name, "inferd does not run") };
    let Some(limits) = config.map(|config| &config.spool) else {
        return Check::skipped(name, "its limit stands in the configuration, which could not be read");
    };
    let spool = &daemon.spool;
    let waiting = counted(spool.pending, "waiting sample");
    let used = format!("{waiting}, {} of {}", bytes(spool.bytes), bytes(limits.max_bytes));
    if !spool.last_error.is_empty() {
        let message = format!("uploads fail: {}; {used}", spool.last_error);
        return Check::warning(name, message, "inferctl samples --flush");
    }
    if spool.dropped > 0 {
        let message = format!("{} dropped since the start; {used}", counted(spool.dropped, "sample"));
        return Check::warning(name, message, "inferctl samples");
    }
    let is_nearly = |used: u64, most: u64| used > most / 5 * 4;
    if is_nearly(spool.bytes, limits.max_bytes) || is_nearly(spool.pending, u64::from(limits.max_samples)) {
        return Check::warning(name, format!("nearly full: {used}"), "inferctl samples");
    }
    Check::ok(name, used)
}

/// Outcomes and samples carry the time.
pub(super) fn clock(clock: &Clock) -> Check {
    const SET: &str = "sudo timedatectl set-ntp true";
    let name = "clock";
    if clock.year < FIRST_YEAR {
        let message = format!("the clock says {}: times are wrong, and no certificate is valid", clock.year);
        return Check::problem(name, message, SET).then("timedatectl timesync-status");
    }
    match &clock.synchronised {
        Ok(true) => Check::ok(name, "synchronised"),
        Ok(false) => Check::warning(name, "not synchronised: times of outcomes drift", SET).then("timedatectl"),
        Err(why) => Check::skipped(name, why),
    }
}

#[cfg(test)]
mod tests;
