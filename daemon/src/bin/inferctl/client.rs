//! The way to the daemon: one connection, calls with a time limit, errors as [`Failure`]s.

use std::collections::HashMap;
use std::time::Duration;

use inferd::bus::{self, error::NOT_AUTHORIZED};
use serde::Serialize;
use tokio::time::timeout;
use zbus::proxy::{self, CacheProperties, MethodFlags};
use zbus::wire::DynamicDeserialize;
use zbus::{Connection, DBusError, DynamicType, OwnedObjectPath, OwnedVariant, Proxy, connection, fdo};

use crate::cli::BusKind;
use crate::failure::Failure;

/// Long enough for a person to type a password.
const ANSWER_WITHIN: Duration = Duration::from_secs(130);

/// An object's properties, by name.
pub(crate) type Values = HashMap<String, OwnedVariant>;

/// What the ObjectManager lists: path, interface, properties.
pub(crate) type Objects = HashMap<OwnedObjectPath, HashMap<String, Values>>;

pub(crate) struct Client {
    bus: BusKind,
    connection: Connection,
}

impl Client {
    pub(crate) async fn connect(bus: BusKind) -> Result<Self, Failure> {
        let builder = match bus {
            BusKind::System => connection::Builder::system(),
            BusKind::Session => connection::Builder::session(),
        };
        let connection = builder.build().await;
        let connection = connection.map_err(|error| Failure::unreachable(bus, &error.to_string()))?;
        Ok(Self { bus, connection })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Everything at once: the Manager's properties, and all objects below it.
    pub(crate) async fn everything(&self) -> Result<(Values, Objects), Failure> {
        let manager = self.values(bus::path::ROOT, "Manager").await?;
        let objects =
            self.send(bus::path::ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &()).await?;
        Ok((manager, objects))
    }

    /// inferd's process id, as the bus knows it.
    pub(crate) async fn process_id(&self) -> Option<u32> {
        let daemon = fdo::DBusProxy::new(&self.connection).await.ok()?;
        daemon.get_connection_unix_process_id(bus::NAME.try_into().ok()?).await.ok()
    }

    /// An object's properties.
    pub(crate) async fn values(&self, path: &str, interface: &str) -> Result<Values, Failure> {
        let interface = format!("org.inferd1.{interface}");
        self.send(path, "org.freedesktop.DBus.Properties", "GetAll", &interface).await
    }

    /// A method of one of our interfaces.
    pub(crate) async fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R, Failure>
    where
        B: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        self.send(path, &format!("org.inferd1.{interface}"), method, body).await
    }

    async fn send<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R, Failure>
    where
        B: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        let call = async {
            let proxy = proxy::Builder::<Proxy<'_>>::new(&self.connection)
                .destination(bus::NAME)
                .path(path)
                .interface(interface)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            // A person runs this program: polkit may ask for a password.
            let flags = MethodFlags::ALLOW_INTERACTIVE_AUTH | MethodFlags::NO_AUTO_START;
            proxy.call_with_flags(method, flags, body).await
        };
        let answer = timeout(ANSWER_WITHIN, call).await.map_err(|_| Failure::unreachable(self.bus, "no answer"))?;
        // `None` is what a call without a reply gives; ours have one.
        answer.map_err(|error| self.explain(error))?.ok_or_else(|| Failure::unreachable(self.bus, "no answer"))
    }

    fn explain(&self, error: zbus::Error) -> Failure {
        match error {
            zbus::Error::MethodError(name, sentence, _) => {
                Failure::from_daemon(name.as_str(), sentence.unwrap_or_else(|| name.to_string()))
            }
            zbus::Error::FDO(error) => self.explain_standard(&error),
            zbus::Error::InputOutput(error) => Failure::unreachable(self.bus, &error.to_string()),
            error => Failure::failed(format!("inferd's answer cannot be read: {error}"))
                .hint("are inferd and inferctl of the same release? (`inferctl --version`)"),
        }
    }

    fn explain_standard(&self, error: &fdo::Error) -> Failure {
        match error {
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => {
                Failure::unreachable(self.bus, "it does not run")
            }
            fdo::Error::NoReply(_) | fdo::Error::Disconnected(_) => {
                Failure::unreachable(self.bus, "it ended before it answered")
            }
            fdo::Error::AccessDenied(sentence) => {
                Failure::from_daemon(NOT_AUTHORIZED, format!("the bus does not let this through: {sentence}"))
            }
            error => Failure::from_daemon(error.name().as_str(), error.description().unwrap_or("it was refused")),
        }
    }
}
