use std::fs;
use std::time::Instant;

use inferd_core::frame::{ImageSize, PixelFormat};
use inferd_core::outcome::{Inference, Verdict};
use inferd_core::prediction::{Prediction, StageTimes};
use inferd_core::{Digest, ModelId};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::host::durable::TEMPORARY;

const TEN_SAMPLES: config::Spool = config::Spool { max_bytes: 1 << 20, max_samples: 10 };

fn outcome(window: u64) -> Outcome {
    Outcome {
        pipeline: "belt".parse().unwrap(),
        window,
        captured_unix_ns: 1_767_225_600_250_000_000,
        latency_ns: 0,
        model: Arc::new(ModelId {
            name: "inspect".parse().unwrap(),
            version: "1.2.0".parse().unwrap(),
            digest: Digest::from_bytes([0xab; 32]),
        }),
        labels: Arc::new(["fine".to_owned(), "broken".to_owned()]),
        verdict: Verdict::Uncertain,
        class: Some(1),
        confidence: 0.5,
        margin: 0.25,
        result: Ok(Inference { prediction: Prediction::Classes(vec![0.25, 0.5]), times: StageTimes::default() }),
    }
}

fn offered(uncertainty: f32, bytes: &[u8]) -> Offered {
    let reason = Reason { why: Why::Margin, uncertainty };
    Offered { outcome: outcome(7), reason, format: Format::Jpeg, channels: Arc::new([]), bytes: bytes.to_vec() }
}

fn open(folder: &Path, config: &config::Spool) -> Spool {
    Spool::open(folder, "device-1", config, Clock::manual()).unwrap()
}

/// Offers and waits until the thread has dealt with it.
fn offer(spool: &Spool, offered: Offered) {
    spool.offer(offered);
    settle(spool);
}

fn settle(spool: &Spool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while spool.counts().pending != spool.list(usize::MAX).len() as u64 {
        assert!(Instant::now() < patience, "the spool's thread does not keep up");
        std::thread::yield_now();
    }
}

fn adds_up(counts: &Counts) -> bool {
    counts.accepted == counts.delivered + counts.pending + counts.dropped_in_all() + counts.quarantined
}

/// Bytes in a folder as the spool's documentation counts them.
fn on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => 4096 + on_disk(&path),
            false => path.metadata().unwrap().len().div_ceil(4096) * 4096,
        })
        .sum()
}

fn uncertainties(spool: &Spool) -> Vec<f32> {
    spool.list(usize::MAX).iter().map(|entry| entry.reason.uncertainty).collect()
}

#[test]
fn a_sample_is_on_disk_as_documented_and_comes_back_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &TEN_SAMPLES);
    offer(&spool, offered(0.75, b"picture"));
    let before = spool.oldest(None).unwrap();
    drop(spool);
    let spool = open(folder.path(), &TEN_SAMPLES);
    let entry = spool.oldest(None).unwrap();
    assert_eq!(entry, before);
    let stored = spool.read(&entry).unwrap();
    assert_eq!(stored.payload, b"picture");
    let id = entry.id.to_string();
    let text = String::from_utf8(stored.json).unwrap();
    let expected = format!(
        r#"{{
  "id": "{id}",
  "pipeline": "belt",
  "window": 7,
  "model": "inspect",
  "version": "1.2.0",
  "digest": "{digest}",
  "label": "broken",
  "confidence": 0.5,
  "margin": 0.25,
  "verdict": "uncertain",
  "prediction": {{
    "classes": [
      {{
        "label": "broken",
        "score": 0.5
      }},
      {{
        "label": "fine",
        "score": 0.25
      }}
    ]
  }},
  "reason": {{
    "why": "margin",
    "uncertainty": 0.75
  }},
  "time": "2026-01-01T00:00:00.250Z",
  "device_id": "device-1",
  "payload": {{
    "file": "payload.jpg",
    "format": "jpeg",
    "bytes": 7,
    "sha256": "{sha256}"
  }}
}}"#,
        digest = "ab".repeat(32),
        sha256 = payload::digest(b"picture"),
    );
    assert_eq!(text, expected);
    assert_eq!(fs::read(folder.path().join(id).join("payload.jpg")).unwrap(), b"picture");
}

