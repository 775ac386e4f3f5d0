//! The engine on the smallest models.

use inferd_core::manifest::Manifest;

use super::*;

#[path = "../../tests/doubling/mod.rs"]
mod doubling;

use doubling::{MANIFEST, doubling_model, npy, onnx, recurrent_model};

const BOXES: &str = "task = \"detection\"\ntensor = \"corners\"\nlabels = [\"a\", \"b\", \"c\", \"d\"]\n\
                     boxes = { scores_tensor = \"scores\" }";

fn engine(output: &str, artifact: &[u8]) -> Engine {
    let manifest = Manifest::parse(&MANIFEST.replace("task = \"raw\"", output), &mut |_| Err(String::new())).unwrap();
    Engine::load(&ModelSpec::from(&manifest), artifact, 1).unwrap()
}

/// One box, whose corners are the input doubled and whose scores are the input.
fn detector() -> Engine {
    engine(BOXES, &onnx(&[("Add", &["x", "x"], "corners"), ("Identity", &["x"], "scores")], &["corners", "scores"]))
}

fn compare(engine: &mut Engine, input: &[f32], expected: &[&[f32]]) -> Result<f32, String> {
    let expected: Vec<Vec<u8>> = expected.iter().map(|values| npy(values)).collect();
    let expected: Vec<&[u8]> = expected.iter().map(Vec::as_slice).collect();
    engine.compare_golden(&npy(input), Format::Npy, &expected).map_err(|failure| failure.reason)
}

#[test]
fn every_output_is_compared_with_its_golden_one() {
    let mut doubling = engine("task = \"raw\"", &doubling_model());
    assert_eq!(compare(&mut doubling, &[1.0, 2.0, 3.0, 4.0], &[&[2.0, 4.0, 6.5, 8.0]]), Ok(0.5));
    let (mut engine, input, corners) = (detector(), [0.0, 0.25, 0.5, 0.75], [0.0, 0.5, 1.0, 1.5]);
    assert_eq!(compare(&mut engine, &input, &[&corners, &input]), Ok(0.0));
    assert_eq!(compare(&mut engine, &input, &[&corners, &[0.0, 0.25, 0.5, 0.5]]), Ok(0.25));
    assert_eq!(compare(&mut engine, &input, &[&[0.0, 0.5, 1.0, 1.0], &input]), Ok(0.5));
    for (expected, says) in [
        (&[&corners[..]][..], "1 golden outputs for 2 outputs"),
        (&[&corners, &input, &input], "3 golden outputs"),
        (&[&corners, &input[..3]], "has 4 values, the golden output 3"),
        (&[&corners, &[0.0, f32::NAN, 0.5, 0.75]], "golden output: it holds NaN at position 1"),
        (&[&[0.0, 0.5, 1.0, f32::INFINITY], &input], "golden output: it holds inf at position 3"),
    ] {
        let reason = compare(&mut engine, &input, expected).unwrap_err();
        assert!(reason.contains(says), "{reason}");
    }
}

#[test]
fn a_golden_sample_that_cannot_be_decoded_fails() {
    let reason = compare(&mut detector(), &[0.0, 0.25, 0.5, f32::NAN], &[&[0.0; 4], &[0.0; 4]]).unwrap_err();
    assert!(reason.contains("NaN"), "{reason}");
    let task = "task = \"anomaly\"\nanomaly = \"reconstruction-error\"";
    let mut squared = engine(task, &onnx(&[("Mul", &["x", "x"], "y")], &["y"]));
    let reason = compare(&mut squared, &[1e19, 0.0, 0.0, 0.0], &[&[1e38, 0.0, 0.0, 0.0]]);
    assert!(reason.is_err_and(|reason| reason.contains("reconstruction error")));
}

#[test]
fn a_recurrent_model_begins_every_window_anew() {
    let mut recurrent = engine("task = \"raw\"", &recurrent_model());
    recurrent.warm_up(2).unwrap();
    let input = [0.5_f32, -0.25, 0.125, 0.25];
    let expected = input.iter().fold(0.0_f32, |state, value| (value + state).tanh());
    for _ in 0..3 {
        let difference = compare(&mut recurrent, &input, &[&[expected]]).unwrap();
        assert!(difference < 1e-6, "{difference}");
    }
}

#[test]
fn sizes_that_only_a_run_shows_are_checked_while_warming_up() {
    let places = onnx(&[("NonZero", &["x"], "y")], &["y"]);
    let mut engine = engine("task = \"regression\"\nlabels = [\"a\", \"b\"]", &places);
    let error = engine.warm_up(1).unwrap_err();
    assert!(matches!(&error, LoadError::Output(reason) if reason.contains("2 labels")), "{error}");
}
