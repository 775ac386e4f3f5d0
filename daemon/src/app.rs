//! Build, run, drain. The only file that names every room.

mod stop;
mod watchdog;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::bus::{self, Bus};
use crate::config::{self, BusChoice, Config};
use crate::control::{self, Command, Deps, Owner, Pulse, ReadConfig, State};
use crate::host::clock::Clock;
use crate::host::error::with_causes;
use crate::host::groups::{Groups, NoGroups};
use crate::host::service;
use crate::host::thermal::{self, Thermal};
use crate::metrics::{self, Metrics, Readings};
use crate::model::incoming::{Incoming, Offer};
use crate::model::store::{StateLock, Store};
use crate::publish::{self, Publisher};
use crate::spool::Spool;
use crate::upload;

/// While pipelines come up the service manager is asked this often to wait on.
const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// As much longer each time: three of them must be missed before it gives up.
const EXTEND_BY: Duration = Duration::from_secs(30);

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
/// What keeps it from starting; once it runs only a defect of its own ends it.
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
    let mut running = tokio::select! {
        started = Running::start(options, config) => started?,
        // Nothing serves yet, so there is nothing to drain.
        () = told_to_end() => return Ok(()),
    };
    let failed = tokio::select! {
        () = told_to_end() => None,
        owner = &mut running.owner => Some(owner.err()),
    };
    let Some(failed) = failed else {
        running.stop().await;
        return Ok(());
    };
    running.stop_without_owner().await;
    let why = failed.map_or_else(|| "it ended unasked".to_owned(), |error| error.to_string());
    anyhow::bail!("the owner of pipelines and models is gone, which is a defect of inferd: {why}")
}

/// All that runs. `stop` ends it.
struct Running {
    owner: tokio::task::JoinHandle<upload::Handle>,
    stop: oneshot::Sender<Duration>,
    bus: Arc<Bus>,
    sinks: publish::Handle,
    spool: Spool,
    tasks: tokio::task::JoinSet<()>,
    _metrics: Option<metrics::Server>,
    _thermal: thermal::Watcher,
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
        let (thermal, thermal_watcher) = Thermal::watch(Path::new("/sys"))?;
        let (state_sender, state) = watch::channel(Arc::<State>::default());
        let readings = ReadOff {
            spool: spool.clone(),
            publisher: publisher.clone(),
            uploads: uploads.watcher(),
            thermal: thermal.clone(),
            state,
        };
        let server = serve_metrics(&config.metrics, &figures, readings).await?;
        let changed = Arc::new(Notify::new());
        let (pulse, beat) = control::pulse(Arc::clone(&changed));
        let (store, metrics) = (Arc::new(store), figures);
        let groups = take_over_groups();
        let deps = Deps { store, clock, groups, thermal, metrics, spool: spool.clone(), publisher, changed };
        let (incoming, offers) = watch_incoming(&config)?;
        let ready = Arc::new(AtomicBool::new(false));
        let links = control::Links {
            metrics_address: server.as_ref().map(metrics::Server::url).unwrap_or_default(),
            uploads,
            incoming: incoming.clone(),
            read_config: config_reader(options.clone()),
            ready: Arc::clone(&ready),
            beat,
        };
        let bus_choice = config.bus.connect;
        let (owner, handle) = Owner::new(config, deps, links);
        let bus = Arc::new(bus::serve(bus_choice, handle.clone()).await?);
        let (stop, stopped) = oneshot::channel();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(forward_state(handle.state(), state_sender));
        watch_config(&options.config_file, &handle, &mut tasks)?;
        // Last, for what has begun to serve is drained at the end: from here on nothing fails and nothing waits.
        let owner = tokio::spawn(owner.run(offers, stopped));
        tasks.spawn(serve_service_manager(handle, ready, pulse, Arc::clone(&bus), spool.clone()));
        Ok(Self {
            owner,
            stop,
            bus,
            sinks,
            spool,
            tasks,
            _metrics: server,
            _thermal: thermal_watcher,
            _incoming: incoming,
            _lock: lock,
        })
    }
}

/// Runners are held to limits of memory and processor time where systemd has delegated that.
fn take_over_groups() -> Option<Groups> {
    match Groups::take_over() {
        Ok(groups) => {
            let limited = groups.controllers().join(", ");
            tracing::info!(limited, "runners have control groups of their own");
            Some(groups)
        }
        Err(NoGroups::NotDelegated) => None,
        Err(error) => {
            tracing::warn!(error = with_causes(&error), "runners have no control groups of their own");
            None
        }
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
    thermal: Thermal,
    state: watch::Receiver<Arc<State>>,
}

impl metrics::Health for ReadOff {
    fn readings(&self) -> Readings {
        let uploads = self.uploads.status();
        Readings {
            spool: self.spool.counts(),
            uploads: (uploads.uploaded, uploads.failed_attempts),
            sinks: self.publisher.counts(),
            heat: self.thermal.latest(),
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

fn watch_incoming(config: &Config) -> anyhow::Result<(Option<Arc<Incoming>>, mpsc::Receiver<Offer>)> {
    if !config.models.watch_incoming {
        return Ok((None, mpsc::channel(1).1));
    }
    let (incoming, offers) = Incoming::watch(&config.service.incoming_dir())?;
    Ok((Some(Arc::new(incoming)), offers))
}

fn config_reader(options: Options) -> ReadConfig {
    Arc::new(move || load_config(&options))
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

/// Tells the service manager that the service is ready once it is, and from then on that it lives.
async fn serve_service_manager(
    handle: control::Handle,
    ready: Arc<AtomicBool>,
    pulse: Pulse,
    bus: Arc<Bus>,
    spool: Spool,
) {
    settle(&handle).await;
    ready.store(true, Ordering::Release);
    watchdog::feed(handle, pulse, bus, spool).await;
}

/// READY is told once the owner has looked at every enabled pipeline, and that has come up or says why it does not. A model
/// may take `runner.start_timeout_ms` to load, which the service manager does not know: it is asked to wait on.
async fn settle(handle: &control::Handle) {
    let mut state = handle.state();
    let waiting_on = async {
        loop {
            tokio::time::sleep(EXTEND_EVERY).await;
            service::starting_for(EXTEND_BY);
        }
    };
    let settled = tokio::select! {
        settled = state.wait_for(|state| state.is_settled()) => settled,
        () = waiting_on => return,
    };
    if let Ok(state) = settled {
        tracing::info!(status = state.status, "ready");
        service::ready(&state.status);
    }
}
