//! What goes into a bundle. A part is made of text that has gone through [`redact`](super::redact) and was then cut.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::redact::Redactor;
use super::{MAX_PART_BYTES, PART_WITHIN};
use crate::command::{Keep, Said, ask};
use crate::doctor;
use crate::doctor::facts::{Facts, Looked};
use crate::figures::{bytes, counted};
use crate::status;
use crate::view::Everything;

/// A file of the bundle.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// `Err`: why it could not be had.
    pub(super) content: Result<Content, String>,
}

/// A part's text, as it goes into the bundle.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) text: String,
    /// Bytes that were too many.
    pub(super) cut: u64,
    /// Lines that were outcomes.
    pub(super) outcomes: u64,
}

impl Content {
    /// What was left out, for people; empty where nothing was.
    pub(super) fn remark(&self) -> String {
        let cut = (self.cut > 0).then(|| format!("{} cut", bytes(self.cut)));
        let outcomes = (self.outcomes > 0).then(|| format!("{} left out", counted(self.outcomes, "outcome")));
        [cut, outcomes].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Part {
    pub(super) fn as_json(&self) -> Value {
        match &self.content {
            Ok(content) => {
                json!({"name": self.name, "bytes": content.text.len(), "cut": content.cut, "missing": ""})
            }
            Err(why) => json!({"name": self.name, "bytes": 0, "cut": 0, "missing": why}),
        }
    }
}

/// Text as it was had, with how much of it is lost already.
type Raw = Looked<(String, u64)>;

/// What the system's programs are asked: the part, the command, the end that is kept.
const COMMANDS: [(&str, &[&str], Keep); 7] = [
    ("journal.txt", &["journalctl", "-u", "inferd", "-n", "5000", "--no-pager", "-o", "short-iso"], Keep::Last),
    ("systemctl-status.txt", &["systemctl", "status", "inferd", "--no-pager", "-n", "0"], Keep::First),
    ("systemctl-show.txt", &["systemctl", "show", "inferd", "--no-pager"], Keep::First),
    ("uname.txt", &["uname", "-a"], Keep::First),
    ("df.txt", &["df", "-hT"], Keep::First),
    ("df-inodes.txt", &["df", "-i"], Keep::First),
    ("lsmod.txt", &["lsmod"], Keep::First),
];

/// What the system shows as files.
const FILES: [(&str, &str); 2] = [("os-release.txt", "/etc/os-release"), ("meminfo.txt", "/proc/meminfo")];

/// All parts.
pub(super) async fn all(facts: &Facts) -> Vec<Part> {
    let redactor = Redactor::of(facts.configuration.config());
    let mut parts: Vec<Part> =
        of_facts(facts, &redactor).into_iter().map(|(name, raw)| part(name, raw, Keep::First, &redactor)).collect();
    for (name, command, keep) in COMMANDS {
        parts.push(part(name, from_command(command, keep).await, keep, &redactor));
    }
    for (name, path) in FILES {
        parts.push(part(name, from_file(Path::new(path)).await, Keep::First, &redactor));
    }
    parts
}

/// What doctor has found.
pub(super) fn of_facts(facts: &Facts, redactor: &Redactor) -> Vec<(&'static str, Raw)> {
    let daemon = facts.daemon.as_ref().map_err(Clone::clone);
    let metrics = facts.metrics.as_ref().ok_or_else(|| "no metrics are served".to_owned());
    vec![
        ("versions.txt", Ok((versions(facts), 0))),
        ("doctor.json", as_json(&doctor::judge(facts))),
        ("status.json", daemon.clone().and_then(without_samples)),
        ("models.json", daemon.and_then(|daemon| as_json(&json!({ "models": daemon.models })))),
        ("sources.json", facts.sources.clone().and_then(|sources| as_json(&json!({ "sources": sources })))),
        ("config.toml", configuration(facts, redactor)),
        ("metrics.txt", metrics.and_then(|scrape| scrape.said.clone()).map(|text| (text, 0))),
    ]
}

fn versions(facts: &Facts) -> String {
    let inferd = facts.daemon.as_ref().map_or_else(|why| format!("not known: {why}"), |daemon| daemon.version.clone());
    let runner = facts.runner.as_ref().map_or_else(Clone::clone, |runner| runner.program.display().to_string());
    format!("inferctl {}\ninferd {inferd}\nrunner {runner}\n", facts.version)
}

/// A sample is named after what the model saw in it.
fn without_samples(daemon: &Everything) -> Raw {
    let mut daemon = daemon.clone();
    daemon.spool.samples.clear();
    as_json(&status::as_json(&daemon)?)
}

fn configuration(facts: &Facts, redactor: &Redactor) -> Raw {
    let loaded = facts.configuration.loaded.as_ref().map_err(Clone::clone)?;
    match &loaded.config {
        Some(config) => toml::to_string(&redactor.config(config)).map(|text| (text, 0)).map_err(|e| e.to_string()),
        // Text that is no configuration may hold a secret anywhere: its problems say enough.
        None => Err(format!("it is wrong: {}", redactor.text(&loaded.wrong.join("; ")).0)),
    }
}

fn as_json<T: Serialize>(value: &T) -> Raw {
    serde_json::to_string_pretty(value).map(|text| (text + "\n", 0)).map_err(|error| error.to_string())
}

async fn from_command(command: &[&str], keep: Keep) -> Raw {
    let Said { stdout, cut, stderr, status } = ask(command, PART_WITHIN, MAX_PART_BYTES, keep).await?;
    // systemctl tells of a stopped unit by its status, and of an absent one by words.
    if stdout.is_empty() {
        let first = stderr.lines().next().map(str::to_owned);
        return Err(first.unwrap_or_else(|| format!("nothing was said ({status})")));
    }
    let (stdout, cut) = whole_lines(&stdout, cut, keep);
    let text = String::from_utf8_lossy(stdout).into_owned();
    Ok((if stderr.is_empty() { text } else { format!("{text}\n{stderr}\n") }, cut))
}

/// What is left of a line that was cut may be half a secret, which nothing tells any more.
fn whole_lines(text: &[u8], cut: u64, keep: Keep) -> (&[u8], u64) {
    if cut == 0 {
        return (text, 0);
    }
    let is_end = |byte: &u8| *byte == b'\n';
    let whole = match keep {
        Keep::First => text.iter().rposition(is_end).map(|end| &text[..=end]),
        Keep::Last => text.iter().position(is_end).map(|end| &text[end + 1..]),
    };
    let whole = whole.unwrap_or_default();
    (whole, cut.saturating_add((text.len() - whole.len()) as u64))
}

async fn from_file(path: &Path) -> Raw {
    let read = timeout(PART_WITHIN, tokio::fs::read(path)).await;
    let bytes = read.map_err(|_| format!("{} was not read within 10 s", path.display()))?;
    let bytes = bytes.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), 0))
}

