//! The end of the service: everything in the order in which data flows, so that nothing that was begun is lost, and all of it
//! within the 5 s that the unit promises. Each step has until a time after the signal, not a time of its own: what one does
//! not need is left to the next.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Running;
use crate::host::service;
use crate::upload;

/// Until then pipelines serve what was begun; what is left of it is abandoned in half a second.
const DRAINED: Duration = Duration::from_millis(3000);

/// Until then the owner has ended.
const OWNER: Duration = Duration::from_millis(3500);

/// Until then samples that were taken are written.
const SPOOL: Duration = Duration::from_millis(4000);

/// Until then a running upload has been given up, and lines that were taken have been written.
const SINKS: Duration = Duration::from_millis(4300);

/// Until then the name on the bus is given up.
const BUS: Duration = Duration::from_millis(4500);

impl Running {
    /// Ends it in good order.
    pub(super) async fn stop(mut self) {
        let begun = begin();
        let (stop, _) = tokio::sync::oneshot::channel();
        let _ = std::mem::replace(&mut self.stop, stop).send(DRAINED);
        let uploads = match timeout_at(begun + OWNER, &mut self.owner).await {
            Ok(Ok(uploads)) => Some(uploads),
            Ok(Err(error)) => {
                tracing::error!(%error, "the owner of pipelines failed at the end");
                None
            }
            Err(_) => {
                tracing::error!("the owner of pipelines did not end; windows in flight are lost");
                None
            }
        };
        self.stop_the_rest(begun, uploads).await;
    }

    /// Ends what is left when the owner is gone.
    pub(super) async fn stop_without_owner(self) {
        self.stop_the_rest(begin(), None).await;
    }

    async fn stop_the_rest(mut self, begun: Instant, uploads: Option<upload::Handle>) {
        self.tasks.abort_all();
        let (spool, until) = (self.spool.clone(), begun + SPOOL);
        let left = until.saturating_duration_since(Instant::now());
        let flushed = timeout_at(until, tokio::task::spawn_blocking(move || spool.shutdown(left))).await;
        if !matches!(flushed, Ok(Ok(true))) {
            tracing::error!("the spool did not finish writing in time; samples are lost");
        }
        let until = begun + SINKS;
        if let Some(uploads) = uploads
            && timeout_at(until, uploads.shutdown()).await.is_err()
        {
            tracing::warn!("an upload did not end in time; it is done again at the next start");
        }
        let left = until.saturating_duration_since(Instant::now());
        if timeout_at(until, self.sinks.shutdown(left)).await.is_err() {
            tracing::error!("a sink did not end in time; lines are lost");
        }
        self.bus.close(begun + BUS).await;
        tracing::info!("stopped");
    }
}

fn begin() -> Instant {
    tracing::info!("stopping");
    service::stopping();
    Instant::now()
}
