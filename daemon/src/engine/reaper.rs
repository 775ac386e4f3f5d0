//! Waiting for runners that were killed, so that no zombie stays. The kernel takes a process apart in its own time, memory
//! first; a stream must not stand still for that.
//!
//! One thread, `reap-runners`, for the whole process: it begins with the first runner that is ended here and holds nothing
//! that would have to be saved, so it simply ends with the process. Queue: 16; where it is full, or there is no thread,
//! whoever ends a runner waits for it.

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::host::groups::Group;

const QUEUE: usize = 16;

/// What takes longer than this to end is worth a line.
const LONG: Duration = Duration::from_secs(1);

/// A runner's process, and the group that it is in, which is removed after it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) process: std::process::Child,
    pub(super) _group: Option<Group>,
}

/// Kills a child now; somebody else waits for it.
pub(super) fn end(mut child: Child) {
    // It fails only where the process is gone already.
    let _ = child.process.kill();
    let refused = match reaper() {
        Some(reaper) => reaper.try_send(child).err(),
        None => Some(TrySendError::Full(child)),
    };
    if let Some(TrySendError::Full(child) | TrySendError::Disconnected(child)) = refused {
        reap(child);
    }
}

fn reaper() -> Option<&'static SyncSender<Child>> {
    static REAPER: OnceLock<Option<SyncSender<Child>>> = OnceLock::new();
    let begin = || {
        let (sender, ended) = sync_channel(QUEUE);
        let run = move || ended.into_iter().for_each(reap);
        Builder::new().name("reap-runners".into()).spawn(run).ok().map(|_| sender)
    };
    REAPER.get_or_init(begin).as_ref()
}

fn reap(mut child: Child) {
    let begun = Instant::now();
    match child.process.wait() {
        Ok(_) if begun.elapsed() < LONG => {}
        Ok(_) => {
            tracing::warn!(pid = child.process.id(), seconds = begun.elapsed().as_secs(), "a runner took long to end")
        }
        Err(error) => tracing::warn!(pid = child.process.id(), %error, "a runner cannot be waited for"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn whoever_is_ended_leaves_no_zombie() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let place = std::path::PathBuf::from(format!("/proc/{}", child.id()));
        assert!(place.exists());
        end(Child { process: child, _group: None });
        let begun = Instant::now();
        while place.exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it is still there");
            std::thread::yield_now();
        }
    }
}
