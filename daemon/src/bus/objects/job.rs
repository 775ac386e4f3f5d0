//! `org.inferd1.Job` at `/org/inferd1/job/N`.

use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::bus::access::Access;
use crate::bus::authority::Action;
use crate::bus::error::{Refused, name_on_bus};
use crate::control::Command;
use crate::control::state::{Job, JobState};

pub(in crate::bus) struct JobObject {
    pub(in crate::bus) access: Access,
    pub(in crate::bus) number: u32,
}

/// Work that takes longer than a call. Ended jobs stay until 64 newer ones have been begun.
#[interface(name = "org.inferd1.Job")]
impl JobObject {
    /// Ends it, as long as it has changed nothing. Takes the authority that beginning it took.
    async fn cancel(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        self.access.permit(connection, &call, self.action()).await?;
        self.access.run(Command::CancelJob(self.number)).await
    }

    /// What it does, in a line.
    #[zbus(property(emits_changed_signal = "const"))]
    fn operation(&self) -> String {
        self.read(|job| job.operation.clone())
    }

    /// `running`, `succeeded` or `failed`.
    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.read(|job| job.state.word())
    }

    /// Percent, and the step it is at.
    #[zbus(property)]
    fn progress(&self) -> (u32, String) {
        self.read(|job| (u32::from(job.percent), job.step.clone()))
    }

    /// Name (`org.inferd1.Error.…`) and sentence of the error that ended it; both empty where none did.
    #[zbus(property)]
    fn error(&self) -> (String, String) {
        self.read(|job| match &job.state {
            JobState::Failed(error) => (name_on_bus(error.name()), error.to_string()),
            JobState::Running | JobState::Succeeded => Default::default(),
        })
    }

    /// It has ended, `succeeded` or `failed`.
    #[zbus(signal)]
    pub(in crate::bus) async fn finished(emitter: &SignalEmitter<'_>, state: &str) -> zbus::Result<()>;
}

impl JobObject {
    fn read<T: Default>(&self, value: impl FnOnce(&Job) -> T) -> T {
        self.access.state().jobs.get(&self.number).map(value).unwrap_or_default()
    }

    fn action(&self) -> Action {
        let operation = self.read(|job| job.operation.clone());
        match operation.split_whitespace().next() {
            Some("install") => Action::InstallModel,
            Some("rollback") => Action::Rollback,
            _ => Action::Activate,
        }
    }
}
