//! Small graphs built here: what is refused and what is not.

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::type_proto::Tensor;
use tract_onnx::pb::{AttributeProto, TensorShapeProto, TypeProto, tensor_shape_proto};

use super::*;

fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto { op_type: op.into(), input: names(input), output: names(output), ..NodeProto::default() }
}

fn with_graphs(mut node: NodeProto, graphs: &[GraphProto]) -> NodeProto {
    node.attribute =
        graphs.iter().map(|g| AttributeProto { g: Some(g.clone()), ..AttributeProto::default() }).collect();
    node
}

fn weight(name: &str, external: bool) -> TensorProto {
    let location = if external { DataLocation::External } else { DataLocation::Default };
    TensorProto { name: name.into(), data_location: Some(location as i32), ..TensorProto::default() }
}

fn value(name: &str, extents: &[i64], elem_type: i32) -> ValueInfoProto {
    let extent = |extent: &i64| tensor_shape_proto::Dimension {
        value: Some(Extent::DimValue(*extent)),
        ..tensor_shape_proto::Dimension::default()
    };
    let shape = Some(TensorShapeProto { dim: extents.iter().map(extent).collect() });
    let r#type = Some(TypeProto { value: Some(Type::TensorType(Tensor { elem_type, shape })), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

/// From `x [1, 4] u8` to `y`, with scalar constants `s` and `z`.
fn graph(node: Vec<NodeProto>) -> GraphProto {
    GraphProto {
        node,
        initializer: vec![weight("s", false), weight("z", false)],
        input: vec![value("x", &[1, 4], 2), value("s", &[], 1), value("z", &[], 2)],
        output: vec![value("y", &[1, 4], 2)],
        ..GraphProto::default()
    }
}

fn wanted<'a>(outputs: &[Option<&'a str>]) -> Wanted<'a> {
    Wanted { input: None, shape: Shape::new(&[1, 4]).unwrap(), dtype: Dtype::U8, outputs: outputs.to_vec() }
}

fn inspected(graph: GraphProto) -> Result<Vec<usize>, LoadError> {
    inspected_for(graph, &wanted(&[None]))
}

fn inspected_for(graph: GraphProto, wanted: &Wanted<'_>) -> Result<Vec<usize>, LoadError> {
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    inspect(&model, &tract_onnx::onnx(), wanted)
}

fn is_garbage(graph: GraphProto) -> bool {
    match inspected(graph) {
        Ok(_) => false,
        Err(LoadError::QuantizedSoftmax { .. }) => true,
        Err(other) => panic!("{other}"),
    }
}

fn dequantize(from: &str, to: &str) -> NodeProto {
    node("DequantizeLinear", &[from, "s", "z"], &[to])
}

fn quantize(from: &str, to: &str) -> NodeProto {
    node("QuantizeLinear", &[from, "s", "z"], &[to])
}

fn one(op: &str, from: &str, to: &str) -> NodeProto {
    node(op, &[from], &[to])
}

#[test]
fn a_softmax_that_would_become_a_table_is_refused() {
    let cases = [
        ("plain", vec![dequantize("x", "a"), one("Softmax", "a", "b"), quantize("b", "y")]),
        ("logarithm", vec![dequantize("x", "a"), one("LogSoftmax", "a", "b"), quantize("b", "y")]),
        (
            "something before and behind that maps element to element",
            vec![
                dequantize("x", "a"),
                one("Reshape", "a", "b"),
                node("Mul", &["b", "s"], &["c"]),
                one("Softmax", "c", "d"),
                one("Sqrt", "d", "e"),
                quantize("e", "y"),
            ],
        ),
        (
            "a second reader that leads nowhere",
            vec![dequantize("x", "a"), one("Softmax", "a", "b"), one("Neg", "b", "unused"), quantize("b", "y")],
        ),
    ];
    for (name, nodes) in cases {
        assert!(is_garbage(graph(nodes)), "{name}");
    }
}

