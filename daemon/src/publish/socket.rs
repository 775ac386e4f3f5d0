//! The Unix stream socket that readers attach to: mode 0660, each reader with its own queue and task. Readers only read:
//! what they send is not looked at, and they may close the direction that they do not use. One that has left gives its
//! place back at once, also while no lines come.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, os};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::json::Line;
use super::queue::{Entrance, Exit, Put, queue};
use super::{Counts, PublishError};

/// Most readers at a time.
pub(super) const MAX_READERS: usize = 32;

/// Owner and group may attach.
const MODE: u32 = 0o660;

/// Pause after an accept that failed, as it does while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The sending side.
#[derive(Clone, Debug, Default)]
pub(super) struct Socket {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    readers: Mutex<Vec<Entrance>>,
    /// How many `readers` are, to be read without the lock.
    count: AtomicUsize,
    refused: AtomicU64,
    dropped: AtomicU64,
}

/// The task that lets readers in.
#[derive(Debug)]
pub(super) struct Acceptor {
    path: PathBuf,
    stop: oneshot::Sender<()>,
    task: JoinHandle<JoinSet<()>>,
}

/// Opens the socket and starts to let readers in.
pub(super) fn listen(path: &Path) -> Result<(Socket, Acceptor), PublishError> {
    let listener = bind(path)?;
    let socket = Socket::default();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(accept(listener, socket.clone(), stopped));
    Ok((socket, Acceptor { path: path.to_owned(), stop, task }))
}

fn bind(path: &Path) -> Result<UnixListener, PublishError> {
    let failed = |source| PublishError::Socket { path: path.display().to_string(), source };
    if os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(PublishError::InUse(path.display().to_string()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(failed)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, socket: Socket, mut stopped: oneshot::Receiver<()>) -> JoinSet<()> {
    let mut readers = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => return readers,
            Some(_) = readers.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Some(exit) = socket.attach() {
                    readers.spawn(serve(stream, exit, socket.clone()));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a reader of outcomes cannot be let in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Ends when the reader is gone or no more lines will come.
async fn serve(stream: UnixStream, mut exit: Exit, socket: Socket) {
    if let Err(error) = write_lines(stream, &mut exit).await {
        tracing::debug!(%error, "a reader of outcomes has left");
    }
    drop(exit);
    socket.forget_closed();
}

async fn write_lines(stream: UnixStream, exit: &mut Exit) -> io::Result<()> {
    let reader = Reader(stream);
    loop {
        let line = tokio::select! {
            left = reader.left() => return left,
            line = exit.next() => line,
        };
        match line {
            Some(line) => reader.write_all(&line).await?,
            None => return Ok(()),
        }
    }
}

/// A reader's socket, of which only the direction to it is watched: the end of what it sends says nothing.
///
/// Readiness is edge-triggered, and [`left`](Self::left) uses edges up. So a write asks the kernel and not tokio, and waits
/// only after the kernel has refused it, which promises another edge.
struct Reader(UnixStream);

impl Reader {
    /// Waits until the reader has closed its socket.
    async fn left(&self) -> io::Result<()> {
        loop {
            if self.0.ready(Interest::WRITABLE).await?.is_write_closed() {
                return Ok(());
            }
            self.wait_for_an_edge();
        }
    }

    /// Lets the next wait for readiness wait for news.
    fn wait_for_an_edge(&self) {
        // It gives back the error that it is given: that is what makes tokio forget what it knew.
        let _ = self.0.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.0.writable().await?;
                    self.wait_for_an_edge();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Socket {
    pub(super) fn has_readers(&self) -> bool {
        self.shared.count.load(Ordering::Acquire) > 0
    }

    pub(super) fn send(&self, line: &Line) {
        let mut dropped = 0;
        let mut readers = self.readers();
        readers.retain(|reader| match reader.put(Arc::clone(line)) {
            Put::Queued => true,
            Put::Dropped => {
                dropped += 1;
                true
            }
            Put::Closed => false,
        });
        self.shared.count.store(readers.len(), Ordering::Release);
        self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        counts.readers = self.shared.count.load(Ordering::Acquire) as u64;
        counts.refused = self.shared.refused.load(Ordering::Relaxed);
        counts.socket_dropped = self.shared.dropped.load(Ordering::Relaxed);
    }

    /// Readers get what is queued for them and then the end.
    fn close(&self) {
        self.readers().clear();
        self.shared.count.store(0, Ordering::Release);
    }

    /// Gives back the places of readers that have left.
    fn forget_closed(&self) {
        let mut readers = self.readers();
        readers.retain(|reader| !reader.is_closed());
        self.shared.count.store(readers.len(), Ordering::Release);
    }

    /// `None` where there are too many.
    fn attach(&self) -> Option<Exit> {
        self.forget_closed();
        let mut readers = self.readers();
        if readers.len() >= MAX_READERS {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(readers = MAX_READERS, "one more reader of outcomes was refused");
            return None;
        }
        let (entrance, exit) = queue();
        readers.push(entrance);
        self.shared.count.store(readers.len(), Ordering::Release);
        Some(exit)
    }

    /// Held while a line is put into queues, never while anything is waited for.
    fn readers(&self) -> MutexGuard<'_, Vec<Entrance>> {
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acceptor {
    /// Lets nobody in any more, gives readers what is queued for them, and removes the socket.
    pub(super) async fn shutdown(self, socket: &Socket, until: Instant) {
        // An acceptor that has ended already needs no word.
        let _ = self.stop.send(());
        let readers = tokio::time::timeout_at(until, self.task).await;
        socket.close();
        if let Ok(Ok(mut readers)) = readers {
            let all = async { while readers.join_next().await.is_some() {} };
            if tokio::time::timeout_at(until, all).await.is_err() {
                tracing::info!("a slow reader of outcomes did not get the last lines");
            }
        }
        // Best effort: the next start removes a stale one.
        let _ = fs::remove_file(&self.path);
    }
}
