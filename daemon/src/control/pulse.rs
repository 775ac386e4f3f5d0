//! Whether the owner lives, and the pipelines that it looks after. Not asked by a command: those may be many, and a queue that is
//! full says nothing of who empties it.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// Feels the owner's pulse.
#[derive(Debug)]
pub struct Pulse {
    wake: Arc<Notify>,
    beats: watch::Receiver<Option<String>>,
}

/// The owner's end.
#[derive(Debug)]
pub struct Beat(watch::Sender<Option<String>>);

/// The two ends. `wake` makes the owner go round once.
pub fn pulse(wake: Arc<Notify>) -> (Pulse, Beat) {
    let (beat, beats) = watch::channel(None);
    (Pulse { wake, beats }, Beat(beat))
}

impl Beat {
    /// The owner has gone round; what hangs, if something does.
    pub(super) fn go_on(&self, hangs: Option<String>) {
        self.0.send_replace(hangs);
    }
}

impl Pulse {
    /// Waits until the owner has gone round.
    ///
    /// # Errors
    /// It has ended, or a part that it looks after hangs: which.
    pub async fn beats(&mut self) -> Result<(), String> {
        self.beats.mark_unchanged();
        self.wake.notify_one();
        self.beats.changed().await.map_err(|_| "the owner task has ended".to_owned())?;
        self.beats.borrow_and_update().clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn only_a_living_owner_has_a_pulse() {
        let wake = Arc::new(Notify::new());
        let (mut pulse, beat) = pulse(Arc::clone(&wake));
        let owner = tokio::spawn(async move {
            for _ in 0..3 {
                wake.notified().await;
                beat.go_on(None);
            }
            // Hangs, and has not ended.
            std::future::pending::<()>().await;
            drop(beat);
        });
        for _ in 0..3 {
            assert!(timeout(Duration::from_secs(20), pulse.beats()).await.unwrap().is_ok());
        }
        assert!(timeout(Duration::from_millis(50), pulse.beats()).await.is_err());
        owner.abort();
        assert!(timeout(Duration::from_secs(20), pulse.beats()).await.unwrap().is_err());
    }
}
