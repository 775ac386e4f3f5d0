use std::sync::Mutex;

use inferd_core::prediction::{Prediction, StageTimes};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::engine::fake::{Peer, settings, version, window};

/// An engine with a manual clock. Runners that it starts are those that were [provided](Rig::provide).
struct Rig {
    engine: Engine,
    clock: Clock,
    bell: Bell,
    provided: Arc<Mutex<VecDeque<Runner>>>,
    /// What came back and was not asked about yet.
    back: Vec<Back>,
}

impl Rig {
    /// With a runner of a version whose windows have four rows.
    fn new() -> (Self, Peer) {
        let (runner, peer) = Peer::runner(&version("1.0.0", 4));
        let (clock, bell) = (Clock::manual(), Bell::new().unwrap());
        let mut engine = Engine::new(settings(), runner, clock.clone(), bell.clone());
        let provided = Arc::<Mutex<VecDeque<Runner>>>::default();
        let runners = Arc::clone(&provided);
        engine.launch = Launch(Arc::new(move |_: &RunnerSettings, _: Arc<LoadedVersion>| {
            runners.lock().unwrap().pop_front().ok_or_else(|| StartError::Refused("there is none".to_owned()))
        }));
        (Self { engine, clock, bell, provided, back: Vec::new() }, peer)
    }

    /// Lets one more start succeed; gives the other end of that runner.
    fn provide(&self, version: &Arc<LoadedVersion>) -> Peer {
        let (runner, peer) = Peer::runner(version);
        self.provided.lock().unwrap().push_back(runner);
        peer
    }

    /// Polls once all that is there; gives what came back.
    fn poll(&mut self) -> Vec<Back> {
        while let Some(back) = self.engine.poll() {
            self.back.push(back);
        }
        std::mem::take(&mut self.back)
    }

    /// Polls until a start that was begun has come to its end. What comes back meanwhile is kept for the next poll.
    fn settle(&mut self) {
        loop {
            self.bell.hush();
            while let Some(back) = self.engine.poll() {
                self.back.push(back);
            }
            if self.engine.health() != Health::Starting {
                return;
            }
            let rung = poll(&mut [PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)], PollTimeout::from(10_000_u16));
            assert_eq!(rung, Ok(1), "a start ends");
        }
    }
}

/// Windows that came back, and how: `3` served, `3 runner-died` failed, `cut 3 4` recalled.
fn words(back: &[Back]) -> Vec<String> {
    let word = |back: &Back| match back {
        Back::Served(Served { window, result: Ok(_), .. }) => window.seq.to_string(),
        Back::Served(Served { window, result: Err(failure), .. }) => format!("{} {}", window.seq, failure.stage.word()),
        Back::Recalled(windows) => {
            windows.iter().fold("cut".to_owned(), |text, window| format!("{text} {}", window.seq))
        }
    };
    back.iter().map(word).collect()
}

#[test]
fn windows_come_back_in_order_and_two_are_in_flight() {
    let (mut rig, peer) = Rig::new();
    rig.engine.submit(window(0));
    rig.engine.submit(window(1));
    assert!(!rig.engine.has_room());
    assert_eq!(peer.windows(), [0, 1]);
    peer.serve(0);
    peer.serve(1);
    assert_eq!(words(&rig.poll()), ["0", "1"]);
    assert!(rig.engine.is_idle() && rig.engine.has_room());
}

#[test]
fn a_death_with_two_in_flight_loses_no_window_and_tries_each_twice() {
    let (mut rig, first) = Rig::new();
    let version = Arc::clone(rig.engine.version());
    let second = rig.provide(&version);
    rig.engine.submit(window(0));
    rig.engine.submit(window(1));
    drop(first);
    rig.settle();
    assert!(rig.poll().is_empty());
    assert_eq!(rig.engine.take_restarts(), [Restart::Died]);
    assert_eq!(second.windows(), [0, 1], "the first restart is at once, with the same windows");

    drop(second);
    assert_eq!(words(&rig.poll()), ["0 runner-died"], "that was its second attempt");
    let Health::Waiting(_) = rig.engine.health() else { panic!("it waits before the second restart in a row") };
    assert_eq!(rig.engine.wake_at(), Some(rig.clock.now().plus(Duration::from_millis(100))));
    let third = rig.provide(&version);
    rig.clock.advance(Duration::from_millis(100));
    rig.settle();
    assert_eq!(third.windows(), [1]);
    third.serve(1);
    assert_eq!(words(&rig.poll()), ["1"], "it was behind the other and had its first attempt now");
}

#[test]
fn what_was_answered_before_a_death_counts() {
    let (mut rig, peer) = Rig::new();
    let next = rig.provide(&Arc::clone(rig.engine.version()));
    rig.engine.submit(window(0));
    peer.serve(0);
    drop(peer);
    // Sending fails now, but the answer to the first lies in the socket.
    rig.engine.submit(window(1));
    rig.settle();
    assert_eq!(words(&rig.poll()), ["0"]);
    assert_eq!(rig.engine.take_restarts(), [Restart::Died]);
    assert_eq!(next.windows(), [1]);
}

#[test]
fn a_runner_that_is_late_loses_its_window_and_only_that() {
    let (mut rig, peer) = Rig::new();
    rig.engine.submit(window(0));
    rig.engine.submit(window(1));
    rig.clock.advance(Duration::from_millis(999));
    assert!(rig.poll().is_empty());
    peer.serve(0);
    assert_eq!(words(&rig.poll()), ["0"]);
    rig.clock.advance(Duration::from_millis(999));
    assert!(rig.poll().is_empty(), "window 1 began when window 0 was done");
    let next = rig.provide(&Arc::clone(rig.engine.version()));
    rig.clock.advance(Duration::from_millis(1));
    rig.settle();
    assert_eq!(words(&rig.poll()), ["1 deadline"]);
    assert_eq!(rig.engine.take_restarts(), [Restart::Hung]);
    rig.engine.submit(window(2));
    assert_eq!(next.windows(), [2]);
}

