//! inferd's process, as this machine's `/proc` shows it.
//!
//! Invariant: what is not known is absent. The process id comes from the bus; where the process of that id is not an inferd
//! (the bus is another container's), nothing is said of it but the id.

use std::path::Path;
use std::time::Duration;

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// How long it has run.
    pub(crate) uptime: Option<Duration>,
    /// Its resident memory.
    pub(crate) resident_bytes: Option<u64>,
}

impl Process {
    /// Looks at the process of an id.
    pub(crate) fn look(pid: u32) -> Self {
        Self::look_below(Path::new("/proc"), pid)
    }

    fn look_below(proc: &Path, pid: u32) -> Self {
        let read = |file: &str| std::fs::read_to_string(proc.join(file)).ok();
        let own = |file: &str| read(&format!("{pid}/{file}"));
        if own("comm").is_none_or(|name| name.trim() != "inferd") {
            return Self { pid, ..Self::default() };
        }
        let uptime = own("stat").zip(read("uptime")).and_then(|(stat, uptime)| running_for(&stat, &uptime));
        Self { pid, uptime, resident_bytes: own("status").and_then(|status| resident_bytes(&status)) }
    }
}

/// Ticks in a second, in everything that the kernel tells programs (USER_HZ): 100 on all that Debian runs on.
const TICKS: f64 = 100.0;

/// From `/proc/PID/stat`, whose 22nd field is when it began in ticks since the boot, and `/proc/uptime`.
fn running_for(stat: &str, uptime: &str) -> Option<Duration> {
    // The second field, the name, is in brackets and may hold spaces and brackets.
    let (_, after_name) = stat.rsplit_once(')')?;
    let begun: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64((now - begun / TICKS).max(0.0)).ok()
}

/// `VmRSS` of `/proc/PID/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4711 (in) fer d) S 1 4711 4711 0 -1 4194560 5096 0 0 0 12 3 0 0 20 0 9 0 250000 1 2 3";

    #[test]
    fn what_the_kernel_tells_is_read() {
        assert_eq!(running_for(STAT, "2600.50 5000.00\n"), Some(Duration::from_millis(100_500)));
        assert_eq!(resident_bytes("Name:\tinferd\nVmRSS:\t   40240 kB\nThreads: 9\n"), Some(41_205_760));
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_absent() {
        for (stat, uptime) in [("", "1.0 1.0"), ("1 (x) S", "1.0"), (STAT, ""), (STAT, "NaN")] {
            let ran = running_for(stat, uptime);
            assert!(ran.is_none_or(|ran| ran.is_zero()), "{stat:?} {uptime:?}: {ran:?}");
        }
        assert_eq!(resident_bytes("Name:\tinferd\n"), None);
    }

    #[test]
    fn of_a_process_that_is_no_inferd_only_the_id_is_said() {
        let own = std::process::id();
        assert_eq!(Process::look(own), Process { pid: own, ..Process::default() });
        assert_eq!(Process::look(0), Process::default());
    }
}
