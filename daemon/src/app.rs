//! Build, run, drain. The only file that names every room.

mod watchdog;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::bus::{self, Bus};
use crate::config::{self, BusChoice, Config};
use crate::control::{self, Command, Deps, Owner, State};
use crate::host::clock::Clock;
use crate::host::service;
use crate::metrics::{self, Metrics, Readings};
use crate::model::incoming::Incoming;
use crate::model::store::{StateLock, Store};
use crate::publish::{self, Publisher};
use crate::spool::Spool;
use crate::upload;

/// Time that pipelines have to serve what was begun when the service ends.
const DRAIN: Duration = Duration::from_secs(3);

/// Time that the spool and the sinks have after that.
const FLUSH: Duration = Duration::from_secs(1);

/// Bundles that wait to be installed.
const DROPPED: usize = 16;

/// How the daemon was started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration's base file.
    pub config_file: PathBuf,
    /// Instead of `bus.connect`.
    pub bus: Option<BusChoice>,
}

/// Reads the configuration as the daemon would: everything must be right, and what it names must be there.
///
/// # Errors
/// All problems, as a text for people.
pub fn load_config(options: &Options) -> Result<Config, String> {
    let loaded = config::load(&options.config_file, std::env::vars_os());
    loaded.map(|config| with_bus(config, options)).map_err(|problems| config::describe(&problems))
}

/// Reads the configuration for a start. What it names and is not there at the moment does not keep the service from starting:
/// a share may be mounted later. It comes with the configuration.
///
/// # Errors
/// All problems, as a text for people.
pub fn load_config_for_start(options: &Options) -> Result<(Config, Vec<config::ConfigProblem>), String> {
    let loaded = config::load_for_start(&options.config_file, std::env::vars_os());
    let (config, absent) = loaded.map_err(|problems| config::describe(&problems))?;
    Ok((with_bus(config, options), absent))
}

fn with_bus(mut config: Config, options: &Options) -> Config {
    config.bus.connect = options.bus.unwrap_or(config.bus.connect);
    config
}

/// Runs the service until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting; once it runs it does not fail.
pub async fn run(options: Options, config: Config) -> anyhow::Result<()> {
    // Registered first: a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut told_to_end = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let running = tokio::select! {
        started = Running::start(options, config) => started?,
        // Nothing serves yet, so there is nothing to drain.
        () = told_to_end() => return Ok(()),
    };
    told_to_end().await;
    running.stop().await;
    Ok(())
}

/// All that runs.
struct Running {
    owner: tokio::task::JoinHandle<upload::Handle>,
    stop: oneshot::Sender<Duration>,
    bus: Arc<Bus>,
    sinks: publish::Handle,
    spool: Spool,
    tasks: tokio::task::JoinSet<()>,
    _metrics: Option<metrics::Server>,
    _incoming: Option<Arc<Incoming>>,
    // Last: the folder is given up when nothing uses it any more.
    _lock: StateLock,
}

impl Running {
    async fn start(options: Options, config: Config) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let lock = prepare_folders(&config.service)?;
        let store = open_store(&config)?;
        let spool =
            Spool::open(&config.service.spool_dir(), &device_id(&config.service), &config.spool, clock.clone())?;
        let uploads = upload::start(&config.upload, spool.clone(), clock.clone())?;
        let (publisher, sinks) = publish::start(&config.sinks, &config.service.outcomes_socket())?;
        let figures = Metrics::new()?;
        let (state_sender, state) = watch::channel(Arc::<State>::default());
        let readings =
            ReadOff { spool: spool.clone(), publisher: publisher.clone(), uploads: uploads.watcher(), state };
        let server = serve_metrics(&config.metrics, &figures, readings).await?;
        let deps = Deps {
            store: Arc::new(store),
            clock,
            metrics: figures,
            spool: spool.clone(),
            publisher,
            changed: Arc::new(Notify::new()),
        };
        let mut tasks = tokio::task::JoinSet::new();
        let (incoming, dropped, incoming_done) = watch_incoming(&config, &mut tasks)?;
        let links = control::Links {
            metrics_address: server.as_ref().map(metrics::Server::url).unwrap_or_default(),
            uploads,
            incoming: incoming_done,
            reload: config_reader(options.clone(), &mut tasks),
        };
        let bus_choice = config.bus.connect;
        let (owner, handle) = Owner::new(config, deps, links);
        let bus = Arc::new(bus::serve(bus_choice, handle.clone()).await?);
        let (stop, stopped) = oneshot::channel();
        let owner = tokio::spawn(owner.run(dropped, stopped));
        tasks.spawn(forward_state(handle.state(), state_sender));
        watch_config(&options.config_file, &handle, &mut tasks)?;
        ready_when_answering(&handle).await;
        tasks.spawn(watchdog::feed(handle, Arc::clone(&bus), spool.clone()));
        Ok(Self { owner, stop, bus, sinks, spool, tasks, _metrics: server, _incoming: incoming, _lock: lock })
    }

    /// Ends everything in the order in which data flows, so that nothing that was begun is lost.
    async fn stop(mut self) {
        tracing::info!("stopping");
        service::stopping();
        let _ = self.stop.send(DRAIN);
        let uploads = self.owner.await;
        self.bus.close().await;
        self.tasks.abort_all();
        let spool = self.spool.clone();
        let flushed = tokio::task::spawn_blocking(move || spool.shutdown(FLUSH)).await;
        if !matches!(flushed, Ok(true)) {
            tracing::error!("the spool did not finish writing in {FLUSH:?}; samples are lost");
        }
        if let Ok(uploads) = uploads {
            uploads.shutdown().await;
        }
        self.sinks.shutdown(FLUSH).await;
        tracing::info!("stopped");
    }
}

