//! A process in a group of its own, ended for certain when dropped.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::host::child::end_with_this_thread;

/// How long a process has to end by itself once it was asked to. Stopping the service waits for it.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// Room in the pipe, as far as the system allows: a frame of raw video is written and read in few turns.
const PIPE_BYTES: i32 = 1 << 20;

/// What speaks for inferd to the service manager is not for others.
const PRIVATE_VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "CREDENTIALS_DIRECTORY"];

/// Where a program is: a path as it is, a name on the `PATH`.
///
/// # Errors
/// A sentence without its subject, the program.
pub(super) fn find(program: &str) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return if is_program(&path) { Ok(path) } else { Err("is no program that inferd may run".into()) };
    }
    let folders: OsString = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let found = env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| is_program(path));
    found.ok_or_else(|| {
        format!("is in no folder of the PATH ({}); install it, or give its whole path", folders.to_string_lossy())
    })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A process that writes to us.
pub(super) struct Process {
    child: Child,
    group: Pid,
}

impl Process {
    /// Starts a program in a process group of its own, its standard input empty.
    pub(super) fn start(program: &Path, arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in env::vars_os() {
            if PRIVATE_VARIABLES.iter().any(|private| name == *private) || name.to_string_lossy().starts_with("INFERD_")
            {
                command.env_remove(name);
            }
        }
        end_with_this_thread(&mut command);
        let child = command.spawn()?;
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        Ok(Self { child, group })
    }

    /// Its standard output, and its standard error, which does not block.
    pub(super) fn take_output(&mut self) -> io::Result<(ChildStdout, ChildStderr)> {
        let (Some(stdout), Some(stderr)) = (self.child.stdout.take(), self.child.stderr.take()) else {
            return Err(io::Error::other("its output was taken already"));
        };
        // A smaller pipe works too.
        let _ = fcntl(stdout.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        fcntl(stderr.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((stdout, stderr))
    }

    /// Ends it and all that it has started, and says how it came to its end.
    pub(super) fn end(mut self) -> io::Result<ExitStatus> {
        self.end_group();
        // It has ended: this only takes its status.
        self.child.wait()
    }

    fn end_group(&self) {
        let asked = Instant::now();
        if !self.has_ended() {
            // Fails only where nothing is left of it.
            let _ = killpg(self.group, Signal::SIGTERM);
        }
        while !self.has_ended() && asked.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
        // Also what it has left behind. Until it is waited for, nobody else can have its number.
        let _ = killpg(self.group, Signal::SIGKILL);
    }

    /// Whether it has ended, without taking its status: its number stays its own.
    fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(self.group), flags), Ok(WaitStatus::StillAlive))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `end` it has been waited for, and its number may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end_group();
            let _ = self.child.wait();
        }
    }
}
