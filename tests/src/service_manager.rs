//! What a service manager hears: the socket that `NOTIFY_SOCKET` names (sd_notify).

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// The receiving end of sd_notify.
#[derive(Debug)]
pub struct ServiceManager {
    path: PathBuf,
    socket: UnixDatagram,
}

impl ServiceManager {
    /// Listens in a folder.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn listen(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("notify.sock");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { path, socket })
    }

    /// For `NOTIFY_SOCKET`.
    pub fn address(&self) -> String {
        self.path.display().to_string()
    }

    /// Waits for a message that has this line; gives the messages that came, that one last.
    ///
    /// # Errors
    /// Where it does not come in time; what came instead is in the error.
    pub fn wait_for(&self, line: &str, patience: Duration) -> anyhow::Result<Vec<String>> {
        let begun = Instant::now();
        let mut heard = Vec::new();
        loop {
            let left = patience.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left))?;
            let mut buffer = [0; 8192];
            let received = self.socket.recv(&mut buffer);
            let length = received.with_context(|| format!("`{line}` did not come within {patience:?}: {heard:?}"))?;
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            if heard.iter().any(|message| message.lines().any(|said| said == line)) {
                return Ok(heard);
            }
        }
    }

    /// Throws away what has come and was not waited for.
    ///
    /// # Errors
    /// Where the socket cannot be changed.
    pub fn forget(&self) -> std::io::Result<()> {
        self.socket.set_nonblocking(true)?;
        while self.socket.recv(&mut []).is_ok() {}
        self.socket.set_nonblocking(false)
    }
}
