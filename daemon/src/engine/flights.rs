//! The windows that a runner has or that wait for one, in the order of their numbers: who is computed, who is late, who
//! is tried again. No process, no socket, no clock of its own.
//!
//! Capacity: [`IN_FLIGHT`]; who submits asks for room first.

use std::collections::VecDeque;
use std::time::Duration;

use crate::capture::Window;
use crate::host::clock::Tick;

/// Windows that a runner has at once: one that it computes, one that waits for it, so that it never waits for us.
pub(super) const IN_FLIGHT: usize = 2;

/// A window is given to a runner at most this often: one that kills runners must not do so for ever.
pub(super) const MAX_ATTEMPTS: u32 = 2;

const _: () = assert!(IN_FLIGHT <= crate::capture::RECALLABLE, "every window that is recalled can be cut again");

/// Windows on their way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Oldest first. The runner has the first `sent`; the first of all is the one that it computes.
    windows: VecDeque<Flight>,
    sent: usize,
}

#[derive(Debug)]
struct Flight {
    window: Window,
    attempts: u32,
    /// Since when a runner could have been at work on it.
    since: Tick,
}

impl Flights {
    pub(super) fn has_room(&self) -> bool {
        self.windows.len() < IN_FLIGHT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Whether a runner has any.
    pub(super) const fn any_sent(&self) -> bool {
        self.sent > 0
    }

    pub(super) fn submit(&mut self, window: Window) {
        self.windows.push_back(Flight { window, attempts: 0, since: Tick::default() });
    }

    /// The window that is to be sent next; say [`sent`](Self::sent) when it was.
    pub(super) fn next_to_send(&self) -> Option<&Window> {
        self.windows.get(self.sent).map(|flight| &flight.window)
    }

    pub(super) fn sent(&mut self, now: Tick) {
        if let Some(flight) = self.windows.get_mut(self.sent) {
            flight.attempts += 1;
            flight.since = now;
            self.sent += 1;
        }
    }

    /// The number of the window that is computed.
    pub(super) fn computed(&self) -> Option<u64> {
        self.windows.front().filter(|_| self.sent > 0).map(|flight| flight.window.seq)
    }

    /// The window that was computed is done. The next one's time begins.
    pub(super) fn done(&mut self, now: Tick) -> Option<Window> {
        let flight = self.take_computed()?;
        if self.sent > 0
            && let Some(next) = self.windows.front_mut()
        {
            next.since = now;
        }
        Some(flight.window)
    }

    /// When the window that is computed is late.
    pub(super) fn due(&self, deadline: Duration) -> Option<Tick> {
        self.windows.front().filter(|_| self.sent > 0).map(|flight| flight.since.plus(deadline))
    }

    /// The runner is gone; all windows wait again. The one that it computed is what it died of: it is given back where
    /// that was its last attempt, or where it is `hopeless`. Those behind it have not had their attempt yet.
    pub(super) fn interrupted(&mut self, hopeless: bool) -> Option<Window> {
        for untouched in self.windows.iter_mut().take(self.sent).skip(1) {
            untouched.attempts -= 1;
        }
        let last = self.windows.front().is_some_and(|flight| hopeless || flight.attempts >= MAX_ATTEMPTS);
        let given_up = if last { self.take_computed() } else { None };
        self.sent = 0;
        given_up.map(|flight| flight.window)
    }

    /// Takes all windows out, oldest first.
    pub(super) fn recall(&mut self) -> impl Iterator<Item = Window> {
        self.sent = 0;
        self.windows.drain(..).map(|flight| flight.window)
    }

    fn take_computed(&mut self) -> Option<Flight> {
        self.sent = self.sent.checked_sub(1)?;
        self.windows.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake::window;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Tick {
        Tick::from_ns(seconds * 1_000_000_000)
    }

    /// Windows 0 and 1, both sent at second 0.
    fn two_in_flight() -> Flights {
        let mut flights = Flights::default();
        flights.submit(window(0));
        flights.submit(window(1));
        assert!(!flights.has_room());
        send_all(&mut flights, at(0));
        flights
    }

    fn send_all(flights: &mut Flights, now: Tick) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Some(window) = flights.next_to_send() {
            seqs.push(window.seq);
            flights.sent(now);
        }
        seqs
    }

    #[test]
    fn a_window_is_late_by_the_time_that_it_was_computed() {
        let mut flights = two_in_flight();
        assert_eq!(flights.due(SECOND), Some(at(1)));
        assert_eq!(flights.done(at(7)).unwrap().seq, 0);
        assert_eq!(flights.due(SECOND), Some(at(8)), "it waited for the one before it until second 7");
        assert_eq!(flights.done(at(8)).unwrap().seq, 1);
        assert_eq!(flights.due(SECOND), None);
        assert!(flights.is_empty() && !flights.any_sent());
    }

    #[test]
    fn a_death_costs_the_computed_window_an_attempt_and_the_next_none() {
        let mut flights = two_in_flight();
        assert!(flights.interrupted(false).is_none());
        assert_eq!((flights.computed(), flights.due(SECOND)), (None, None), "nobody computes");
        assert_eq!(send_all(&mut flights, at(1)), [0, 1]);
        assert_eq!(flights.interrupted(false).unwrap().seq, 0, "that was its second attempt");
        assert_eq!(send_all(&mut flights, at(2)), [1]);
        assert!(flights.interrupted(false).is_none(), "window 1 was computed for the first time");
        send_all(&mut flights, at(3));
        assert_eq!(flights.interrupted(false).unwrap().seq, 1);
        assert!(flights.is_empty());
    }

    #[test]
    fn a_hopeless_window_is_given_up_at_once() {
        let mut flights = two_in_flight();
        assert_eq!(flights.interrupted(true).unwrap().seq, 0);
        assert_eq!(send_all(&mut flights, at(1)), [1]);
    }

    #[test]
    fn a_runner_that_dies_without_a_window_costs_none() {
        let mut flights = Flights::default();
        flights.submit(window(0));
        for _ in 0..5 {
            assert!(flights.interrupted(true).is_none());
        }
        assert_eq!(send_all(&mut flights, at(0)), [0]);
        assert_eq!(flights.recall().map(|window| window.seq).collect::<Vec<_>>(), [0]);
        assert!(flights.is_empty() && !flights.any_sent());
    }
}
