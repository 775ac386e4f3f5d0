//! The README's four steps from a trained model to outcomes, as they are written there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use inferd_tests::rig::{path, program};
use inferd_tests::variant::write;
use inferd_tests::{Rig, fixtures, onnx};
use serde_json::Value;

#[test]
fn the_four_steps_lead_from_a_model_to_outcomes() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [manifest, config] = blocks[..] else { panic!("two TOML blocks are expected: {blocks:?}") };
    for command in ["`inferctl bundle pack my-model/`", "`inferd --config inferd.toml --user`"] {
        assert!(readme.contains(command), "the README has another command than the one that is tried here: {command}");
    }
    assert!(readme.contains("\ninferctl install my-model-1.0.0.inferd "), "the README installs otherwise");

    let mut rig = Rig::new().unwrap();
    let folder = rig.folder().to_owned();
    fs::create_dir(folder.join("my-model")).unwrap();
    write(&folder.join("my-model/model.toml"), manifest.as_bytes()).unwrap();
    write(&folder.join("my-model/model.onnx"), &onnx::two_classes()).unwrap();
    let config = replaced(config, "/path/to/a/folder/of/pictures", path(&fixtures::recording("belt")).unwrap());
    let config = replaced(&config, "/tmp/inferd", path(&folder.join("state")).unwrap());
    write(&folder.join("inferd.toml"), config.as_bytes()).unwrap();

    inferctl(&rig, &["bundle", "pack", "my-model/"]);
    let mut inferd = Command::new(program("inferd"));
    inferd.args(["--config", "inferd.toml", "--user"]).current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
    inferd.env("DBUS_SESSION_BUS_ADDRESS", rig.bus_address());
    // Somebody else may have the usual port.
    inferd.env("INFERD__METRICS__LISTEN", "127.0.0.1:0");
    rig.spawn_as(&mut inferd).unwrap();
    rig.wait_for("inferd to answer", |rig| Ok(rig.ctl_output(&["status"])?.status.success())).unwrap();
    inferctl(&rig, &["install", "my-model-1.0.0.inferd"]);
    let watched = inferctl(&rig, &["watch", "--count", "1", "--json"]);
    let outcome: Value = serde_json::from_str(&watched).unwrap();
    assert_eq!((&outcome["pipeline"], &outcome["model"]), (&"front".into(), &"my-model".into()), "{outcome}");
    assert!(["cat", "dog"].iter().any(|label| outcome["label"] == *label), "{outcome}");
    assert!(inferctl(&rig, &["status"]).contains("front"));
    rig.stop().unwrap();
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in the README's configuration:\n{text}");
    text.replace(from, to)
}

/// Runs `inferctl` in the folder, with the variables that the README exports.
fn inferctl(rig: &Rig, arguments: &[&str]) -> String {
    let mut command = rig.ctl_command(arguments);
    command.env("INFERD_OUTCOMES_SOCKET", rig.folder().join("state/run/outcomes.sock")).current_dir(rig.folder());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", rig.log());
    String::from_utf8(output.stdout).unwrap()
}
