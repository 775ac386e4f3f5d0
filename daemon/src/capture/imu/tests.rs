//! Whole sources, on a tree of files and with pipes for nodes.

mod fake;
mod trees;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use inferd_core::frame::Format;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Uid, setfsuid};

use super::*;
use crate::capture::Frame;
use crate::host::clock::{Clock, Tick};
use fake::*;

const PATIENCE: Duration = Duration::from_secs(30);

struct Started {
    queue: FrameQueue,
    thread: Option<JoinHandle<()>>,
}

impl Started {
    fn new(machine: &Machine, config: &config::Imu, rate_hz: f64, channels: &[&str]) -> Self {
        let channels = channels.iter().map(|&name| name.to_owned()).collect();
        let needs = Needs { rate_hz: Some(rate_hz), channels, ..Needs::default() };
        let imu = Box::new(below(machine.roots(), config, &needs));
        let (queue, thread) = imu.start(Wiring::of_test(Clock::system())).unwrap();
        Self { queue, thread: Some(thread) }
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut(&FrameQueue) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(&self.queue) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited for {what}; {:?}", self.queue.look());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn next(&self) -> Frame {
        self.until("a frame", FrameQueue::pop)
    }

    /// The next rows, at least so many.
    fn rows(&self, count: usize) -> Vec<Vec<f32>> {
        let mut rows = Vec::new();
        while rows.len() < count {
            rows.extend(values(&self.next()));
        }
        rows
    }

    fn obstacle(&self) -> String {
        self.until("an obstacle", |queue| queue.look().1).to_string()
    }

    fn stop(&mut self) {
        self.queue.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
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

fn values(frame: &Frame) -> Vec<Vec<f32>> {
    let Format::Imu { channels, .. } = frame.format else { panic!("{:?}", frame.format) };
    let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    frame
        .slot
        .bytes()
        .chunks_exact(4 * usize::from(channels))
        .map(|row| row.chunks_exact(4).map(value).collect())
        .collect()
}

fn config(silence_ms: u64) -> config::Imu {
    config::Imu { silence_ms, ..config::Imu::default() }
}

fn now_ns() -> i64 {
    i64::try_from(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos()).unwrap()
}

/// A scan of the MPU6050's accelerometer: three big-endian values, the time on a boundary of eight.
fn mpu_scan(values: [i16; 3], at_ns: i64) -> Vec<u8> {
    let mut scan: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    scan.extend([0xEE; 2]);
    scan.extend(at_ns.to_le_bytes());
    scan
}

const AXES: [&str; 3] = ["accel_x", "accel_y", "accel_z"];

#[test]
fn rows_come_as_the_device_gives_them_and_overruns_are_counted() {
    let machine = Machine::with(&[(0, MPU6050)]);
    let mut driver = machine.driver(0);
    let mut names = config(5000);
    names.names.insert("up".into(), "accel_z".into());
    let mut source = Started::new(&machine, &names, 50.0, &["accel_y", "accel_x"]);
    source.until("the buffer to be on", |_| (machine.read(0, "buffer/enable") == "1").then_some(()));
    let begun_ns = now_ns();
    let at_ns = |number: i64| begun_ns + number * 20_000_000;
    for number in [0, 1, 2, 10, 11] {
        driver.write_all(&mpu_scan([i16::try_from(number).unwrap(), -2, 16_000], at_ns(number))).unwrap();
    }
    let first = source.next();
    assert_eq!(first.format, Format::Imu { rate_hz: 50.0, channels: 3 });
    let mut frames = vec![first];
    while frames.iter().map(|frame| values(frame).len()).sum::<usize>() < 5 {
        frames.push(source.next());
    }
    let rows: Vec<Vec<f32>> = frames.iter().flat_map(values).collect();
    let up = 16_000.0 * 0.000_598_f32;
    let expected: Vec<Vec<f32>> = [0.0, 1.0, 2.0, 10.0, 11.0].map(|x: f32| vec![-0.001_196, x * 0.000_598, up]).into();
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(row.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-6), "{rows:?}");
    }
    let gaps: Vec<f32> = frames.iter().filter(|frame| frame.after_gap).map(|frame| values(frame)[0][1]).collect();
    assert_eq!(gaps, [10.0 * 0.000_598_f32], "the gap is before the row after it");
    assert_eq!(source.queue.look().0.lost, 7);
    source.stop();
    assert_eq!(machine.read(0, "buffer/enable"), "0", "the buffer is off when nobody reads it");
}

