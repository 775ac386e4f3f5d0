//! Processes that do not outlive the thread that starts them.

#![allow(unsafe_code, reason = "what runs between fork and exec is beyond what the compiler can check")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

/// Lets the kernel send a process SIGTERM when the thread that starts it ends, even where the whole program is killed and can end
/// nothing itself. Not what that process has started: below systemd that is in one control group, which ends together.
pub fn end_with_this_thread(command: &mut Command) {
    let parent = getpid();
    let tie = move || {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        // It may have been too late.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    // SAFETY: the closure makes two system calls, and neither allocates nor locks.
    unsafe { command.pre_exec(tie) };
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_process_ends_with_the_thread_that_started_it() {
        let starting = || {
            let mut command = Command::new("sleep");
            command.arg("600").stdout(Stdio::null());
            end_with_this_thread(&mut command);
            command.spawn().unwrap()
        };
        let mut child = std::thread::Builder::new().name("starts".into()).spawn(starting).unwrap().join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    }
}
