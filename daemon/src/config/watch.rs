//! Says when the configuration has changed on disk.
//!
//! Invariants:
//! - Both the base file and `conf.d` count, however they change: written, renamed over, removed, made later.
//! - One signal for many changes: it comes once nothing has changed for [`QUIET`], and after [`LONGEST`] at the latest.
//! - The channel holds one signal; more are dropped, because whoever takes it reads everything anyway.
//! - Reading the files is no change: a reload does not call for the next.
//! - The names are watched, not what they link to: where the base file is a link, changes of its target are not noticed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::layers::DROP_IN_FOLDER;

/// How long nothing must have changed before a change is told: an editor and a package manager write in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// How long a change is held back at most.
const LONGEST: Duration = Duration::from_secs(2);

/// The configuration cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {} for changes", path.display())]
pub struct WatchError {
    path: PathBuf,
    #[source]
    source: notify::Error,
}

/// Begins to watch the base file `file` and `conf.d` beside it. The channel's sender is a task of the current tokio runtime
/// that ends when the receiver is dropped.
///
/// # Errors
/// [`WatchError`] where the file's folder is absent or the kernel has no watches left.
pub fn watch(file: &Path) -> Result<mpsc::Receiver<()>, WatchError> {
    // Events come with absolute paths, and are compared with ours.
    let absolute = std::path::absolute(file);
    let file = absolute.map_err(|error| WatchError { path: file.to_owned(), source: notify::Error::io(error) })?;
    let folder = file.parent().unwrap_or(&file).to_owned();
    let failed = |source| WatchError { path: folder.clone(), source };
    let (touched, touches) = mpsc::channel(1);
    let drop_ins = folder.join(DROP_IN_FOLDER);
    let filter = Filter { file: folder.join(file.file_name().unwrap_or_default()), drop_ins: drop_ins.clone() };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, |event| filter.concerns(event)) {
            // Full means that a touch is noted already.
            let _ = touched.try_send(());
        }
    })
    .map_err(failed)?;
    watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(failed)?;
    watch_drop_ins(&mut watcher, &drop_ins);
    let (changed, changes) = mpsc::channel(1);
    tokio::spawn(Telling { watcher, drop_ins, touches, changed }.run());
    Ok(changes)
}

/// Which events are changes of the configuration.
struct Filter {
    file: PathBuf,
    drop_ins: PathBuf,
}

impl Filter {
    fn concerns(&self, event: &Event) -> bool {
        let changes = match event.kind {
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Any => true,
            EventKind::Access(_) | EventKind::Other => false,
        };
        // A rescan is asked for where the kernel had to drop events.
        event.need_rescan()
            || changes && event.paths.iter().any(|path| path == &self.file || path.starts_with(&self.drop_ins))
    }
}

/// The task that tells.
struct Telling {
    watcher: RecommendedWatcher,
    drop_ins: PathBuf,
    touches: mpsc::Receiver<()>,
    changed: mpsc::Sender<()>,
}

impl Telling {
    async fn run(mut self) {
        loop {
            tokio::select! {
                touch = self.touches.recv() => if touch.is_none() { return },
                () = self.changed.closed() => return,
            }
            self.wait_for_quiet().await;
            // The folder may have been made or made anew: watch it before telling, so that no later change is missed.
            watch_drop_ins(&mut self.watcher, &self.drop_ins);
            let _ = self.changed.try_send(());
        }
    }

    async fn wait_for_quiet(&mut self) {
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet_at = (Instant::now() + QUIET).min(latest);
            match timeout_at(quiet_at, self.touches.recv()).await {
                Ok(Some(())) if Instant::now() < latest => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Watches the folder as it is now; a watch on one that was removed under the same name is of no use and goes first.
fn watch_drop_ins(watcher: &mut RecommendedWatcher, folder: &Path) {
    // It was not watched yet: nothing to end.
    let _ = watcher.unwatch(folder);
    if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
        && folder.exists()
    {
        tracing::warn!(folder = %folder.display(), %error, "changes in this folder will not be noticed; reload by hand");
    }
}

#[cfg(test)]
mod tests;
