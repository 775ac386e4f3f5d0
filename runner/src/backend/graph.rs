//! Looks at an ONNX graph before the backend does: which tensors go in and out, and what in it cannot be served. A
//! finding here is a sentence that names the node; the backend's own words would be a stack of internal names.

use std::collections::{BTreeSet, HashSet};

use tract_onnx::Onnx;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Extent;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto};

use inferd_core::Shape;
use inferd_core::frame::Dtype;

use super::{LoadError, Wanted, folding};

/// Checks the graph against the manifest. Gives the wanted outputs' positions among the graph's outputs; the input is the
/// only one.
pub(super) fn inspect(model: &ModelProto, onnx: &Onnx, wanted: &Wanted<'_>) -> Result<Vec<usize>, LoadError> {
    let graph = model.graph.as_ref().ok_or_else(|| LoadError::NotOnnx("it holds no graph".to_owned()))?;
    refuse_external_data(graph)?;
    refuse_unsupported(graph, onnx)?;
    check_only_input(graph, wanted)?;
    let outputs = wanted
        .outputs
        .iter()
        .enumerate()
        .map(|(index, name)| find_output(graph, index, *name))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = outputs.iter().map(|&place| graph.output[place].name.as_str()).collect();
    folding::refuse_quantized_softmax(graph, &names)?;
    Ok(outputs)
}

/// The graphs inside a node: branches and bodies.
pub(super) fn inner_graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

fn refuse_external_data(graph: &GraphProto) -> Result<(), LoadError> {
    let outside = |tensor: &&TensorProto| tensor.data_location == Some(tensor_proto::DataLocation::External as i32);
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        let constants = attributes.flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
        if let Some(tensor) = graph.initializer.iter().chain(constants).find(outside) {
            return Err(LoadError::ExternalData(tensor.name.clone()));
        }
        open.extend(graph.node.iter().flat_map(inner_graphs));
    }
    Ok(())
}

/// Unknown operators, and `If` whose condition is only known at run time: tract can drop a branch, not choose one.
fn refuse_unsupported(graph: &GraphProto, onnx: &Onnx) -> Result<(), LoadError> {
    let mut missing = BTreeSet::new();
    collect_unsupported(graph, onnx, &mut missing);
    if missing.is_empty() { Ok(()) } else { Err(LoadError::Unsupported(missing.into_iter().collect())) }
}

fn collect_unsupported(graph: &GraphProto, onnx: &Onnx, missing: &mut BTreeSet<String>) {
    let constants: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .chain(
            graph
                .node
                .iter()
                .filter(|node| node.op_type == "Constant")
                .flat_map(|node| node.output.iter().map(String::as_str)),
        )
        .collect();
    for node in &graph.node {
        let chooses = node.op_type == "If" && node.input.first().is_none_or(|name| !constants.contains(name.as_str()));
        if chooses || !onnx.op_register.0.contains_key(&node.op_type) {
            missing.insert(node.op_type.clone());
        }
        for branch in inner_graphs(node) {
            collect_unsupported(branch, onnx, missing);
        }
    }
}

fn check_only_input(graph: &GraphProto, wanted: &Wanted<'_>) -> Result<(), LoadError> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !weights.contains(input.name.as_str())).collect();
    let described = || inputs.iter().map(|input| describe(input)).collect::<Vec<_>>();
    if let Some(name) = wanted.input
        && !inputs.iter().any(|input| input.name == name)
    {
        let name = name.to_owned();
        return Err(LoadError::NoSuchTensor { key: "input.tensor", role: "input", name, have: described() });
    }
    let [input] = inputs[..] else { return Err(LoadError::SeveralInputs(described())) };
    check_input(input, wanted)
}

fn check_input(input: &ValueInfoProto, wanted: &Wanted<'_>) -> Result<(), LoadError> {
    let Some(dtype) = element_type(input) else { return Ok(()) };
    let expected = match wanted.dtype {
        Dtype::F32 => 1,
        Dtype::U8 => 2,
        Dtype::I8 => 3,
    };
    if dtype != expected {
        return Err(LoadError::Dtype {
            name: input.name.clone(),
            model: type_word(dtype),
            manifest: type_word(expected),
        });
    }
    if extents(input).is_some_and(|extents| !fits(&extents, wanted.shape)) {
        return Err(LoadError::Shape { model: describe(input), manifest: wanted.shape });
    }
    Ok(())
}

fn find_output(graph: &GraphProto, index: usize, name: Option<&str>) -> Result<usize, LoadError> {
    let found = match (name, &graph.output[..]) {
        (Some(name), outputs) => outputs.iter().position(|output| output.name == name),
        (None, []) => None,
        (None, [_]) => Some(0),
        (None, several) => return Err(LoadError::SeveralOutputs(several.iter().map(describe).collect())),
    };
    found.ok_or_else(|| LoadError::NoSuchTensor {
        key: if index == 0 { "output.tensor" } else { "output.boxes.scores_tensor" },
        role: "output",
        name: name.unwrap_or_default().to_owned(),
        have: graph.output.iter().map(describe).collect(),
    })
}

/// `name [1, ?, 96] f32`
fn describe(value: &ValueInfoProto) -> String {
    let shape = extents(value).map_or_else(
        || "of any shape".to_owned(),
        |extents| {
            let words: Vec<_> = extents.iter().map(|extent| extent.map_or("?".to_owned(), |n| n.to_string())).collect();
            format!("[{}]", words.join(", "))
        },
    );
    format!("{} {shape} {}", value.name, element_type(value).map_or_else(String::new, type_word))
}

fn element_type(value: &ValueInfoProto) -> Option<i32> {
    let Type::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    Some(tensor.elem_type)
}

/// The extents that the model states, outermost first; `None` for one that it leaves open.
fn extents(value: &ValueInfoProto) -> Option<Vec<Option<i64>>> {
    let Type::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    let dims = &tensor.shape.as_ref()?.dim;
    let stated = |extent: &Extent| match extent {
        Extent::DimValue(extent) if *extent > 0 => Some(*extent),
        Extent::DimValue(_) | Extent::DimParam(_) => None,
    };
    Some(dims.iter().map(|dim| dim.value.as_ref().and_then(stated)).collect())
}

fn fits(extents: &[Option<i64>], shape: Shape) -> bool {
    let fits = |(model, manifest): (&Option<i64>, &u32)| model.is_none_or(|model| model == i64::from(*manifest));
    extents.len() == shape.extents().len() && extents.iter().zip(shape.extents()).all(fits)
}

/// The types of ONNX's `TensorProto.DataType`, by number, in the words of the manifest where it has one.
fn type_word(dtype: i32) -> String {
    match dtype {
        1 => "f32".to_owned(),
        2 => "u8".to_owned(),
        3 => "i8".to_owned(),
        6 => "i32".to_owned(),
        7 => "i64".to_owned(),
        8 => "string".to_owned(),
        9 => "bool".to_owned(),
        10 => "f16".to_owned(),
        11 => "f64".to_owned(),
        other => format!("ONNX type {other}"),
    }
}

#[cfg(test)]
mod tests;
