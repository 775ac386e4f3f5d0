//! `org.inferd1.Job` at `/org/inferd1/job/N`.

use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::bus::access::Access;
use crate::bus::authority::Action;
use crate::bus::error::{Refused, name_on_bus};
use crate::bus::text::text;
use crate::control::Command;
use crate::control::state::{Job, JobKind, JobState};

pub(in crate::bus) struct JobObject {
    pub(in crate::bus) access: Access,
    pub(in crate::bus) number: u32,
}

/// Work that takes longer than a call. Ended jobs stay until 64 newer ones have been begun.
#[interface(name = "org.inferd1.Job")]
impl JobObject {
    /// Ends it at its next step; refused with WrongState where it has ended or is carrying out its change. A version that was
    /// installed to be activated stays installed. Takes the authority that beginning it took.
    async fn cancel(
        &self,
        #[zbus(header)] call: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Refused> {
        for action in self.actions() {
            self.access.permit(connection, &call, *action).await?;
        }
        self.access.run(Command::CancelJob(self.number)).await
    }

    /// What it does, in a line. That of an install changes once the bundle's name and version are known.
    #[zbus(property)]
    fn operation(&self) -> String {
        self.read(|job| text(&job.operation))
    }

    /// `running`, `succeeded` or `failed`.
    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.read(|job| job.state.word())
    }

    /// Percent, and the step it is at.
    #[zbus(property)]
    fn progress(&self) -> (u32, String) {
        self.read(|job| (u32::from(job.percent), text(&job.step)))
    }

    /// Name (`org.inferd1.Error.…`) and sentence of the error that ended it; both empty where none did.
    #[zbus(property)]
    fn error(&self) -> (String, String) {
        self.read(|job| match &job.state {
            JobState::Failed(error) => (name_on_bus(error.name()), text(error.to_string())),
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

    /// What beginning it took. There is nothing to cancel where it is gone.
    fn actions(&self) -> &'static [Action] {
        match self.read(|job| Some(job.kind)) {
            Some(JobKind::Install) | None => &[Action::InstallModel],
            Some(JobKind::InstallAndActivate) => &[Action::InstallModel, Action::Activate],
            Some(JobKind::Activate) => &[Action::Activate],
            Some(JobKind::Rollback) => &[Action::Rollback],
        }
    }
}
