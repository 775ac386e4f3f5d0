//! `org.inferd1.Model` at `/org/inferd1/model/NAME`.

use inferd_core::Name;
use semver::Version;
use zbus::message::Header;
use zbus::{Connection, OwnedObjectPath, Variant, interface};

use super::Dictionary;
use crate::bus::access::Access;
use crate::bus::authority::Action;
use crate::bus::error::Refused;
use crate::bus::options::{self, Options};
use crate::bus::text::text;
use crate::control::Command;
use crate::control::state::{InstalledVersion, Model};

pub(in crate::bus) struct ModelObject {
    pub(in crate::bus) access: Access,
    pub(in crate::bus) name: Name,
}

/// A model and its installed versions.
#[interface(name = "org.inferd1.Model")]
impl ModelObject {
    /// Makes an installed version the active one: it is loaded and proved beside the one that serves, which it then
    /// replaces between two windows. One that is older than the active one takes the authority to downgrade, too. There are no
    /// options yet.
    #[zbus(out_args("job"))]
    async fn activate(
        &self,
        version: &str,
        options: Options,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Refused> {
        options::none(&options)?;
        let version = parse_version(version)?;
        let origin = self.access.permit(connection, &call, Action::Activate).await?;
        // Whether it is one is looked at again once the command's turn has come.
        let downgrade = self.model().active.is_some_and(|active| version < active);
        if downgrade {
            self.access.permit(connection, &call, Action::Downgrade).await?;
        }
        self.access.begin(Command::Activate { model: self.name.clone(), version, downgrade, origin }).await
    }

    /// Makes the previous version the active one. There are no options yet.
    #[zbus(out_args("job"))]
    async fn rollback(
        &self,
        options: Options,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Refused> {
        options::none(&options)?;
        let origin = self.access.permit(connection, &call, Action::Rollback).await?;
        self.access.begin(Command::Rollback { model: self.name.clone(), origin }).await
    }

    /// Deletes a version that is neither active nor previous.
    async fn remove(
        &self,
        version: &str,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        let version = parse_version(version)?;
        let origin = self.access.permit(connection, &call, Action::Remove).await?;
        self.access.run(Command::Remove { model: self.name.clone(), version, origin }).await
    }

    /// The version that serves; empty where none does.
    #[zbus(property)]
    fn active_version(&self) -> String {
        self.model().active.map(|version| text(version.to_string())).unwrap_or_default()
    }

    /// The version that Rollback goes to; empty where there is none.
    #[zbus(property)]
    fn previous_version(&self) -> String {
        self.model().previous.map(|version| text(version.to_string())).unwrap_or_default()
    }

    /// The installed versions, oldest first, each with `version` (s), `digest` (s), `description` (s), `kind` (s:
    /// image, audio, imu, tensor), `task` (s: classification, detection, anomaly, regression, raw) and `bytes` (t).
    #[zbus(property)]
    fn versions(&self) -> Vec<Dictionary> {
        self.model().versions.into_iter().map(version_entry).collect()
    }

    /// `active` where a version serves or would, `inactive` where none was chosen.
    #[zbus(property)]
    fn state(&self) -> &'static str {
        if self.model().active.is_some() { "active" } else { "inactive" }
    }
}

impl ModelObject {
    fn model(&self) -> Model {
        self.access.state().models.get(&self.name).cloned().unwrap_or_default()
    }
}

fn version_entry(version: InstalledVersion) -> Dictionary {
    Dictionary::from([
        ("version", text(version.version.to_string()).into()),
        ("digest", version.digest.to_string().into()),
        ("description", text(version.description).into()),
        ("kind", version.kind.into()),
        ("task", version.task.into()),
        ("bytes", Variant::from(version.bytes)),
    ])
}

fn parse_version(text: &str) -> Result<Version, Refused> {
    text.parse().map_err(|_| Refused::invalid_argument(format!("`{text}` is no version: 1.2.3 is expected")))
}
