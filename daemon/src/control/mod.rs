//! Commands that change the system and the state that can be read from it. The bus translates to and from these types
//! and decides nothing; one owner task ([`Owner`]) carries commands out, one at a time.
//!
//! What takes time (reading a disk, starting a runner, proving a version) happens on blocking threads and comes back to
//! the owner as an event, so that it always answers.

pub mod command;
mod jobs;
mod launch;
mod owner;
mod pulse;
pub mod state;
mod swap;

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::capture;
pub use crate::capture::Attached;
pub use command::{Command, ControlError, Reply};
pub use launch::Deps;
pub use owner::{Links, Owner, ReadConfig};
pub use pulse::{Beat, Pulse, pulse};
pub use state::State;

/// Commands that may wait for the owner; one more is answered [`ControlError::Busy`].
pub const QUEUE_CAPACITY: usize = 64;

/// What the bus holds: the way in for commands and the newest state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<(Command, oneshot::Sender<Reply>)>,
    state: watch::Receiver<Arc<State>>,
    /// Held while devices are looked at.
    looking: Arc<Mutex<()>>,
}

impl Handle {
    /// The handle and the owner's ends of it.
    pub fn new(state: watch::Receiver<Arc<State>>) -> (Self, mpsc::Receiver<(Command, oneshot::Sender<Reply>)>) {
        let (commands, owner) = mpsc::channel(QUEUE_CAPACITY);
        (Self { commands, state, looking: Arc::default() }, owner)
    }

    /// Hands a command to the owner and waits for the answer.
    ///
    /// # Errors
    /// What the owner says, [`ControlError::Busy`] where too many wait, [`ControlError::Stopping`] where it has ended.
    pub async fn run(&self, command: Command) -> Reply {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send((command, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Busy("too many commands are waiting; try again".into()),
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })?;
        answer.await.unwrap_or(Err(ControlError::Stopping))
    }

    /// The devices that are attached. Looks at them for one caller at a time.
    ///
    /// # Errors
    /// [`ControlError::Busy`] where another one has it done.
    pub async fn attached(&self) -> Result<Vec<Attached>, ControlError> {
        let Ok(looking) = Arc::clone(&self.looking).try_lock_owned() else {
            return Err(ControlError::Busy("devices are being looked at for another caller; try again".into()));
        };
        let look = move || {
            let _looking = looking;
            capture::attached()
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| ControlError::Internal(error.to_string()))
    }

    /// The newest state; `changed()` on it waits for the next.
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }
}
