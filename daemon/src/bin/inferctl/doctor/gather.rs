//! Looks at the machine. Every look has a time limit, none changes anything, and one that fails stands in the facts as that.

mod files;
mod network;
mod system;

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt as _;
use inferd::config::{self, Config, Severity};

use super::facts::{Configuration, Disk, Facts, File, Loaded, Looked, Secret};
use crate::cli::BusKind;
use crate::client::Client;
use crate::failure::Failure;
use crate::sources::Source;
use crate::view::Everything;

pub(super) use network::UPLOAD;

/// How long a disk may take.
const LOOK_WITHIN: Duration = Duration::from_secs(3);

/// How long inferd may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How long it may take to list devices: opening each takes a moment. With the scrape of the metrics that comes to 10 s.
const LIST_WITHIN: Duration = Duration::from_secs(4);

/// Whom to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) bus: BusKind,
    pub(crate) config: &'a Path,
    /// Whether the current user is meant, in place of the service's.
    pub(crate) own_user: bool,
}

/// Everything.
pub(crate) async fn gather(subject: Subject<'_>) -> Facts {
    let file = subject.config.to_owned();
    let configuration = within(move || configuration(&file)).await.unwrap_or_else(|why| unread(subject.config, why));
    let config = configuration.config();
    let ((daemon, sources), unit, synchronised, reached) = tokio::join!(
        ask_daemon(subject.bus).boxed_local(),
        system::unit(),
        system::synchronised(),
        network::reach(config)
    );
    let metrics = network::metrics(config, daemon.as_ref().ok()).await;
    Facts {
        version: env!("CARGO_PKG_VERSION"),
        bus: subject.bus,
        daemon,
        sources,
        unit,
        account: system::account(subject.own_user),
        groups: system::groups(),
        runner: system::runner(config),
        kernel: system::kernel(),
        disk: disk(config).await,
        clock: system::clock(synchronised),
        upload_folder: upload_folder(config).await,
        reached,
        metrics,
        secrets: secrets(config).await,
        configuration,
    }
}

/// A look that waits for a disk: a share whose server is gone keeps it for ever, and then it is left behind.
async fn within<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Looked<T> {
    let looked = tokio::time::timeout(LOOK_WITHIN, tokio::task::spawn_blocking(look)).await;
    looked.map_err(|_| "the disk did not answer within 3 s".to_owned())?.map_err(|error| error.to_string())
}

async fn disk(config: Option<&Config>) -> Looked<Disk> {
    let service = config.map_or_else(config::Service::default, |config| config.service.clone());
    within(move || system::disk(&service.state_dir)).await?
}

async fn upload_folder(config: Option<&Config>) -> Option<Looked<File>> {
    let folder = config?.upload.directory.clone()?;
    Some(within(move || files::folder(&folder)).await.unwrap_or_else(Err))
}

async fn secrets(config: Option<&Config>) -> Vec<Secret> {
    let Some(config) = config.cloned() else { return Vec::new() };
    let named = files::named(&config);
    within(move || files::secrets(&config)).await.unwrap_or_else(|why| {
        named.into_iter().map(|(key, path)| Secret { key, path, file: Err(why.clone()) }).collect()
    })
}

fn unread(file: &Path, why: String) -> Configuration {
    Configuration { file: file.to_owned(), loaded: Err(why) }
}

/// Reads it as the daemon would.
fn configuration(file: &Path) -> Configuration {
    let loaded = readable(file).map(|()| loaded(config::load_for_start(file, std::env::vars_os())));
    Configuration { file: file.to_owned(), loaded }
}

fn readable(file: &Path) -> Looked<()> {
    let drop_ins = file.with_file_name("conf.d");
    let refused = |path: &Path| format!("this user may not read {}", path.display());
    let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    if std::fs::File::open(file).is_err_and(|error| is_refused(&error)) {
        return Err(refused(file));
    }
    let entries = match std::fs::read_dir(&drop_ins) {
        Err(error) if is_refused(&error) => return Err(refused(&drop_ins)),
        entries => entries.into_iter().flatten().flatten(),
    };
    for path in entries.map(|entry| entry.path()) {
        if std::fs::File::open(&path).is_err_and(|error| is_refused(&error)) {
            return Err(refused(&path));
        }
    }
    Ok(())
}

fn loaded(result: Result<(Config, Vec<config::ConfigProblem>), Vec<config::ConfigProblem>>) -> Loaded {
    let (config, problems) = match result {
        Ok((config, problems)) => (Some(config), problems),
        Err(problems) => (None, problems),
    };
    let mut loaded = Loaded { config, wrong: Vec::new(), absent: Vec::new(), hidden: Vec::new() };
    for problem in problems {
        let text = problem.to_string();
        match problem.severity {
            Severity::Wrong => loaded.wrong.push(text),
            // A secret of inferd's is none of ours.
            Severity::Absent if text.contains("Permission denied") => loaded.hidden.push(text),
            Severity::Absent => loaded.absent.push(text),
        }
    }
    loaded
}

async fn ask_daemon(bus: BusKind) -> (Looked<Everything>, Looked<Vec<Source>>) {
    let asked = tokio::time::timeout(ANSWER_WITHIN, async {
        let client = Client::connect(bus).await?;
        let everything = Everything::read(&client).await?;
        Ok::<_, Failure>((everything, client))
    });
    let (everything, client) = match asked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(failure)) => return (Err(failure.sentence), Err("inferd does not answer".to_owned())),
        Err(_) => {
            return (Err("inferd did not answer within 3 s".to_owned()), Err("inferd does not answer".to_owned()));
        }
    };
    let sources = tokio::time::timeout(LIST_WITHIN, Source::all(&client)).await;
    let sources = sources.map_err(|_| "the list did not come within 4 s".to_owned());
    (Ok(everything), sources.and_then(|listed| listed.map_err(|failure| failure.sentence)))
}
