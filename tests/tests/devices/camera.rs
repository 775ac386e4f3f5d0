//! A camera that vivid makes: seen by inferd and by a program, pulled out, and put back.

use std::path::Path;
use std::time::{Duration, Instant};

use inferd_tests::Rig;
use inferd_tests::outcomes::Collector;
use inferd_tests::variant::write;

use super::{command, has_devices, print_added_latency, rig_with, run, wait_for_state, wait_for_values};

/// What vivid shows, by the control `test_pattern`, as red, green and blue.
const PATTERNS: [(u32, [f64; 3]); 4] =
    [(6, [1.0, 1.0, 1.0]), (7, [1.0, 0.0, 0.0]), (9, [0.0, 0.0, 1.0]), (5, [0.0, 0.0, 0.0])];

/// Pulls the camera out of its driver (`unbind`), or puts it back (`bind`).
pub(super) fn plug(action: &str) {
    write(Path::new(&format!("/sys/bus/platform/drivers/vivid/{action}")), b"vivid.0").unwrap();
}

fn check_patterns(rig: &Rig, collector: &Collector) {
    for (pattern, expected) in PATTERNS {
        show(pattern);
        let near = |values: &[f64]| values.iter().zip(expected).all(|(value, wanted)| (value - wanted).abs() < 0.2);
        wait_for_values(rig, collector, "colour", &format!("pattern {pattern}"), near);
    }
}

fn is_green(values: &[f64]) -> bool {
    values[1] > 0.8 && values[0] < 0.2 && values[2] < 0.2
}

#[test]
fn a_camera_is_seen_pulled_out_and_seen_again() {
    if !has_devices("a_camera_is_seen_pulled_out_and_seen_again") {
        return;
    }
    let rig = rig_with(
        "colour",
        "kind = \"camera\"\ndevice = \"/dev/video0\"\nfps = 10\ncontrols = { brightness = 128, contrast = 128 }",
    );
    wait_for_state(&rig, "colour", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    check_patterns(&rig, &collector);
    let runner = rig.runner_pid("colour").unwrap();
    plug("unbind");
    let reason = wait_for_state(&rig, "colour", "waiting");
    println!("pulled out: {reason}");
    assert!(reason.contains("pulled out") || reason.starts_with("no camera is attached at /dev/video0"), "{reason}");
    // Longer than the first pauses: it is its coming that is noticed.
    std::thread::sleep(Duration::from_secs(8));
    let begun = Instant::now();
    plug("bind");
    wait_for_state(&rig, "colour", "running");
    println!("back after {:.1} s", begun.elapsed().as_secs_f64());
    show(8);
    wait_for_values(&rig, &collector, "colour", "green", is_green);
    assert_eq!(rig.runner_pid("colour").unwrap(), runner, "the model stays loaded");
    assert_eq!(copies(&rig), "0", "vivid can write to frame memory");
}

/// What the log says of the last camera that was opened.
fn copies(rig: &Rig) -> String {
    let log = rig.log();
    let line = log.lines().rfind(|line| line.contains("the camera gives pictures")).unwrap();
    line.rsplit_once("copies=").unwrap().1.to_owned()
}

/// Red in every format, and from every kind of driver: one memory plane or several, frame memory of ours or of its own.
#[test]
fn every_format_shows_the_same_picture() {
    if !has_devices("every_format_shows_the_same_picture") {
        return;
    }
    for (device, format, expected) in [
        ("/dev/video0", "yuyv", "0"),
        ("/dev/video0", "uyvy", "0"),
        ("/dev/video0", "i420", "0"),
        ("/dev/video0", "i422", "0"),
        ("/dev/video0", "bgr24", "0"),
        ("/dev/video1", "nv12", "0"),
        ("/dev/video2", "rgb24", "1"),
        ("/dev/video2", "nv12", "1"),
    ] {
        run("v4l2-ctl", &["-d", device, "-c", "test_pattern=7,osd_text_mode=2"]);
        let source = format!("kind = \"camera\"\ndevice = \"{device}\"\nfps = 10\nformat = \"{format}\"");
        let rig = rig_with("colour", &source);
        wait_for_state(&rig, "colour", "running");
        let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
        let red = |values: &[f64]| values[0] > 0.8 && values[1] < 0.2 && values[2] < 0.2;
        wait_for_values(&rig, &collector, "colour", &format!("red in {format} from {device}"), red);
        assert_eq!(copies(&rig), expected, "{device} {format}");
        print_added_latency(&collector, "colour", &format!("camera {device}, {format}, {expected} copies"));
    }
}

#[test]
fn a_camera_is_seen_by_a_program() {
    if !has_devices("a_camera_is_seen_by_a_program") {
        return;
    }
    let camera = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "v4l2",
        "-framerate",
        "10",
        "-video_size",
        "320x180",
        "-i",
        "/dev/video0",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ];
    let format = "\"rgb24\"\nwidth = 320\nheight = 180";
    let rig = rig_with("colour", &command(&camera, format));
    wait_for_state(&rig, "colour", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    check_patterns(&rig, &collector);
    print_added_latency(&collector, "colour", "camera by ffmpeg, rgb24");
    plug("unbind");
    let reason = wait_for_state(&rig, "colour", "waiting");
    assert!(reason.starts_with("ffmpeg ended ("), "{reason}");
    plug("bind");
    wait_for_state(&rig, "colour", "running");
    show(8);
    wait_for_values(&rig, &collector, "colour", "green", is_green);
}

fn show(pattern: u32) {
    run("v4l2-ctl", &["-d", "/dev/video0", "-c", &format!("test_pattern={pattern},osd_text_mode=2")]);
}
