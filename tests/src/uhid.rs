//! An accelerometer of our making, as a kernel sees one that is plugged in: a HID sensor by `/dev/uhid`, of which the kernel's
//! `hid-sensor-accel-3d` makes an IIO device.
//!
//! Structures: `linux/uhid.h`. Descriptor: HID Usage Tables 1.5, chapter 20 (sensors).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// `UHID_…` in `linux/uhid.h`.
const GET_REPORT: u32 = 9;
const GET_REPORT_REPLY: u32 = 10;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
const SET_REPORT: u32 = 13;
const SET_REPORT_REPLY: u32 = 14;

/// The type of a report: features, which are settings.
const FEATURE: u8 = 0;

/// `sizeof(struct uhid_event)`
const EVENT_BYTES: usize = 4380;

/// What a value of one is, in m/s²: a ten thousandth of standard gravity, by the descriptor's exponent of -4.
pub const UNIT: f64 = 9.806_65 / 10_000.0;

/// How it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// It lies still: gravity along z.
    Rest,
    /// It swings along x twice a second, as strong as gravity, which is along z.
    Swing,
}

/// An accelerometer that is plugged in until this is dropped.
#[derive(Debug)]
pub struct Accelerometer {
    motion: Arc<AtomicU32>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Accelerometer {
    /// Plugs it in.
    ///
    /// # Errors
    /// Where there is no `/dev/uhid`, or it may not be opened.
    pub fn plug_in() -> anyhow::Result<Self> {
        let mut device =
            OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/uhid")?;
        device.write_all(&creation())?;
        let (motion, ends) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let sensor =
            Sensor { device, settings: Settings::default(), motion: Arc::clone(&motion), began: Instant::now() };
        let told = Arc::clone(&ends);
        let thread = Builder::new().name("accelerometer".into()).spawn(move || sensor.run(&told))?;
        Ok(Self { motion, ends, thread: Some(thread) })
    }

    /// Lets it move from now on.
    pub fn moves(&self, motion: Motion) {
        self.motion.store(u32::from(motion == Motion::Swing), Ordering::SeqCst);
    }
}

impl Drop for Accelerometer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Its end closes the device, which pulls it out.
            let _ = thread.join();
        }
    }
}

/// What the kernel sets, as the feature report has it.
#[derive(Clone, Copy)]
struct Settings {
    reporting: u8,
    power: u8,
    interval_ms: u32,
    sensitivity: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { reporting: 1, power: 1, interval_ms: 20, sensitivity: 0 }
    }
}

impl Settings {
    fn report(self) -> Vec<u8> {
        let mut report = vec![REPORT, self.reporting, self.power];
        report.extend(self.interval_ms.to_le_bytes());
        report.extend(self.sensitivity.to_le_bytes());
        report
    }

    fn read(report: &[u8]) -> Option<Self> {
        Some(Self {
            reporting: *report.get(1)?,
            power: *report.get(2)?,
            interval_ms: u32::from_le_bytes(report.get(3..7)?.try_into().ok()?),
            sensitivity: u16::from_le_bytes(report.get(7..9)?.try_into().ok()?),
        })
    }
}

struct Sensor {
    device: File,
    settings: Settings,
    motion: Arc<AtomicU32>,
    began: Instant,
}

impl Sensor {
    fn run(mut self, ends: &AtomicBool) {
        let mut due = Instant::now();
        while !ends.load(Ordering::SeqCst) {
            let left = due.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let ready = poll(&mut [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)], timeout);
            if ready.is_ok_and(|ready| ready > 0) && self.answer().is_err() {
                return;
            }
            if Instant::now() >= due {
                let apart = Duration::from_millis(u64::from(self.settings.interval_ms.clamp(1, 1000)));
                due = (due + apart).max(Instant::now());
                if self.settings.reporting > 0 && self.settings.power > 0 {
                    let report = self.measurement();
                    // The kernel drops what nobody reads.
                    let _ = self.device.write_all(&input(&report));
                }
            }
        }
    }

    fn answer(&mut self) -> std::io::Result<()> {
        let mut event = [0; EVENT_BYTES];
        let length = self.device.read(&mut event)?;
        let word = |at: usize| u32::from_le_bytes([event[at], event[at + 1], event[at + 2], event[at + 3]]);
        let id = word(4).to_le_bytes();
        match word(0) {
            GET_REPORT => {
                let report = if event[9] == FEATURE { self.settings.report() } else { self.measurement() };
                self.device.write_all(&[&GET_REPORT_REPLY.to_le_bytes()[..], &id, &[0, 0], &sized(&report)].concat())
            }
            SET_REPORT => {
                if let Some(settings) = event.get(12..length).and_then(Settings::read) {
                    self.settings = settings;
                }
                self.device.write_all(&[&SET_REPORT_REPLY.to_le_bytes()[..], &id, &[0, 0]].concat())
            }
            _ => Ok(()),
        }
    }

    /// State 2 is ready, event 3 is new data; then x, y and z.
    #[expect(clippy::cast_possible_truncation, reason = "it swings by ten thousand")]
    fn measurement(&self) -> Vec<u8> {
        let turns = self.began.elapsed().as_secs_f64() * 2.0;
        let swing = 10_000.0 * (turns * std::f64::consts::TAU).sin();
        let x = if self.motion.load(Ordering::SeqCst) == 0 { 0 } else { swing as i32 };
        let axes = [x, 0, 10_000].into_iter().flat_map(i32::to_le_bytes);
        [REPORT, 2, 3].into_iter().chain(axes).collect()
    }
}

