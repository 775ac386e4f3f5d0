//! The owner as it runs, with a store, a spool and no pipelines.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::config::Sinks;
use crate::control::{Pulse, pulse};
use crate::host::clock::Clock;
use crate::metrics::Metrics;
use crate::model::store::Store;
use crate::spool::Spool;

/// Longer than anything here takes, so that a hang is a failure and not a night.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    handle: Handle,
    pulse: Pulse,
    _stop: oneshot::Sender<Duration>,
    _folder: TempDir,
}

impl Rig {
    fn start(read: impl Fn() -> Result<Config, String> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, clock) = (Config::default(), Clock::system());
        let spool = Spool::open(&folder.path().join("spool"), "d", &config.spool, clock.clone()).unwrap();
        let none = Sinks { stdout: false, socket: false };
        let changed = Arc::new(tokio::sync::Notify::new());
        let (pulse, beat) = pulse(Arc::clone(&changed));
        let links = Links {
            metrics_address: String::new(),
            uploads: upload::start(&config.upload, spool.clone(), clock.clone()).unwrap(),
            incoming: None,
            read_config: Arc::new(read),
            ready: Arc::default(),
            beat,
        };
        let deps = Deps {
            store: Arc::new(Store::open(&folder.path().join("models"), 1 << 20).unwrap().0),
            clock,
            groups: None,
            thermal: crate::host::thermal::Thermal::unknown(),
            metrics: Metrics::new().unwrap(),
            spool,
            publisher: crate::publish::start(&none, &folder.path().join("sock")).unwrap().0,
            changed,
        };
        let (owner, handle) = Owner::new(config, deps, links);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(owner.run(mpsc::channel(1).1, stopped));
        Self { handle, pulse, _stop: stop, _folder: folder }
    }

    /// Asks for a reload and does not wait for the answer.
    async fn begin_reload(&self) -> tokio::task::JoinHandle<Reply> {
        let handle = self.handle.clone();
        let reload = tokio::spawn(async move { handle.run(Command::Reload).await });
        tokio::task::yield_now().await;
        self.assert_answers().await;
        reload
    }

    /// The owner has taken all that was asked before, and answers.
    async fn assert_answers(&self) {
        let start = self.handle.run(Command::StartPipeline("absent".parse().unwrap()));
        let reply = timeout(PATIENCE, start).await.expect("the owner answers");
        assert!(matches!(reply, Err(ControlError::NotFound(_))), "{reply:?}");
    }

    async fn reload(&self) -> Reply {
        timeout(PATIENCE, self.handle.run(Command::Reload)).await.expect("the owner answers")
    }
}

#[tokio::test]
async fn a_configuration_that_takes_long_to_read_holds_up_nothing() {
    let (go_on, may_go_on) = std::sync::mpsc::sync_channel(4);
    let may_go_on = Mutex::new(may_go_on);
    let reads = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reads);
    let mut rig = Rig::start(move || {
        may_go_on.lock().unwrap().recv().unwrap();
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(Config::default())
    });
    let first = rig.begin_reload().await;
    let (second, third) = (rig.begin_reload().await, rig.begin_reload().await);
    assert!(timeout(PATIENCE, rig.pulse.beats()).await.unwrap().is_ok());
    go_on.send(()).unwrap();
    assert_eq!(timeout(PATIENCE, first).await.unwrap().unwrap(), Ok(Done::Now));
    rig.assert_answers().await;
    assert!(!second.is_finished(), "what it wants read may be newer than the first reading");
    go_on.send(()).unwrap();
    for later in [second, third] {
        assert_eq!(timeout(PATIENCE, later).await.unwrap().unwrap(), Ok(Done::Now));
    }
    assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), 2, "those that wait share a reading");
}

#[tokio::test]
async fn work_that_panics_is_an_answer_and_not_the_end() {
    let times = AtomicU32::new(0);
    let rig = Rig::start(move || match times.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => panic!("on purpose"),
        _ => Ok(Config::default()),
    });
    let Err(ControlError::ConfigInvalid(text)) = rig.reload().await else { panic!("it must fail") };
    assert!(text.contains("panicked"), "{text}");
    assert_eq!(rig.reload().await, Ok(Done::Now));
}

#[tokio::test]
async fn an_answer_to_a_reload_finds_what_is_pending_in_the_state() {
    let changed = Config { sinks: Sinks { stdout: true, socket: false }, ..Config::default() };
    let times = AtomicU32::new(0);
    let rig = Rig::start(move || match times.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 | 1 => Ok(changed.clone()),
        _ => Ok(Config::default()),
    });
    for expected in [&["sinks"][..], &["sinks"], &[]] {
        rig.reload().await.unwrap();
        assert_eq!(rig.handle.state().borrow().pending_sections, expected);
    }
}

#[tokio::test]
async fn a_file_that_is_no_bundle_fails_its_job_only() {
    let rig = Rig::start(|| Ok(Config::default()));
    let origin = crate::control::command::Origin::Service;
    let install = Command::Install { bundle: tempfile::tempfile().unwrap(), activate: true, origin };
    let Ok(Done::Job(job)) = rig.handle.run(install).await else { panic!("a job is begun") };
    let mut state = rig.handle.state();
    let ended = state.wait_for(|state| matches!(state.jobs[&job].state, crate::control::state::JobState::Failed(_)));
    timeout(PATIENCE, ended).await.unwrap().unwrap();
    let late = rig.handle.run(Command::CancelJob(job)).await;
    assert!(matches!(late, Err(ControlError::WrongState(_))), "{late:?}");
}
