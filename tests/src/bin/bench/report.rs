//! The table, and the machine that it was measured on.

use std::fmt::Write as _;
use std::io::Write as _;

pub(crate) use inferd_tests::statistics::quantile;

/// A measured figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What it should be; empty where nothing was promised.
    pub(crate) aim: &'static str,
    /// What it is.
    pub(crate) measured: String,
    /// Whether the aim is met, where there is one.
    pub(crate) met: Option<bool>,
}

/// The table in Markdown, as it goes into `docs/benchmarks.md`.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from("\n| what | aim | measured | |\n|---|---|---|---|\n");
    for row in rows {
        let verdict = match row.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        // A failure to write into a text is memory's end.
        let _ = writeln!(text, "| {} | {} | {} | {verdict} |", row.what, row.aim, row.measured);
    }
    text
}

/// Processor, cores, kernel.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.split_once(": ").map(|(_, value)| value));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let guest = field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"));
    format!(
        "{cores}-core {} {}, {}, Linux {}\n{}",
        std::env::consts::ARCH,
        if guest { "virtual machine" } else { "machine" },
        field("model name").unwrap_or("processor unknown"),
        read("/proc/sys/kernel/osrelease").trim(),
        load()
    )
}

/// How busy the machine is.
pub(crate) fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load average of the last minute: {}", load.split(' ').next().unwrap_or("unknown"))
}

/// A paragraph to standard output.
pub(crate) fn say(text: &str) {
    // Whoever has closed the pipe does not want to read on.
    let _ = writeln!(std::io::stdout(), "{text}");
}
