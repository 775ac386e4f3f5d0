//! What is made of real devices' trees: descriptions, choices, settings.

use super::super::choose::{Column, Part, choose};
use super::super::setup::{Ready, Stamps, Unready, Wish, start};
use super::super::{Calibration, attached, device, rate};
use super::fake::*;

const AXES: [&str; 3] = ["accel_x", "accel_y", "accel_z"];

const GYRO: [&str; 3] = ["anglvel_x", "anglvel_y", "anglvel_z"];

fn part(machine: &Machine, number: u32, channels: &[&str]) -> Part {
    let device = device::all(&machine.roots()).into_iter().find(|device| device.number == number).unwrap();
    Part { device, channels: channels.iter().map(|&name| name.to_owned()).collect() }
}

fn set_up(machine: &Machine, channels: &[&str], rate_hz: f64, trigger: Option<&str>) -> Result<Ready, Unready> {
    start(&machine.roots(), &part(machine, 0, channels), Wish { rate_hz, trigger })
}

/// What is written where a device is set up, and that all of it is put back.
fn written(machine: &Machine, channels: &[&str], rate_hz: f64) -> (Vec<String>, Option<f64>, Stamps, usize) {
    let before = machine.settings(0);
    let ready = set_up(machine, channels, rate_hz, None).unwrap();
    let changed_files = changed(&before, &machine.settings(0));
    let found = (changed_files, ready.rate_hz, ready.stamps, ready.layout.bytes);
    drop(ready);
    assert_eq!(changed(&before, &machine.settings(0)), <[&str; 0]>::default(), "all is put back");
    found
}

#[test]
fn a_mpu6050_is_set_to_the_slowest_rate_that_reaches_the_wanted_one() {
    let machine = Machine::with(&[(0, MPU6050)]);
    let (files, rate_hz, stamps, bytes) = written(&machine, &[AXES, GYRO].concat(), 150.0);
    assert_eq!(
        files,
        [
            "current_timestamp_clock = monotonic",
            "sampling_frequency = 200",
            "buffer/enable = 1",
            "buffer/length = 100",
            "buffer/watermark = 10",
            "scan_elements/in_accel_x_en = 1",
            "scan_elements/in_accel_y_en = 1",
            "scan_elements/in_accel_z_en = 1",
            "scan_elements/in_anglvel_x_en = 1",
            "scan_elements/in_anglvel_y_en = 1",
            "scan_elements/in_anglvel_z_en = 1",
            "scan_elements/in_timestamp_en = 1",
        ]
    );
    // Six values of two bytes, and eight for the time on a boundary of eight.
    assert_eq!((rate_hz, stamps, bytes), (Some(200.0), Stamps::Monotonic, 24));
}

#[test]
fn rates_are_written_as_each_driver_lists_them() {
    for (facts, channels, wanted_hz, expected, expected_hz) in [
        (MPU6050, AXES, 100.0, "sampling_frequency = 100", 100.0),
        (MPU9250, AXES, 1000.0, "sampling_frequency = 500", 500.0),
        (BMI160, AXES, 3.0, "in_accel_sampling_frequency = 3.125", 3.125),
        (BMI160, GYRO, 3.0, "in_anglvel_sampling_frequency = 25", 25.0),
        (LSM6DS3_ACCEL, AXES, 50.0, "sampling_frequency = 52.000", 52.0),
        (LSM6DS3_GYRO, GYRO, 30.0, "sampling_frequency = 52.000", 52.0),
        (ICM42605_ACCEL, AXES, 101.0, "sampling_frequency = 100.000000", 100.0),
        (ICM42605_GYRO, GYRO, 12.5, "sampling_frequency = 12.500000", 12.5),
        (MMA8452, AXES, 20.0, "in_accel_sampling_frequency = 50.000000", 50.0),
        (HID, AXES, 33.3, "in_accel_sampling_frequency = 33.3", 33.3),
    ] {
        let machine = Machine::with(&[(0, facts)]);
        let (files, rate_hz, ..) = written(&machine, &channels, wanted_hz);
        // The rate that a device has already is not written again.
        let has_it =
            machine.settings(0).iter().any(|(name, text)| format!("{name} = {text}") == format!("/{expected}"));
        assert!(has_it || files.contains(&expected.to_owned()), "{expected}: {files:?}");
        assert_eq!(rate_hz, Some(expected_hz), "{expected}");
    }
}

