//! Collecting outcomes from the socket, and proving that every window had exactly one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
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
    /// Numbers between the first and the last that did not come in their turn.
    pub lost: u64,
    /// Outcomes whose number was that of the one before.
    pub doubled: usize,
    /// Outcomes whose number was lower than the one before: late, or there for the second time.
    pub out_of_order: usize,
    /// Outcomes without a prediction.
    pub failed: usize,
    /// Outcomes by the version that served.
    pub by_version: BTreeMap<String, usize>,
    /// How often the version changed from one outcome to the next.
    pub version_changes: usize,
    /// The first outcome's number.
    pub first: Option<u64>,
    /// The last outcome's number and digest.
    last: Option<(u64, String)>,
}

/// The fields that are counted.
#[derive(Debug, Deserialize)]
struct Counted {
    pipeline: String,
    window: u64,
    version: String,
    digest: String,
    verdict: String,
}

/// Counts outcomes on a thread until the daemon ends, and keeps none: for streams of hundreds of thousands.
#[derive(Debug)]
pub struct Counter {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    tallies: BTreeMap<String, Tally>,
    missed: u64,
}

impl Collector {
    /// Attaches to a socket.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn attach(socket: &Path) -> anyhow::Result<Self> {
        let lines = Arc::<Mutex<Vec<Line>>>::default();
        let sink = Arc::clone(&lines);
        let reader = read(socket, move |text| {
            let Ok(outcome) = serde_json::from_str(text) else { return };
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(Line { at: Instant::now(), outcome });
        })?;
        Ok(Self { lines, reader })
    }

    /// What has come so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What has come since the last time, for readers that go on for long.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
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

impl Counter {
    /// Attaches to a socket.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn attach(socket: &Path) -> anyhow::Result<Self> {
        let counts = Arc::<Mutex<Counts>>::default();
        let sink = Arc::clone(&counts);
        // It ends with the daemon.
        let _ = read(socket, move |text| sink.lock().unwrap_or_else(PoisonError::into_inner).add(text))?;
        Ok(Self { counts })
    }

    /// What has come of a pipeline so far.
    pub fn of(&self, pipeline: &str) -> Tally {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.tallies.get(pipeline).cloned().unwrap_or_default()
    }

    /// Lines that were dropped because the counter was too slow, or that it could not read: then it proves nothing.
    pub fn missed(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).missed
    }
}

impl Counts {
    fn add(&mut self, text: &str) {
        match serde_json::from_str::<Counted>(text) {
            Ok(counted) => self.tallies.entry(counted.pipeline.clone()).or_default().add(counted),
            Err(_) => self.missed += 1,
        }
    }
}

impl Tally {
    fn add(&mut self, counted: Counted) {
        if let Some((last, digest)) = &self.last {
            match counted.window.checked_sub(*last) {
                None => self.out_of_order += 1,
                Some(0) => self.doubled += 1,
                Some(step) => self.lost += step - 1,
            }
            self.version_changes += usize::from(*digest != counted.digest);
        }
        self.first = self.first.or(Some(counted.window));
        self.outcomes += 1;
        self.failed += usize::from(counted.verdict == "failed");
        *self.by_version.entry(counted.version).or_insert(0) += 1;
        self.last = Some((counted.window, counted.digest));
    }

    /// Whether every window from the first to the last has one outcome, in order.
    pub const fn is_whole(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.out_of_order == 0
    }
}

/// Reads lines from a socket on a thread until the daemon ends.
fn read(socket: &Path, mut line: impl FnMut(&str) + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    let stream = UnixStream::connect(socket).with_context(|| format!("cannot attach to {}", socket.display()))?;
    let thread = Builder::new().name("outcomes".into());
    Ok(thread.spawn(move || BufReader::new(stream).lines().map_while(Result::ok).for_each(|text| line(&text)))?)
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
    let mut tally = Tally::default();
    for outcome in lines.iter().map(|line| &line.outcome) {
        let text = |field: &str| outcome[field].as_str().unwrap_or_default().to_owned();
        tally.add(Counted {
            pipeline: text("pipeline"),
            window: outcome["window"].as_u64().unwrap_or_default(),
            version: text("version"),
            digest: text("digest"),
            verdict: text("verdict"),
        });
    }
    tally
}

/// What inferd added to windows: their latency without the runner's stages, in milliseconds, the shortest first.
pub fn added_ms(lines: &[&Line]) -> Vec<f64> {
    let added = |line: &&Line| {
        let stages = line.outcome["stages_ms"].as_object().into_iter().flatten();
        let in_runner: f64 = stages.filter_map(|(_, ms)| ms.as_f64()).sum();
        line.outcome["latency_ms"].as_f64().map(|latency| latency - in_runner)
    };
    let mut added: Vec<f64> = lines.iter().filter_map(added).collect();
    added.sort_by(f64::total_cmp);
    added
}

/// Says for people what was added to these windows.
pub fn added_line(added_ms: &[f64]) -> String {
    let at = |part: usize| added_ms.get(added_ms.len() * part / 100).copied().unwrap_or(f64::NAN);
    format!("{:.2} ms added at p50, {:.2} ms at p90, of {} windows", at(50), at(90), added_ms.len())
}

/// The longest time between two outcomes.
pub fn largest_gap(lines: &[&Line]) -> Duration {
    lines.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(windows: &[(u64, &str)]) -> Tally {
        let mut counts = Counts::default();
        for (window, version) in windows {
            let line = serde_json::json!({ "pipeline": "belt", "window": window, "version": version,
                "digest": version, "verdict": if *window == 9 { "failed" } else { "normal" } });
            counts.add(&line.to_string());
        }
        assert_eq!(counts.missed, 0);
        counts.tallies["belt"].clone()
    }

    #[test]
    fn every_way_to_break_a_row_of_windows_is_counted() {
        let whole = counted(&[(0, "1.0.0"), (1, "1.0.0"), (2, "1.1.0")]);
        assert!(whole.is_whole());
        assert_eq!((whole.outcomes, whole.first, whole.version_changes, whole.failed), (3, Some(0), 1, 0));
        assert_eq!(whole.by_version, [("1.0.0".to_owned(), 2), ("1.1.0".to_owned(), 1)].into());
        let of = |windows: &[u64]| {
            let windows: Vec<_> = windows.iter().map(|window| (*window, "1.0.0")).collect();
            let tally = counted(&windows);
            (tally.lost, tally.doubled, tally.out_of_order, tally.is_whole())
        };
        assert_eq!(of(&[5, 6, 9]), (2, 0, 0, false));
        assert_eq!(of(&[5, 6, 6, 7]), (0, 1, 0, false));
        assert_eq!(of(&[5, 7, 6, 8]), (2, 0, 1, false));
        assert_eq!(counted(&[(8, "1.0.0"), (9, "1.0.0")]).failed, 1);
    }

    #[test]
    fn what_is_no_outcome_is_missed() {
        let mut counts = Counts::default();
        counts.add("{\"dropped\":312}");
        assert_eq!((counts.missed, counts.tallies.len()), (1, 0));
    }
}
