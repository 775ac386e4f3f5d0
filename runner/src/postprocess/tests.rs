use inferd_core::prediction::{Detection, MAX_BOXES};

use super::*;

fn classification(activation: Activation) -> Decoding {
    Decoding::Classification(activation)
}

fn settings() -> Boxes {
    Boxes { scores_tensor: "scores".into(), background: Some(0), min_score: 0.5, max_overlap: 0.3 }
}

fn with(decoding: Decoding, labels: usize) -> Postprocessor {
    Postprocessor { decoding, labels, input: Vec::new() }
}

#[test]
fn activations_give_their_textbook_values() {
    let close = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
    };
    close(&activate(Activation::None, &[3.0, -1.0]), &[3.0, -1.0]);
    close(&activate(Activation::Softmax, &[1.0, 2.0, 3.0]), &[0.090_030_57, 0.244_728_47, 0.665_240_94]);
    close(&activate(Activation::Softmax, &[1_000.0, 0.0]), &[1.0, 0.0]);
    close(&activate(Activation::Sigmoid, &[0.0, 2.0, -100.0]), &[0.5, 0.880_797, 0.0]);
}

#[test]
fn sizes_that_do_not_fit_the_labels_are_refused() {
    let boxes = || Decoding::Detection(settings());
    let cases = [
        (with(classification(Activation::None), 3), vec![3], true),
        (with(classification(Activation::None), 3), vec![2], false),
        (with(Decoding::Regression, 1), vec![2], false),
        (with(boxes(), 2), vec![8, 4], true),
        (with(boxes(), 2), vec![8, 6], false),
        (with(boxes(), 2), vec![7, 4], false),
        (with(Decoding::Anomaly(AnomalyScore::Score), 0), vec![2], false),
        (with(Decoding::Anomaly(AnomalyScore::ReconstructionError), 0), vec![10], true),
        (with(Decoding::Anomaly(AnomalyScore::ReconstructionError), 0), vec![9], false),
        (with(Decoding::Raw, 0), vec![MAX_VALUES], true),
        (with(Decoding::Raw, 0), vec![MAX_VALUES + 1], false),
        (with(Decoding::Raw, 0), vec![], false),
    ];
    for (postprocessor, outputs, fits) in cases {
        assert_eq!(postprocessor.check(10, &outputs).is_ok(), fits, "{:?} {outputs:?}", postprocessor.decoding);
    }
}

#[test]
fn nan_and_infinity_are_failures() {
    assert!(refuse_non_finite(&[0.0, 1.0]).is_ok());
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(refuse_non_finite(&[0.0, bad]).unwrap_err().reason.contains("position 1"));
    }
}

#[test]
fn of_overlapping_boxes_of_a_class_only_the_best_stays() {
    let corners = [
        [0.0, 0.0, 0.5, 0.5],
        [0.01, 0.0, 0.51, 0.5], // nearly the first
        [0.5, 0.5, 1.0, 1.2],   // elsewhere, over the edge
        [0.0, 0.0, 0.5, 0.5],   // background only
    ]
    .concat();
    // Background, class 1, class 2.
    let scores = [[0.1, 0.8, 0.6], [0.1, 0.9, 0.0], [0.2, 0.55, 0.0], [0.99, 0.0, 0.4]].concat();
    let found = boxes::find(&settings(), &corners, &scores);
    let brief: Vec<_> = found.iter().map(|found| (found.class, found.score)).collect();
    assert_eq!(brief, [(1, 0.9), (2, 0.6), (1, 0.55)]);
    assert_eq!(found[2].area, [0.5, 0.5, 1.0, 1.0]);
}

#[test]
fn boxes_are_cut_off_by_score() {
    let count = MAX_BOXES + 50;
    let corners: Vec<f32> = (0..count).flat_map(|at| [at as f32, 0.0, at as f32 + 0.5, 1.0]).collect();
    let scores: Vec<f32> = (0..count).flat_map(|at| [0.0, 0.5 + at as f32 / 1000.0]).collect();
    let found = boxes::find(&settings(), &corners, &scores);
    assert_eq!(found.len(), MAX_BOXES);
    assert!((found[0].score - (0.5 + (count - 1) as f32 / 1000.0)).abs() < 1e-6);
}

#[test]
fn boxes_refer_to_the_source_image() {
    // The model saw the middle half of the width.
    let placement = Placement { origin: [0.25, 0.0], extent: [0.5, 1.0] };
    let Prediction::Boxes(found) =
        decode(&Decoding::Detection(settings()), &[0.0, 0.0, 0.5, 1.0], &[0.0, 0.9], &[], placement).unwrap()
    else {
        panic!("no boxes")
    };
    assert_eq!(found, [Detection { class: 1, score: 0.9, area: [0.25, 0.0, 0.5, 1.0] }]);
}

#[test]
fn a_reconstruction_is_compared_with_the_input() {
    let task = Decoding::Anomaly(AnomalyScore::ReconstructionError);
    let score = |output: &[f32], input: &[f32]| decode(&task, output, &[], input, Placement::WHOLE);
    assert_eq!(score(&[1.0, 2.0], &[1.0, 4.0]).unwrap(), Prediction::Anomaly(2.0));
    // The difference of the first pair alone is more than a float holds; so is the square of the second.
    for (output, input) in [([f32::MAX, 0.0], [f32::MIN, 0.0]), ([1e20, 0.0], [0.0, 0.0])] {
        let failure = score(&output, &input).unwrap_err();
        assert!(failure.reason.contains("reconstruction error"), "{}", failure.reason);
    }
    assert_eq!(score(&[1e19, 0.0], &[0.0, 0.0]).unwrap(), Prediction::Anomaly(5e37));
}
