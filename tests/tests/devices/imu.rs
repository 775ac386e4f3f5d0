//! An accelerometer that the kernel's HID driver makes: a swing is told from rest, pulled out, and put back.

use inferd_tests::outcomes::Collector;
use inferd_tests::uhid::{Accelerometer, Motion};
use inferd_tests::{Rig, onnx};

use super::{has_devices, model_folder, pipeline_config, wait_for_state, wait_for_values};

const GRAVITY: f64 = 9.806_65;

/// The mean of the absolute of a sine, as a part of its height.
const OF_SINE: f64 = std::f64::consts::FRAC_2_PI;

#[test]
fn a_swing_is_told_from_rest() {
    if !has_devices("a_swing_is_told_from_rest") {
        return;
    }
    let names = "{ ax = \"accel_x\", ay = \"accel_y\", az = \"accel_z\" }";
    let rig = Rig::start(&pipeline_config("motion", &format!("kind = \"imu\"\nnames = {names}"))).unwrap();
    let input = "[input]\nkind = \"imu\"\nshape = [1, 50, 3]\nlayout = \"NTC\"\n[input.imu]\nrate_hz = 50\n\
                 channels = [\"ax\", \"ay\", \"az\"]\n[window]\nlength = 50\nhop = 25\n";
    rig.install(&model_folder(&rig, "motion", &onnx::strength(50), input, 3)).unwrap();
    let reason = wait_for_state(&rig, "motion", "waiting");
    assert!(reason.contains("accel_x"), "{reason}");
    let sensor = Accelerometer::plug_in().unwrap();
    wait_for_state(&rig, "motion", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let near = |value: f64, expected: f64| (value - expected).abs() < 0.8;
    let rests = |values: &[f64]| near(values[0], 0.0) && near(values[1], 0.0) && near(values[2], GRAVITY);
    let swings = |values: &[f64]| near(values[0], GRAVITY * OF_SINE) && near(values[2], GRAVITY);
    wait_for_values(&rig, &collector, "motion", "rest", rests);
    sensor.moves(Motion::Swing);
    wait_for_values(&rig, &collector, "motion", "a swing", swings);
    let runner = rig.runner_pid("motion").unwrap();
    drop(sensor);
    println!("pulled out: {}", wait_for_state(&rig, "motion", "waiting"));
    let sensor = Accelerometer::plug_in().unwrap();
    wait_for_state(&rig, "motion", "running");
    sensor.moves(Motion::Swing);
    wait_for_values(&rig, &collector, "motion", "a swing again", swings);
    assert_eq!(rig.runner_pid("motion").unwrap(), runner, "the model stays loaded");
}
