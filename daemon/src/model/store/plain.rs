//! Opening what must be a plain file in a folder where something else may lie.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::host::durable::{FileError, during};
use crate::model::bundle::BundleError;

/// Opens a plain file for reading; messages about what it is call it `name`. Links are not followed, and a pipe is not
/// waited for.
pub(super) fn open_plain(path: &Path, name: &str) -> Result<File, BundleError> {
    let refused = || BundleError::Unsafe { path: name.to_owned(), reason: "it is no plain file" };
    // NONBLOCK: a pipe that was put here must not hold up the store; for plain files it means nothing.
    let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => BundleError::Missing(name.to_owned()),
        // A link, and a socket.
        Some(libc::ELOOP | libc::ENXIO) => refused(),
        _ => FileError::new("open", path, error).into(),
    })?;
    if file.metadata().map_err(during("read", path))?.is_file() { Ok(file) } else { Err(refused()) }
}
