//! Bundles that are not what they should be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use inferd_tests::variant::write;
use inferd_tests::{fixtures, rig};

use crate::serving::{MODEL, Serving, assert_failed_job, assert_refused};

/// The packed second version of the fixture, and where a changed copy of it may be written.
fn good_bundle(serving: &Serving) -> (Vec<u8>, std::path::PathBuf) {
    let bundle = serving.rig.pack(&fixtures::model(MODEL, "1.1.0")).unwrap();
    (std::fs::read(bundle).unwrap(), serving.rig.folder().join("bad.inferd"))
}

#[test]
fn corrupt_bundle() {
    let mut serving = Serving::start();
    let (good, bad) = good_bundle(&serving);
    let whole = ["no whole bundle", "copy it again", "inferctl bundle pack"];
    for at in [0, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        write(&bad, &bytes).unwrap();
        serving.refuses_bundle(&bad, "BundleInvalid", &whole);
    }
    serving.goes_on();
}

#[test]
fn truncated_bundle() {
    let mut serving = Serving::start();
    let (good, bad) = good_bundle(&serving);
    for length in [0, 3, 1000, good.len() / 2, good.len() - 1] {
        write(&bad, &good[..length]).unwrap();
        serving.refuses_bundle(&bad, "BundleInvalid", &["no whole bundle", "copy it again"]);
    }
    serving.goes_on();
}

#[test]
fn wrong_digest_in_a_bundle() {
    let mut serving = Serving::start();
    let (good, bad) = good_bundle(&serving);
    let mut archive = zstd::decode_all(&*good).unwrap();
    flip_inside(&mut archive, &std::fs::read(fixtures::model(MODEL, "1.1.0").join("model.onnx")).unwrap());
    write(&bad, &zstd::encode_all(&*archive, 3).unwrap()).unwrap();
    let words = ["`model.onnx` has SHA-256", "is expected", "get the bundle again"];
    serving.refuses_bundle(&bad, "DigestMismatch", &words);
    serving.goes_on();
}

/// Changes a byte in the middle of `part`, wherever that lies in `whole`.
fn flip_inside(whole: &mut [u8], part: &[u8]) {
    let at = whole.windows(part.len()).position(|window| window == part).expect("the file is in the archive as it is");
    whole[at + part.len() / 2] ^= 1;
}

#[test]
fn a_version_that_was_changed_on_disk_is_not_loaded_and_is_repaired_by_its_bundle() {
    let serving = Serving::start();
    serving.rig.install(&fixtures::model(MODEL, "1.1.0")).unwrap();
    let installed = serving.rig.state().join("models").join(MODEL).join("1.1.0/model.onnx");
    damage(&installed);
    let activated = serving.rig.ctl_output(&["activate", MODEL, "1.1.0", "--json"]).unwrap();
    assert_failed_job(&activated, "DigestMismatch", &["`model.onnx` has SHA-256", "get the bundle again"]);
    serving.more_outcomes();
    assert_eq!(serving.rig.pipeline("belt").unwrap()["version"], "1.0.0");

    serving.rig.install(&fixtures::model(MODEL, "1.1.0")).unwrap();
    serving.rig.ctl(&["activate", MODEL, "1.1.0"]).unwrap();
    assert_eq!(serving.rig.pipeline("belt").unwrap()["version"], "1.1.0");
    serving.more_outcomes();
}

#[test]
fn an_active_version_that_was_changed_on_disk_is_repaired_by_its_bundle() {
    let mut serving = Serving::start();
    damage(&serving.rig.state().join("models").join(MODEL).join("1.0.0/model.onnx"));
    // The runner that serves has its own, verified copy.
    serving.goes_on();
    serving.rig.stop().unwrap();
    serving.rig.launch().unwrap();
    let damaged = |rig: &inferd_tests::Rig| {
        let belt = rig.pipeline("belt")?;
        Ok(belt["reason"].as_str().is_some_and(|reason| reason.contains("`model.onnx` has SHA-256")))
    };
    serving.rig.wait_for("the damage to be told", damaged).unwrap();
    serving.rig.install(&fixtures::model(MODEL, "1.0.0")).unwrap();
    serving.rig.wait_for_state("belt", "running").unwrap();
}

fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    write(file, &bytes).unwrap();
}

#[test]
fn a_dropped_in_bundle_that_is_bad_is_set_aside_with_the_reason() {
    let mut serving = Serving::start();
    let (good, _) = good_bundle(&serving);
    let incoming = serving.rig.state().join("incoming");
    let hidden = incoming.join(".half");
    write(&hidden, &good[..good.len() / 2]).unwrap();
    std::fs::rename(hidden, incoming.join("belt.inferd")).unwrap();
    let reason = incoming.join("belt.inferd.failed.txt");
    serving.rig.wait_for("the bundle to be set aside", |_| Ok(incoming.join("belt.inferd.failed").exists())).unwrap();
    assert!(std::fs::read_to_string(reason).unwrap().contains("no whole bundle"));
    assert!(!incoming.join("belt.inferd").exists());
    serving.goes_on();
}

#[test]
fn another_content_under_the_same_version_is_refused() {
    let mut serving = Serving::start();
    let other = serving.next_version().manifest("1.2.0", "1.0.0").unwrap().without_golden().unwrap();
    let words = ["belt-inspect 1.0.0 is installed with another content", "raise `version` in model.toml"];
    serving.refuses(&other, "InvalidArgument", &words);
    serving.goes_on();
}

/// The way of everybody's first model: something is wrong, is mended, and the version is still 1.0.0.
#[test]
fn a_version_that_was_refused_can_come_again_mended() {
    let serving = Serving::start();
    let broken =
        serving.next_version().manifest("labels = [\"empty\", ", "labels = [\"one too many\", \"empty\", ").unwrap();
    serving.refuses(&broken, "ModelRefused", &["has 3 values", "4 labels"]);
    let mended = serving.rig.pack(serving.next_version().folder()).unwrap();
    serving.rig.ctl(&["install", "--activate", rig::path(&mended).unwrap()]).unwrap();
    assert_eq!(serving.rig.pipeline("belt").unwrap()["version"], "1.2.0");
}

#[test]
fn what_is_no_bundle_at_all_is_refused() {
    let mut serving = Serving::start();
    let folder = serving.rig.folder().to_owned();
    let refused = serving.rig.ctl_output(&["install", rig::path(&folder).unwrap(), "--json"]).unwrap();
    assert_refused(&refused, "InvalidArgument", &["the bundle is no regular file", "the .inferd file itself"]);
    let text = fixtures::model(MODEL, "1.0.0").join("model.toml");
    serving.refuses_bundle(&text, "BundleInvalid", &["no whole bundle"]);
    serving.goes_on();
}
