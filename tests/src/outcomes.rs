//! Collecting outcomes from the socket, and proving that every window had exactly one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

/// An outcome and when it was read.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// The outcome.
    pub outcome: Value,
}

/// Reads outcomes on a thread until the daemon ends.
#[derive(Debug)]
pub struct Collector {
    lines: Arc<Mutex<Vec<Line>>>,
    reader: JoinHandle<()>,
}

/// What the numbers of a pipeline's windows say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Outcomes.
    pub outcomes: usize,
    /// Numbers between the first and the last that never came.
    pub lost: u64,
    /// Numbers that came more than once.
    pub doubled: usize,
    /// Outcomes whose number was lower than the one before.
    pub out_of_order: usize,
    /// Outcomes by the version that served.
    pub by_version: BTreeMap<String, usize>,
}

impl Collector {
    /// Attaches to a socket.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn attach(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("cannot attach to {}", socket.display()))?;
        let lines = Arc::<Mutex<Vec<Line>>>::default();
        let sink = Arc::clone(&lines);
        let reader = Builder::new().name("collector".into()).spawn(move || {
            for text in BufReader::new(stream).lines().map_while(Result::ok) {
                let Ok(outcome) = serde_json::from_str(&text) else { continue };
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(Line { at: Instant::now(), outcome });
            }
        })?;
        Ok(Self { lines, reader })
    }

    /// What has come so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many outcomes of a pipeline have come so far.
    pub fn count(&self, pipeline: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.outcome["pipeline"] == pipeline).count()
    }

    /// Waits for the daemon to end; gives all that came.
    pub fn finish(self) -> Vec<Line> {
        // The thread does not panic: it only stores what it reads.
        let _ = self.reader.join();
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lines that the daemon says it dropped because the collector was too slow: then the numbers prove nothing.
pub fn missed(lines: &[Line]) -> u64 {
    lines.iter().filter_map(|line| line.outcome["dropped"].as_u64()).sum()
}

/// Outcomes of one pipeline.
pub fn of<'a>(lines: &'a [Line], pipeline: &str) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.outcome["pipeline"] == pipeline).collect()
}

/// Counts lost, doubled and disordered windows.
pub fn tally(lines: &[&Line]) -> Tally {
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line.outcome["window"].as_u64()).collect();
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    let doubled = sorted.windows(2).filter(|pair| pair[0] == pair[1]).count();
    sorted.dedup();
    let span = sorted.last().zip(sorted.first()).map_or(0, |(last, first)| last - first + 1);
    let mut by_version = BTreeMap::new();
    for line in lines {
        *by_version.entry(line.outcome["version"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    Tally {
        outcomes: numbers.len(),
        lost: span - sorted.len() as u64,
        doubled,
        out_of_order: numbers.windows(2).filter(|pair| pair[1] < pair[0]).count(),
        by_version,
    }
}

/// How often the version changes from one outcome to the next.
pub fn version_changes(lines: &[&Line]) -> usize {
    lines.windows(2).filter(|pair| pair[0].outcome["digest"] != pair[1].outcome["digest"]).count()
}

/// The longest time between two outcomes.
pub fn largest_gap(lines: &[&Line]) -> Duration {
    lines.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at)).max().unwrap_or_default()
}
