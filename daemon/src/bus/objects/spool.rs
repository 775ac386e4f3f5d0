//! `org.inferd1.Spool` at `/org/inferd1/spool`.

use zbus::message::Header;
use zbus::{Connection, Variant, interface};

use super::Dictionary;
use crate::bus::access::Access;
use crate::bus::authority::Action;
use crate::bus::error::Refused;
use crate::bus::text::text;
use crate::control::Command;
use crate::control::state::Sample;

pub(in crate::bus) struct SpoolObject(pub(in crate::bus) Access);

/// Samples that wait to be uploaded. Changes of figures are told at most once a second.
#[interface(name = "org.inferd1.Spool")]
impl SpoolObject {
    /// Tries all uploads now.
    async fn flush(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.0.permit(connection, &call, Action::ManageSamples).await?;
        self.0.run(Command::FlushSpool).await
    }

    /// Deletes a sample that was not uploaded.
    async fn discard(
        &self,
        id: String,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.0.permit(connection, &call, Action::ManageSamples).await?;
        self.0.run(Command::DiscardSample(id)).await
    }

    /// How many wait.
    #[zbus(property)]
    fn pending(&self) -> u64 {
        self.0.state().spool.pending
    }

    /// Their bytes on disk.
    #[zbus(property)]
    fn bytes(&self) -> u64 {
        self.0.state().spool.bytes
    }

    /// Uploaded since the service was started.
    #[zbus(property)]
    fn uploaded(&self) -> u64 {
        self.0.state().spool.uploaded
    }

    /// Dropped since the service was started, for whatever reason.
    #[zbus(property)]
    fn dropped(&self) -> u64 {
        self.0.state().spool.dropped
    }

    /// Why the last upload failed; empty where it did not.
    #[zbus(property)]
    fn last_error(&self) -> String {
        text(&self.0.state().spool.last_error)
    }

    /// The waiting samples, oldest first, at most 1000, each with `id`, `pipeline`, `reason`, `time` (RFC 3339),
    /// `label` (s), `confidence` (d) and `bytes` (t). That they changed is told, without the list.
    #[zbus(property(emits_changed_signal = "invalidates"))]
    fn samples(&self) -> Vec<Dictionary> {
        self.0.state().spool.samples.iter().map(sample_entry).collect()
    }
}

fn sample_entry(sample: &Sample) -> Dictionary {
    Dictionary::from([
        ("id", text(&sample.id).into()),
        ("pipeline", text(sample.pipeline.as_str()).into()),
        ("reason", text(&sample.reason).into()),
        ("time", text(&sample.time).into()),
        ("label", text(&sample.label).into()),
        ("confidence", Variant::from(f64::from(sample.confidence))),
        ("bytes", sample.bytes.into()),
    ])
}
