//! Whole bundles whose model cannot do what the manifest says.

use inferd_tests::outcomes::{Collector, of, tally};
use inferd_tests::variant::{Variant, replace_bytes};
use inferd_tests::{Rig, fixtures, outside, processes, rig};
use tract_onnx::prelude::Framework as _;

use crate::serving::{MODEL, Serving, assert_failed_job};

#[test]
fn wrong_shape() {
    let mut serving = Serving::start();
    let variant = serving.next_version().manifest("[1, 64, 64, 3]", "[1, 32, 32, 3]").unwrap();
    let words = ["input [1, 64, 64, 3]", "the manifest says shape [1, 32, 32, 3]", "change `input.shape`"];
    serving.refuses(&variant, "ModelRefused", &words);
    serving.goes_on();
}

#[test]
fn an_unsupported_operator() {
    let mut serving = Serving::start();
    let variant = serving.next_version().artifact(with_unknown_operator).unwrap();
    serving.refuses(&variant, "ModelRefused", &["operators that tract does not support: Rexu", "export it without"]);
    serving.goes_on();
}

/// Renames every `Relu`: field 4 of a `NodeProto` is its `op_type`, a string of four bytes.
fn with_unknown_operator(onnx: Vec<u8>) -> Vec<u8> {
    let (changed, found) = replace_bytes(onnx, b"\x22\x04Relu", b"\x22\x04Rexu");
    assert!(found > 0, "the fixture has a Relu");
    changed
}

#[test]
fn labels_that_do_not_fit_the_output() {
    let mut serving = Serving::start();
    let variant = serving
        .next_version()
        .manifest("labels = [\"empty\", \"part-ok\", \"part-defect\"]", "labels = [\"empty\", \"part-ok\"]")
        .unwrap();
    serving.refuses(&variant, "ModelRefused", &["has 3 values", "2 labels", "a label for each value is expected"]);
    serving.goes_on();
}

#[test]
fn golden_samples_that_come_out_otherwise() {
    let mut serving = Serving::start();
    let variant = serving.next_version().manifest("golden/part-ok.npy", "golden/empty.npy").unwrap();
    serving.refuses(&variant, "GoldenMismatch", &["golden sample golden/part-ok.jpg differs by", "0.02 is allowed"]);
    serving.goes_on();
}

#[test]
fn nan_is_found_by_the_golden_samples() {
    let mut serving = Serving::start();
    let variant = serving.next_version().artifact(with_nan_weights).unwrap();
    serving.refuses(&variant, "GoldenMismatch", &["golden sample golden/empty.jpg cannot be run", "NaN"]);
    serving.goes_on();
}

/// Nobody could have known: the version takes over, every window fails with the reason, and a rollback mends it.
#[test]
fn nan_without_golden_samples_fails_each_window_until_the_rollback() {
    let serving = Serving::start();
    let variant = serving.next_version().artifact(with_nan_weights).unwrap().without_golden().unwrap();
    let bundle = serving.rig.pack(variant.folder()).unwrap();
    serving.rig.ctl(&["install", rig::path(&bundle).unwrap(), "--activate"]).unwrap();
    serving.more_outcomes();
    serving.rig.ctl(&["rollback", MODEL]).unwrap();
    serving.more_outcomes();

    let outcomes = serving.outcomes("belt");
    let (bad, good): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome["version"] == "1.2.0");
    assert!(!bad.is_empty());
    for outcome in bad {
        assert_eq!((&outcome["verdict"], &outcome["error"]["stage"]), (&"failed".into(), &"postprocess".into()));
        assert!(outcome["error"]["reason"].as_str().unwrap().contains("NaN"), "{outcome}");
    }
    assert!(good.iter().all(|outcome| outcome["verdict"] != "failed"));
    assert_eq!(good.last(), outcomes.iter().collect::<Vec<_>>().last(), "the last ones are good again");
    let numbers: Vec<_> = outcomes.iter().map(|outcome| outcome["window"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a window is lost or doubled: {numbers:?}");
    assert_eq!(serving.rig.pipeline("belt").unwrap()["counts"]["runner_restarts"], 0);
}

/// Overwrites every weight: the output of the last layer is NaN whatever the others make of it.
fn with_nan_weights(mut onnx: Vec<u8>) -> Vec<u8> {
    let model = tract_onnx::onnx().proto_model_for_read(&mut &*onnx).unwrap();
    let weights = model.graph.unwrap().initializer.into_iter().map(|tensor| tensor.raw_data);
    for old in weights.filter(|old| old.len() >= 4) {
        let nan: Vec<u8> = f32::NAN.to_le_bytes().iter().copied().cycle().take(old.len()).collect();
        let at = onnx.windows(old.len()).position(|window| window == old).unwrap();
        onnx[at..at + old.len()].copy_from_slice(&nan);
    }
    onnx
}

/// A first version that is refused is taken away again, and the pipeline waits for a better one, under the same number as well.
#[test]
fn a_refused_first_version_lets_its_pipeline_wait_for_a_better_one() {
    let play = rig::pipeline_config("gesture", "gesture", &fixtures::recording_of("gesture"), "pace = \"fast\"");
    let rig = Rig::start(&play).unwrap();
    let before = outside::tree(&rig.state()).unwrap();
    let variant = Variant::of("gesture", "1.0.0", rig.folder()).unwrap().artifact(with_unknown_operator).unwrap();
    let bundle = rig.pack(variant.folder()).unwrap();
    let refused = rig.ctl_output(&["install", rig::path(&bundle).unwrap(), "--json"]).unwrap();
    assert_failed_job(&refused, "ModelRefused", &["Rexu"]);
    assert_eq!(rig.ctl_json(&["models"]).unwrap()["models"], serde_json::json!([]));
    let waits = |rig: &Rig| {
        let gesture = rig.pipeline("gesture")?;
        let reason = gesture["reason"].as_str().unwrap_or_default();
        Ok(gesture["state"] == "waiting" && reason.contains("model gesture is not installed"))
    };
    rig.wait_for("the pipeline to say what it waits for", waits).unwrap();
    assert_eq!(outside::tree(&rig.state()).unwrap(), before, "something was left on the disk");
    assert!(processes::children(rig.pid()).unwrap().is_empty(), "a runner was left");

    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.0.0")).unwrap();
    rig.wait_for_state("gesture", "finished").unwrap();
    let whole = |_: &Rig| Ok(collector.count("gesture") == 59);
    rig.wait_for("all 59 windows", whole).unwrap();
    let lines = collector.lines();
    assert_eq!(tally(&of(&lines, "gesture")).lost, 0);
}
