//! Resource limits.

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{SFlag, fstat};

/// Descriptors: standard input, output and error, an artifact or two golden files, a memory file, and some to spare.
const MAX_DESCRIPTORS: u64 = 32;

/// Applies the limits; the hard ones too, so that they cannot be raised again.
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
    limits.into_iter().try_for_each(|(resource, value)| setrlimit(resource, value, value))
}

fn log_is_a_file() -> bool {
    fstat(std::io::stderr()).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}
