//! What the kernel says of a process.

use std::time::{SystemTime, UNIX_EPOCH};

/// Resident memory in bytes; 0 where the process is gone. The second field of `/proc/PID/statm`, in pages (proc(5)).
#[expect(clippy::cast_precision_loss, reason = "bytes of a process are far below 2^53")]
pub(super) fn resident_bytes(pid: u32) -> f64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    pages as f64 * page_bytes as f64
}

/// Now, in seconds since 1970.
pub(super) fn now_unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
