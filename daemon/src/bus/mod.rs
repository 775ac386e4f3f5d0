//! D-Bus: the state as objects under `/org/inferd1`, their methods as commands to the owner. Translation only: what a
//! command does is decided behind [`control::Handle`](crate::control::Handle).
//!
//! Invariants:
//! - Every object is served before the name is requested: who finds the name finds the objects.
//! - Methods take `&self`, hand a command over and await the answer. No object is ever locked for writing, so a caller
//!   that takes long (a password prompt) holds up nobody else.
//! - A method that answers with a job answers once that job is an object; every other one once what it changed is shown.
//! - No text leaves unchecked ([`text`]): models and runners have a say in some, and one with a NUL would cost us the
//!   connection.
//! - At most [`control::QUEUE_CAPACITY`](crate::control::QUEUE_CAPACITY) commands wait; one more is answered `Busy`.
//!   At most [`authority::CHECKS_AT_ONCE`] callers wait for polkit, [`callers::WAITING`] of one user; one more is answered
//!   `Busy`, as is a user that calls too often. Root waits for none of them: it is let through before.

mod access;
pub mod authority;
pub mod callers;
pub mod error;
mod follow;
mod objects;
mod options;
pub mod path;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use zbus::fdo::{DBusProxy, RequestNameFlags};
use zbus::names::WellKnownName;
use zbus::{Connection, connection};

use crate::config::BusChoice;
use crate::control::Handle;
use authority::Authority;
use follow::Follower;

/// The name on the bus.
pub const NAME: &str = "org.inferd1";

/// How long the bus may take to answer before it counts as dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why the bus cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// There is no bus, or it does not let us in.
    #[error("cannot connect to the {bus} bus: is dbus-daemon running? (`[bus] connect = \"none\"` does without)")]
    Connect {
        /// `system` or `session`.
        bus: &'static str,
        /// What went wrong.
        source: zbus::Error,
    },
    /// Another process serves the name.
    #[error("{NAME} is served by process {owner} already: stop that one first")]
    NameTaken {
        /// Its process id, or `?`.
        owner: String,
    },
    /// The bus does not let this user serve the name.
    #[error("the bus lets this user not serve {NAME}: is /usr/share/dbus-1/system.d/org.inferd1.conf installed?")]
    NameRefused(#[source] zbus::Error),
    /// Something else failed.
    #[error("cannot serve objects on the bus")]
    Serve(#[from] zbus::Error),
    /// The bus does not answer.
    #[error("the bus did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
}

/// The bus being served, until it is closed or dropped.
pub struct Bus(Option<Served>);

struct Served {
    connection: Connection,
    follower: JoinHandle<()>,
}

/// Connects, serves the objects, then takes the name. Must be called within tokio.
///
/// # Errors
/// [`BusError`]
pub async fn serve(choice: BusChoice, handle: Handle) -> Result<Bus, BusError> {
    let (bus, builder, authority) = match choice {
        BusChoice::None => return Ok(Bus(None)),
        BusChoice::System => ("system", connection::Builder::system(), Authority::polkit()),
        BusChoice::Session => ("session", connection::Builder::session(), Authority::everyone()),
    };
    let connection = builder.build().await.map_err(|source| BusError::Connect { bus, source })?;
    serve_on(connection, authority, handle).await
}

async fn serve_on(connection: Connection, authority: Authority, handle: Handle) -> Result<Bus, BusError> {
    let follower = Follower::begin(connection.clone(), authority, handle).await?;
    take_name(&connection).await?;
    let follower = tokio::spawn(follower.run());
    Ok(Bus(Some(Served { connection, follower })))
}

async fn take_name(connection: &Connection) -> Result<(), BusError> {
    // Not zbus's defaults, which let the next process that asks take the name away.
    match connection.request_name_with_flags(NAME, RequestNameFlags::DO_NOT_QUEUE).await {
        Ok(_) => Ok(()),
        Err(zbus::Error::NameTaken) => Err(BusError::NameTaken { owner: owner(connection).await }),
        Err(error @ zbus::Error::FDO(_)) => Err(BusError::NameRefused(error)),
        Err(error) => Err(error.into()),
    }
}

async fn owner(connection: &Connection) -> String {
    let pid = async {
        let bus = DBusProxy::new(connection).await.ok()?;
        bus.get_connection_unix_process_id(WellKnownName::from_static_str_unchecked(NAME).into()).await.ok()
    };
    pid.await.map_or_else(|| "?".to_owned(), |pid| pid.to_string())
}

impl Bus {
    /// One round trip to the bus; the watchdog is fed only after it. At once where no bus is configured.
    ///
    /// # Errors
    /// [`BusError::Silent`] or [`BusError::Serve`]: nobody can reach the daemon any more.
    pub async fn alive(&self) -> Result<(), BusError> {
        let Some(served) = &self.0 else { return Ok(()) };
        if served.follower.is_finished() {
            return Err(BusError::Silent);
        }
        // Not its Ping: a system bus lets nobody call the Peer interface of its own.
        let answer = served.connection.call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "GetId",
            &(),
        );
        timeout(ANSWER_WITHIN, answer).await.map_err(|_| BusError::Silent)??;
        Ok(())
    }

    /// Gives the name up and hangs up, until then at the latest. Calls that are being answered are cut off.
    pub async fn close(&self, until: Instant) {
        let Some(served) = &self.0 else { return };
        served.follower.abort();
        // Best effort, as the bus may be gone or stall: the end of the process hangs up, and that gives up the name as well.
        let _ = timeout_at(until, served.connection.release_name(NAME)).await;
        let _ = timeout_at(until, served.connection.clone().close()).await;
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_ref().and_then(|served| served.connection.unique_name());
        f.debug_tuple("Bus").field(&name).finish()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(served) = &self.0 {
            served.follower.abort();
        }
    }
}
