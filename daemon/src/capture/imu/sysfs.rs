//! Reading and writing the kernel's small text files, with errors that say what an operator must change.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, Group, Uid, User, access, geteuid};

/// The system said no.
#[derive(Debug)]
pub(super) struct Refused {
    /// What was tried, as an operator would say it: `write 100 to`.
    action: String,
    path: PathBuf,
    source: io::Error,
}

impl Refused {
    /// Whether whoever runs the service must change something: rights, or what the service may reach.
    pub(super) fn is_of_rights(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS))
    }

    /// Whether the device itself may have gone, or is in other hands: another way to read it would not help.
    pub(super) fn is_of_device(&self) -> bool {
        let errors =
            [libc::ENODEV, libc::ENXIO, libc::ENOENT, libc::EIO, libc::EREMOTEIO, libc::ETIMEDOUT, libc::EBUSY];
        self.source.raw_os_error().is_some_and(|error| errors.contains(&error))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.path.display(), self.source)?;
        match self.source.raw_os_error() {
            Some(libc::EACCES) => f.write_str(&rights(&self.path, self.action.starts_with("write"))),
            Some(libc::EPERM) => f.write_str("; the service's unit needs DeviceAllow=char-iio rw in a drop-in"),
            Some(libc::EROFS) => f.write_str(
                "; the service sees /sys without the right to write: its unit needs ReadWritePaths=/sys/devices in a drop-in",
            ),
            Some(libc::EBUSY) => f.write_str("; another program or pipeline reads this device, such as iio-sensor-proxy: stop it"),
            _ => Ok(()),
        }
    }
}

/// Who may use a file, and what lets this process in.
fn rights(path: &Path, writes: bool) -> String {
    let user = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    let Ok(found) = fs::metadata(path) else { return format!("; the user {user} may not look into its folder") };
    let owner = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
    let owner = owner.map_or_else(|| found.uid().to_string(), |owner| owner.name);
    let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
    let group = group.map_or_else(|| found.gid().to_string(), |group| group.name);
    let mode = found.mode() & 0o7777;
    let needed = if writes { 0o020 } else { 0o040 };
    let remedy = if found.gid() != 0 && mode & needed != 0 {
        format!("add the user {user} to the group {group}")
    } else {
        format!("a udev rule must give it to a group that the user {user} is in")
    };
    format!("; it belongs to {owner}, group {group}, mode {mode:04o}: {remedy}")
}

/// A file's text, without blanks around it.
///
/// # Errors
/// [`Refused`]
pub(super) fn read(path: &Path) -> Result<String, Refused> {
    let failed = |source| Refused { action: "read".into(), path: path.to_owned(), source };
    Ok(fs::read_to_string(path).map_err(failed)?.trim().to_owned())
}

/// The text of the first of some files that is there and can be read.
pub(super) fn first(folder: &Path, names: &[String]) -> Option<(PathBuf, String)> {
    names.iter().map(|name| folder.join(name)).find_map(|path| read(&path).ok().map(|text| (path, text)))
}

/// Writes a file that is there.
///
/// # Errors
/// [`Refused`]
pub(super) fn write(path: &Path, text: &str) -> Result<(), Refused> {
    let failed = |source| Refused { action: format!("write `{text}` to"), path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).truncate(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Opens a file for reading that does not let the reader wait.
///
/// # Errors
/// [`Refused`]
pub(super) fn open(path: &Path) -> Result<File, Refused> {
    let failed = |source| Refused { action: "open".into(), path: path.to_owned(), source };
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)
}

/// What was written, and what was there before: put back when it is dropped, the last first.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<(PathBuf, String)>);

impl Changes {
    /// Writes a file that does not hold this text yet.
    ///
    /// # Errors
    /// [`Refused`]
    pub(super) fn write(&mut self, path: PathBuf, text: &str) -> Result<(), Refused> {
        let before = read(&path)?;
        if before != text {
            write(&path, text)?;
            self.0.push((path, before));
        }
        Ok(())
    }
}

impl Drop for Changes {
    /// A device that is gone takes nothing back, which is as well.
    fn drop(&mut self) {
        for (path, before) in self.0.drain(..).rev() {
            if let Err(refused) = write(&path, &before) {
                tracing::debug!(%refused, "a sensor's setting is not put back");
            }
        }
    }
}

/// Whether this process may use a file so.
///
/// # Errors
/// [`Refused`]
pub(super) fn may(action: &str, path: &Path, how: AccessFlags) -> Result<(), Refused> {
    let failed = |error| Refused { action: action.to_owned(), path: path.to_owned(), source: io::Error::from(error) };
    access(path, how).map_err(failed)
}