#[test]
fn another_deadline_counts_at_once() {
    let (mut rig, _peer) = Rig::new();
    rig.engine.submit(window(0));
    rig.engine.change_settings(RunnerSettings { deadline: Duration::from_millis(10), ..settings() });
    rig.clock.advance(Duration::from_millis(10));
    assert_eq!(words(&rig.poll()), ["0 deadline"]);
}

#[test]
fn later_runners_are_started_by_the_settings_told_last() {
    let (mut rig, peer) = Rig::new();
    let (sender, told) = sync_channel(1);
    rig.engine.launch = Launch(Arc::new(move |settings: &RunnerSettings, _: Arc<LoadedVersion>| {
        sender.send(settings.limits.threads).unwrap();
        Err(StartError::Refused("there is none".to_owned()))
    }));
    let mut changed = settings();
    changed.limits.threads = 7;
    rig.engine.change_settings(changed);
    drop(peer);
    rig.settle();
    assert_eq!(told.recv().unwrap(), 7);
    assert_eq!(rig.engine.health(), Health::Waiting("there is none".to_owned()));
}

#[test]
fn a_promotion_waits_for_windows_in_flight_and_takes_no_other() {
    let (mut rig, old) = Rig::new();
    rig.engine.submit(window(0));
    let (runner, new) = Peer::runner(&version("2.0.0", 4));
    rig.engine.promote(runner);
    assert!(rig.engine.is_promoting() && !rig.engine.has_room());
    old.serve(0);
    let back = rig.poll();
    let [Back::Served(served)] = &back[..] else { panic!("one window comes back") };
    assert_eq!(served.version.id.version.to_string(), "1.0.0");
    assert!(!rig.engine.is_promoting());
    rig.engine.submit(window(1));
    assert_eq!(new.windows(), [1]);
}

#[test]
fn a_promotion_while_no_runner_serves_takes_over_the_windows_that_wait() {
    let (mut rig, old) = Rig::new();
    rig.engine.submit(window(0));
    drop(old);
    rig.settle();
    assert_eq!(rig.engine.health(), Health::Waiting("there is none".to_owned()));
    let (runner, new) = Peer::runner(&version("2.0.0", 4));
    rig.engine.promote(runner);
    assert!(rig.poll().is_empty());
    assert_eq!(new.windows(), [0]);
}

#[test]
fn a_promotion_to_windows_of_another_length_has_those_that_wait_cut_again() {
    let (mut rig, old) = Rig::new();
    rig.engine.submit(window(0));
    rig.engine.submit(window(1));
    drop(old);
    rig.settle();
    let (runner, new) = Peer::runner(&version("2.0.0", 6));
    rig.engine.promote(runner);
    assert!(!rig.engine.has_room(), "no later window goes before them");
    assert!(!rig.engine.is_idle());
    assert_eq!(words(&rig.poll()), ["cut 0 1"]);
    assert!(rig.engine.has_room() && rig.engine.is_idle());
    assert!(new.windows().is_empty());
}

/// The same where the old runner dies while its successor waits for its turn.
#[test]
fn windows_of_a_runner_that_dies_before_a_promotion_are_cut_again() {
    let (mut rig, old) = Rig::new();
    rig.engine.submit(window(0));
    let (runner, _new) = Peer::runner(&version("2.0.0", 6));
    rig.engine.promote(runner);
    drop(old);
    assert_eq!(words(&rig.poll()), ["cut 0"]);
    assert_eq!(rig.engine.health(), Health::Serving);
}

#[test]
fn giving_up_gives_every_window_back_with_the_reason() {
    let (mut rig, old) = Rig::new();
    rig.engine.submit(window(0));
    rig.engine.submit(window(1));
    drop(old);
    rig.settle();
    let given_up: Vec<Back> = rig.engine.give_up("it was stopped").into_iter().map(Back::Served).collect();
    assert_eq!(words(&given_up), ["0 runner-died", "1 runner-died"]);
    let Back::Served(Served { result: Err(failure), .. }) = &given_up[0] else { panic!("it failed") };
    assert_eq!(failure.reason, "it was stopped");
    assert!(rig.engine.is_idle());
}

#[test]
fn an_answer_that_no_such_model_can_give_ends_the_runner() {
    let done = |seq, prediction| FromRunner::Done { seq, prediction, times: StageTimes::default() };
    let two_words = FromRunner::Refused { reason: "no".to_owned() };
    for message in [
        done(0, Prediction::Raw(vec![f32::NAN])),
        done(0, Prediction::Classes(vec![1.0])),
        done(1, Prediction::Raw(vec![1.0])),
        two_words,
    ] {
        let (mut rig, peer) = Rig::new();
        let next = rig.provide(&Arc::clone(rig.engine.version()));
        rig.engine.submit(window(0));
        peer.say(&message);
        rig.settle();
        assert!(rig.poll().is_empty(), "{message:?}");
        assert_eq!(rig.engine.take_restarts(), [Restart::Protocol], "{message:?}");
        assert_eq!(next.windows(), [0], "{message:?}");
    }
}

#[test]
fn an_answer_to_no_window_ends_the_runner() {
    let (mut rig, peer) = Rig::new();
    peer.serve(0);
    rig.settle();
    assert_eq!(rig.engine.take_restarts()[0], Restart::Protocol);
}