#[test]
fn a_softmax_that_stays_a_softmax_is_taken() {
    let cases = [
        ("no DequantizeLinear before", vec![one("Softmax", "x", "b"), quantize("b", "y")]),
        ("no QuantizeLinear behind", vec![dequantize("x", "a"), one("Softmax", "a", "y")]),
        ("no Softmax", vec![dequantize("x", "a"), one("Sigmoid", "a", "b"), quantize("b", "y")]),
        (
            "a product of matrices between",
            vec![
                dequantize("x", "a"),
                node("MatMul", &["a", "s"], &["b"]),
                one("Softmax", "b", "c"),
                quantize("c", "y"),
            ],
        ),
        (
            "two inputs meet",
            vec![
                dequantize("x", "a"),
                one("Neg", "x", "b"),
                node("Add", &["a", "b"], &["c"]),
                one("Softmax", "c", "d"),
                quantize("d", "y"),
            ],
        ),
        (
            "a second reader of the result",
            vec![
                dequantize("x", "a"),
                one("Softmax", "a", "b"),
                quantize("b", "c"),
                dequantize("c", "d"),
                node("Add", &["b", "d"], &["y"]),
            ],
        ),
        (
            "weights that are stored as bytes",
            vec![dequantize("z", "w"), one("Softmax", "w", "v"), quantize("v", "u"), node("Add", &["x", "u"], &["y"])],
        ),
    ];
    for (name, nodes) in cases {
        assert!(!is_garbage(graph(nodes)), "{name}");
    }
}

#[test]
fn branches_are_looked_into() {
    let branch = GraphProto {
        node: vec![node("Softmax", &["a"], &["b"])],
        output: vec![value("b", &[1, 4], 1)],
        ..GraphProto::default()
    };
    let choice = |branch: &GraphProto| with_graphs(node("If", &["s"], &["c"]), &[branch.clone(), branch.clone()]);
    assert!(is_garbage(graph(vec![dequantize("x", "a"), choice(&branch), quantize("c", "y")])));
    let external = GraphProto { initializer: vec![weight("elsewhere", true)], ..branch.clone() };
    let found = inspected(graph(vec![dequantize("x", "a"), choice(&external), quantize("c", "y")]));
    assert!(matches!(&found, Err(LoadError::ExternalData(name)) if name == "elsewhere"), "{found:?}");
    let unknown = GraphProto { node: vec![node("Teleport", &["a"], &["b"])], ..branch };
    let found = inspected(graph(vec![dequantize("x", "a"), choice(&unknown), quantize("c", "y")]));
    assert!(matches!(&found, Err(LoadError::Unsupported(ops)) if ops[..] == ["Teleport"]), "{found:?}");
    let unknown_condition = with_graphs(node("If", &["x"], &["y"]), &[]);
    assert!(matches!(inspected(graph(vec![unknown_condition])), Err(LoadError::Unsupported(_))));
}

#[test]
fn external_data_is_refused_wherever_it_stands() {
    let plain = || vec![node("Identity", &["x"], &["y"])];
    assert_eq!(inspected(graph(plain())).unwrap(), [0]);
    let mut weights = graph(plain());
    weights.initializer.push(weight("w", true));
    let mut constant = graph(plain());
    let attribute = AttributeProto { t: Some(weight("w", true)), ..AttributeProto::default() };
    constant.node.push(NodeProto { attribute: vec![attribute], ..node("Constant", &[], &["c"]) });
    for graph in [weights, constant] {
        assert!(matches!(inspected(graph), Err(LoadError::ExternalData(name)) if name == "w"));
    }
}

#[test]
fn inputs_and_outputs_are_found_or_the_choice_is_named() {
    let plain = || graph(vec![node("Identity", &["x"], &["y"]), node("Neg", &["x"], &["second"])]);
    let mut two_outputs = plain();
    two_outputs.output.push(value("second", &[1, 4], 2));
    let found = inspected(two_outputs.clone()).unwrap_err().to_string();
    assert_eq!(
        found,
        "the model has several outputs (y [1, 4] u8, second [1, 4] u8): name the one that is meant in `output.tensor`"
    );
    assert_eq!(inspected_for(two_outputs.clone(), &wanted(&[Some("second"), Some("y")])).unwrap(), [1, 0]);
    let found = inspected_for(two_outputs, &wanted(&[Some("third")]));
    assert!(matches!(found, Err(LoadError::NoSuchTensor { key: "output.tensor", .. })), "{found:?}");
    let mut none = plain();
    none.output.clear();
    assert!(matches!(inspected(none), Err(LoadError::NoSuchTensor { .. })));
    let mut two_inputs = plain();
    two_inputs.input.push(value("state", &[2], 1));
    assert!(matches!(inspected(two_inputs), Err(LoadError::SeveralInputs(have)) if have.len() == 2));
    let mut other_shape = plain();
    other_shape.input[0] = value("x", &[1, 5], 2);
    assert!(matches!(inspected(other_shape), Err(LoadError::Shape { .. })));
    let mut other_type = plain();
    other_type.input[0] = value("x", &[1, 4], 1);
    assert!(matches!(inspected(other_type), Err(LoadError::Dtype { .. })));
}
