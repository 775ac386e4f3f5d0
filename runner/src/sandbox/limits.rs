//! Resource limits.

use std::fs::OpenOptions;
use std::io::Write as _;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{SFlag, fstat};

/// Descriptors: standard input, output and error, an artifact or two golden files, a memory file, and some to spare.
const MAX_DESCRIPTORS: u64 = 32;

/// Where memory runs out the kernel ends processes with a high score first: a runner, which is started again, and not the
/// daemon. -1000 to 1000 (proc(5)).
const OOM_SCORE_ADJ: &[u8] = b"500";

/// Applies the limits; the hard ones too, so that they cannot be raised again. A lower limit that was inherited stays. What
/// can be limited is, also where one of the limits is refused.
///
/// # Errors
/// The first refusal.
pub(super) fn apply(memory_bytes: u64) -> nix::Result<()> {
    volunteer();
    let mut limits = vec![
        (Resource::RLIMIT_AS, memory_bytes),
        (Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NPROC, 0),
    ];
    // A log that is a regular file has to grow. Nothing else can be written: the filter knows one descriptor.
    if !log_is_a_file() {
        limits.push((Resource::RLIMIT_FSIZE, 0));
    }
    limits.into_iter().map(|(resource, value)| lower(resource, value)).fold(Ok(()), nix::Result::and)
}

/// No limit, and nothing depends on it: a kernel without /proc ends whom it likes.
fn volunteer() {
    let file = OpenOptions::new().write(true).open("/proc/self/oom_score_adj");
    let _ = file.and_then(|mut file| file.write_all(OOM_SCORE_ADJ));
}

/// Brings one limit down to `value`, or leaves it lower still.
fn lower(resource: Resource, value: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    setrlimit(resource, value.min(hard), value.min(hard))
}

fn log_is_a_file() -> bool {
    fstat(std::io::stderr()).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}
