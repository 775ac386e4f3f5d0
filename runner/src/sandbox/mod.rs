//! The walls around the runner: after [`seal`] the process can read what it was given, compute, and answer.
//!
//! Layers, each of which holds if the others fall:
//! 1. Resource limits ([`limits`]): address space, no core file, no file writes, no processes.
//! 2. Not dumpable, so that other processes of the same user cannot trace it; no new privileges.
//! 3. [`landlock`]: no path at all, no TCP port, no signal or abstract socket to the outside.
//! 4. [`seccomp`]: about thirty system calls by number and argument, none of which makes memory executable; a call that
//!    libraries try on the way and take a refusal for (opening files) is refused, every other one ends the process.
//!
//! What is deliberately absent: `PR_SET_PDEATHSIG`. It fires when the *thread* that started the runner ends, and the
//! daemon starts runners on threads that come and go. A runner whose daemon is gone ends at its next receive, because
//! the socket is closed; that holds also if the daemon died before this code ran.

mod landlock;
mod limits;
mod seccomp;

use inferd_core::wire::SandboxReport;
use nix::sys::prctl;

use crate::log;

/// Seals the process for good. Gives what the kernel really granted; what it did not is in the log.
pub fn seal(memory_bytes: u64) -> SandboxReport {
    let rlimits = limit_resources(memory_bytes);
    granted("no tracing", prctl::set_dumpable(false));
    granted("no new privileges", prctl::set_no_new_privs());
    let no_new_privs = prctl::get_no_new_privs().unwrap_or(false);
    let landlock_abi = deny_paths();
    let seccomp = granted("system-call filter", seccomp::apply());
    SandboxReport { no_new_privs, landlock_abi, seccomp, rlimits }
}

/// The first layer alone; whether all of it is in force.
pub fn limit_resources(memory_bytes: u64) -> bool {
    granted("resource limits", limits::apply(memory_bytes))
}

/// The third layer alone; the ABI in force, 0 where the kernel has none.
pub fn deny_paths() -> u32 {
    landlock::apply().unwrap_or_else(|error| {
        log::line(format_args!("sandbox: no Landlock: {error}"));
        0
    })
}

fn granted<E: std::fmt::Display>(what: &str, result: Result<(), E>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => {
            log::line(format_args!("sandbox: no {what}: {error}"));
            false
        }
    }
}