#[test]
fn the_rate_is_the_nearest_that_is_as_good_else_the_slowest_above() {
    for (list, wanted_hz, expected) in [
        ("10 20 50 100", 19.5, "20"),
        ("10 20 50 100", 21.0, "20"),
        ("10 20 50 100", 21.5, "50"),
        ("10 20 50 100", 400.0, "100"),
        ("98 100 102", 100.0, "100"),
        ("800.000000 1.560000", 1.5, "1.560000"),
    ] {
        assert_eq!(rate::pick(list, wanted_hz), expected, "{wanted_hz} of {list}");
    }
}

#[test]
fn old_kernels_without_a_choice_of_clock_give_no_time() {
    let machine = Machine::with(&[(0, HID)]);
    let (_, _, stamps, bytes) = written(&machine, &AXES, 10.0);
    assert_eq!((stamps, bytes), (Stamps::Absent, 12));
    let with_time = "scan_elements/in_timestamp_en = 0\nscan_elements/in_timestamp_index = 3\nscan_elements/in_timestamp_type = le:s64/64>>0\n";
    let machine = Machine::with(&[(0, &format!("{HID}{with_time}"))]);
    assert_eq!(written(&machine, &AXES, 10.0).2, Stamps::Unix);
}

#[test]
fn a_device_takes_its_own_trigger() {
    // Two of its own, of which one tells of motion; another chip's comes first.
    let machine = Machine::with(&[(0, KXCJK1013)]);
    machine.trigger(9, 0, &[("name", "i2c-KIOX000A:01-dev9")]);
    machine.trigger(0, 1, &[("name", "i2c-KIOX000A:00-any-motion-dev0")]);
    machine.trigger(0, 2, &[("name", "i2c-KIOX000A:00-tap")]);
    machine.trigger(0, 3, &[("name", "i2c-KIOX000A:00-dev0")]);
    let (files, ..) = written(&machine, &AXES, 50.0);
    assert!(files.contains(&"trigger/current_trigger = i2c-KIOX000A:00-dev0".to_owned()), "{files:?}");
    // By its place alone.
    let machine = Machine::with(&[(0, BMI160_NO_IRQ)]);
    machine.trigger(9, 0, &[("name", "elsewhere")]);
    machine.trigger(0, 1, &[("name", "data-ready")]);
    let (files, ..) = written(&machine, &AXES, 100.0);
    assert!(files.contains(&"trigger/current_trigger = data-ready".to_owned()), "{files:?}");
}

#[test]
fn a_timer_that_is_named_sets_the_pace() {
    let machine = Machine::with(&[(0, BMI160_NO_IRQ)]);
    machine.trigger(7, 3, &[("name", "pulse"), ("sampling_frequency", "100.000")]);
    let ready = set_up(&machine, &AXES, 40.0, Some("pulse")).unwrap();
    assert_eq!(machine.read(0, "trigger/current_trigger"), "pulse");
    assert_eq!(std::fs::read_to_string(machine.roots().sysfs.join("trigger3/sampling_frequency")).unwrap(), "40");
    assert_eq!((ready.rate_hz, machine.read(0, "in_accel_sampling_frequency").as_str()), (Some(40.0), "50"));
    let Err(Unready::Trouble(said)) = set_up(&machine, &AXES, 40.0, Some("pulses")) else { panic!("no such trigger") };
    assert_eq!(said, "no trigger is called `pulses`; there are: pulse");
}

