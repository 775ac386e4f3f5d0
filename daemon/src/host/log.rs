//! Where the log goes: to journald with its fields where the service manager started us, else to standard error.
//! `INFERD_LOG` chooses what is logged (`info`, `inferd=debug`, …).

use std::io::Write as _;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging; once per process.
pub fn start() {
    let filter = EnvFilter::builder()
        .with_env_var("INFERD_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let journal = to_journal().then(|| tracing_journald::layer().ok()).flatten();
    let stderr = journal.is_none().then(|| {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false)
    });
    tracing_subscriber::registry().with(filter).with(journal).with(stderr).init();
}

/// The service manager says with `JOURNAL_STREAM` which file is the journal (systemd.exec(5)). Whoever redirects standard
/// error of a program that it has started leaves the variable as it is: so the file that it names is compared.
fn to_journal() -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| names(&stream, std::io::stderr()))
}

/// Whether `DEVICE:INODE` names this file.
fn names(stream: &str, file: impl AsFd) -> bool {
    let stated = stream.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    fstat(file).is_ok_and(|found| stated == Some((found.st_dev, found.st_ino)))
}

/// A text for whoever started the program by hand.
pub fn to_person(text: &str) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_written_to_only_where_standard_error_still_is_the_journal() {
        let (journal, redirected) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let found = fstat(&journal).unwrap();
        let stream = format!("{}:{}", found.st_dev, found.st_ino);
        assert!(names(&stream, &journal));
        assert!(!names(&stream, &redirected));
        for wrong in ["", ":", "8", "8:", "a:b", &format!("{stream}:1")] {
            assert!(!names(wrong, &journal), "{wrong}");
        }
    }
}
