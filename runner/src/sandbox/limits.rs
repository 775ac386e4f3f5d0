//! Resource limits.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{SFlag, fstat};

/// Descriptors: standard input, output and error, an artifact or two golden files, a memory file, and some to spare.
const MAX_DESCRIPTORS: u64 = 32;

/// Applies the limits; the hard ones too, so that they cannot be raised again. A lower limit that was inherited stays. What
/// can be limited is, also where one of the limits is refused.
///
/// # Errors
/// The first refusal.
pub(super) fn apply(memory_bytes: u64) -> nix::Result<()> {
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

/// Brings one limit down to `value`, or leaves it lower still.
fn lower(resource: Resource, value: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    setrlimit(resource, value.min(hard), value.min(hard))
}

fn log_is_a_file() -> bool {
    fstat(std::io::stderr()).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}