#[test]
fn what_has_no_buffer_to_use_is_told_why() {
    let unknown = format!(
        "{MMA8452}scan_elements/in_odd_en = 0\nscan_elements/in_odd_index = 4\nscan_elements/in_odd_type = le:q7/8>>0\n"
    );
    for (facts, channels, expected) in [
        (MPU6050_NO_IRQ, &["accel_x"][..], "it has no buffer"),
        (ADXL345, &["accel_x"], "it has no buffer"),
        (BMI160_NO_IRQ, &["accel_x"], "it has no trigger of its own"),
        (&unknown, &["odd"], "values of odd lie in its buffer in an unknown way (`le:q7/8>>0`)"),
    ] {
        let machine = Machine::with(&[(0, facts)]);
        let before = machine.settings(0);
        let Err(Unready::Unfit(said)) = set_up(&machine, channels, 100.0, None) else { panic!("{expected}") };
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(changed(&before, &machine.settings(0)), <[&str; 0]>::default(), "{expected}");
    }
}

#[test]
fn a_buffer_that_was_left_on_is_used_and_off_afterwards() {
    let machine = Machine::with(&[(0, MPU6050)]);
    machine.write(0, "buffer/enable", "1");
    machine.write(0, "scan_elements/in_temp_en", "1");
    let ready = set_up(&machine, &AXES, 50.0, None).unwrap();
    assert_eq!(
        (machine.read(0, "buffer/enable").as_str(), machine.read(0, "scan_elements/in_temp_en").as_str()),
        ("1", "0")
    );
    drop(ready);
    assert_eq!(machine.read(0, "buffer/enable"), "0");
}

#[test]
fn values_are_in_the_kernels_units_and_along_the_machines_axes() {
    for (facts, channels, raw, expected) in [
        (MPU6050, &["accel_z", "temp"][..], vec![16_108.0, -3392.0], vec![9.632_584, 26_552.377]),
        // x and y are swapped, and both are there although only one is wanted.
        (KXCJK1013, &["accel_x"], vec![-497.0, 23.0, -118.0], vec![0.440_749, -9.524_011, -2.261_234]),
        (LSM6DS3_GYRO, &["anglvel_y"], vec![-81.0], vec![-0.012_370]),
    ] {
        let machine = Machine::with(&[(0, facts)]);
        let Part { device, mut channels } = part(&machine, 0, channels);
        let calibration = Calibration::read(&device, &mut channels);
        assert_eq!(channels.len(), raw.len(), "{channels:?}");
        let mut values = raw;
        calibration.apply(&mut values);
        for (value, expected) in values.iter().zip(&expected) {
            assert!((value - expected).abs() < 1e-3 * expected.abs().max(1e-3), "{values:?}");
        }
    }
    let text =
        MPU6050.replace("in_accel_scale =", "in_accel_scale = 7\nin_accel_offset = 2\nin_accel_x_scale = 3\nunused =");
    let machine = Machine::with(&[(0, &text)]);
    let Part { device, mut channels } = part(&machine, 0, &["accel_x", "accel_y"]);
    let mut values = [1.0, 1.0];
    Calibration::read(&device, &mut channels).apply(&mut values);
    assert_eq!(values, [9.0, 21.0], "an axis may have its own scale");
}

fn columns(names: &[&str]) -> Vec<Column> {
    let column = |name: &&str| {
        let (name, channel) = name.split_once('=').unwrap_or((name, name));
        Column { name: name.to_owned(), channel: channel.to_owned() }
    };
    names.iter().map(column).collect()
}

