//! What is known of this machine, as plain values: gathered once, judged by `checks`, made up in tests.
//!
//! Invariant: what could not be looked at is an `Err` with the reason as a clause ("this user may not read …"), never a
//! default.

use std::path::PathBuf;

use inferd::config::Config;

use crate::cli::BusKind;
use crate::sources::Source;
use crate::view::Everything;

/// Something that was looked at, or why it could not be.
pub(crate) type Looked<T> = Result<T, String>;

/// Everything.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The release of this program.
    pub(crate) version: &'static str,
    /// Where inferd was looked for.
    pub(crate) bus: BusKind,
    /// What inferd shows.
    pub(crate) daemon: Looked<Everything>,
    /// What is attached; `Err` also where inferd does not run.
    pub(crate) sources: Looked<Vec<Source>>,
    /// What systemd says of the unit.
    pub(crate) unit: Looked<Unit>,
    pub(crate) configuration: Configuration,
    /// The user that inferd runs as.
    pub(crate) account: Looked<Account>,
    /// Those groups of interest that this machine has.
    pub(crate) groups: Vec<String>,
    pub(crate) runner: Looked<Runner>,
    pub(crate) kernel: Kernel,
    /// The file system of `state_dir`.
    pub(crate) disk: Looked<Disk>,
    pub(crate) clock: Clock,
    /// The folder of `upload.directory`, where there is one.
    pub(crate) upload_folder: Option<Looked<File>>,
    /// Where the network has to lead: uploads and brokers.
    pub(crate) reached: Vec<Reached>,
    /// The scrape; `None` where no metrics are served.
    pub(crate) metrics: Option<Scrape>,
    /// Files whose contents are secret.
    pub(crate) secrets: Vec<Secret>,
}

/// What `systemctl show` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    pub(crate) load: String,
    pub(crate) active: String,
    pub(crate) sub: String,
    pub(crate) enabled: String,
    pub(crate) result: String,
    pub(crate) restarts: u64,
    /// When it became what it is, as systemd writes it; may be empty.
    pub(crate) since: String,
    pub(crate) groups: Vec<String>,
    /// All paths are read-only to it but these, and its own folders.
    pub(crate) strict: bool,
    pub(crate) writable: Vec<PathBuf>,
}

impl Unit {
    pub(crate) fn runs(&self) -> bool {
        self.active == "active"
    }
}

/// The configuration as the daemon would read it.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) file: PathBuf,
    /// `Err`: this user may not read it.
    pub(crate) loaded: Looked<Loaded>,
}

/// A configuration, as far as it is one.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// `None` where it cannot be used.
    pub(crate) config: Option<Config>,
    /// What is wrong, a line each.
    pub(crate) wrong: Vec<String>,
    /// What is named and not there now, a line each.
    pub(crate) absent: Vec<String>,
    /// What is named and may not be read by this user, a line each.
    pub(crate) hidden: Vec<String>,
}

impl Configuration {
    pub(crate) fn config(&self) -> Option<&Config> {
        self.loaded.as_ref().ok()?.config.as_ref()
    }
}

/// A user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    /// All groups it is in.
    pub(crate) gids: Vec<u32>,
    pub(crate) groups: Vec<String>,
}

/// The runner's program.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) program: PathBuf,
    pub(crate) executable: bool,
}

/// What confines runners.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The security modules in force.
    pub(crate) modules: Looked<Vec<String>>,
    /// Whether the kernel filters system calls.
    pub(crate) seccomp: Looked<bool>,
    /// What it limits for runners, of `cpu` and `memory`, in control groups of their own.
    pub(crate) limits: Looked<Vec<String>>,
}

/// A file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) bytes: u64,
    /// For users that are not root.
    pub(crate) free_bytes: u64,
    pub(crate) files: u64,
    pub(crate) free_files: u64,
    pub(crate) read_only: bool,
}

/// The time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) year: i16,
    pub(crate) synchronised: Looked<bool>,
}

/// Who may do what with a file or folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) is_folder: bool,
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) owner: String,
    pub(crate) group: String,
}

/// A right on a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right {
    Read,
    Write,
}

impl File {
    /// Whether its own permissions let the user do so. Those of the folders above it are not looked at.
    pub(crate) fn lets(&self, account: &Account, right: Right) -> bool {
        let bit = match right {
            Right::Read => 0o4,
            Right::Write => 0o2,
        };
        let shift = if account.uid == self.uid {
            6
        } else if account.gids.contains(&self.gid) {
            3
        } else {
            0
        };
        account.uid == 0 || self.mode >> shift & bit != 0
    }
}

/// A place on the network that was connected to; nothing was sent.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// `upload`, `mqtt`.
    pub(crate) what: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) outcome: Outcome,
}

/// How far a connection came.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// In so many milliseconds.
    Connected(u64),
    /// The name leads nowhere.
    NoName(String),
    /// The name is known, and nothing answers there.
    NoAnswer(String),
}

/// The metrics' address, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Scrape {
    pub(crate) address: String,
    pub(crate) said: Looked<String>,
}

/// A file whose contents are secret.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    /// The key that names it.
    pub(crate) key: String,
    pub(crate) path: PathBuf,
    /// `Ok(None)`: it is not there.
    pub(crate) file: Looked<Option<File>>,
}
