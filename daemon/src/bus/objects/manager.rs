//! `org.inferd1.Manager` at `/org/inferd1`.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use zbus::message::Header;
use zbus::{Connection, OwnedFd, OwnedObjectPath, interface};

use crate::bus::access::Access;
use crate::bus::authority::Action;
use crate::bus::error::Refused;
use crate::bus::objects::Dictionary;
use crate::bus::options::{self, Options};
use crate::bus::text::text;
use crate::control::{Attached, Command};

pub(in crate::bus) struct ManagerObject(pub(in crate::bus) Access);

/// The service as a whole.
#[interface(name = "org.inferd1.Manager")]
impl ManagerObject {
    /// Installs the bundle in a regular file that is open for reading; it is read from its start.
    /// Option `activate` (b): make it the active version afterwards; that takes the authority to activate, too. A model's
    /// first version becomes active in any case, one that is older than the active one never.
    #[zbus(out_args("job"))]
    async fn install_model(
        &self,
        bundle: OwnedFd,
        options: Options,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Refused> {
        let activate = options::activate(&options)?;
        let origin = self.0.permit(connection, &call, Action::InstallModel).await?;
        if activate {
            self.0.permit(connection, &call, Action::Activate).await?;
        }
        let bundle = regular_file(bundle)?;
        self.0.begin(Command::Install { bundle, activate, origin }).await
    }

    /// Reads the configuration again. A wrong one changes nothing and is told in the error and in ConfigError. Sections that
    /// take effect at the next start only are told in PendingSections.
    async fn reload(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.0.permit(connection, &call, Action::Reload).await?;
        self.0.run(Command::Reload).await
    }

    /// Cameras, microphones and sensors of motion that are attached, each with `kind` (s: camera, microphone or imu), `device`
    /// (s), `name` (s), `place` (s: where it is plugged in), `formats` (as), `problem` (s: why inferd cannot use it, empty where
    /// it can) and `source` (s: the `source = …` of a pipeline that uses it, in TOML). Opens each for a moment.
    #[zbus(out_args("sources"))]
    async fn list_sources(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<Vec<Dictionary>, Refused> {
        self.0.admit(connection, &call).await?;
        Ok(self.0.handle.attached().await?.iter().map(source_entry).collect())
    }

    /// The release of the service.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// One line: what runs and what is wrong.
    #[zbus(property)]
    fn status(&self) -> String {
        text(&self.0.state().status)
    }

    /// Where Prometheus finds the metrics; empty where they are not served.
    #[zbus(property)]
    fn metrics_address(&self) -> String {
        text(&self.0.state().metrics_address)
    }

    /// What is wrong with the configuration that was read last, with file, line and key; empty where nothing is.
    #[zbus(property)]
    fn config_error(&self) -> String {
        text(&self.0.state().config_error)
    }

    /// Sections of the configuration that were changed and take effect at the next start of the service.
    #[zbus(property)]
    fn pending_sections(&self) -> Vec<String> {
        self.0.state().pending_sections.iter().copied().map(text).collect()
    }
}

fn source_entry(source: &Attached) -> Dictionary {
    Dictionary::from([
        ("kind", source.kind.into()),
        ("device", text(&source.device).into()),
        ("name", text(&source.name).into()),
        ("place", text(&source.place).into()),
        ("formats", source.formats.iter().map(text).collect::<Vec<String>>().into()),
        ("problem", text(&source.problem).into()),
        ("source", text(&source.source).into()),
    ])
}

/// Anything else (a pipe, a device) could keep its reader waiting for ever.
fn regular_file(descriptor: OwnedFd) -> Result<File, Refused> {
    let mut file = File::from(std::os::fd::OwnedFd::from(descriptor));
    let regular = file.metadata().is_ok_and(|about| about.is_file());
    if regular && file.seek(SeekFrom::Start(0)).is_ok() {
        Ok(file)
    } else {
        Err(Refused::invalid_argument("the bundle is no regular file: open the .inferd file itself and pass that"))
    }
}