/// Takes secrets out first: what is cut must not hide half of one.
pub(super) fn part(name: &'static str, raw: Raw, keep: Keep, redactor: &Redactor) -> Part {
    let content = raw.map_err(|why| redactor.text(&why).0).map(|(text, lost)| {
        let (text, outcomes) = redactor.text(&text);
        let (text, cut) = shortened(text, keep);
        Content { text, cut: cut.saturating_add(lost), outcomes }
    });
    Part { name, content }
}

fn shortened(mut text: String, keep: Keep) -> (String, u64) {
    let over = text.len().saturating_sub(MAX_PART_BYTES);
    if over == 0 {
        return (text, 0);
    }
    let before = text.len();
    match keep {
        Keep::First => text.truncate(text.floor_char_boundary(MAX_PART_BYTES)),
        Keep::Last => drop(text.drain(..text.ceil_char_boundary(over))),
    }
    let cut = before.saturating_sub(text.len());
    (text, cut as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_half_of_a_line_that_was_cut_is_kept() {
        assert_eq!(whole_lines(b"ter2@host\nb\n", 5, Keep::Last), (b"b\n".as_slice(), 15));
        assert_eq!(whole_lines(b"a\nrtsp://u:hun", 5, Keep::First), (b"a\n".as_slice(), 17));
        assert_eq!(whole_lines(b"one line", 5, Keep::Last), (b"".as_slice(), 13));
        assert_eq!(whole_lines(b"all", 0, Keep::First), (b"all".as_slice(), 0));
    }

    #[test]
    fn a_part_is_cut_between_characters_and_says_by_how_much() {
        let long = "ü".repeat(MAX_PART_BYTES / 2 + 1) + "end";
        for (keep, has_end) in [(Keep::First, false), (Keep::Last, true)] {
            let (text, cut) = shortened(long.clone(), keep);
            assert!(text.len() <= MAX_PART_BYTES && text.len() + 4 > MAX_PART_BYTES, "{}", text.len());
            assert_eq!(cut, (long.len() - text.len()) as u64);
            assert_eq!(text.ends_with("end"), has_end);
        }
    }
}
