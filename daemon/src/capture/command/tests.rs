//! With real processes: what they write becomes frames, and nothing is left of them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use inferd_core::frame::{ImageSize, PixelFormat};

use super::*;
use crate::capture::live::QUEUE_PICTURES;
use crate::capture::{Figures, Frame, Rest};
use crate::config::Power;
use crate::host::clock::Clock;
use crate::host::wake::Bell;

/// As small as a JPEG can be for whoever only looks for its end.
const PICTURE: &[u8] = &[0xFF, 0xD8, 0xFF, 0xDA, 0x00, 0x02, 7, 9, 0xFF, 0xD9];

/// The same for `printf`.
const PRINT_PICTURE: &str = r"printf '\377\330\377\332\000\002\007\011\377\331'";

const PATIENCE: Duration = Duration::from_secs(30);

const SIZE: ImageSize = ImageSize { width: 2, height: 2 };

const fn raw(pixels: PixelFormat) -> StreamFormat {
    StreamFormat::Raw { pixels, size: SIZE }
}

/// A source whose program is a line of shell.
fn shell(script: &str, format: StreamFormat) -> config::Command {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    config::Command { command, format, at_end: AtEnd::Stop, silence_ms: 20_000 }
}

fn wiring(rest: Rest) -> Wiring {
    Wiring { pipeline: "test".parse().unwrap(), clock: Clock::system(), bell: Bell::new().unwrap(), rest }
}

struct Started {
    queue: FrameQueue,
    thread: Option<JoinHandle<()>>,
}

impl Started {
    fn new(config: &config::Command) -> Self {
        Self::resting(config, Rest::never())
    }

    fn resting(config: &config::Command, rest: Rest) -> Self {
        let command = Box::new(open(config).unwrap());
        let (queue, thread) = command.start(wiring(rest)).unwrap();
        Self { queue, thread: Some(thread) }
    }

