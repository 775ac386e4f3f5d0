//! Where the log goes: to journald with its fields where the service manager started us, else to standard error.
//! `INFERD_LOG` chooses what is logged (`info`, `inferd=debug`, …).

use std::io::Write as _;

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

/// The service manager says with `JOURNAL_STREAM` that standard error is the journal.
fn to_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

/// A text for whoever started the program by hand.
pub fn to_person(text: &str) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(std::io::stderr(), "{text}");
}
