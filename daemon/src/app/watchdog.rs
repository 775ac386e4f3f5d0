//! Feeds the service manager's watchdog, but only after the parts that can hang have answered: the owner task (which
//! publishes a state at least every second), the bus and the spool's lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::bus::Bus;
use crate::control::Handle;
use crate::control::command::{Command, ControlError};
use crate::host::service;
use crate::spool::Spool;

/// Time that all parts together have to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn feed(handle: Handle, bus: Arc<Bus>, spool: Spool) {
    let Some(interval) = service::watchdog_interval() else { return };
    let mut tick = tokio::time::interval(interval.min(Duration::from_secs(10)));
    loop {
        tick.tick().await;
        if timeout(PATIENCE, answers(&handle, &bus, &spool)).await == Ok(true) {
            service::alive();
            service::status(&handle.state().borrow().status);
        } else {
            tracing::error!("a part of inferd does not answer; the watchdog is not fed");
        }
    }
}

async fn answers(handle: &Handle, bus: &Bus, spool: &Spool) -> bool {
    // There is no job 0: a command that changes nothing and that only a living owner answers.
    let owner = matches!(handle.run(Command::CancelJob(0)).await, Err(ControlError::NotFound(_)));
    let spool = spool.clone();
    let counted = tokio::task::spawn_blocking(move || spool.counts()).await;
    owner && counted.is_ok() && bus.alive().await.is_ok()
}
