//! A microphone that snd-aloop makes: a tone is told from silence.

use std::process::{Child, Command};

use inferd_tests::outcomes::Collector;
use inferd_tests::{Rig, onnx};

use super::{command, has_devices, model_folder, pipeline_config, wait_for_state, wait_for_values};

/// A tone that is played until it is dropped.
struct Tone(Child);

impl Tone {
    fn play() -> Self {
        let tone = "sine=frequency=440:sample_rate=16000";
        let arguments =
            ["-v", "error", "-re", "-f", "lavfi", "-i", tone, "-filter:a", "volume=8", "-ac", "1", "-f", "alsa"];
        Self(Command::new("ffmpeg").args(arguments).arg("hw:Loopback,0").spawn().unwrap())
    }
}

impl Drop for Tone {
    fn drop(&mut self) {
        // Both fail only where it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tone_is_told_from_silence() {
    if !has_devices("a_tone_is_told_from_silence") {
        return;
    }
    let microphone = ["arecord", "-q", "-D", "hw:Loopback,1", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1"];
    let rig = Rig::start(&pipeline_config("loudness", &command(&microphone, "\"pcm\"\nrate_hz = 16000"))).unwrap();
    let input = "[input]\nkind = \"audio\"\nshape = [1, 8, 1000]\n[input.audio]\nrate_hz = 16000\n\
                 [window]\nlength = 8000\nhop = 8000\n";
    rig.install(&model_folder(&rig, "loudness", &onnx::loudness(8000), input, 8)).unwrap();
    wait_for_state(&rig, "loudness", "running");
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    let loud = |values: &[f64]| values.iter().all(|value| *value > 0.1);
    let silent = |values: &[f64]| values.iter().all(|value| *value < 0.001);
    wait_for_values(&rig, &collector, "loudness", "silence", silent);
    let tone = Tone::play();
    wait_for_values(&rig, &collector, "loudness", "a tone", loud);
    drop(tone);
    wait_for_values(&rig, &collector, "loudness", "silence again", silent);
}