#[test]
fn the_fewest_devices_are_chosen_that_have_all_channels() {
    let machine = Machine::with(&[(0, LSM6DS3_GYRO), (1, LSM6DS3_ACCEL), (2, MPU6050), (3, ADXL345)]);
    let attached = device::all(&machine.roots());
    let label = Machine::with(&[(0, &format!("{MPU6050}label = arm\n")), (1, MPU6050)]);
    let labelled = device::all(&label.roots());
    let path = machine.node(3).display().to_string();
    for (attached, configured, wanted, expected, places) in [
        (
            &attached,
            vec![],
            vec!["accel_x", "anglvel_z"],
            vec![(2, vec!["accel_x", "anglvel_z"])],
            vec![(0, 0), (0, 1)],
        ),
        (&attached, vec![], vec!["accel_x", "again=accel_x"], vec![(1, vec!["accel_x"])], vec![(0, 0), (0, 0)]),
        (
            &attached,
            vec!["lsm6ds3_accel", "lsm6ds3_gyro"],
            vec!["anglvel_x", "accel_y", "anglvel_z"],
            vec![(0, vec!["anglvel_x", "anglvel_z"]), (1, vec!["accel_y"])],
            vec![(0, 0), (1, 0), (0, 1)],
        ),
        (&attached, vec![&path], vec!["accel_x"], vec![(3, vec!["accel_x"])], vec![(0, 0)]),
        (&labelled, vec!["arm"], vec!["accel_x"], vec![(0, vec!["accel_x"])], vec![(0, 0)]),
    ] {
        let configured: Vec<String> = configured.into_iter().map(str::to_owned).collect();
        let plan = choose(attached, &configured, &columns(&wanted)).unwrap();
        let parts: Vec<(u32, Vec<&str>)> = plan
            .parts
            .iter()
            .map(|part| (part.device.number, part.channels.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!((parts, plan.places), (expected, places), "{configured:?} {wanted:?}");
    }
}

#[test]
fn what_is_missing_is_said_with_what_there_is() {
    let machine = Machine::with(&[(0, ADXL345), (1, LSM6DS3_GYRO), (2, LSM6DS3_GYRO)]);
    let attached = device::all(&machine.roots());
    let dev = machine.roots().dev.display().to_string();
    for (attached, configured, wanted, expected) in [
        (
            &attached[..],
            vec![],
            "magn_x",
            "no sensor has the channel `magn_x`; `names` of the source may give it a sensor's channel; there are: adxl345 (DEV/iio:device0) with accel_x, accel_y, accel_z; lsm6ds3_gyro (DEV/iio:device1) with anglvel_x, anglvel_y, anglvel_z; lsm6ds3_gyro (DEV/iio:device2) with anglvel_x, anglvel_y, anglvel_z",
        ),
        (
            &attached[..1],
            vec![],
            "ax=accel_w",
            "no sensor has the channel `accel_w`, which `names` gives for `ax`; there are: adxl345 (DEV/iio:device0) with accel_x, accel_y, accel_z",
        ),
        (
            &attached[..1],
            vec!["mpu6050"],
            "accel_x",
            "no sensor is called `mpu6050`; there are: adxl345 (DEV/iio:device0) with accel_x, accel_y, accel_z",
        ),
        (
            &attached[..],
            vec!["lsm6ds3_gyro"],
            "anglvel_x",
            "DEV/iio:device1, DEV/iio:device2 are all called `lsm6ds3_gyro`: name one by its path or its label",
        ),
        (
            &[],
            vec![],
            "accel_x",
            "no sensor has the channel `accel_x`; `names` of the source may give it a sensor's channel; no IIO device is attached",
        ),
    ] {
        let configured: Vec<String> = configured.into_iter().map(str::to_owned).collect();
        let said = choose(attached, &configured, &columns(&[wanted])).unwrap_err();
        assert_eq!(said.replace(&dev, "DEV"), expected);
    }
}

#[test]
fn what_is_attached_is_listed() {
    let machine = Machine::with(&[(0, MMA8452), (1, MPU6050_NO_IRQ), (2, "name = empty"), (10, LSM6DS3_ACCEL)]);
    std::fs::remove_file(machine.node(10)).unwrap();
    let listed = attached::attached(&machine.roots());
    let names: Vec<(&str, bool)> = listed.iter().map(|found| (found.name.as_str(), found.is_buffered)).collect();
    assert_eq!(names, [("mma8452", true), ("mpu6050", false), ("lsm6ds3_accel", true)]);
    assert_eq!(listed[0].channels, AXES);
    assert_eq!(listed[0].node, machine.node(0));
    assert_eq!(listed[0].rates, "1.560000 6.250000 12.500000 50.000000 100.000000 200.000000 400.000000 800.000000");
    assert_eq!((&listed[0].obstacle, &listed[1].obstacle), (&None, &None));
    let obstacle = listed[2].obstacle.as_deref().unwrap();
    assert!(obstacle.starts_with("cannot open ") && obstacle.contains("iio:device10: No such file"), "{obstacle}");
}