#[test]
fn two_devices_are_joined_by_time() {
    let machine = Machine::with(&[(0, LSM6DS3_GYRO), (1, LSM6DS3_ACCEL)]);
    let (mut gyro, mut accel) = (machine.driver(0), machine.driver(1));
    let source = Started::new(&machine, &config(5000), 100.0, &["accel_x", "anglvel_x"]);
    // Elements of two bytes, then the time. Both lines have the same slope in raw units.
    let begun_ns = now_ns();
    let scan = |at_ns: i64| {
        let raw = i16::try_from((at_ns - begun_ns) / 1_000_000).unwrap();
        let mut scan = raw.to_le_bytes().to_vec();
        scan.extend([0; 6]);
        scan.extend(at_ns.to_le_bytes());
        scan
    };
    source.until("the buffers", |_| {
        (machine.read(1, "buffer/enable") == "1" && machine.read(0, "buffer/enable") == "1").then_some(())
    });
    for number in 0..100_i64 {
        gyro.write_all(&scan(begun_ns + number * 9_000_000)).unwrap();
        accel.write_all(&scan(begun_ns + 4_000_000 + number * 10_000_000)).unwrap();
    }
    let rows = source.rows(80);
    for (number, row) in rows.iter().enumerate() {
        let raw = 4.0 + number as f32 * 10.0;
        let expected = [raw * 0.000_598_205, raw * 0.000_152_716];
        assert!(row.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-5), "{number}: {row:?}");
    }
    assert_eq!(source.queue.look().0.lost, 0);
}

#[test]
fn a_device_that_is_pulled_out_is_waited_for() {
    let machine = Machine::new();
    let source = Started::new(&machine, &config(5000), 50.0, &AXES);
    let said = source.obstacle();
    assert!(said.contains("no IIO device is attached; it is looked for again within"), "{said}");
    machine.attach(0, MPU6050);
    let mut driver = machine.driver(0);
    driver.write_all(&mpu_scan([1, 2, 3], now_ns())).unwrap();
    assert!(!source.next().after_gap);
    assert_eq!(source.queue.look().1, None, "it waits for nothing any more");
    drop(driver);
    let said = source.obstacle();
    assert!(said.starts_with("mpu6050 (") && said.contains("iio:device0) was taken away; it is looked for"), "{said}");
    let mut driver = machine.driver(0);
    driver.write_all(&mpu_scan([1, 2, 3], now_ns())).unwrap();
    assert!(source.next().after_gap, "no window spans what was missed");
    assert!(source.queue.look().0.restarts >= 1);
}

#[test]
fn a_device_that_falls_silent_is_opened_again() {
    let machine = Machine::with(&[(0, MPU6050)]);
    let _driver = machine.driver(0);
    let source = Started::new(&machine, &config(100), 50.0, &AXES);
    let said = source.obstacle();
    assert!(said.contains("iio:device0) has given nothing for 0.1 s"), "{said}");
    drop(source);
    assert_eq!(machine.read(0, "buffer/enable"), "0");
}

#[test]
fn what_has_no_buffer_is_read_value_by_value() {
    let machine = Machine::with(&[(0, MPU6050_NO_IRQ)]);
    let source = Started::new(&machine, &config(5000), 200.0, &["accel_z", "anglvel_x"]);
    let expected = vec![-16_108.0 * 0.000_598_f32, -23.0 * 0.001_064_724_f32];
    let begun = Instant::now();
    let (first, mut count, mut most) = (source.next(), 0, 0);
    let mut last = first.captured;
    while count < 40 {
        let frame = source.next();
        for row in values(&frame) {
            assert!(row.iter().zip(&expected).all(|(value, expected)| (value - expected).abs() < 1e-5), "{row:?}");
            count += 1;
        }
        most = most.max(values(&frame).len());
        last = frame.captured;
    }
    assert!(most >= 4, "rows are gathered: {most} in the longest frame");
    let lasted = last.since(first.captured);
    assert!(lasted >= Duration::from_millis(150) && lasted <= begun.elapsed(), "an absolute schedule: {lasted:?}");
    assert_eq!(machine.read(0, "sampling_frequency"), "200");
    machine.write(0, "in_accel_z_raw", "");
    let said = source.obstacle();
    assert!(said.contains("iio:device0) cannot be read: `` is no value"), "{said}");
}

#[test]
fn a_slow_device_is_read_when_it_is_due_and_not_before() {
    let machine = Machine::with(&[(0, ADXL345)]);
    let source = Started::new(&machine, &config(5000), 3.0, &["accel_x"]);
    let times: Vec<Tick> = (0..3).map(|_| source.next().captured).collect();
    for pair in times.windows(2) {
        let apart = pair[1].since(pair[0]);
        assert!(apart > Duration::from_millis(250), "{apart:?}");
    }
    assert_eq!(machine.read(0, "in_accel_sampling_frequency"), "3.125");
}

