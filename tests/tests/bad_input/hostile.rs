//! Model files that mean harm: each costs the runner that read it, and nothing else.

use inferd_tests::variant::Variant;

use crate::serving::Serving;

fn refuse(serving: &mut Serving, change: impl FnOnce(Vec<u8>) -> Vec<u8>, words: &[&str]) {
    let variant: Variant = serving.next_version().artifact(change).unwrap();
    serving.refuses(&variant, "ModelRefused", words);
    serving.remove_refused();
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

/// `probs = ConstantOfShape(extents)`, with an `input` that nobody reads. Protocol buffers by hand: `onnx.proto`.
fn huge(extents: &[i64]) -> Vec<u8> {
    let shape: Vec<u8> = extents.iter().flat_map(|extent| extent.to_le_bytes()).collect();
    let count = extents.len().try_into().unwrap();
    // TensorProto: dims 1, data_type 2 (7 is INT64), name 8, raw_data 9.
    let tensor = [number(1, count), number(2, 7), text(8, "shape"), bytes(9, &shape)].concat();
    // NodeProto: input 1, output 2, name 3, op_type 4.
    let node = [text(1, "shape"), text(2, "probs"), text(3, "huge"), text(4, "ConstantOfShape")].concat();
    // GraphProto: node 1, name 2, initializer 5, input 11, output 12.
    let graph = [
        bytes(1, &node),
        text(2, "graph"),
        bytes(5, &tensor),
        bytes(11, &value("input", &[1, 64, 64, 3])),
        bytes(12, &value("probs", &[1, 3])),
    ];
    // ModelProto: ir_version 1, graph 7, opset_import 8 (version 2).
    [number(1, 8), bytes(7, &graph.concat()), bytes(8, &number(2, 13))].concat()
}

/// ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1 (1 is FLOAT), shape 2 { dim 1 { dim_value 1 } } } }.
fn value(name: &str, extents: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = extents.iter().flat_map(|extent| bytes(1, &number(1, *extent))).collect();
    let tensor = [number(1, 1), bytes(2, &dims)].concat();
    [text(1, name), bytes(2, &bytes(1, &tensor))].concat()
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn text(field: u8, value: &str) -> Vec<u8> {
    bytes(field, value.as_bytes())
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(value.len() as u64), value.to_vec()].concat()
}

/// Seven bits a byte, lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
