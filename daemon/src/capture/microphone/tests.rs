//! With ALSA itself: its plugins make devices that need no hardware.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::{Duration, Instant};

use inferd_core::frame::Format;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::capture::Frame;
use crate::host::clock::Clock;
use crate::host::durable::replace;

const PATIENCE: Duration = Duration::from_secs(30);

const RATE_HZ: u32 = 16000;

/// Says where the devices of this test are, to the test that is run with them.
const FOLDER: &str = "INFERD_TEST_ALSA";

/// Devices without hardware: `hall` gives what is written to a pipe; others only know floats, or have three
/// channels; what looks like a card's has those in a format that we cannot read.
const DEVICES: &str = r#"
pcm.hall { type file; slave.pcm { type null }; file /dev/null; infile SOUND; format raw }
pcm.float { type lfloat; slave { pcm { type null }; format S16_LE } }
pcm.law { type mulaw; slave { pcm three; format S16_LE } }
pcm.three { type multi; slaves.a { pcm { type null }; channels 3 }
    bindings { 0 { slave a; channel 0 } 1 { slave a; channel 1 } 2 { slave a; channel 2 } } }
pcm.nothing { type null }
pcm.broken { type nonsense }
pcm.hw { @args [ CARD DEV ]; @args.CARD { type string }; @args.DEV { type integer }
    type mulaw; slave { pcm three; format S16_LE } }
pcm.plughw { @args [ CARD DEV ]; @args.CARD { type string }; @args.DEV { type integer }
    type plug; slave.pcm law }
"#;

/// Written at once, so that whoever reads a chunk finds a whole one: of one channel, and of three.
const WRITTEN_SAMPLES: i16 = 960;

fn make_devices(folder: &Path) {
    let sound = folder.join("sound");
    mkfifo(&sound, Mode::S_IRWXU).unwrap();
    let config = DEVICES.replace("SOUND", &sound.display().to_string());
    replace(&folder.join("asound.conf"), config.as_bytes()).unwrap();
}

/// Writes numbers, over and over, to whoever opens the pipe next, until that is closed.
fn speak(folder: &Path) -> JoinHandle<()> {
    let pipe = folder.join("sound");
    let words: Vec<u8> = (0..WRITTEN_SAMPLES).flat_map(i16::to_le_bytes).collect();
    let speak = move || {
        let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
        while pipe.write_all(&words).is_ok() {}
    };
    Builder::new().name("speaker".into()).spawn(speak).unwrap()
}

fn microphone(device: Option<&str>, channel: Option<u16>) -> Microphone {
    let config = config::Microphone { device: device.map(str::to_owned), rate_hz: None, channel, silence_ms: 2000 };
    open(&config, &Needs { rate_hz: Some(f64::from(RATE_HZ)), ..Needs::default() })
}

struct Started {
    queue: FrameQueue,
    thread: JoinHandle<()>,
}

impl Started {
    fn new(microphone: Microphone) -> Self {
        let source = Box::new(microphone);
        let (queue, thread) = source.start(Wiring::of_test(Clock::system())).unwrap();
        Self { queue, thread }
    }

    fn wait<T>(&self, mut found: impl FnMut(&FrameQueue) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = found(&self.queue) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.queue.look());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// So many chunks, one after the other: they have to be given back.
    fn chunks(&self, count: usize) -> impl Iterator<Item = Frame> {
        (0..count).map(|_| self.wait(FrameQueue::pop))
    }

    fn chunk(&self) -> Frame {
        self.wait(FrameQueue::pop)
    }

    fn obstacle(self) -> String {
        let obstacle = self.wait(|queue| queue.look().1).to_string();
        self.stop();
        obstacle
    }

