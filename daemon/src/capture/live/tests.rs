//! The life of a source that rests, with a device that a test looks into.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::tz::TimeZone;

use super::*;
use crate::config::Power;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a device is and was.
#[derive(Debug, Default)]
struct Seen {
    is_open: AtomicBool,
    opened: AtomicU64,
    /// It gives frames, or nothing.
    gives: AtomicBool,
}

struct Device(Arc<Seen>);

struct Opened(Arc<Seen>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.is_open.store(false, Ordering::SeqCst);
    }
}

impl Live for Device {
    type Stream = Opened;

    const AGAIN: &'static str = "it is looked for again";

    fn open(&mut self, _feed: &mut Feed) -> Result<Opened, Trouble> {
        self.0.is_open.store(true, Ordering::SeqCst);
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Opened(Arc::clone(&self.0)))
    }

    fn follow(&mut self, stream: Opened, feed: &mut Feed) -> Trouble {
        let silent = Bell::new().unwrap();
        loop {
            if let Err(trouble) = feed.wait(silent.as_fd(), PollFlags::POLLIN, Duration::from_millis(1)) {
                return trouble;
            }
            if !stream.0.gives.load(Ordering::SeqCst) {
                continue;
            }
            let now = feed.clock().now();
            let slot = feed.slots().filled(&[0]).unwrap();
            if let Err(trouble) = feed.hand_on(slot, Format::Jpeg, now) {
                return trouble;
            }
        }
    }
}

struct Started {
    seen: Arc<Seen>,
    clock: Clock,
    queue: FrameQueue,
    thread: Option<JoinHandle<()>>,
}

impl Started {
    /// The manual clock begins on Thursday, 2026-01-01, at midnight.
    fn new(power: &Power) -> Self {
        let (seen, clock) = (Arc::<Seen>::default(), Clock::manual());
        seen.gives.store(true, Ordering::SeqCst);
        let rest = Rest::in_zone(power, Some(TimeZone::UTC));
        let wiring =
            Wiring { pipeline: "test".parse().unwrap(), clock: clock.clone(), bell: Bell::new().unwrap(), rest };
        let (queue, thread) = start(Device(Arc::clone(&seen)), 4, Overflow::KeepNewest, wiring).unwrap();
        Self { seen, clock, queue, thread: Some(thread) }
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "waited for {what}; {:?} {:?}", self.seen, self.queue.look());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn gives(&self) {
        let before = self.queue.look().0.accepted;
        self.until("frames", || self.queue.look().0.accepted > before + 1);
        assert_eq!(self.queue.look().1, None);
    }

