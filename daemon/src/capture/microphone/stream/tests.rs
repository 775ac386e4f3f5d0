//! With a device that does what a script says, on a clock that goes when the script says so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::*;
use crate::capture::microphone::convert::Sample;
use crate::capture::queue::{FrameQueue, Overflow};
use crate::capture::{Frame, Wiring, live};
use crate::host::clock::Clock;

const PATIENCE: Duration = Duration::from_secs(30);

/// A chunk is 20 frames, a frame is a millisecond.
const RATE_HZ: u32 = 1000;

const MS: u64 = 1_000_000;

const SILENCE: Duration = Duration::from_secs(2);

/// What the device does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many samples are there.
    Sound(usize),
    /// The driver's time from now on: none, or of the newest sample, and how many are left then.
    Told(Option<u64>, usize),
    /// So many milliseconds pass.
    Pass(u64),
    /// It wakes us for nothing.
    Nothing,
    /// It says nothing for as long as it is waited for.
    Silent,
    /// Reading fails.
    Fails(Errno),
    /// Restarting fails.
    RestartFails(Errno),
}

use Step::{Fails, Nothing, Pass, RestartFails, Silent, Sound, Told};

#[derive(Debug)]
struct Fake {
    steps: VecDeque<Step>,
    clock: Clock,
    layout: Layout,
    /// The number of the next sample; lost ones count.
    next: i16,
    told: (Option<u64>, usize),
    restarted: Arc<Mutex<Vec<Errno>>>,
}

impl Recorder for Fake {
    fn wait(&mut self, feed: &Feed, patience: Duration) -> Result<bool, Trouble> {
        loop {
            match self.steps.front() {
                Some(Pass(ms)) => self.clock.advance(Duration::from_millis(*ms)),
                Some(Told(newest_ns, left)) => self.told = (*newest_ns, *left),
                Some(Silent) => {
                    self.steps.pop_front();
                    self.clock.advance(patience);
                    return Ok(false);
                }
                Some(_) => return Ok(true),
                None => return feed.wait(feed.stopping().as_fd(), PollFlags::POLLIN, PATIENCE),
            }
            self.steps.pop_front();
        }
    }

    fn read(&mut self, space: &mut [u8]) -> Result<Read, Errno> {
        let Some(step) = self.steps.pop_front() else { return Ok(Read::default()) };
        match step {
            Sound(frames) => {
                let room = space.len() / self.layout.frame_bytes();
                let taken = frames.min(room);
                if frames > taken {
                    self.steps.push_front(Sound(frames - taken));
                }
                for frame in space.chunks_mut(self.layout.frame_bytes()).take(taken) {
                    // The upper half of the last channel.
                    let at = frame.len() - 2;
                    frame[at..].copy_from_slice(&self.next.to_le_bytes());
                    self.next += 1;
                }
                let (newest_ns, left) = self.told;
                Ok(Read { frames: taken, left: left + frames - taken, newest_ns })
            }
            Fails(errno) => Err(errno),
            Nothing | Silent | Pass(_) | Told(..) | RestartFails(_) => Ok(Read::default()),
        }
    }

    fn restart(&mut self, after: Errno) -> Result<(), Errno> {
        self.restarted.lock().unwrap().push(after);
        match self.steps.front() {
            Some(&RestartFails(errno)) => {
                self.steps.pop_front();
                Err(errno)
            }
            _ => Ok(()),
        }
    }
}

/// A source that is opened once for each of its scripts.
struct Scripted {
    scripts: VecDeque<Vec<Step>>,
    layout: Layout,
    clock: Clock,
    restarted: Arc<Mutex<Vec<Errno>>>,
    troubles: Arc<Mutex<Vec<String>>>,
}

impl live::Live for Scripted {
    type Stream = Stream<Fake>;

    const AGAIN: &'static str = "it is tried again";

    fn open(&mut self, feed: &mut Feed) -> Result<Stream<Fake>, Trouble> {
        let steps = self.scripts.pop_front().unwrap_or_default().into();
        let (clock, restarted) = (self.clock.clone(), Arc::clone(&self.restarted));
        let fake = Fake { steps, clock, layout: self.layout, next: 0, told: (None, 0), restarted };
        Ok(Stream::new(fake, self.layout, RATE_HZ, SILENCE, feed))
    }

