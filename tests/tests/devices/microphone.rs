//! A microphone that snd-aloop makes: a tone is told from silence.

use std::path::Path;
use std::process::{Child, Command};

use inferd_tests::outcomes::Collector;
use inferd_tests::variant::write;

use super::{command, has_devices, print_added_latency, rig_with, wait_for_state, wait_for_values};

/// A tone that is played until it is dropped.
struct Tone(Child);

impl Tone {
    fn play(device: &str) -> Self {
        let tone = "sine=frequency=440:sample_rate=16000";
        let arguments =
            ["-v", "error", "-re", "-f", "lavfi", "-i", tone, "-filter:a", "volume=8", "-ac", "1", "-f", "alsa"];
        Self(Command::new("ffmpeg").args(arguments).arg(device).spawn().unwrap())
    }
}

impl Drop for Tone {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_loud(values: &[f64]) -> bool {
    values.iter().all(|value| *value > 0.1)
}

fn is_silent(values: &[f64]) -> bool {
    values.iter().all(|value| *value < 0.001)
}

#[test]
fn a_tone_is_told_from_silence() {
    if !has_devices("a_tone_is_told_from_silence") {
        return;
    }
    let rig = rig_with("loudness", "kind = \"microphone\"\ndevice = \"Loopback\"");
    wait_for_state(&rig, "loudness", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    wait_for_values(&rig, &collector, "loudness", "silence", is_silent);
    // The first device of the card that records hears what the second one plays.
    let tone = Tone::play("hw:Loopback,1");
    wait_for_values(&rig, &collector, "loudness", "a tone", is_loud);
    drop(tone);
    wait_for_values(&rig, &collector, "loudness", "silence again", is_silent);
    print_added_latency(&collector, "loudness", "microphone");
    let runner = rig.runner_pid("loudness").unwrap();
    plug("unbind");
    println!("pulled out: {}", wait_for_state(&rig, "loudness", "waiting"));
    plug("bind");
    wait_for_state(&rig, "loudness", "running");
    let _tone = Tone::play("hw:Loopback,1");
    wait_for_values(&rig, &collector, "loudness", "a tone, plugged in again", is_loud);
    assert_eq!(rig.runner_pid("loudness").unwrap(), runner, "the model stays loaded");
}

/// Pulls the sound card out of its driver (`unbind`), or puts it back (`bind`).
pub(super) fn plug(action: &str) {
    let file = format!("/sys/bus/platform/drivers/snd_aloop/{action}");
    write(Path::new(&file), b"snd_aloop.0").unwrap();
}

#[test]
fn a_tone_is_heard_by_a_program() {
    if !has_devices("a_tone_is_heard_by_a_program") {
        return;
    }
    let microphone = ["arecord", "-q", "-D", "hw:Loopback,1", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1"];
    let rig = rig_with("loudness", &command(&microphone, "\"pcm\"\nrate_hz = 16000"));
    wait_for_state(&rig, "loudness", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let _tone = Tone::play("hw:Loopback,0");
    wait_for_values(&rig, &collector, "loudness", "a tone", is_loud);
}