    fn until(&self, what: &str, mut holds: impl FnMut(&FrameQueue) -> bool) {
        let begun = Instant::now();
        while !holds(&self.queue) {
            assert!(begun.elapsed() < PATIENCE, "waited for {what}; {:?}", self.queue.look());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn next(&self) -> Frame {
        let mut next = None;
        self.until("a frame", |queue| {
            next = queue.pop();
            next.is_some()
        });
        next.unwrap()
    }

    fn end(&self) -> End {
        let mut end = None;
        self.until("its end", |queue| {
            end = queue.ended();
            end.is_some()
        });
        end.unwrap()
    }

    fn obstacle(&self) -> String {
        let mut said = None;
        self.until("an obstacle", |queue| {
            said = queue.look().1;
            said.is_some()
        });
        said.unwrap().to_string()
    }

    /// Stops it; gives how long that took.
    fn stop(mut self) -> Duration {
        let begun = Instant::now();
        self.queue.stop();
        self.thread.take().unwrap().join().unwrap();
        begun.elapsed()
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

#[test]
fn what_a_program_writes_becomes_frames_until_it_ends() {
    for (script, format, frames, expected) in [
        (format!("{PRINT_PICTURE}; {PRINT_PICTURE}"), StreamFormat::Mjpeg, vec![PICTURE; 2], Format::Jpeg),
        (
            "printf 'YUV4MPEG2 W2 H2 Cmono\\nFRAME\\nabcdFRAME\\nefgh'".to_owned(),
            StreamFormat::Y4m,
            vec![b"abcd", b"efgh"],
            Format::Raw(PixelFormat::Grey8, SIZE),
        ),
        (
            "printf abcdefgh".to_owned(),
            raw(PixelFormat::Grey8),
            vec![b"abcd", b"efgh"],
            Format::Raw(PixelFormat::Grey8, SIZE),
        ),
        (
            "printf abcdefghijkl; sleep 0.05; printf mnopqrstuvwxyz".to_owned(),
            raw(PixelFormat::Rgb24),
            vec![b"abcdefghijkl", b"mnopqrstuvwx"],
            Format::Raw(PixelFormat::Rgb24, SIZE),
        ),
        ("printf abcdef".to_owned(), raw(PixelFormat::I420), vec![b"abcdef"], Format::Raw(PixelFormat::I420, SIZE)),
        (
            // 50 chunks a second of two channels: 4 bytes each, a shorter one at the end, and half a sample.
            "printf abcdefghijk".to_owned(),
            StreamFormat::Pcm { rate_hz: 100, channels: 2 },
            vec![b"abcdefgh"],
            Format::Pcm { rate_hz: 100, channels: 2 },
        ),
    ] {
        let source = Started::new(&shell(&script, format));
        for bytes in frames {
            let frame = source.next();
            assert_eq!((frame.slot.bytes(), frame.format, frame.after_gap), (bytes, expected, false), "{script}");
        }
        assert_eq!(source.end(), End::Finished, "{script}");
        assert_eq!(source.queue.pop().map(|frame| frame.slot.bytes().to_vec()), None, "{script}");
    }
}

#[test]
fn rows_are_handed_on_as_they_come_and_garbled_ones_are_counted() {
    let script = "printf '1,2\\n3,4\\nx\\n5,6\\n'";
    let columns = vec!["a".to_owned(), "b".to_owned()];
    let source = Started::new(&shell(script, StreamFormat::Csv { rate_hz: 10.0, columns }));
    let values = |frame: &Frame| -> Vec<f32> {
        frame.slot.bytes().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let mut rows = Vec::new();
    while rows.len() < 6 {
        let frame = source.next();
        assert_eq!(frame.after_gap, values(&frame)[0] > 4.0, "windows do not span the line that could not be read");
        rows.extend(values(&frame));
    }
    assert_eq!(rows, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(source.end(), End::Finished);
    assert_eq!(source.queue.look().0.unreadable, 1);
}

#[test]
fn a_program_that_ends_is_started_again_and_says_why() {
    let script = format!("{PRINT_PICTURE}; echo first >&2; echo the camera is busy >&2; exit 3");
    let source = Started::new(&config::Command { at_end: AtEnd::Loop, ..shell(&script, StreamFormat::Mjpeg) });
    assert!(!source.next().after_gap);
    for _ in 0..3 {
        assert!(source.next().after_gap, "no window spans what was missed meanwhile");
    }
    let said = source.obstacle();
    assert!(said.starts_with("sh ended (exit status: 3): the camera is busy; it is started again within"), "{said}");
    assert!(source.queue.look().0.restarts >= 3);
    assert!(source.queue.ended().is_none());
}

#[test]
fn one_that_is_to_run_once_ends_as_it_ended() {
    for (script, expected) in [
        ("echo no such host >&2; exit 1", "sh ended (exit status: 1): no such host"),
        ("kill -9 $$", "sh ended (signal: 9 (SIGKILL))"),
        (
            "printf 'YUV4MPEG2 W2 H2 Cmono\\nFRAME\\nabc'; kill -9 $$",
            "sh ended (signal: 9 (SIGKILL)) in the middle of a frame",
        ),
        ("printf 'YUV4MPEG2 W2 H2 Cmono\\nFRAME\\nabc'", "sh ended (exit status: 0) in the middle of a frame"),
        ("printf RIFF", "sh writes what is no Y4M: it does not begin with YUV4MPEG2"),
    ] {
        let source = Started::new(&shell(script, StreamFormat::Y4m));
        assert_eq!(source.end(), End::Broken(expected.to_owned()), "{script}");
    }
}

#[test]
fn a_program_that_falls_silent_is_ended() {
    let config = config::Command { silence_ms: 200, ..shell("echo hm >&2; exec sleep 1000", StreamFormat::Mjpeg) };
    let begun = Instant::now();
    assert_eq!(Started::new(&config).end(), End::Broken("sh has written nothing for 0.2 s".to_owned()));
    assert!((Duration::from_millis(200)..PATIENCE).contains(&begun.elapsed()));
}

#[test]
fn frames_that_nobody_takes_make_room_for_newer_ones() {
    let script = "i=0; while [ $i -lt 1000 ]; do printf %04d $i; i=$((i+1)); done; printf last; exec sleep 1000";
    let config = shell(script, raw(PixelFormat::Grey8));
    let source = Started::new(&config::Command { at_end: AtEnd::Loop, ..config });
    source.until("all of it", |queue| queue.look().0.accepted == 1001);
    let Figures { overflown, .. } = source.queue.look().0;
    assert_eq!(overflown, 1001 - QUEUE_PICTURES as u64);
    let left: Vec<Vec<u8>> = (0..QUEUE_PICTURES).map(|_| source.next().slot.bytes().to_vec()).collect();
    assert_eq!(left, [&b"0997"[..], b"0998", b"0999", b"last"]);
}

#[test]
fn a_second_of_sound_that_comes_at_once_is_kept() {
    let script = "head -c 32000 /dev/zero; exec sleep 1000";
    let config = shell(script, StreamFormat::Pcm { rate_hz: 16_000, channels: 1 });
    let source = Started::new(&config::Command { at_end: AtEnd::Loop, ..config });
    source.until("all of it", |queue| queue.look().0.accepted == u64::from(CHUNKS_PER_SECOND));
    assert_eq!(source.queue.look().0.overflown, 0);
}

#[test]
fn a_program_that_is_to_run_once_waits_for_the_model() {
    let script = "i=0; while [ $i -lt 1000 ]; do printf %04d $i; i=$((i+1)); done";
    let source = Started::new(&shell(script, raw(PixelFormat::Grey8)));
    source.until("the queue to be full", FrameQueue::is_held_up);
    for number in 0..1000 {
        assert_eq!(source.next().slot.bytes(), format!("{number:04}").as_bytes());
    }
    assert_eq!(source.end(), End::Finished);
}

fn wait_for_number(file: &Path) -> u32 {
    let begun = Instant::now();
    loop {
        if let Some(number) = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
            return number;
        }
        assert!(begun.elapsed() < PATIENCE, "{} was not written", file.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[test]
fn nothing_is_left_of_a_program_when_the_pipeline_stops() {
    for (traps, at_least) in [("", Duration::ZERO), ("trap '' TERM;", Duration::from_secs(1))] {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pid");
        let script = format!("{traps} sleep 1000 & echo $! > {}; {PRINT_PICTURE}; wait; sleep 1000", pids.display());
        let source = Started::new(&shell(&script, StreamFormat::Mjpeg));
        source.next();
        let grandchild = wait_for_number(&pids);
        assert!(is_alive(grandchild));
        let took = source.stop();
        assert!(took >= at_least && took < Duration::from_secs(4), "{took:?}");
        let begun = Instant::now();
        while is_alive(grandchild) {
            assert!(begun.elapsed() < PATIENCE, "what the program has started is still there");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn nothing_is_left_of_a_program_while_its_source_rests() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    // It writes nothing more, and may be silent for ever.
    let script = format!("{PRINT_PICTURE}; echo $$ > {}; exec sleep 1000", pid.display());
    let config = config::Command { at_end: AtEnd::Loop, silence_ms: 0, ..shell(&script, StreamFormat::Mjpeg) };
    let power = Power { on_s: Some(0.5), off_s: Some(1000.0), ..Power::default() };
    let source = Started::resting(&config, Rest::of(&power));
    source.next();
    let program = wait_for_number(&pid);
    let reason = source.obstacle();
    assert!(reason.starts_with("duty cycle: reads again at "), "{reason}");
    assert!(!is_alive(program));
    assert!(source.stop() < Duration::from_secs(5), "a rest ends when the pipeline stops");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut config = shell("", StreamFormat::Mjpeg);
    for (program, expected) in [
        ("no-such-camera-tool", "no-such-camera-tool is in no folder of the PATH ("),
        ("/no/such/tool", "/no/such/tool is no program that inferd may run"),
        ("/etc/passwd", "/etc/passwd is no program that inferd may run"),
    ] {
        program.clone_into(&mut config.command[0]);
        let said = open(&config).err().unwrap().to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn what_it_says_of_itself_has_no_arguments() {
    let mut config = shell("rtsp://user:secret@camera/", StreamFormat::Mjpeg);
    assert_eq!(open(&config).unwrap().info().line, "command sh, MJPEG, once");
    config.at_end = AtEnd::Loop;
    assert_eq!(open(&config).unwrap().info().line, "command sh, MJPEG");
}