    fn follow(&mut self, stream: Stream<Fake>, feed: &mut Feed) -> Trouble {
        let trouble = stream.follow(feed);
        if let Trouble::Passing(why) = &trouble {
            self.troubles.lock().unwrap().push(why.clone());
        }
        trouble
    }
}

/// What came of scripts.
struct Heard {
    chunks: Vec<Frame>,
    figures: crate::capture::Figures,
    restarted: Vec<Errno>,
    troubles: Vec<String>,
}

const MONO: Layout = Layout { sample: Sample::S16, channels: 1, picked: None };

/// Plays scripts until so many chunks have come and the source has been opened for each script, then stops it.
fn play(scripts: &[&[Step]], layout: Layout, chunks: u64) -> Heard {
    let clock = Clock::manual();
    clock.advance(Duration::from_secs(100));
    let (restarted, troubles) = (Arc::default(), Arc::default());
    let source = Scripted {
        scripts: scripts.iter().map(|script| script.to_vec()).collect(),
        layout,
        clock: clock.clone(),
        restarted: Arc::clone(&restarted),
        troubles: Arc::clone(&troubles),
    };
    let (queue, thread) =
        live::start(source, live::QUEUE_CHUNKS, Overflow::KeepNewest, Wiring::of_test(clock)).unwrap();
    let wanted = scripts.len() - 1;
    let begun = Instant::now();
    while queue.look().0.accepted < chunks || troubles.lock().unwrap().len() < wanted {
        assert!(begun.elapsed() < PATIENCE, "waited for {chunks} chunks: {:?}, {troubles:?}", queue.look());
        std::thread::sleep(Duration::from_millis(1));
    }
    queue.stop();
    thread.join().unwrap();
    heard(&queue, &restarted, &troubles)
}

fn heard(queue: &FrameQueue, restarted: &Mutex<Vec<Errno>>, troubles: &Mutex<Vec<String>>) -> Heard {
    Heard {
        chunks: std::iter::from_fn(|| queue.pop()).collect(),
        figures: queue.look().0,
        restarted: restarted.lock().unwrap().clone(),
        troubles: troubles.lock().unwrap().clone(),
    }
}

impl Heard {
    /// Of each chunk the numbers of its first and last sample, and whether there is a gap before it. What is between them
    /// follows one another.
    fn ranges(&self) -> Vec<(i16, i16, bool)> {
        let range = |chunk: &Frame| {
            let samples = chunk.slot.bytes().chunks(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]]));
            let samples: Vec<i16> = samples.collect();
            assert!(samples.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{samples:?}");
            (samples[0], samples[samples.len() - 1], chunk.after_gap)
        };
        self.chunks.iter().map(range).collect()
    }
}

#[test]
fn chunks_are_whole_however_the_device_gives_its_samples() {
    let heard = play(&[&[Sound(7), Nothing, Sound(12), Sound(1), Sound(45), Sound(34), Sound(1)]], MONO, 5);
    let expected: Vec<_> = (0..5).map(|chunk| (chunk * 20, chunk * 20 + 19, false)).collect();
    assert_eq!(heard.ranges(), expected);
    assert_eq!(heard.chunks[0].format, Format::Pcm { rate_hz: RATE_HZ, channels: 1 });
    assert_eq!(heard.figures.lost, 0);
}

#[test]
fn what_an_overrun_lost_is_counted_by_time_and_never_bridged() {
    let heard = play(&[&[Sound(30), Pass(115), Fails(Errno::EPIPE), Sound(40)]], MONO, 3);
    // The ten samples that were half a chunk went with those that were lost.
    assert_eq!(heard.ranges(), [(0, 19, false), (30, 49, true), (50, 69, false)]);
    // The chunk ended 10 ms before it was read.
    assert_eq!((heard.figures.lost, heard.figures.restarts), (6, 0));
    assert_eq!(heard.restarted, [Errno::EPIPE]);
}

#[test]
fn breaks_in_a_row_count_the_same_time_once() {
    let row = [Sound(20), Pass(30), Fails(Errno::EPIPE), Pass(30), Fails(Errno::EPIPE), Fails(Errno::EPIPE), Sound(20)];
    let heard = play(&[&row], MONO, 2);
    assert_eq!(heard.figures.lost, 3);
    assert_eq!(heard.restarted.len(), 3);
    let heard = play(&[&[Sound(20), Fails(Errno::EPIPE), Sound(20)]], MONO, 2);
    assert_eq!(heard.figures.lost, 1, "something was lost, however short it was");
}

