//! Small ONNX models, made by hand: protocol buffers as `onnx.proto` has them, field by field.

/// `probs = ConstantOfShape(extents)`, with an `input` that nobody reads. Its shape is [1, 3].
pub fn huge(extents: &[i64]) -> Vec<u8> {
    let shape: Vec<u8> = extents.iter().flat_map(|extent| extent.to_le_bytes()).collect();
    // TensorProto: dims 1, data_type 2 (7 is INT64), name 8, raw_data 9.
    let tensor = [number(1, extents.len() as u64), number(2, 7), text(8, "shape"), bytes(9, &shape)].concat();
    // NodeProto: input 1, output 2, name 3, op_type 4.
    let node = [text(1, "shape"), text(2, "probs"), text(3, "huge"), text(4, "ConstantOfShape")].concat();
    model(&[bytes(1, &node), bytes(5, &tensor), bytes(11, &value("input", &[1, 64, 64, 3]))], &[1, 3])
}

/// `probs = mean of input [1, 224, 224, 3] over height and width, times weights [3, 2]`: a model that looks at its picture
/// and answers with two values, as the README's does.
pub fn two_classes() -> Vec<u8> {
    let weights: Vec<u8> =
        [3.0_f32, -3.0, 0.5, 0.25, -2.0, 2.0].iter().flat_map(|weight| weight.to_le_bytes()).collect();
    // TensorProto: dims 1, data_type 2 (1 is FLOAT), name 8, raw_data 9.
    let weights = [number(1, 3), number(1, 2), number(2, 1), text(8, "weights"), bytes(9, &weights)].concat();
    let mean = mean("input", "mean", &[1, 2]);
    let product =
        [text(1, "mean"), text(1, "weights"), text(2, "probs"), text(3, "product"), text(4, "MatMul")].concat();
    let input = value("input", &[1, 224, 224, 3]);
    model(&[bytes(1, &mean), bytes(1, &product), bytes(5, &weights), bytes(11, &input)], &[1, 2])
}

/// `probs = mean of input [1, 64, 64, 3] over height and width`: a picture's colour, [1, 3].
pub fn colour() -> Vec<u8> {
    let input = value("input", &[1, 64, 64, 3]);
    model(&[bytes(1, &mean("input", "probs", &[1, 2])), bytes(11, &input)], &[1, 3])
}

/// `probs = mean of the absolute of input [1, 8, samples / 8]`: how loud a sound is, [1, 8], by eighths of the window.
pub fn loudness(samples: u64) -> Vec<u8> {
    let absolute = [text(1, "input"), text(2, "absolute"), text(3, "absolute"), text(4, "Abs")].concat();
    let input = value("input", &[1, 8, samples / 8]);
    model(&[bytes(1, &absolute), bytes(1, &mean("absolute", "probs", &[2])), bytes(11, &input)], &[1, 8])
}

/// `probs = mean of the absolute of input [1, rows, 3] over the rows`: how strong each axis of a motion is, [1, 3].
pub fn strength(rows: u64) -> Vec<u8> {
    let absolute = [text(1, "input"), text(2, "absolute"), text(3, "absolute"), text(4, "Abs")].concat();
    let input = value("input", &[1, rows, 3]);
    model(&[bytes(1, &absolute), bytes(1, &mean("absolute", "probs", &[1])), bytes(11, &input)], &[1, 3])
}

/// `output = mean of input over these axes`, which are gone afterwards.
fn mean(input: &str, output: &str, axes: &[u64]) -> Vec<u8> {
    // AttributeProto: name 1, i 3, ints 8, type 20 (2 is INT, 7 is INTS).
    let extents: Vec<u8> = axes.iter().flat_map(|&axis| number(8, axis)).collect();
    let axes = [text(1, "axes"), extents, number(20, 7)].concat();
    let keepdims = [text(1, "keepdims"), number(3, 0), number(20, 2)].concat();
    // NodeProto: input 1, output 2, name 3, op_type 4, attribute 5.
    let node = [text(1, input), text(2, output), text(3, output), text(4, "ReduceMean")].concat();
    [node, bytes(5, &axes), bytes(5, &keepdims)].concat()
}

/// A model of these nodes (1), initializers (5) and inputs (11), whose output is `probs`.
fn model(parts: &[Vec<u8>], output: &[u64]) -> Vec<u8> {
    // GraphProto: node 1, name 2, initializer 5, input 11, output 12.
    let graph = [parts.concat(), text(2, "graph"), bytes(12, &value("probs", output))].concat();
    // ModelProto: ir_version 1, graph 7, opset_import 8 (version 2).
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}

/// ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1 (1 is FLOAT), shape 2 { dim 1 { dim_value 1 } } } }.
fn value(name: &str, extents: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = extents.iter().flat_map(|extent| bytes(1, &number(1, *extent))).collect();
    let tensor = [number(1, 1), bytes(2, &dims)].concat();
    [text(1, name), bytes(2, &bytes(1, &tensor))].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn text(field: u64, value: &str) -> Vec<u8> {
    bytes(field, value.as_bytes())
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
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
