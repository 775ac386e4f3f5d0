//! Follows the state: adds and removes objects, and tells what changed.
//!
//! Invariants:
//! - One PropertiesChanged per object and change, with only what changed.
//! - [`FIGURES`] are told at most once in [`FIGURES_EVERY`]; what was held back is told then, so that listeners always
//!   end up with the newest.
//! - Nothing is queued: a state that is replaced before it was looked at is skipped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use zbus::fdo::{ObjectManager, Properties};
use zbus::names::InterfaceName;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant};

use super::access::Access;
use super::authority::Authority;
use super::objects::{JobObject, ManagerObject, ModelObject, PipelineObject, SpoolObject};
use super::path;
use crate::control::state::JobState;
use crate::control::{Handle, State};
use inferd_core::Name;

/// Properties that only count.
const FIGURES: [&str; 6] = ["Counts", "Pending", "Bytes", "Uploaded", "Dropped", "Samples"];
/// Properties too large to send with each change; listeners are told to read them again.
const LARGE: [&str; 1] = ["Samples"];
/// The shortest time between two tellings of an object's figures.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

/// What there is an object for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Manager,
    Spool,
    Model(Name),
    Pipeline(Name),
    Job(u32),
}

/// What listeners know of an object.
struct Told {
    values: HashMap<String, OwnedVariant>,
    figures_at: Instant,
    /// For a job: it was told that it has ended.
    ended: bool,
}

pub(super) struct Follower {
    connection: Connection,
    access: Access,
    newest: watch::Receiver<Arc<State>>,
    values: watch::Sender<Arc<State>>,
    served: watch::Sender<Arc<State>>,
    told: BTreeMap<Thing, Told>,
}

impl Follower {
    /// Serves the objects of the state as it is.
    pub(super) async fn begin(connection: Connection, authority: Authority, handle: Handle) -> zbus::Result<Self> {
        let newest = handle.state();
        let (values, values_seen) = watch::channel(Arc::default());
        let (served, served_seen) = watch::channel(Arc::default());
        let access = Access { handle, authority, values: values_seen, served: served_seen };
        connection.object_server().at(path::ROOT, ObjectManager).await?;
        let mut follower = Self { connection, access, newest, values, served, told: BTreeMap::new() };
        follower.follow().await?;
        Ok(follower)
    }

    /// Runs until the owner or the connection has ended; [`Bus::alive`](super::Bus::alive) then fails.
    pub(super) async fn run(mut self) {
        loop {
            let due = match self.follow().await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(%error, "cannot tell the bus what changed; nobody can see or control inferd now");
                    return;
                }
            };
            tokio::select! {
                changed = self.newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Brings the objects up to the newest state; gives when figures that were held back are due.
    async fn follow(&mut self) -> zbus::Result<Option<Instant>> {
        let state = Arc::clone(&self.newest.borrow_and_update());
        let wanted = things(&state);
        let gone: Vec<Thing> = self.told.keys().filter(|thing| !wanted.contains(thing)).cloned().collect();
        for thing in gone {
            self.remove(&thing).await?;
        }
        self.values.send_replace(Arc::clone(&state));
        let mut due = None;
        for thing in wanted {
            let held_until = match self.told.remove(&thing) {
                Some(told) => self.tell(&thing, told).await?,
                None => self.add(&thing).await?,
            };
            due = due.into_iter().chain(held_until).min();
            self.tell_end(&thing, &state).await?;
        }
        self.served.send_replace(state);
        Ok(due)
    }

    async fn add(&mut self, thing: &Thing) -> zbus::Result<Option<Instant>> {
        let server = self.connection.object_server();
        let access = self.access.clone();
        let path = thing.path();
        match thing {
            Thing::Manager => drop(server.at(path, ManagerObject(access)).await?),
            Thing::Spool => drop(server.at(path, SpoolObject(access)).await?),
            Thing::Model(name) => drop(server.at(path, ModelObject { access, name: name.clone() }).await?),
            Thing::Pipeline(name) => drop(server.at(path, PipelineObject { access, name: name.clone() }).await?),
            Thing::Job(number) => drop(server.at(path, JobObject { access, number: *number }).await?),
        }
        let told = Told { values: self.read(thing).await?, figures_at: Instant::now(), ended: false };
        self.told.insert(thing.clone(), told);
        Ok(None)
    }

    async fn remove(&mut self, thing: &Thing) -> zbus::Result<()> {
        self.told.remove(thing);
        self.connection.object_server().remove_named(thing.path(), thing.interface()).await?;
        Ok(())
    }

    /// Tells what differs from what was told; gives when figures that were held back are due.
    async fn tell(&mut self, thing: &Thing, mut told: Told) -> zbus::Result<Option<Instant>> {
        let mut values = self.read(thing).await?;
        let due = told.figures_at + FIGURES_EVERY;
        let hold = Instant::now() < due;
        let mut held = false;
        values.retain(|name, value| {
            let differs = told.values.get(name) != Some(value);
            let figure = FIGURES.contains(&name.as_str());
            held |= differs && figure && hold;
            differs && !(figure && hold)
        });
        if values.keys().any(|name| FIGURES.contains(&name.as_str())) {
            told.figures_at = Instant::now();
        }
        self.emit_changed(thing, &values).await?;
        told.values.extend(values);
        self.told.insert(thing.clone(), told);
        Ok(held.then_some(due))
    }

    async fn emit_changed(&self, thing: &Thing, values: &HashMap<String, OwnedVariant>) -> zbus::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let (large, small): (Vec<_>, Vec<_>) = values.iter().partition(|(name, _)| LARGE.contains(&name.as_str()));
        let invalidated: Vec<&str> = large.into_iter().map(|(name, _)| name.as_str()).collect();
        let changed: zbus::Result<HashMap<&str, Variant<'_>>> =
            small.into_iter().map(|(name, value)| Ok((name.as_str(), Variant::try_from(value)?))).collect();
        let emitter = SignalEmitter::new(&self.connection, thing.path())?;
        Properties::properties_changed(&emitter, thing.interface(), changed?, invalidated.into()).await
    }

