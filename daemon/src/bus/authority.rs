//! Who may change something. Reading is free for everyone whom the bus lets in.
//!
//! Invariants:
//! - The caller is known by its name on the bus, which is never given to another; never by its process id, which is.
//! - Whatever goes wrong on the way to a yes (no polkit, an error, no answer in time) is a no.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use zbus::message::{Flags, Header};
use zbus::names::UniqueName;
use zbus::{Connection, Variant};

use super::callers::Callers;
use super::error::Refused;
use super::text::text;
use crate::control::{ControlError, command::Origin};

/// Callers that may wait for polkit; one more is answered `Busy`.
pub const CHECKS_AT_ONCE: usize = 32;

/// How long polkit may take without asking anyone.
const CHECK_WITHIN: Duration = Duration::from_secs(5);
/// How long a person may take to type a password.
const PERSON_WITHIN: Duration = Duration::from_secs(120);

/// What authority is asked for; each is an action of polkit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put a bundle into the store.
    InstallModel,
    /// Choose the version that serves.
    Activate,
    /// Choose one that is older than the one that serves.
    Downgrade,
    /// Go back to the version before.
    Rollback,
    /// Delete a version.
    Remove,
    /// Start and stop pipelines.
    ControlPipeline,
    /// Keep windows as samples.
    Capture,
    /// Send or delete samples.
    ManageSamples,
    /// Read the configuration again.
    Reload,
}

impl Action {
    /// All of them, in the order of `org.inferd1.policy`.
    pub const ALL: [Self; 9] = [
        Self::InstallModel,
        Self::Activate,
        Self::Downgrade,
        Self::Rollback,
        Self::Remove,
        Self::ControlPipeline,
        Self::Capture,
        Self::ManageSamples,
        Self::Reload,
    ];

    /// The action's id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::InstallModel => "org.inferd1.install-model",
            Self::Activate => "org.inferd1.activate",
            Self::Downgrade => "org.inferd1.downgrade",
            Self::Rollback => "org.inferd1.rollback",
            Self::Remove => "org.inferd1.remove",
            Self::ControlPipeline => "org.inferd1.control-pipeline",
            Self::Capture => "org.inferd1.capture",
            Self::ManageSamples => "org.inferd1.manage-samples",
            Self::Reload => "org.inferd1.reload",
        }
    }
}

/// Whom to let through. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Authority(Rule);

#[derive(Clone, Debug)]
enum Rule {
    /// A session bus lets in one user only.
    Everyone,
    /// Root, the daemon's own user, and whom polkit says.
    Polkit { within: Duration, places: Arc<Semaphore>, callers: Callers },
}

impl Authority {
    pub(super) fn everyone() -> Self {
        Self(Rule::Everyone)
    }

    pub(super) fn polkit() -> Self {
        Self::polkit_within(CHECK_WITHIN)
    }

    pub(super) fn polkit_within(within: Duration) -> Self {
        let places = Arc::new(Semaphore::new(CHECKS_AT_ONCE));
        Self(Rule::Polkit { within, places, callers: Callers::default() })
    }

    /// Who the caller is, if it may do this.
    pub(super) async fn permit(
        &self,
        connection: &Connection,
        call: &Header<'_>,
        action: Action,
    ) -> Result<Origin, Refused> {
        let (caller, uid) = identify(connection, call).await.map_err(|why| refused(action, why))?;
        match &self.0 {
            Rule::Polkit { within, places, callers } if !is_trusted(uid) => {
                callers.admit(uid, Instant::now())?;
                let _mine = callers.wait(uid)?;
                let _place = places.try_acquire().map_err(|_| too_many())?;
                let interactive = call.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
                let within = if interactive { PERSON_WITHIN } else { *within };
                let question = Question { caller, action, interactive };
                let answer = timeout(within, question.ask(connection)).await;
                answer.map_err(|_| refused(action, "polkit did not answer in time"))??;
            }
            Rule::Everyone | Rule::Polkit { .. } => {}
        }
        Ok(Origin::User(uid))
    }

    /// For what everyone may ask for and costs something: not too often.
    pub(super) async fn admit(&self, connection: &Connection, call: &Header<'_>) -> Result<(), Refused> {
        let Rule::Polkit { callers, .. } = &self.0 else { return Ok(()) };
        let (_, uid) = identify(connection, call).await.map_err(|why| ControlError::Internal(why.to_owned()))?;
        if is_trusted(uid) { Ok(()) } else { Ok(callers.admit(uid, Instant::now())?) }
    }
}

/// Root, and the daemon's own user.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == Uid::effective().as_raw()
}

async fn identify<'a>(
    connection: &Connection,
    call: &'a Header<'_>,
) -> Result<(&'a UniqueName<'a>, u32), &'static str> {
    let caller = call.sender().ok_or("the caller has no name on the bus")?;
    let uid = uid_of(connection, caller).await.ok_or("the bus does not know the caller")?;
    Ok((caller, uid))
}

async fn uid_of(connection: &Connection, caller: &UniqueName<'_>) -> Option<u32> {
    let bus = zbus::fdo::DBusProxy::new(connection).await.ok()?;
    timeout(CHECK_WITHIN, bus.get_connection_unix_user(caller.into())).await.ok()?.ok()
}

struct Question<'a> {
    caller: &'a UniqueName<'a>,
    action: Action,
    interactive: bool,
}

impl Question<'_> {
    /// `CheckAuthorization` of the polkit authority.
    async fn ask(&self, connection: &Connection) -> Result<(), Refused> {
        const ALLOW_USER_INTERACTION: u32 = 1;
        let subject = ("system-bus-name", HashMap::from([("name", Variant::from(self.caller.as_str()))]));
        let details: HashMap<&str, &str> = HashMap::new();
        let flags = if self.interactive { ALLOW_USER_INTERACTION } else { 0 };
        let reply = connection
            .call_method(
                Some("org.freedesktop.PolicyKit1"),
                "/org/freedesktop/PolicyKit1/Authority",
                Some("org.freedesktop.PolicyKit1.Authority"),
                "CheckAuthorization",
                &(subject, self.action.id(), details, flags, ""),
            )
            .await
            .map_err(|error| refused(self.action, &format!("polkit cannot be asked ({})", in_words(&error))))?;
        let body = reply.body();
        // Allowed now; a password would do; details.
        let (allowed, challenge, _): (bool, bool, HashMap<String, String>) =
            body.deserialize().map_err(|_| refused(self.action, "polkit's answer cannot be read"))?;
        match (allowed, challenge) {
            (true, _) => Ok(()),
            (false, true) => Err(refused(self.action, "polkit wants a password and there is nobody to ask")),
            (false, false) => Err(refused(self.action, "polkit says no")),
        }
    }
}

/// What the bus or polkit itself says of it.
fn in_words(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(_, Some(sentence), _) => text(sentence.as_str()),
        other => text(other.to_string()),
    }
}

fn refused(action: Action, why: &str) -> Refused {
    let id = action.id();
    Refused::not_authorized(format!("{id} is not allowed: {why}; run it as root, or grant {id} in polkit"))
}

fn too_many() -> Refused {
    ControlError::Busy(format!("{CHECKS_AT_ONCE} callers wait for authority already; try again")).into()
}
