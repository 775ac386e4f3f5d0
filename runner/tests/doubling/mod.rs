//! The smallest model: it doubles four numbers.

/// Its manifest.
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
    let field = |tag: u8, body: &[u8]| [&[tag, u8::try_from(body.len()).unwrap()], body].concat();
    let node = field(0x0a, &[field(0x0a, b"x"), field(0x0a, b"x"), field(0x12, b"y"), field(0x22, b"Add")].concat());
    let dims: Vec<u8> = [1_u8, 4].iter().flat_map(|&extent| field(0x0a, &[0x08, extent])).collect();
    let tensor = field(0x0a, &[vec![0x08, 1], field(0x12, &dims)].concat());
    let value = |name: &[u8]| [field(0x0a, name), field(0x12, &tensor)].concat();
    let graph = [node, field(0x12, b"g"), field(0x5a, &value(b"x")), field(0x62, &value(b"y"))].concat();
    [vec![0x08, 8], field(0x3a, &graph), field(0x42, &[0x10, 13])].concat()
}
