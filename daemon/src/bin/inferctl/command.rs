//! Programs of the system that are asked something.
//!
//! Invariants: one that does not end in its time is killed; what is kept of its output is bounded; nothing is read from our
//! standard input. What it writes is in English (`LC_ALL=C`), as it is parsed or read by strangers.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// Which end of a long output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    First,
    /// The end of a log says most.
    Last,
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<u8>,
    /// How many bytes of it were left out.
    pub(crate) cut: u64,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
}

/// Most bytes of standard error that are kept.
const MAX_STDERR: usize = 2000;

/// Runs a program.
///
/// # Errors
/// Why there is no answer, as a clause: it is not there, may not be run, took too long.
pub(crate) async fn ask(program: &[&str], within: Duration, max_bytes: usize, keep: Keep) -> Result<Said, String> {
    let [name, arguments @ ..] = program else { return Err("no program is named".to_owned()) };
    let mut command = Command::new(name);
    command.args(arguments).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{name} is not installed"),
        _ => format!("{name} cannot be run: {error}"),
    })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answer = async {
        let (out, err) = tokio::join!(kept(stdout, max_bytes, keep), kept(stderr, MAX_STDERR, Keep::First));
        (out, err, child.wait().await)
    };
    let answered = timeout(within, answer).await;
    let ((stdout, cut), (stderr, _), status) =
        answered.map_err(|_| format!("{name} did not answer within {} s", within.as_secs()))?;
    let status = status.map_err(|error| format!("{name} cannot be waited for: {error}"))?;
    Ok(Said { stdout, cut, stderr: String::from_utf8_lossy(&stderr).trim().to_owned(), status })
}

/// Reads to the end; gives what is kept and how much is not.
async fn kept(from: Option<impl AsyncRead + Unpin>, max_bytes: usize, keep: Keep) -> (Vec<u8>, u64) {
    let Some(mut from) = from else { return (Vec::new(), 0) };
    let (mut all, mut cut) = (Vec::new(), 0u64);
    let mut chunk = vec![0; 1 << 16];
    // A pipe that fails has ended.
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        all.extend_from_slice(&chunk[..length]);
        let over = all.len().saturating_sub(max_bytes);
        match keep {
            Keep::First => all.truncate(max_bytes),
            Keep::Last => drop(all.drain(..over)),
        }
        cut = cut.saturating_add(over as u64);
    }
    (all, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &[&str], within: Duration, keep: Keep) -> Result<Said, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(program, within, 10, keep))
    }

    #[test]
    fn a_long_output_keeps_the_end_that_is_asked_for_and_says_what_is_lost() {
        let count = ["sh", "-c", "printf 0123456789abcdef"];
        let first = run(&count, Duration::from_secs(60), Keep::First).unwrap();
        assert_eq!((first.stdout.as_slice(), first.cut), (b"0123456789".as_slice(), 6));
        let last = run(&count, Duration::from_secs(60), Keep::Last).unwrap();
        assert_eq!((last.stdout.as_slice(), last.cut), (b"6789abcdef".as_slice(), 6));
    }

    #[test]
    fn what_is_not_there_and_what_hangs_is_said() {
        let absent = run(&["/nowhere/program"], Duration::from_secs(60), Keep::First).unwrap_err();
        assert_eq!(absent, "/nowhere/program is not installed");
        let hung = run(&["sleep", "1000"], Duration::from_millis(50), Keep::First).unwrap_err();
        assert!(hung.contains("did not answer"), "{hung}");
    }
}