#[test]
fn a_device_with_a_buffer_and_one_without_are_joined() {
    let machine = Machine::with(&[(0, MMA8452), (1, MPU6050_NO_IRQ)]);
    let mut driver = machine.driver(0);
    let both = config::Imu { devices: ["mma8452", "mpu6050"].map(str::to_owned).to_vec(), ..config(5000) };
    let source = Started::new(&machine, &both, 50.0, &["accel_x", "anglvel_x"]);
    let mut rows = Vec::new();
    source.until("rows", |queue| {
        // Twelve bits, 512 of 1024 for 1 g, at the upper end of two bytes.
        let mut scan = vec![0x20, 0x00, 0, 0, 0, 0, 0, 0];
        scan.extend(now_ns().to_le_bytes());
        driver.write_all(&scan).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        queue.pop().into_iter().for_each(|frame| rows.extend(values(&frame)));
        (rows.len() > 20).then_some(())
    });
    for row in rows {
        assert!((row[0] - 512.0 * 0.009_577).abs() < 1e-4 && (row[1] + 23.0 * 0.001_064_724).abs() < 1e-5, "{row:?}");
    }
}

#[test]
fn a_device_that_gives_no_time_is_timed_as_it_is_read() {
    let machine = Machine::with(&[(0, HID)]);
    let mut driver = machine.driver(0);
    let source = Started::new(&machine, &config(5000), 10.0, &AXES);
    source.until("the buffer to be on", |_| (machine.read(0, "buffer/enable") == "1").then_some(()));
    // 16 bits in 32: what is above them is left over from something else.
    let scan: Vec<u8> =
        [0x5555_0001_u32, 0xFFFF_FC1C, 0x1234_0067].iter().flat_map(|value| value.to_le_bytes()).collect();
    let before = Clock::system();
    driver.write_all(&[&scan[..], &scan[..]].concat()).unwrap();
    let frame = source.next();
    let raw = values(&frame)[0].iter().map(|value| (value / 0.009_806_65).round()).collect::<Vec<f32>>();
    assert_eq!(raw, [1.0, -996.0, 103.0]);
    let age = Duration::from_nanos(u64::try_from(before.unix_ns() - frame.captured_unix_ns).unwrap());
    assert!(age < PATIENCE, "{age:?}");
}

#[test]
fn a_buffer_that_the_driver_refuses_is_not_needed() {
    let machine = Machine::with(&[(0, MPU6050)]);
    // A file of the kernel's that root may write, but not this: it fails with EINVAL, as a driver does.
    fs::remove_file(machine.file(0, "buffer/enable")).unwrap();
    symlink("/proc/self/setgroups", machine.file(0, "buffer/enable")).unwrap();
    let source = Started::new(&machine, &config(5000), 100.0, &["accel_z"]);
    assert!((source.rows(5)[4][0] - 16_108.0 * 0.000_598).abs() < 1e-5);
}

#[test]
fn what_may_not_be_used_is_said_with_who_may() {
    for (file, mode, expected) in [
        (
            "node",
            0o600,
            "iio:device0: Permission denied (os error 13); it belongs to root, group root, mode 0600: a udev rule must give it to a",
        ),
        (
            "sampling_frequency",
            0o644,
            "sampling_frequency: Permission denied (os error 13); it belongs to root, group root, mode 0644",
        ),
    ] {
        let machine = Machine::with(&[(0, MPU6050)]);
        let _driver = machine.driver(0);
        machine.let_all_in(0);
        let path = if file == "node" { machine.node(0) } else { fs::canonicalize(machine.file(0, file)).unwrap() };
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        // Removed by who has made it.
        let look = move || (Started::new(&machine, &config(5000), 100.0, &AXES).obstacle(), machine);
        let Some((said, _machine)) = as_nobody(look) else {
            eprintln!("SKIPPED: only root can take another user's place, and so be denied a file");
            return;
        };
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_rate_that_may_not_be_set_is_no_trouble_where_it_is_fast_enough() {
    let machine = Machine::with(&[(0, MPU6050)]);
    let _driver = machine.driver(0);
    machine.let_all_in(0);
    let rate = fs::canonicalize(machine.file(0, "sampling_frequency")).unwrap();
    fs::set_permissions(rate, PermissionsExt::from_mode(0o644)).unwrap();
    let begin = move || {
        let source = Started::new(&machine, &config(5000), 20.0, &AXES);
        source.until("the buffer to be on", |_| (machine.read(0, "buffer/enable") == "1").then_some(()));
        drop(source);
        machine
    };
    match as_nobody(begin) {
        Some(machine) => assert_eq!(machine.read(0, "sampling_frequency"), "50"),
        None => eprintln!("SKIPPED: only root can take another user's place, and so be denied a file"),
    }
}

/// Does something as a user who has no rights. `None` where this process may not do that.
fn as_nobody<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    const NOBODY: Uid = Uid::from_raw(65_534);
    let thread = std::thread::Builder::new().name("nobody".into()).spawn(move || {
        // Of this thread, and of those that it starts, only.
        setfsuid(NOBODY);
        (setfsuid(NOBODY) == NOBODY).then(what)
    });
    thread.unwrap().join().unwrap()
}
