use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::capture::{self, Overflow};
use crate::config::{self, AtEnd, Pace, Recording, Source};
use crate::engine::fake::{self, Peer};
use crate::host::clock::Tick;
use crate::metrics::Metrics;
use crate::publish;

/// A pipeline that plays rows of motion; what its runner says is said by a test. No other runner can be started.
struct Rig {
    handle: Handle,
    spool: Spool,
    _folder: TempDir,
}

/// Columns `a`, `b` and `c`, 9.8 rows a second: a sensor's clock beside a model for 10.
fn rows(count: u16) -> String {
    let row = |row: u16| format!("{},{row}0,{row}1,{row}2\n", f64::from(row) / 9.8);
    "t,a,b,c\n".to_owned() + &(0..count).map(row).collect::<String>()
}

fn start_on(csv: &str, version: &Arc<LoadedVersion>) -> (Rig, Peer) {
    start_with(csv, version, config::Power::default())
}

fn start_with(csv: &str, version: &Arc<LoadedVersion>, power: config::Power) -> (Rig, Peer) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("motion.csv");
    File::create(&path).unwrap().write_all(csv.as_bytes()).unwrap();
    let recording =
        Recording { path, pace: Pace::Fast, at_end: AtEnd::Stop, fps: None, rate_hz: None, timestamp: None };
    let source = Source::Recording(recording);
    let opened = capture::open(&source, &capture::Needs::default()).unwrap();
    let (runner, peer) = Peer::runner(version);
    let clock = Clock::system();
    let spool = Spool::open(&folder.path().join("spool"), "rig", &config::Spool::default(), clock.clone()).unwrap();
    let sinks = config::Sinks { socket: false, stdout: false };
    let (publisher, _) = publish::start(&sinks, Path::new("/absent")).unwrap();
    let name: Name = "motion".parse().unwrap();
    let config = config::Pipeline {
        model: name.clone(),
        enabled: true,
        source,
        threshold: None,
        margin: None,
        sampling: config::Sampling::default(),
        power,
    };
    let settings = RunnerSettings { deadline: Duration::from_secs(60), ..fake::settings() };
    let metrics = Metrics::new().unwrap().pipeline(&name);
    let (thermal, changed) = (Thermal::unknown(), Arc::default());
    let (source, spool_there) = (opened, spool.clone());
    let parts = Parts {
        name,
        config,
        source,
        runner,
        settings,
        clock,
        thermal,
        metrics,
        spool: spool_there,
        publisher,
        changed,
    };
    (Rig { handle: start(parts).unwrap(), spool, _folder: folder }, peer)
}

impl Rig {
    fn snapshot(&self) -> Snapshot {
        self.handle.status().snapshot(Tick::default())
    }

    fn wait_for(&self, state: PipelineState) {
        until(|| self.snapshot().state == state);
    }

    /// Answers every window until the recording has ended; gives their numbers and lengths.
    fn serve_all(&self, peer: &Peer) -> Vec<(u64, u64)> {
        let mut served = Vec::new();
        until(|| {
            for window in peer.received() {
                served.push((window.seq, window.len));
                peer.serve(window.seq);
            }
            self.snapshot().state == PipelineState::Finished
        });
        served
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never comes true");
        std::thread::yield_now();
    }
}

