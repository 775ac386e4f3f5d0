//! How much one user may ask for at a time, so that nobody who may ask for nothing keeps others from being heard.
//!
//! Invariants:
//! - Users are told apart by user id: a name on the bus is a new one at each connection.
//! - Root and the daemon's own user are never asked to wait: they are not counted.
//! - What is remembered of a user goes when there is nothing to say of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::control::ControlError;

/// Calls that a user may make at once after a pause; from then on one every [`EVERY`].
pub const BURST: u32 = 30;
/// The shortest time between two calls of a user in the long run.
pub const EVERY: Duration = Duration::from_millis(100);
/// Calls of one user that may wait for polkit, which may ask a person.
pub const WAITING: usize = 4;

/// What is known of all users. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Callers(Arc<Mutex<HashMap<u32, Caller>>>);

#[derive(Debug)]
struct Caller {
    /// When its calls will have come at one every [`EVERY`]. (The generic cell rate algorithm, ITU-T I.371: the theoretical
    /// arrival time of the next one.)
    level_at: Instant,
    waiting: usize,
}

impl Callers {
    /// Counts a call that comes now.
    ///
    /// # Errors
    /// [`ControlError::Busy`]: that user calls too often.
    pub(super) fn admit(&self, uid: u32, now: Instant) -> Result<(), ControlError> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|_, caller| caller.waiting > 0 || caller.level_at > now);
        let caller = callers.entry(uid).or_insert(Caller { level_at: now, waiting: 0 });
        let level_at = caller.level_at.max(now) + EVERY;
        if level_at > now + EVERY * BURST {
            let rate = Duration::from_secs(1).div_duration_f64(EVERY);
            return Err(ControlError::Busy(format!(
                "user {uid} calls more than {rate} times a second; try again later"
            )));
        }
        caller.level_at = level_at;
        Ok(())
    }

    /// A place to wait for polkit in, until it is dropped. The user's call has been admitted.
    ///
    /// # Errors
    /// [`ControlError::Busy`]: all of its places are taken.
    pub(super) fn wait(&self, uid: u32) -> Result<Place, ControlError> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = callers.entry(uid).or_insert_with(|| Caller { level_at: Instant::now(), waiting: 0 });
        if caller.waiting >= WAITING {
            let text =
                format!("{WAITING} calls of user {uid} wait for polkit already; answer its question, or try again");
            return Err(ControlError::Busy(text));
        }
        caller.waiting += 1;
        Ok(Place { callers: self.clone(), uid })
    }
}

/// A call that waits for polkit.
#[derive(Debug)]
pub(super) struct Place {
    callers: Callers,
    uid: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut callers = self.callers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = callers.get_mut(&self.uid) {
            caller.waiting -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_calls_too_often_is_refused_and_nobody_else() {
        let (callers, now) = (Callers::default(), Instant::now());
        for _ in 0..BURST {
            callers.admit(1000, now).unwrap();
        }
        let refused = callers.admit(1000, now).unwrap_err();
        assert_eq!(refused.to_string(), "user 1000 calls more than 10 times a second; try again later");
        callers.admit(1001, now).unwrap();
        // What was refused is not held against it.
        callers.admit(1000, now + EVERY).unwrap();
        callers.admit(1000, now + EVERY).unwrap_err();
    }

    #[test]
    fn one_call_every_tenth_of_a_second_is_never_refused() {
        let (callers, now) = (Callers::default(), Instant::now());
        for call in 0..1000 {
            callers.admit(1000, now + EVERY * call).unwrap();
        }
    }

    #[test]
    fn a_user_waits_in_some_places_and_not_in_all() {
        let callers = Callers::default();
        let mut places: Vec<Place> = (0..WAITING).map(|_| callers.wait(1000).unwrap()).collect();
        let refused = callers.wait(1000).unwrap_err();
        assert!(refused.to_string().contains("4 calls of user 1000 wait"), "{refused}");
        let _other = callers.wait(1001).unwrap();
        places.pop();
        callers.wait(1000).unwrap();
    }

    #[test]
    fn users_that_are_quiet_are_forgotten_and_those_that_wait_are_not() {
        let (callers, now) = (Callers::default(), Instant::now());
        for uid in 0..100 {
            callers.admit(uid, now).unwrap();
        }
        let place = callers.wait(7).unwrap();
        callers.admit(1000, now + EVERY * 2).unwrap();
        let mut known: Vec<u32> = callers.0.lock().unwrap().keys().copied().collect();
        known.sort_unstable();
        assert_eq!(known, [7, 1000]);
        drop(place);
    }
}
