//! The log, on standard error. Where that is the journal, a line is a message with its fields, as `journalctl` shows it, after the
//! level as the journal reads it (sd-daemon(3)); the time is its own. `INFERD_LOG` chooses what is logged (`info`,
//! `inferd=debug`, …).

use std::fmt;
use std::io::Write as _;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self as text, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging; once per process.
pub fn start() {
    let filter = EnvFilter::builder()
        .with_env_var("INFERD_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let log = tracing_subscriber::registry().with(filter);
    if to_journal() {
        log.with(text::layer().with_writer(std::io::stderr).with_ansi(false).event_format(ForJournal)).init();
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
        log.with(text::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false)).init();
    }
}

/// `<4>message field=value`.
struct ForJournal;

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(line, "<{}>", priority(*event.metadata().level()))?;
        let format = text::format().without_time().with_level(false).with_target(false);
        format.format_event(context, line, event)
    }
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
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

    /// What a log that goes to the journal has written.
    #[derive(Clone, Default)]
    struct Written(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_the_journal_has_its_level_its_message_and_its_fields() {
        let written = Written::default();
        let to = written.clone();
        let layer = text::layer().with_writer(move || to.clone()).with_ansi(false).event_format(ForJournal);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(key = "upload.token_file", "it is not there");
            tracing::error!(error = %"no space", "a sample is lost");
        });
        let lines = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(lines, "<4>it is not there key=\"upload.token_file\"\n<3>a sample is lost error=no space\n");
    }

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