#[test]
fn a_sample_of_motion_has_the_models_channels_and_the_sources_rate() {
    let (rig, peer) = start_on(&rows(100), &fake::motion("1.0.0", 2, r#""c", "a""#));
    rig.handle.capture(1000);
    assert_eq!(rig.serve_all(&peer).len(), 50);
    assert!(rig.spool.shutdown(Duration::from_secs(30)));
    let entry = rig.spool.oldest(None).expect("windows were kept");
    let stored = rig.spool.read(&entry).unwrap();
    let mut reader = csv::Reader::from_reader(stored.payload.as_slice());
    assert_eq!(reader.headers().unwrap(), vec!["t", "c", "a"]);
    let rows: Vec<[f64; 3]> = reader.deserialize().map(Result::unwrap).collect();
    let [[_, c, a], [second, ..]] = rows[..] else { panic!("two rows: {rows:?}") };
    assert_eq!(c - a, 2.0, "each column under its own name");
    assert!((second - 1.0 / 9.8).abs() < 1e-6, "{second}");
}

#[test]
fn windows_over_the_limit_are_left_out_and_those_that_are_served_keep_their_numbers() {
    let power = config::Power { max_per_second: Some(2.0), ..config::Power::default() };
    let csv = rows(100);
    // At its own pace it is ten seconds of motion: 49 windows, of which a fast recording gives all at once.
    let (rig, peer) = start_with(&csv, &fake::version("1.0.0", 2), power);
    let served = rig.serve_all(&peer);
    assert!((1..10).contains(&served.len()), "{served:?}");
    assert!(served.iter().map(|(seq, _)| *seq).eq(0..served.len() as u64), "{served:?}");
    assert_eq!(rig.snapshot().counts.windows, served.len() as u64);
}

#[test]
fn stopping_while_no_runner_serves_gives_every_window_its_outcome() {
    let (rig, peer) = start_on(&rows(100), &fake::version("1.0.0", 2));
    let mut begun = 0;
    until(|| {
        begun += peer.received().len();
        begun == 2
    });
    drop(peer);
    rig.wait_for(PipelineState::Waiting);
    rig.handle.stop();
    rig.handle.join();
    let snapshot = rig.snapshot();
    assert_eq!((snapshot.state, snapshot.reason.as_str()), (PipelineState::Stopped, ""));
    assert_eq!((snapshot.counts.windows, snapshot.counts.failed), (2, 2));
}

#[test]
fn an_abandoned_pipeline_gives_every_window_its_outcome() {
    let (rig, peer) = start_on(&rows(100), &fake::version("1.0.0", 2));
    until(|| !peer.received().is_empty());
    rig.handle.abandon();
    rig.handle.join();
    let counts = rig.snapshot().counts;
    assert_eq!((counts.windows, counts.failed), (2, 2));
}

#[test]
fn a_promotion_while_no_runner_serves_cuts_waiting_windows_as_the_new_version_needs_them() {
    let (rig, peer) = start_on(&rows(20), &fake::version("1.0.0", 2));
    until(|| !peer.received().is_empty());
    drop(peer);
    rig.wait_for(PipelineState::Waiting);
    let (runner, peer) = Peer::runner(&fake::version("2.0.0", 4));
    assert_eq!(rig.handle.promote(runner, Duration::from_secs(30)), Promoted::Yes);
    assert_eq!(rig.serve_all(&peer), (0..5).map(|seq| (seq, 16)).collect::<Vec<_>>());
    let counts = rig.snapshot().counts;
    assert_eq!((counts.windows, counts.failed), (5, 0));
}

#[test]
fn a_promotion_that_is_not_taken_in_time_is_late_and_one_after_the_end_is_told() {
    let (rig, peer) = start_on(&rows(20), &fake::version("1.0.0", 2));
    until(|| !peer.received().is_empty());
    let candidate = || Peer::runner(&fake::version("2.0.0", 2)).0;
    // The runner that serves has windows and says nothing.
    assert_eq!(rig.handle.promote(candidate(), Duration::from_millis(20)), Promoted::Late);
    rig.handle.abandon();
    rig.handle.join();
    assert_eq!(rig.handle.promote(candidate(), Duration::from_secs(30)), Promoted::Ended);
}

fn guard() -> (Guard, FrameQueue, Arc<Status>) {
    let frames = FrameQueue::new(1, Overflow::Block, Bell::new().unwrap());
    let status = Arc::new(Status::new(Arc::default()));
    (Guard { frames: frames.clone(), status: Arc::clone(&status) }, frames, status)
}

#[test]
fn a_pipeline_that_panics_ends_its_source_and_says_so() {
    let (guard, frames, status) = guard();
    let thread = Builder::new().name("pipe-test".into()).spawn(move || {
        let _guard = guard;
        panic!("a defect");
    });
    assert!(thread.unwrap().join().is_err());
    assert!(frames.is_stopped());
    let snapshot = status.snapshot(Tick::default());
    assert_eq!(snapshot.state, PipelineState::Failed);
    assert!(snapshot.reason.contains("panicked"), "{}", snapshot.reason);
}

#[test]
fn a_pipeline_that_gets_no_thread_ends_its_source() {
    let (guard, frames, status) = guard();
    drop(guard);
    assert!(frames.is_stopped());
    assert_eq!(status.snapshot(Tick::default()).state, PipelineState::Starting);
}
