//! Feeds the service manager's watchdog, but only after the parts that can hang have answered: the owner task, the threads of
//! pipelines and of their sources (a runner that hangs is ended by its deadline, which its pipeline's thread looks after), the
//! bus and the spool's lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::bus::Bus;
use crate::control::{Handle, Pulse};
use crate::host::error::with_causes;
use crate::host::service;
use crate::spool::Spool;

/// Time that all parts together have to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn feed(handle: Handle, mut pulse: Pulse, bus: Arc<Bus>, spool: Spool) {
    let Some(interval) = service::watchdog_interval() else { return };
    let mut tick = tokio::time::interval(interval.min(Duration::from_secs(10)));
    loop {
        tick.tick().await;
        let answered = timeout(PATIENCE, answers(&mut pulse, &bus, &spool)).await;
        match answered.unwrap_or_else(|_| Err(format!("nothing within {} s", PATIENCE.as_secs()))) {
            Ok(()) => {
                service::alive();
                service::status(&handle.state().borrow().status);
            }
            Err(reason) => {
                tracing::error!(reason, "a part of inferd does not answer; the watchdog is not fed");
            }
        }
    }
}

async fn answers(pulse: &mut Pulse, bus: &Bus, spool: &Spool) -> Result<(), String> {
    let spool = spool.clone();
    let counted = tokio::task::spawn_blocking(move || spool.counts()).await;
    counted.map_err(|error| format!("the spool: {error}"))?;
    pulse.beats().await?;
    bus.alive().await.map_err(|error| format!("the bus: {}", with_causes(&error)))
}
