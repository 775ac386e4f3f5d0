//! Model files that mean harm: each costs the runner that read it, and nothing else.

use inferd_tests::onnx::huge;
use inferd_tests::variant::Variant;

use crate::serving::Serving;

fn refuse(serving: &mut Serving, change: impl FnOnce(Vec<u8>) -> Vec<u8>, words: &[&str]) {
    let variant: Variant = serving.next_version().artifact(change).unwrap();
    serving.refuses(&variant, "ModelRefused", words);
    serving.goes_on();
}

#[test]
fn bytes_that_are_no_model() {
    let mut serving = Serving::start();
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
    refuse(&mut serving, |_| noise, &["the artifact is not an ONNX model"]);
    refuse(&mut serving, |_| vec![0xff; 1 << 20], &["the artifact is not an ONNX model"]);
    refuse(&mut serving, |_| vec![0; 1 << 20], &["the artifact is not an ONNX model"]);
    refuse(&mut serving, |_| Vec::new(), &["the artifact is not an ONNX model: it holds no graph"]);
    refuse(&mut serving, |good| good[..good.len() / 2].to_vec(), &["the artifact is not an ONNX model"]);
}

#[test]
fn a_model_that_asks_for_more_memory_than_there_is() {
    let mut serving = Serving::start();
    refuse(&mut serving, |_| huge(&[1 << 20, 1 << 20]), &["tract broke down over the model", "failed to allocate"]);
    refuse(&mut serving, |_| huge(&[i64::MAX, 4]), &["tract"]);
    refuse(&mut serving, |_| huge(&[-1, -1]), &["tract"]);
}