    fn rests(&self, reason: &str) {
        let rest = Some(Obstacle::Rest(reason.into()));
        self.until(reason, || self.queue.look().1 == rest && !self.seen.is_open.load(Ordering::SeqCst));
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn opened(&self) -> u64 {
        self.seen.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.queue.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn active(text: &str) -> Power {
    Power { active: vec![text.to_owned()].try_into().unwrap(), ..Power::default() }
}

const HOUR: u64 = 3600;

#[test]
fn outside_its_active_hours_a_source_is_closed_and_then_opened_again() {
    let started = Started::new(&active("07:00-19:00"));
    started.rests("outside its active hours until Thu 07:00");
    assert_eq!(started.opened(), 0, "it is not even opened");
    started.advance(7 * HOUR);
    started.gives();
    started.advance(12 * HOUR);
    started.rests("outside its active hours until Fri 07:00");
    while started.queue.pop().is_some() {}
    started.advance(12 * HOUR);
    started.gives();
    assert!(started.queue.pop().unwrap().after_gap, "no window spans the night");
    assert_eq!(started.opened(), 2);
    assert_eq!(started.queue.look().0.restarts, 0, "nothing had failed");
}

#[test]
fn a_source_that_gives_nothing_is_closed_all_the_same() {
    let started = Started::new(&active("00:00-19:00"));
    started.gives();
    started.seen.gives.store(false, Ordering::SeqCst);
    started.advance(19 * HOUR);
    started.rests("outside its active hours until Fri 00:00");
}

#[test]
fn in_the_off_part_of_its_cycle_a_source_is_closed() {
    let started = Started::new(&Power { on_s: Some(10.0), off_s: Some(50.0), ..Power::default() });
    for round in 0..3 {
        started.gives();
        started.advance(10);
        started.rests(&format!("duty cycle: reads again at 00:0{}:00", round + 1));
        assert_eq!(started.opened(), round + 1);
        started.advance(50);
    }
    started.gives();
}

#[test]
fn stopping_ends_a_rest_at_once() {
    let mut started = Started::new(&active("07:00-19:00"));
    started.rests("outside its active hours until Thu 07:00");
    let begun = Instant::now();
    started.queue.stop();
    started.thread.take().unwrap().join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(started.queue.ended(), None, "it was told to");
}

#[test]
fn a_drivers_time_is_taken_where_it_can_be() {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(100));
    let at_ms = |ms: u64| Tick::from_ns(ms * 1_000_000);
    for (told_ms, expected_ms) in [
        (None, 100_000),
        (Some(99_500), 99_500),
        // When a picture should have been complete.
        (Some(100_030), 100_000),
        // The wall clock, or a counter of its own.
        (Some(1_700_000_000_000), 100_000),
        (Some(0), 100_000),
        (Some(97_900), 100_000),
    ] {
        let told = told_ms.map(|ms| at_ms(ms).as_ns());
        assert_eq!(captured_at(told, &clock), at_ms(expected_ms), "{told_ms:?}");
    }
}

/// A device that is there while a file is.
struct Plugged {
    file: std::path::PathBuf,
}

impl Live for Plugged {
    type Stream = ();

    const AGAIN: &'static str = "it is looked for again";
    const APPEARS_IN: &'static [&'static str] = &["/dev/shm"];

    fn open(&mut self, _feed: &mut Feed) -> Result<(), Trouble> {
        if self.file.exists() { Ok(()) } else { Err(Trouble::passing("no camera is attached")) }
    }

    fn follow(&mut self, (): (), feed: &mut Feed) -> Trouble {
        let silent = Bell::new().unwrap();
        loop {
            let now = feed.clock().now();
            let slot = feed.slots().filled(&[0]).unwrap();
            let handed = feed.hand_on(slot, Format::Jpeg, now);
            if let Err(trouble) = handed.and_then(|()| feed.wait(silent.as_fd(), PollFlags::POLLIN, PAUSE).map(drop)) {
                return trouble;
            }
            if !self.file.exists() {
                return Trouble::passing("it was pulled out");
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(1);

/// By the pauses alone it would be found within half a minute.
#[test]
fn a_device_that_appears_is_opened_at_once() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = Path::new("/dev/shm").join(format!("{}-plugged", folder.path().file_name().unwrap().display()));
    let wiring = Wiring::of_test(Clock::system());
    let live = Plugged { file: file.clone() };
    let (queue, thread) = start(live, 4, Overflow::KeepNewest, wiring).unwrap();
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", queue.look());
            std::thread::sleep(Duration::from_millis(2));
        }
        begun.elapsed()
    };
    let said = |words: &str| queue.look().1.is_some_and(|obstacle| obstacle.to_string().contains(words));
    // The pauses have grown to more than three seconds.
    until("the pauses to grow", &|| said("it is looked for again within 3 s"));
    std::fs::File::create(&file).unwrap();
    let took = until("frames", &|| queue.look().0.accepted > 0);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(queue.look().1.map(|obstacle| obstacle.to_string()), None);
    std::fs::remove_file(&file).unwrap();
    until("its absence to be told", &|| said("no camera is attached"));
    let before = queue.look().0;
    std::fs::File::create(&file).unwrap();
    until("frames again", &|| queue.look().0.accepted > before.accepted);
    assert_eq!((before.restarts, queue.look().0.restarts), (0, 1));
    std::fs::remove_file(&file).unwrap();
    queue.stop();
    thread.join().unwrap();
}