#[test]
fn full_spool_drops_least_valuable() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &config::Spool { max_samples: 3, ..TEN_SAMPLES });
    let mut requested = offered(0.0, b"asked for");
    requested.reason.why = Why::Requested;
    offer(&spool, requested);
    for uncertainty in [0.5, 0.9, 0.7] {
        offer(&spool, offered(uncertainty, b"x"));
    }
    assert_eq!(uncertainties(&spool), [0.0, 0.9, 0.7]);
    offer(&spool, offered(0.6, b"x"));
    assert_eq!(uncertainties(&spool), [0.0, 0.9, 0.7], "the new one is worth the least");
    offer(&spool, offered(0.7, b"x"));
    assert_eq!(uncertainties(&spool), [0.0, 0.9, 0.7], "of equals the oldest goes");
    assert_eq!(spool.counts().dropped(DropReason::Quota), 3);
    assert!(adds_up(&spool.counts()));
}

#[test]
fn nothing_is_dropped_for_a_sample_that_never_fits() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &TEN_SAMPLES);
    offer(&spool, offered(0.1, b"small"));
    offer(&spool, offered(0.9, &vec![0; 1 << 20]));
    assert_eq!(uncertainties(&spool), [0.1]);
    assert_eq!(spool.counts().dropped(DropReason::Quota), 1);
}

#[test]
fn quarantined_samples_go_before_any_other() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &config::Spool { max_bytes: 100_000, max_samples: 10 });
    offer(&spool, offered(0.1, &[0; 40_000]));
    assert!(spool.quarantine(&spool.oldest(None).unwrap().id).unwrap());
    assert_eq!(on_disk(folder.path()) - 4096, spool.counts().bytes);
    offer(&spool, offered(0.2, &[0; 30_000]));
    offer(&spool, offered(0.1, &[0; 30_000]));
    assert_eq!(uncertainties(&spool), [0.2, 0.1]);
    assert_eq!((spool.counts().quarantined, spool.counts().dropped_in_all()), (1, 0));
    assert_eq!(fs::read_dir(folder.path().join("quarantine")).unwrap().count(), 0);
}

#[test]
fn limits_that_were_lowered_hold_from_the_start() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &TEN_SAMPLES);
    let mut requested = offered(0.0, b"asked for");
    requested.reason.why = Why::Requested;
    offer(&spool, requested);
    for uncertainty in [0.2, 0.9, 0.7, 0.6, 0.8] {
        offer(&spool, offered(uncertainty, &[0; 30_000]));
    }
    assert!(spool.quarantine(&spool.list(2)[1].id).unwrap());
    drop(spool);

    let spool = open(folder.path(), &config::Spool { max_samples: 4, ..TEN_SAMPLES });
    assert_eq!(uncertainties(&spool), [0.0, 0.9, 0.7, 0.8]);
    assert_eq!(fs::read_dir(folder.path().join("quarantine")).unwrap().count(), 1, "it is no sample that waits");
    assert_eq!((spool.counts().accepted, spool.counts().dropped(DropReason::Quota)), (5, 1));
    drop(spool);

    let spool = open(folder.path(), &config::Spool { max_bytes: 100_000, max_samples: 4 });
    assert_eq!(uncertainties(&spool), [0.0, 0.9, 0.8]);
    assert_eq!(fs::read_dir(folder.path().join("quarantine")).unwrap().count(), 0);
    assert_eq!(spool.counts().dropped(DropReason::Quota), 1);
    assert_eq!(on_disk(folder.path()) - 4096, spool.counts().bytes);
    assert!(adds_up(&spool.counts()));
}

#[test]
fn the_folders_that_samples_are_in_are_as_durable_as_they_are() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("spool");
    crate::host::durable::watched::take_synced();
    drop(open(&folder, &TEN_SAMPLES));
    assert_eq!(crate::host::durable::watched::take_synced(), [parent.path().to_owned(), folder]);
}

#[test]
fn damage_never_stops_a_start_and_good_samples_are_kept() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &TEN_SAMPLES);
    for _ in 0..5 {
        offer(&spool, offered(0.5, b"picture"));
    }
    let ids: Vec<_> = spool.list(5).iter().map(|entry| folder.path().join(entry.id.to_string())).collect();
    drop(spool);
    fs::File::options().write(true).open(ids[0].join("payload.jpg")).unwrap().set_len(3).unwrap();
    fs::remove_file(ids[1].join("payload.jpg")).unwrap();
    fs::File::options().write(true).open(ids[2].join("sample.json")).unwrap().set_len(40).unwrap();
    fs::rename(&ids[3], folder.path().join("0198c0de-0000-7000-8000-000000000000")).unwrap();
    fs::create_dir(folder.path().join(format!("{TEMPORARY}half"))).unwrap();
    fs::File::create(folder.path().join("stray")).unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();

    let spool = open(folder.path(), &TEN_SAMPLES);
    let counts = spool.counts();
    assert_eq!((counts.pending, counts.quarantined, counts.accepted), (1, 5, 6));
    assert_eq!(folder.path().join(spool.oldest(None).unwrap().id.to_string()), ids[4]);
    assert_eq!(fs::read_dir(folder.path().join("quarantine")).unwrap().count(), 5);
    assert!(!folder.path().join(format!("{TEMPORARY}half")).exists());
    assert!(folder.path().join("lost+found").exists());
    assert!(adds_up(&counts));
}