fn sized(report: &[u8]) -> Vec<u8> {
    let length = u16::try_from(report.len()).unwrap_or(0).to_le_bytes();
    [&length, report].concat()
}

fn input(report: &[u8]) -> Vec<u8> {
    [&INPUT2.to_le_bytes()[..], &sized(report)].concat()
}

/// `struct uhid_create2_req`: name, place, serial number, then what it is.
fn creation() -> Vec<u8> {
    let descriptor = descriptor();
    let field = |text: &str, length: usize| text.bytes().chain(std::iter::repeat(0)).take(length).collect::<Vec<u8>>();
    let usb: u16 = 3;
    let length = u16::try_from(descriptor.len()).unwrap_or(0);
    [
        CREATE2.to_le_bytes().to_vec(),
        field("inferd test sensor", 128),
        field("", 64),
        field("", 64),
        length.to_le_bytes().to_vec(),
        usb.to_le_bytes().to_vec(),
        // A vendor and product that are free for tests (pid.codes), version, country.
        0x1209_u32.to_le_bytes().to_vec(),
        1_u32.to_le_bytes().to_vec(),
        0_u32.to_le_bytes().to_vec(),
        0_u32.to_le_bytes().to_vec(),
        descriptor,
    ]
    .concat()
}

/// The number of the only report.
const REPORT: u8 = 1;

/// An accelerometer with three axes: settings (reporting, power, interval in ms, sensitivity), then state, event and a 32-bit
/// value an axis, in ten thousandths of gravity.
fn descriptor() -> Vec<u8> {
    let mut items = Items::default();
    // Sensor page, accelerometer 3D, as a physical collection.
    items.put(USAGE_PAGE, &[0x20]);
    items.put(USAGE, &[0x73]);
    items.put(COLLECTION, &[0x00]);
    items.put(REPORT_ID, &[REPORT]);
    items.choice(0x0316, 0x0840..=0x0845, FEATURE_ITEM);
    items.choice(0x0319, 0x0850..=0x0855, FEATURE_ITEM);
    // The report interval: 32 bits, exponent -3 of a second.
    items.put(USAGE, &0x030e_u16.to_le_bytes());
    items.range(&[0], &i32::MAX.to_le_bytes(), 32, 0x0d);
    items.put(FEATURE_ITEM, &[VARIABLE]);
    // The change that is worth a report, of an acceleration: 16 bits, exponent -2.
    items.put(USAGE, &0x1452_u16.to_le_bytes());
    items.range(&[0], &i16::MAX.to_le_bytes(), 16, 0x0e);
    items.put(FEATURE_ITEM, &[VARIABLE]);
    items.choice(0x0201, 0x0800..=0x0806, INPUT_ITEM);
    items.choice(0x0202, 0x0810..=0x0815, INPUT_ITEM);
    // The axes, exponent -4.
    for axis in [0x0453_u16, 0x0454, 0x0455] {
        items.put(USAGE, &axis.to_le_bytes());
        items.range(&i32::MIN.to_le_bytes(), &i32::MAX.to_le_bytes(), 32, 0x0c);
        items.put(INPUT_ITEM, &[VARIABLE]);
    }
    items.put(END_COLLECTION, &[]);
    items.0
}

/// Tags of items, without their lengths.
const USAGE_PAGE: u8 = 0x04;
const USAGE: u8 = 0x08;
const COLLECTION: u8 = 0xa0;
const END_COLLECTION: u8 = 0xc0;
const REPORT_ID: u8 = 0x84;
const LOGICAL_MINIMUM: u8 = 0x14;
const LOGICAL_MAXIMUM: u8 = 0x24;
const UNIT_EXPONENT: u8 = 0x54;
const UNIT_ITEM: u8 = 0x64;
const REPORT_SIZE: u8 = 0x74;
const REPORT_COUNT: u8 = 0x94;
const INPUT_ITEM: u8 = 0x80;
const FEATURE_ITEM: u8 = 0xb0;

/// A value, rather than one of a list.
const VARIABLE: u8 = 0x02;

/// A descriptor that is being made.
#[derive(Default)]
struct Items(Vec<u8>);

impl Items {
    /// An item of 0, 1, 2 or 4 bytes, which its lowest two bits say.
    fn put(&mut self, tag: u8, data: &[u8]) {
        let length = match data.len() {
            4 => 3,
            shorter => u8::try_from(shorter).unwrap_or(0),
        };
        self.0.push(tag | length);
        self.0.extend(data);
    }

    fn range(&mut self, least: &[u8], most: &[u8], bits: u8, exponent: u8) {
        self.put(LOGICAL_MINIMUM, least);
        self.put(LOGICAL_MAXIMUM, most);
        self.put(REPORT_SIZE, &[bits]);
        self.put(REPORT_COUNT, &[1]);
        self.put(UNIT_ITEM, &[0]);
        self.put(UNIT_EXPONENT, &[exponent]);
    }

    /// A byte that is one of some selectors.
    fn choice(&mut self, usage: u16, selectors: std::ops::RangeInclusive<u16>, item: u8) {
        self.put(USAGE, &usage.to_le_bytes());
        self.put(LOGICAL_MINIMUM, &[0]);
        let last = u8::try_from(selectors.clone().count().saturating_sub(1)).unwrap_or(0);
        self.put(LOGICAL_MAXIMUM, &[last]);
        self.put(REPORT_SIZE, &[8]);
        self.put(REPORT_COUNT, &[1]);
        // A logical collection.
        self.put(COLLECTION, &[0x02]);
        for selector in selectors {
            self.put(USAGE, &selector.to_le_bytes());
        }
        self.put(item, &[0]);
        self.put(END_COLLECTION, &[]);
    }
}