    /// Stops it within the time that it promises.
    fn stop(self) {
        let begun = Instant::now();
        self.queue.stop();
        self.thread.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

fn samples(chunk: &Frame) -> Vec<i16> {
    chunk.slot.bytes().chunks(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
}

#[test]
fn what_a_device_gives_is_known_before_it_is_there() {
    let configured = config::Microphone { rate_hz: Some(48000), silence_ms: 2000, ..config::Microphone::default() };
    let needs = Needs { rate_hz: Some(16000.0), ..Needs::default() };
    let info = open(&configured, &needs).info().clone();
    assert_eq!((info.kind, info.rate_hz, info.line.as_str()), (Kind::Audio, 48000.0, "microphone (the first one)"));
    assert_eq!(microphone(None, None).info().rate_hz, 16000.0);
}

/// ALSA reads its configuration once in a process, from where the environment says: so there is a process for it.
#[test]
fn devices_of_alsa_are_read() {
    let folder = tempfile::tempdir().unwrap();
    make_devices(folder.path());
    let name = "capture::microphone::tests::within_a_configuration_of_its_own";
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--ignored", "--exact", "--test-threads=1", name]);
    process.env("ALSA_CONFIG_PATH", folder.path().join("asound.conf")).env(FOLDER, folder.path());
    let output = process.output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains("ALSA lib"), "the library spoke for itself: {said}");
}

#[test]
#[ignore = "needs a configuration of ALSA's: `devices_of_alsa_are_read` runs it"]
fn within_a_configuration_of_its_own() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    samples_come_as_they_are(&folder);
    a_channel_is_picked(&folder);
    formats_and_channels_are_those_of_the_device();
    alsa_converts_what_we_cannot_read();
    what_is_wrong_is_said();
}

fn samples_come_as_they_are(folder: &Path) {
    let speaker = speak(folder);
    let started = Started::new(microphone(Some("hall"), None));
    let mut last = None;
    for chunk in started.chunks(200) {
        assert_eq!(chunk.format, Format::Pcm { rate_hz: RATE_HZ, channels: 1 });
        let heard = samples(&chunk);
        assert_eq!(heard.len(), 320);
        // A pipe has no pace: what nobody took in time was dropped, a whole chunk each.
        let begins = last.filter(|_| !chunk.after_gap).map_or(heard[0], |last| (last + 1) % WRITTEN_SAMPLES);
        assert_eq!(heard, (begins..begins + 320).collect::<Vec<i16>>());
        assert_eq!(begins % 320, 0);
        last = heard.last().copied();
    }
    assert_eq!(started.queue.look().1, None);
    started.stop();
    speaker.join().unwrap();
}

fn a_channel_is_picked(folder: &Path) {
    let speaker = speak(folder);
    // The fewest channels that have a third one are three.
    let started = Started::new(microphone(Some("hall"), Some(2)));
    for chunk in started.chunks(20) {
        assert_eq!(chunk.format, Format::Pcm { rate_hz: RATE_HZ, channels: 1 });
        assert_eq!(samples(&chunk), (0..320).map(|time| time * 3 + 2).collect::<Vec<i16>>());
    }
    started.stop();
    speaker.join().unwrap();
}

fn formats_and_channels_are_those_of_the_device() {
    for (device, channels) in [("float", 1), ("three", 3)] {
        let started = Started::new(microphone(Some(device), None));
        let chunk = started.chunk();
        assert_eq!(chunk.format, Format::Pcm { rate_hz: RATE_HZ, channels }, "{device}");
        assert_eq!(chunk.slot.bytes().len(), 640 * usize::from(channels), "{device}");
        started.stop();
    }
}

/// A microphone at a card that no kernel knows of.
struct AtCard(Microphone, Arc<Mutex<String>>);

impl Live for AtCard {
    type Stream = Listening;

    const AGAIN: &'static str = Microphone::AGAIN;

    fn open(&mut self, feed: &mut Feed) -> Result<Listening, Trouble> {
        let card = find::Card { index: 0, id: "Lab".into(), name: "Lab Device".into(), devices: vec![0] };
        let stream = self.0.record(&Device::OfCard { card, device: 0 }, feed).map_err(|why| self.0.trouble(&why));
        self.1.lock().unwrap().clone_from(&self.0.told);
        stream.map(Listening)
    }

    fn follow(&mut self, listening: Listening, feed: &mut Feed) -> Trouble {
        self.0.follow(listening, feed)
    }
}

fn alsa_converts_what_we_cannot_read() {
    let told = Arc::default();
    let source = AtCard(microphone(None, None), Arc::clone(&told));
    let (queue, thread) =
        live::start(source, live::QUEUE_CHUNKS, Overflow::KeepNewest, Wiring::of_test(Clock::system())).unwrap();
    let started = Started { queue, thread };
    let chunk = started.chunk();
    assert_eq!((chunk.format, chunk.slot.bytes().len()), (Format::Pcm { rate_hz: RATE_HZ, channels: 3 }, 1920));
    let told = told.lock().unwrap().clone();
    assert!(told.starts_with("MU_LAW; 3 channels; "), "{told}");
    started.stop();
    // A device that is named is opened as it is named.
    let refused = Started::new(microphone(Some("law"), None)).obstacle();
    assert!(refused.starts_with("microphone law: cannot record at 16000 Hz: it has MU_LAW; 3 channels; "), "{refused}");
    assert!(refused.contains("`plughw:…`"), "{refused}");
}

fn what_is_wrong_is_said() {
    let absent = Started::new(microphone(Some("cellar"), None)).obstacle();
    assert!(absent.starts_with("microphone cellar: is not there; "), "{absent}");
    assert!(absent.contains(" (ALSA: Unknown PCM cellar); it is looked for again within 1 s"), "{absent}");
    let broken = Started::new(microphone(Some("broken"), None)).obstacle();
    assert!(broken.starts_with("microphone broken: "), "{broken}");
    assert!(broken.contains("nonsense"), "the library says what: {broken}");
    let far = Started::new(microphone(Some("nothing"), Some(40)));
    assert_eq!(far.chunk().slot.bytes().len(), 640, "what takes any number of channels is asked for enough");
    far.stop();
    let channel = Started::new(microphone(Some("three"), Some(3))).obstacle();
    assert!(channel.starts_with("microphone three: has no channel 3: it has 3,"), "{channel}");
    let none = Started::new(microphone(None, None)).obstacle();
    assert!(none.starts_with("microphone (the first one): no microphone is attached; "), "{none}");
}
