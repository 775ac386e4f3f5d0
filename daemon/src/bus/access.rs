//! What each object holds: the values to show, the way in for commands, and whom to let through.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use zbus::message::Header;
use zbus::{Connection, ObjectPath, OwnedObjectPath};

use super::authority::{Action, Authority};
use super::error::Refused;
use super::path;
use crate::control::command::{Command, Done, Origin};
use crate::control::{Handle, State};

/// How long an answer waits for what it is about to be shown. Only ever reached when the bus itself has stalled.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) handle: Handle,
    pub(super) authority: Authority,
    /// What getters read. Replaced before objects are added and after they are removed, so that an object never
    /// shows a state in which it does not exist.
    pub(super) values: watch::Receiver<Arc<State>>,
    /// Follows `values`, once all its objects are there.
    pub(super) served: watch::Receiver<Arc<State>>,
}

impl Access {
    /// The state to show.
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.values.borrow())
    }

    /// Who the caller is, if it may do this.
    pub(super) async fn permit(
        &self,
        connection: &Connection,
        call: &Header<'_>,
        action: Action,
    ) -> Result<Origin, Refused> {
        self.authority.permit(connection, call, action).await
    }

    /// For what everyone may ask for and costs something: not too often.
    pub(super) async fn admit(&self, connection: &Connection, call: &Header<'_>) -> Result<(), Refused> {
        self.authority.admit(connection, call).await
    }

    /// Carries out what is no job.
    pub(super) async fn run(&self, command: Command) -> Result<(), Refused> {
        self.handle.run(command).await?;
        let (newest, mut served) = (self.handle.state(), self.served.clone());
        // Whoever reads a property after the answer reads what came of the call. It holds even if waiting is in vain.
        let shown = served.wait_for(|shown| Arc::ptr_eq(shown, &newest.borrow()));
        let _ = timeout(SHOWN_WITHIN, shown).await;
        Ok(())
    }

    /// Begins a job; gives its object, or `/` where there was nothing to do.
    pub(super) async fn begin(&self, command: Command) -> Result<OwnedObjectPath, Refused> {
        match self.handle.run(command).await? {
            Done::Now | Done::Draining => Ok(ObjectPath::from_static_str_unchecked("/").into()),
            Done::Job(number) => {
                let mut served = self.served.clone();
                // The path is right even if waiting is in vain, so the caller gets it either way.
                let _ = timeout(SHOWN_WITHIN, served.wait_for(|state| state.jobs.contains_key(&number))).await;
                Ok(path::of_job(number))
            }
        }
    }
}