#[test]
fn a_payload_that_changed_on_disk_is_never_handed_out() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &TEN_SAMPLES);
    offer(&spool, offered(0.5, b"picture"));
    let entry = spool.oldest(None).unwrap();
    let path = folder.path().join(entry.id.to_string()).join("payload.jpg");
    fs::remove_file(&path).unwrap();
    assert!(matches!(spool.read(&entry), Err(SpoolError::Damaged { .. })));
    crate::host::durable::replace(&path, b"forgery").unwrap();
    assert!(matches!(spool.read(&entry), Err(SpoolError::Damaged { .. })));
}

#[test]
fn bytes_that_are_not_their_format_are_counted() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &TEN_SAMPLES);
    let size = ImageSize { width: 2, height: 2 };
    offer(&spool, Offered { format: Format::Raw(PixelFormat::Rgb24, size), ..offered(0.5, b"short") });
    assert_eq!(spool.counts().dropped(DropReason::Invalid), 1);
}

#[test]
fn shutdown_writes_what_was_offered_and_refuses_the_rest() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &config::Spool { max_samples: 100, ..TEN_SAMPLES });
    for _ in 0..20 {
        spool.offer(offered(0.5, b"picture"));
    }
    assert!(spool.shutdown(Duration::from_secs(20)));
    assert_eq!(spool.list(100).len(), 20);
    spool.offer(offered(0.5, b"late"));
    assert_eq!(spool.counts().dropped(DropReason::Stopping), 1);
    assert!(adds_up(&spool.counts()));
}

#[test]
fn an_offer_never_waits_and_what_is_too_much_is_counted() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &config::Spool { max_bytes: 1 << 30, max_samples: 1000 });
    let begun = Instant::now();
    for _ in 0..200 {
        spool.offer(offered(0.5, &[7; 1 << 20]));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "200 MiB are copied, not written");
    let busy = spool.counts().dropped(DropReason::Busy);
    assert!(busy > 0, "32 MiB are the most that wait");
    settle(&spool);
    let counts = spool.counts();
    assert_eq!(counts.pending + busy, 200);
    assert!(adds_up(&counts));
}

#[test]
fn subscribers_wake_for_every_stored_sample() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path(), &TEN_SAMPLES);
    let mut stored = spool.subscribe();
    assert!(!stored.has_changed().unwrap());
    offer(&spool, offered(0.5, b"picture"));
    let begun = Instant::now();
    while !stored.has_changed().unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody was told");
        std::thread::yield_now();
    }
    stored.mark_unchanged();
    spool.discard(&spool.oldest(None).unwrap().id).unwrap();
    assert!(!stored.has_changed().unwrap());
    assert_eq!(spool.counts().dropped(DropReason::Discarded), 1);
    assert_eq!(spool.counts().bytes, 0);
}

#[test]
fn ids_are_names_and_nothing_else() {
    let id = "0198c0de-0000-7000-8000-00000000abcd";
    assert_eq!(id.parse::<Id>().unwrap().to_string(), id);
    for bad in ["", "..", "0198C0DE-0000-7000-8000-00000000ABCD", "0198c0de00007000800000000000abcd", "../x"] {
        assert!(bad.parse::<Id>().is_err(), "{bad}");
    }
}

/// Set for the child of [`a_full_disk_costs_samples_and_nothing_else`]: the spool's folder on a file system of 1 MiB.
const SMALL_DISK: &str = "INFERD_TEST_SMALL_DISK";

#[test]
fn a_full_disk_costs_samples_and_nothing_else() {
    if let Some(folder) = std::env::var_os(SMALL_DISK) {
        return fill_the_disk(Path::new(&folder));
    }
    let folder = TempDir::new().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs {dir} && {SMALL_DISK}={dir} exec {program} a_full_disk --nocapture",
        dir = folder.path().display(),
        program = std::env::current_exe().unwrap().display(),
    );
    let allowed =
        std::process::Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("SKIPPED: no user and mount namespaces here, so no small disk to fill");
        return;
    }
    let status = std::process::Command::new("unshare").args(["-rm", "sh", "-c", &script]).status().unwrap();
    assert!(status.success());
}