fn prepare_folders(service: &config::Service) -> anyhow::Result<StateLock> {
    for folder in [&service.state_dir, &service.runtime_dir, &service.incoming_dir()] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(StateLock::acquire(&service.state_dir)?)
}

fn open_store(config: &Config) -> anyhow::Result<Store> {
    let (store, damage) = Store::open(&config.service.models_dir(), config.models.max_bundle_bytes)?;
    for damage in damage {
        tracing::error!(%damage, "damaged model; install it again");
    }
    Ok(store)
}

fn device_id(service: &config::Service) -> String {
    let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    service.device_id.clone().or_else(host).unwrap_or_else(|| "unnamed".to_owned())
}

async fn serve_metrics(
    config: &config::Metrics,
    figures: &Metrics,
    readings: ReadOff,
) -> anyhow::Result<Option<metrics::Server>> {
    if !config.enabled {
        return Ok(None);
    }
    let server = metrics::serve(config.listen, figures.clone(), Arc::new(readings)).await?;
    tracing::info!(url = server.url(), "metrics are served");
    Ok(Some(server))
}

/// What the metrics endpoint reads off.
struct ReadOff {
    spool: Spool,
    publisher: Publisher,
    uploads: upload::Watcher,
    state: watch::Receiver<Arc<State>>,
}

impl metrics::Health for ReadOff {
    fn readings(&self) -> Readings {
        let uploads = self.uploads.status();
        Readings {
            spool: self.spool.counts(),
            uploads: (uploads.uploaded, uploads.failed_attempts),
            sinks: self.publisher.counts(),
        }
    }

    fn ready(&self) -> Result<(), String> {
        let trouble = self.state.borrow().not_serving();
        if trouble.is_empty() { Ok(()) } else { Err(trouble) }
    }
}

/// The owner's state, for those that are made before it.
async fn forward_state(mut from: watch::Receiver<Arc<State>>, to: watch::Sender<Arc<State>>) {
    while from.changed().await.is_ok() {
        let state = Arc::clone(&from.borrow_and_update());
        to.send_replace(state);
    }
}

type IncomingParts =
    (Option<Arc<Incoming>>, mpsc::Receiver<control::Dropped>, mpsc::Sender<(PathBuf, Result<(), String>)>);

fn watch_incoming(config: &Config, tasks: &mut tokio::task::JoinSet<()>) -> anyhow::Result<IncomingParts> {
    let (dropped_sender, dropped) = mpsc::channel(DROPPED);
    let (done_sender, mut done) = mpsc::channel::<(PathBuf, Result<(), String>)>(DROPPED);
    if !config.models.watch_incoming {
        return Ok((None, dropped, done_sender));
    }
    let (incoming, mut offers) = Incoming::watch(&config.service.incoming_dir())?;
    let incoming = Arc::new(incoming);
    tasks.spawn(async move {
        while let Some(offer) = offers.recv().await {
            let dropped = control::Dropped { path: offer.path, bundle: offer.bundle };
            if dropped_sender.send(dropped).await.is_err() {
                return;
            }
        }
    });
    let finisher = Arc::clone(&incoming);
    tasks.spawn(async move {
        while let Some((path, result)) = done.recv().await {
            if let Err(error) = finisher.finish(&path, result) {
                tracing::error!(%error, "cannot clear up after an incoming bundle");
            }
        }
    });
    Ok((Some(incoming), dropped, done_sender))
}

/// Reads the configuration when asked to.
fn config_reader(
    options: Options,
    tasks: &mut tokio::task::JoinSet<()>,
) -> mpsc::Sender<oneshot::Sender<Result<Config, String>>> {
    let (sender, mut asked) = mpsc::channel::<oneshot::Sender<Result<Config, String>>>(1);
    tasks.spawn(async move {
        while let Some(answer) = asked.recv().await {
            let options = options.clone();
            let read = tokio::task::spawn_blocking(move || load_config(&options)).await;
            // Whoever asked is the owner, which waits.
            let _ = answer.send(read.unwrap_or_else(|_| Err("reading the configuration panicked".to_owned())));
        }
    });
    sender
}

/// SIGHUP and changes on the disk reload.
fn watch_config(file: &Path, handle: &control::Handle, tasks: &mut tokio::task::JoinSet<()>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut changes = match config::watch(file) {
        Ok(changes) => changes,
        Err(error) => {
            tracing::warn!(%error, "changes of the configuration are noticed at SIGHUP only");
            mpsc::channel(1).1
        }
    };
    let handle = handle.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                Some(()) = changes.recv() => {}
            }
            // A wrong configuration has been logged by the owner.
            let _ = handle.run(Command::Reload).await;
        }
    });
    Ok(())
}

/// READY is told once the owner has looked at every enabled pipeline, and that has come up or says why it does not.
async fn ready_when_answering(handle: &control::Handle) {
    let mut state = handle.state();
    let settled = state.wait_for(|state| state.is_settled()).await;
    if let Ok(state) = settled {
        tracing::info!(status = state.status, "ready");
        service::ready(&state.status);
    }
}
