//! An accelerometer that the kernel's HID driver makes: a swing is told from rest, pulled out, and put back.

use inferd_tests::outcomes::Collector;
use inferd_tests::uhid::{Accelerometer, Motion};

use super::{has_devices, print_added_latency, rig_with, wait_for_state, wait_for_values};

const GRAVITY: f64 = 9.806_65;

/// The mean of the absolute of a sine, as a part of its height.
const OF_SINE: f64 = std::f64::consts::FRAC_2_PI;

#[test]
fn a_swing_is_told_from_rest() {
    if !has_devices("a_swing_is_told_from_rest") {
        return;
    }
    let names = "{ ax = \"accel_x\", ay = \"accel_y\", az = \"accel_z\" }";
    let rig = rig_with("motion", &format!("kind = \"imu\"\nnames = {names}"));
    rig.wait_for("the missing channel to be named", |rig| {
        Ok(rig.pipeline("motion")?["reason"].as_str().is_some_and(|reason| reason.contains("accel_x")))
    })
    .unwrap();
    let sensor = Accelerometer::plug_in().unwrap();
    wait_for_state(&rig, "motion", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let near = |value: f64, expected: f64| (value - expected).abs() < 0.8;
    let rests = |values: &[f64]| near(values[0], 0.0) && near(values[1], 0.0) && near(values[2], GRAVITY);
    let swings = |values: &[f64]| near(values[0], GRAVITY * OF_SINE) && near(values[2], GRAVITY);
    wait_for_values(&rig, &collector, "motion", "rest", rests);
    sensor.moves(Motion::Swing);
    wait_for_values(&rig, &collector, "motion", "a swing", swings);
    print_added_latency(&collector, "motion", "accelerometer");
    let runner = rig.runner_pid("motion").unwrap();
    drop(sensor);
    println!("pulled out: {}", wait_for_state(&rig, "motion", "waiting"));
    let sensor = Accelerometer::plug_in().unwrap();
    wait_for_state(&rig, "motion", "running");
    sensor.moves(Motion::Swing);
    wait_for_values(&rig, &collector, "motion", "a swing again", swings);
    assert_eq!(rig.runner_pid("motion").unwrap(), runner, "the model stays loaded");
}