fn fill_the_disk(folder: &Path) {
    let spool = open(folder, &config::Spool { max_bytes: 1 << 30, max_samples: 1000 });
    for _ in 0..12 {
        offer(&spool, offered(0.5, &[7; 120_000]));
    }
    let counts = spool.counts();
    assert!(counts.pending >= 4 && counts.dropped(DropReason::Disk) >= 2, "{counts:?}");
    assert!(adds_up(&counts));
    let leftovers = fs::read_dir(folder).unwrap().flatten();
    assert!(!leftovers.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(TEMPORARY)));
    for entry in spool.list(usize::MAX) {
        assert_eq!(spool.read(&entry).unwrap().payload, [7; 120_000], "what was acknowledged is whole");
        assert!(spool.remove(&entry.id).unwrap());
    }
    offer(&spool, offered(0.5, &[7; 120_000]));
    assert_eq!(spool.counts().pending, 1, "it works again once there is room");
}

#[derive(Clone, Debug)]
enum Step {
    Offer { uncertainty: f32, bytes: usize },
    Remove,
    Discard,
    Quarantine,
    LoseDisk,
    FindDisk,
    Restart,
    RestartWith { max_bytes: u64, max_samples: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0.0_f32..1.0, 1_usize..40_000).prop_map(|(uncertainty, bytes)| Step::Offer { uncertainty, bytes }),
        2 => Just(Step::Remove),
        1 => Just(Step::Discard),
        1 => Just(Step::Quarantine),
        1 => Just(Step::LoseDisk),
        2 => Just(Step::FindDisk),
        1 => Just(Step::Restart),
        1 => (10_000_u64..150_000, 1_u32..7)
            .prop_map(|(max_bytes, max_samples)| Step::RestartWith { max_bytes, max_samples }),
    ]
}

/// A spool whose disk can be unplugged: its folder is moved away and a file takes its place.
struct Rig {
    parent: TempDir,
    config: config::Spool,
    spool: Spool,
}

impl Rig {
    fn new(config: config::Spool) -> Self {
        let parent = TempDir::new().unwrap();
        let spool = open(&parent.path().join("spool"), &config);
        Self { parent, config, spool }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.parent.path().join("spool")
    }

    fn take(&mut self, step: &Step) {
        let oldest = self.spool.oldest(None).map(|entry| entry.id);
        let away = self.parent.path().join("away");
        match (step, oldest) {
            (Step::Offer { uncertainty, bytes }, _) => offer(&self.spool, offered(*uncertainty, &vec![1; *bytes])),
            (Step::Remove, Some(id)) => drop(self.spool.remove(&id)),
            (Step::Discard, Some(id)) => drop(self.spool.discard(&id)),
            (Step::Quarantine, Some(id)) => drop(self.spool.quarantine(&id)),
            (Step::LoseDisk, _) if !away.exists() => {
                fs::rename(self.folder(), &away).unwrap();
                fs::File::create(self.folder()).unwrap();
            }
            (Step::FindDisk, _) if away.exists() => {
                fs::remove_file(self.folder()).unwrap();
                fs::rename(&away, self.folder()).unwrap();
            }
            (Step::Restart, _) if !away.exists() => self.spool = open(&self.folder(), &self.config),
            (Step::RestartWith { max_bytes, max_samples }, _) if !away.exists() => {
                self.config = config::Spool { max_bytes: *max_bytes, max_samples: *max_samples };
                self.spool = open(&self.folder(), &self.config);
            }
            (Step::Remove | Step::Discard | Step::Quarantine, None)
            | (Step::LoseDisk | Step::FindDisk | Step::Restart | Step::RestartWith { .. }, _) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn everything_adds_up_and_the_cap_holds(steps in prop::collection::vec(step(), 1..60)) {
        let mut rig = Rig::new(config::Spool { max_bytes: 150_000, max_samples: 6 });
        for step in &steps {
            rig.take(step);
            let counts = rig.spool.counts();
            prop_assert!(adds_up(&counts), "{:?}", counts);
            let within = counts.bytes <= rig.config.max_bytes && counts.pending <= u64::from(rig.config.max_samples);
            prop_assert!(within, "{:?} with {:?}", counts, rig.config);
            if rig.folder().is_dir() {
                prop_assert!(on_disk(&rig.folder()) - 4096 <= counts.bytes, "more is on disk than is counted");
            }
        }
    }
}