    /// Emits `Finished` once for a job that has ended.
    async fn tell_end(&mut self, thing: &Thing, state: &State) -> zbus::Result<()> {
        let (Thing::Job(number), Some(told)) = (thing, self.told.get_mut(thing)) else { return Ok(()) };
        let Some(job) = state.jobs.get(number).filter(|job| !told.ended && job.state != JobState::Running) else {
            return Ok(());
        };
        told.ended = true;
        let emitter = SignalEmitter::new(&self.connection, thing.path())?;
        JobObject::finished(&emitter, job.state.word()).await
    }

    /// All properties of an object, as its getters give them.
    async fn read(&self, thing: &Thing) -> zbus::Result<HashMap<String, OwnedVariant>> {
        match thing {
            Thing::Manager => self.read_as::<ManagerObject>(thing).await,
            Thing::Spool => self.read_as::<SpoolObject>(thing).await,
            Thing::Model(_) => self.read_as::<ModelObject>(thing).await,
            Thing::Pipeline(_) => self.read_as::<PipelineObject>(thing).await,
            Thing::Job(_) => self.read_as::<JobObject>(thing).await,
        }
    }

    async fn read_as<I: Interface>(&self, thing: &Thing) -> zbus::Result<HashMap<String, OwnedVariant>> {
        let server = self.connection.object_server();
        let object = server.interface::<_, I>(thing.path()).await?;
        let emitter = object.signal_emitter();
        Ok(object.get().await.get_all(server, &self.connection, None, emitter).await?)
    }
}

fn things(state: &State) -> BTreeSet<Thing> {
    let models = state.models.keys().cloned().map(Thing::Model);
    let pipelines = state.pipelines.keys().cloned().map(Thing::Pipeline);
    let jobs = state.jobs.keys().copied().map(Thing::Job);
    [Thing::Manager, Thing::Spool].into_iter().chain(models).chain(pipelines).chain(jobs).collect()
}

impl Thing {
    fn path(&self) -> OwnedObjectPath {
        match self {
            Self::Manager => ObjectPath::from_static_str_unchecked(path::ROOT).into(),
            Self::Spool => ObjectPath::from_static_str_unchecked(path::SPOOL).into(),
            Self::Model(name) => path::of_name(path::MODELS, name.as_str()),
            Self::Pipeline(name) => path::of_name(path::PIPELINES, name.as_str()),
            Self::Job(number) => path::of_job(*number),
        }
    }

    fn interface(&self) -> InterfaceName<'static> {
        match self {
            Self::Manager => ManagerObject::name(),
            Self::Spool => SpoolObject::name(),
            Self::Model(_) => ModelObject::name(),
            Self::Pipeline(_) => PipelineObject::name(),
            Self::Job(_) => JobObject::name(),
        }
    }
}
