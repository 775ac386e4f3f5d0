//! The smallest models, made here.

/// The manifest of [`doubling_model`].
pub(crate) const MANIFEST: &str = r#"
format = 1
name = "double"
version = "1.0.0"
licence = "MIT"
[artifact]
file = "model.onnx"
[input]
kind = "tensor"
shape = [1, 4]
[output]
task = "raw"
"#;

/// `y = x + x` on `[1, 4] f32`, as an ONNX file.
pub(crate) fn doubling_model() -> Vec<u8> {
    onnx(&[("Add", &["x", "x"], "y")], &["y"])
}

/// A model of nodes (operator, inputs, output), from `x [1, 4] f32` to these outputs, `f32` of whatever shape comes out.
pub(crate) fn onnx(nodes: &[(&str, &[&str], &str)], outputs: &[&str]) -> Vec<u8> {
    let node = |&(op, inputs, output): &(&str, &[&str], &str)| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(0x0a, input.as_bytes())).collect();
        field(0x0a, &[inputs, field(0x12, output.as_bytes()), field(0x22, op.as_bytes())].concat())
    };
    let dims: Vec<u8> = [1_u8, 4].iter().flat_map(|&extent| field(0x0a, &[0x08, extent])).collect();
    let float = vec![0x08, 1];
    let value = |name: &str, tensor: &[u8]| [field(0x0a, name.as_bytes()), field(0x12, &field(0x0a, tensor))].concat();
    let input = field(0x5a, &value("x", &[float.clone(), field(0x12, &dims)].concat()));
    let nodes: Vec<u8> = nodes.iter().flat_map(node).collect();
    let outputs: Vec<u8> = outputs.iter().flat_map(|name| field(0x62, &value(name, &float))).collect();
    let graph = [nodes, field(0x12, b"g"), input, outputs].concat();
    [vec![0x08, 8], field(0x3a, &graph), field(0x42, &[0x10, 13])].concat()
}

/// A recurrent model as an ONNX file: the last state `[1, 1, 1]` of an RNN with weights of 1 over the four values of `x [1, 4] f32`,
/// `h = tanh(x + h)`.
#[allow(dead_code, reason = "not every test that has the models needs each")]
pub(crate) fn recurrent_model() -> Vec<u8> {
    let tensor = |name: &str, dims: &[u8], data_type: u8, data: &[u8]| {
        let dims: Vec<u8> = dims.iter().flat_map(|&extent| [0x08, extent]).collect();
        let whole = [dims, vec![0x10, data_type], field(0x42, name.as_bytes()), field(0x4a, data)].concat();
        field(0x2a, &whole)
    };
    let node = |op: &str, inputs: &[&str], outputs: &[&str], attribute: &[u8]| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(0x0a, name.as_bytes())).collect();
        let outputs: Vec<u8> = outputs.iter().flat_map(|name| field(0x12, name.as_bytes())).collect();
        field(0x0a, &[inputs, outputs, field(0x22, op.as_bytes()), attribute.to_vec()].concat())
    };
    let value = |tag: u8, name: &str, extents: &[u8]| {
        let dims: Vec<u8> = extents.iter().flat_map(|&extent| field(0x0a, &[0x08, extent])).collect();
        let tensor = [vec![0x08, 1], field(0x12, &dims)].concat();
        field(tag, &[field(0x0a, name.as_bytes()), field(0x12, &field(0x0a, &tensor))].concat())
    };
    let hidden_size = field(0x2a, &[field(0x0a, b"hidden_size"), vec![0x18, 1, 0xa0, 0x01, 2]].concat());
    let sequence: Vec<u8> = [4_i64, 1, 1].iter().flat_map(|extent| extent.to_le_bytes()).collect();
    let graph = [
        node("Reshape", &["x", "sequence"], &["s"], &[]),
        node("RNN", &["s", "one", "one"], &["", "y"], &hidden_size),
        field(0x12, b"g"),
        tensor("sequence", &[3], 7, &sequence),
        tensor("one", &[1, 1, 1], 1, &1.0_f32.to_le_bytes()),
        value(0x5a, "x", &[1, 4]),
        value(0x62, "y", &[1, 1, 1]),
    ];
    [vec![0x08, 8], field(0x3a, &graph.concat()), field(0x42, &[0x10, 13])].concat()
}

/// A protobuf field of bytes.
fn field(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut head = vec![tag];
    let mut length = body.len();
    while length > 127 {
        head.push(0x80 | u8::try_from(length & 127).unwrap());
        length >>= 7;
    }
    head.push(u8::try_from(length).unwrap());
    [head.as_slice(), body].concat()
}

/// A NumPy file of floats.
pub(crate) fn npy(values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (1, {}), }}\n", values.len());
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &floats(values)].concat()
}

/// Floats as they lie in memory.
pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