#[test]
fn a_device_that_slept_is_woken_with_patience() {
    let slept = [Sound(20), Pass(500), Fails(Errno::ESTRPIPE), RestartFails(Errno::EAGAIN)];
    let woken = [Fails(Errno::ESTRPIPE), Sound(20)];
    let heard = play(&[&[&slept[..], &woken[..]].concat()], MONO, 2);
    assert_eq!(heard.ranges(), [(0, 19, false), (20, 39, true)]);
    assert_eq!(heard.restarted, [Errno::ESTRPIPE; 2]);
    assert_eq!(heard.figures.lost, 25);
}

#[test]
fn a_device_that_is_pulled_out_is_opened_again() {
    for gone in [Errno::ENODEV, Errno::EBADFD, Errno::EIO] {
        let heard = play(&[&[Sound(25), Fails(gone)], &[Sound(20)]], MONO, 2);
        assert_eq!(heard.ranges(), [(0, 19, false), (0, 19, true)]);
        assert_eq!(heard.troubles, [format!("is gone: {}", gone.desc())]);
        assert_eq!((heard.figures.lost, heard.figures.restarts), (0, 1));
        assert_eq!(heard.restarted, []);
    }
    let heard = play(&[&[Sound(20), Fails(Errno::EPIPE), RestartFails(Errno::ENODEV)], &[Sound(20)]], MONO, 2);
    assert_eq!(heard.troubles, ["is gone: No such device"]);
}

#[test]
fn silence_is_what_gives_nothing_for_too_long() {
    let talks: Vec<Step> = (0..4).flat_map(|_| [Pass(1900), Sound(20)]).collect();
    let heard = play(&[&[&talks[..], &[Silent]].concat(), &[Sound(20)]], MONO, 5);
    assert_eq!(heard.troubles, ["has given nothing for 2 s"]);
    // It may wake us as often as it likes, and may break, too.
    let restless: Vec<Step> = (0..30).flat_map(|_| [Pass(100), Nothing, Fails(Errno::EPIPE)]).collect();
    let heard = play(&[&[&[Sound(20)], &restless[..], &[Sound(20)]].concat(), &[Sound(20)]], MONO, 2);
    assert_eq!(heard.troubles, ["has given nothing for 2 s"]);
}

#[test]
fn a_chunks_time_is_the_drivers_of_its_last_sample() {
    let now = 100_000 * MS;
    let cases = [
        (Some(now - 3 * MS), 0, now - 3 * MS),
        (Some(now - 3 * MS), 5, now - 8 * MS),
        (None, 5, now - 5 * MS),
        // What is not to be: a time that is still to come, and the wall clock's.
        (Some(now + 3 * MS), 0, now),
        (Some(1_795_401_703_000 * MS), 0, now),
        (Some(0), 0, now),
    ];
    for (newest_ns, left, expected) in cases {
        let heard = play(&[&[Told(newest_ns, left), Sound(20)]], MONO, 1);
        assert_eq!(heard.chunks[0].captured.as_ns(), expected, "{newest_ns:?}, {left} left");
    }
    // Two chunks at once: the first is older.
    let heard = play(&[&[Told(Some(now), 4), Sound(40)]], MONO, 2);
    let captured: Vec<u64> = heard.chunks.iter().map(|chunk| chunk.captured.as_ns()).collect();
    assert_eq!(captured, [now - 24 * MS, now - 4 * MS]);
}

#[test]
fn a_chunk_has_the_channel_that_is_picked_in_16_bits() {
    let layout = Layout { sample: Sample::S32, channels: 2, picked: Some(1) };
    let heard = play(&[&[Sound(13), Sound(27)]], layout, 2);
    assert_eq!(heard.ranges(), [(0, 19, false), (20, 39, false)]);
    assert_eq!(heard.chunks[0].format, Format::Pcm { rate_hz: RATE_HZ, channels: 1 });
    assert_eq!(heard.chunks[0].slot.bytes().len(), 40);
    let heard = play(&[&[Sound(20)]], Layout { picked: None, ..layout }, 1);
    assert_eq!(heard.chunks[0].format, Format::Pcm { rate_hz: RATE_HZ, channels: 2 });
    assert_eq!(heard.chunks[0].slot.bytes().len(), 80);
}
