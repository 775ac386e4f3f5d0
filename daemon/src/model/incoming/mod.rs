//! The folder where bundles are dropped: `<state_dir>/incoming`.
//!
//! Invariants:
//! - A bundle is offered once it is complete: its writer closed it, it was moved in, or (there at start, or linked in) it
//!   kept its size for [`pending::SETTLE`].
//! - A file is offered once until [`Incoming::finish`] is called for it. It stays where it is until then, so a bundle that
//!   was not finished before a crash is offered again at the next start; installing twice is harmless.
//! - At most [`CAPACITY`] offers wait. One more stays in the folder and is offered when there is room; none is lost.
//! - Events only say where to look. Should some be lost, the folder is read again.

mod pending;

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::bundle::EXTENSION;
use crate::host::durable::{self, FileError, during};

use pending::{Identity, Pending, Seen, Size};

/// Offers that may wait for the owner.
pub const CAPACITY: usize = 16;

/// How often pending files are looked at. Also the longest time that dropping an [`Incoming`] takes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A bundle that was dropped in.
#[derive(Debug)]
pub struct Offer {
    /// Where it lies; give it to [`Incoming::finish`].
    pub path: PathBuf,
    /// The bundle, open for reading, at its start.
    pub bundle: File,
}

/// The watched folder. Dropping it ends the watch.
#[derive(Debug)]
pub struct Incoming {
    pending: Arc<Mutex<Pending>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _watcher: RecommendedWatcher,
}

/// The folder cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// It cannot be made or listed.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The kernel refuses to watch it.
    #[error("cannot watch {}; raise fs.inotify.max_user_watches, or set `models.watch_incoming = false`", folder.display())]
    Watch {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        source: notify::Error,
    },
    /// No thread could be started.
    #[error("cannot start a thread to watch incoming bundles")]
    Thread(#[source] io::Error),
}

impl Incoming {
    /// Watches `folder`, making it where it is absent. What is in it already is offered too.
    ///
    /// # Errors
    /// [`IncomingError`]
    pub fn watch(folder: &Path) -> Result<(Self, mpsc::Receiver<Offer>), IncomingError> {
        fs::create_dir_all(folder).map_err(during("create", folder))?;
        let pending = Arc::new(Mutex::new(Pending::default()));
        let watcher = start_watcher(folder, Arc::clone(&pending))
            .map_err(|source| IncomingError::Watch { folder: folder.to_owned(), source })?;
        // After the watch has begun, so that nothing can fall between the two.
        rescan(folder, &mut lock(&pending))?;
        let (offers, receiver) = mpsc::channel(CAPACITY);
        let stop = Arc::new(AtomicBool::new(false));
        let look = Look { folder: folder.to_owned(), pending: Arc::clone(&pending), offers, stop: Arc::clone(&stop) };
        let thread = thread::Builder::new().name("incoming".into()).spawn(move || look.run());
        let thread = Some(thread.map_err(IncomingError::Thread)?);
        Ok((Self { pending, stop, thread, _watcher: watcher }, receiver))
    }

    /// Says what became of an offer. Done: the file is removed. Failed: it becomes `<file>.failed`, and
    /// `<file>.failed.txt` beside it says why. A file that was replaced or written over meanwhile is left alone and offered in
    /// its turn.
    ///
    /// # Errors
    /// [`FileError`]; the file then stays, and is offered again at the next start.
    pub fn finish(&self, path: &Path, outcome: Result<(), String>) -> Result<(), FileError> {
        let now = fs::symlink_metadata(path).ok().map(|found| identity(&found));
        if !lock(&self.pending).finish(path, now) {
            return Ok(());
        }
        match outcome {
            Ok(()) => {
                fs::remove_file(path).map_err(during("remove", path))?;
                path.parent().map_or(Ok(()), durable::sync_folder)
            }
            Err(reason) => set_aside(path, &reason),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic there was reported by the runtime; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn set_aside(path: &Path, reason: &str) -> Result<(), FileError> {
    let failed = with_suffix(path, ".failed");
    durable::replace(&with_suffix(&failed, ".txt"), format!("{reason}\n").as_bytes())?;
    durable::rename(path, &failed)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn start_watcher(folder: &Path, pending: Arc<Mutex<Pending>>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
        Ok(event) if event.need_rescan() => lock(&pending).lose_track(),
        Ok(event) => {
            let Some(seen) = Seen::of(event.kind) else { return };
            for path in event.paths.iter().filter(|path| is_bundle(path)) {
                lock(&pending).note(path, seen);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "lost track of incoming bundles; the folder is read again");
            lock(&pending).lose_track();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn lock(pending: &Mutex<Pending>) -> std::sync::MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_bundle(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == EXTENSION)
}

fn rescan(folder: &Path, pending: &mut Pending) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(during("list", folder))? {
        let path = entry.map_err(during("list", folder))?.path();
        if is_bundle(&path) {
            pending.note(&path, Seen::Settling);
        }
    }
    Ok(())
}

fn size(path: &Path) -> Option<Size> {
    fs::symlink_metadata(path).ok().map(|found| size_of(&found))
}

fn size_of(found: &Metadata) -> Size {
    Size { bytes: found.len(), changed_ns: ns(found.mtime(), found.mtime_nsec()) }
}

fn identity(found: &Metadata) -> Identity {
    Identity {
        device: found.dev(),
        inode: found.ino(),
        size: size_of(found),
        status_changed_ns: ns(found.ctime(), found.ctime_nsec()),
    }
}

fn ns(s: i64, ns: i64) -> i128 {
    i128::from(s) * 1_000_000_000 + i128::from(ns)
}

/// The thread that looks at pending files and offers those that are complete.
struct Look {
    folder: PathBuf,
    pending: Arc<Mutex<Pending>>,
    offers: mpsc::Sender<Offer>,
    stop: Arc<AtomicBool>,
}

impl Look {
    fn run(self) {
        while !self.stop.load(Ordering::SeqCst) && !self.offers.is_closed() {
            if lock(&self.pending).must_rescan() {
                self.rescan();
            }
            let complete = lock(&self.pending).complete(Instant::now(), size);
            for path in complete {
                self.offer(&path);
            }
            thread::park_timeout(LOOK_EVERY);
        }
    }

    fn rescan(&self) {
        if let Err(error) = rescan(&self.folder, &mut lock(&self.pending)) {
            tracing::warn!(%error, cause = ?error.kind(), "cannot look for incoming bundles");
        }
    }

    fn offer(&self, path: &Path) {
        let Ok(place) = self.offers.try_reserve() else {
            return; // Full: it stays pending. Closed: the loop ends.
        };
        match open(path) {
            Ok((bundle, identity)) => {
                lock(&self.pending).mark_offered(path, identity);
                place.send(Offer { path: path.to_owned(), bundle });
            }
            Err(error) => self.refuse(path, &error),
        }
    }

    /// What cannot be opened is set aside at once: nobody else could say more about it.
    fn refuse(&self, path: &Path, error: &io::Error) {
        lock(&self.pending).forget(path);
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        tracing::warn!(path = %path.display(), %error, "cannot open an incoming bundle; it is set aside");
        if let Err(error) = set_aside(path, &format!("cannot open it: {error}")) {
            tracing::warn!(%error, cause = ?error.kind(), "cannot set an incoming bundle aside");
        }
    }
}

/// Opens a plain file; links, pipes and devices are refused without waiting for them.
fn open(path: &Path) -> io::Result<(File, Identity)> {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if found.is_file() {
        Ok((file, identity(&found)))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file; copy the bundle itself here"))
    }
}

#[cfg(test)]
mod tests;
