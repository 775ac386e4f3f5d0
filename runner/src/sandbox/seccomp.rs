//! The system calls of a sealed runner.
//!
//! Two filters, one on the other; the kernel takes the sterner answer:
//! - the first answers EACCES to calls in [`REFUSED`] and lets all others through;
//! - the second lets through [`allowed`] and [`REFUSED`], and ends the process at everything else (SIGSYS).
//!
//! Both end the process when a call comes by another architecture's numbers (32-bit calls on a 64-bit kernel).

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// The only descriptor that is written to by `write`: the log.
const LOG: u64 = 2;
/// The only descriptor that messages go through: the daemon's socket.
const SOCKET: u64 = 0;

/// The filter is not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error("cannot compile it: {0}")]
    Compile(#[from] BackendError),
    #[error("the kernel refuses it: {0}")]
    Install(#[from] seccompiler::Error),
}

/// Installs both filters on all threads.
pub(super) fn apply() -> Result<(), FilterError> {
    let refused: BpfProgram = SeccompFilter::new(
        REFUSED.iter().map(|&call| (number(call), Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EACCES.unsigned_abs()),
        ARCH,
    )?
    .try_into()?;
    let allowed: BpfProgram =
        SeccompFilter::new(allowed()?, SeccompAction::KillProcess, SeccompAction::Allow, ARCH)?.try_into()?;
    apply_filter_all_threads(&refused)?;
    apply_filter_all_threads(&allowed)?;
    Ok(())
}

/// Calls that libraries try and take a refusal for: they look at `/proc`, `/sys` or the working folder and go on.
const REFUSED: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
];

/// Calls that are let through whatever their arguments.
const FREE: &[(c_long, &str)] = &[
    (libc::SYS_munmap, "memory is given back; large tensors are mappings"),
    (libc::SYS_mremap, "a growing buffer is moved; protection stays as it is"),
    (libc::SYS_madvise, "the allocator gives back pages inside its heap"),
    (libc::SYS_brk, "the heap"),
    (libc::SYS_read, "standard input only is open for reading, beside files that the daemon passed"),
    (libc::SYS_pread64, "artifact and golden files are read by position"),
    (libc::SYS_close, "passed files are closed after reading"),
    (libc::SYS_futex, "locks of the standard library, were they ever contended"),
    (libc::SYS_sched_yield, "a lock that spins"),
    (libc::SYS_sched_getaffinity, "libraries ask how many CPUs there are"),
    (libc::SYS_clock_gettime, "stage times, where the clock is not mapped into the process"),
    (libc::SYS_getrandom, "seeds of hash maps"),
    (libc::SYS_getpid, "abort() names itself"),
    (libc::SYS_gettid, "abort() names its thread"),
    (libc::SYS_rt_sigprocmask, "abort() blocks signals"),
    (libc::SYS_rt_sigaction, "abort() restores SIGABRT; the stack guard restores SIGSEGV"),
    (libc::SYS_rt_sigreturn, "the stack guard returns from its handler"),
    (libc::SYS_sigaltstack, "the stack guard is taken down at exit"),
    (libc::SYS_restart_syscall, "a receive that was stopped and goes on"),
    (libc::SYS_exit, "the end"),
    (libc::SYS_exit_group, "the end"),
];

/// What is let through, by number, with the conditions on its arguments.
fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED
        .iter()
        .copied()
        .chain(FREE.iter().map(|(call, _)| *call))
        .map(|call| (number(call), Vec::new()))
        .collect();
    let mut only = |call: c_long, conditions: Vec<SeccompCondition>| {
        rules.entry(number(call)).or_default().push(SeccompRule::new(conditions)?);
        Ok::<(), BackendError>(())
    };
    // No memory is ever executable: code that an exploit brings along cannot be run.
    only(libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)?])?;
    only(libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)?])?;
    // Messages through the daemon's socket, log lines through standard error.
    only(libc::SYS_recvmsg, vec![equal(0, SOCKET)?])?;
    only(libc::SYS_sendto, vec![equal(0, SOCKET)?])?;
    only(libc::SYS_write, vec![equal(0, LOG)?])?;
    // The memory file's seals are read before it is mapped.
    only(libc::SYS_fcntl, vec![equal(1, u64::from(libc::F_GET_SEALS.unsigned_abs()))?])?;
    // abort() after an allocation failed, and nobody else's end.
    let own = u64::from(std::process::id());
    only(libc::SYS_tgkill, vec![equal(0, own)?, equal(2, u64::from(libc::SIGABRT.unsigned_abs()))?])?;
    Ok(rules)
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value)
}

fn without(argument: u8, bit: i32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(u64::from(bit.unsigned_abs())), 0)
}

/// Numbers of calls are small; the type differs between architectures' C libraries.
#[expect(clippy::useless_conversion, reason = "c_long is 32 bits wide on some targets")]
fn number(call: c_long) -> i64 {
    i64::from(call)
}
