//! Refuses models that tract 0.23.9 computes wrongly without saying so.
//!
//! tract walks from each DequantizeLinear along nodes that have one successor and map element to element, up to a
//! QuantizeLinear, and makes one table of 256 entries of all of it (`DequantizeLinearF32::declutter`). It takes Softmax for
//! such a node, which it is not: the table is wrong, there is no error, and the answers are garbage.
//!
//! The walk here is on the ONNX graph and follows every node that tract might follow: a model is refused if there is doubt.
//! Left out are nodes that lead to no wanted output (tract drops them before) and everything that is computed from
//! constants (tract folds it before).

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::LoadError;
use super::graph::inner_graphs;

/// Operators that mix elements, where tract's walk ends for certain.
const MIXING: [&str; 11] = [
    "Conv",
    "ConvTranspose",
    "MatMul",
    "Gemm",
    "MaxPool",
    "AveragePool",
    "GlobalMaxPool",
    "GlobalAveragePool",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
];

/// An `If` has two inner graphs, of which one is run. They may give their tensors the same names, so they are looked at
/// apart.
const BRANCHES: usize = 2;

/// Looks at everything that the outputs with these names are computed from.
pub(super) fn refuse_quantized_softmax(graph: &GraphProto, outputs: &[&str]) -> Result<(), LoadError> {
    (0..BRANCHES).try_for_each(|branch| refuse_with_branch(graph, outputs, branch))
}

fn refuse_with_branch(graph: &GraphProto, outputs: &[&str], branch: usize) -> Result<(), LoadError> {
    let mut steps = Vec::new();
    flatten(graph, branch, &mut steps);
    let constants = constants(graph, &steps);
    let live = live(&steps, outputs);
    let mut readers: HashMap<&str, Vec<&Step<'_>>> = HashMap::new();
    for step in &live {
        for input in step.inputs.iter().filter(|input| !constants.contains(*input)) {
            readers.entry(input).or_default().push(step);
        }
    }
    for dequantize in live.iter().filter(|step| step.op == "DequantizeLinear") {
        if dequantize.inputs.first().is_some_and(|input| !constants.contains(input)) {
            follow(dequantize, &readers, &constants)?;
        }
    }
    Ok(())
}

/// Follows one DequantizeLinear as far as tract might.
fn follow(
    dequantize: &Step<'_>,
    readers: &HashMap<&str, Vec<&Step<'_>>>,
    constants: &HashSet<&str>,
) -> Result<(), LoadError> {
    let mut softmax = None;
    let mut here = dequantize;
    // A graph has no circles; one that claims to has no more steps than it has readers.
    for _ in 0..=readers.len() {
        let mut next = here.outputs.iter().flat_map(|output| readers.get(output).into_iter().flatten());
        let (Some(step), None) = (next.next(), next.next()) else { return Ok(()) };
        match (step.op, softmax) {
            ("QuantizeLinear", Some(softmax)) => {
                return Err(LoadError::QuantizedSoftmax { softmax, quantize: step.name() });
            }
            ("QuantizeLinear", None) => return Ok(()),
            ("Softmax" | "LogSoftmax", _) => softmax = Some(step.name()),
            (_, before) => softmax = before,
        }
        let moving = step.inputs.iter().filter(|input| !constants.contains(*input)).count();
        if moving != 1 || MIXING.contains(&step.op) {
            return Ok(());
        }
        here = step;
    }
    Ok(())
}

/// A node, without the names that ONNX leaves empty for inputs and outputs that are not there.
struct Step<'a> {
    op: &'a str,
    node: Option<&'a NodeProto>,
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
}

impl Step<'_> {
    fn name(&self) -> String {
        match self.node {
            Some(node) if !node.name.is_empty() => node.name.clone(),
            _ => self.outputs.first().copied().unwrap_or_default().to_owned(),
        }
    }
}

/// All nodes, those of inner graphs too, in an order in which everything is made before it is read. tract takes a branch
/// whose condition is constant out of its `If`, so a chain may begin outside and end inside: what an inner graph gives is
/// passed on to the node's outputs. Of several inner graphs of a node this one is taken, or the last.
fn flatten<'a>(graph: &'a GraphProto, branch: usize, steps: &mut Vec<Step<'a>>) {
    let named = |names: &'a [String]| names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for node in &graph.node {
        let before = steps.len();
        if let Some(inner) = inner_graphs(node).take(branch + 1).last() {
            flatten(inner, branch, steps);
            let ends = inner.output.iter().zip(&node.output);
            steps.extend(ends.map(|(from, to)| Step {
                op: "Identity",
                node: None,
                inputs: vec![from.name.as_str()],
                outputs: vec![to.as_str()],
            }));
        }
        if steps.len() == before {
            let (inputs, outputs) = (named(&node.input), named(&node.output));
            steps.push(Step { op: &node.op_type, node: Some(node), inputs, outputs });
        }
    }
}

/// Weights, and what is computed from nothing else.
fn constants<'a>(graph: &'a GraphProto, steps: &[Step<'a>]) -> HashSet<&'a str> {
    let mut constants = HashSet::new();
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        constants.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
        open.extend(graph.node.iter().flat_map(inner_graphs));
    }
    for step in steps {
        let known = step.inputs.iter().all(|input| constants.contains(input));
        if known && (step.op == "Constant" || !step.inputs.is_empty()) {
            constants.extend(&step.outputs);
        }
    }
    constants
}

/// The steps that lead to one of these tensors.
fn live<'a, 's>(steps: &'s [Step<'a>], outputs: &[&'a str]) -> Vec<&'s Step<'a>> {
    let mut wanted: HashSet<&str> = outputs.iter().copied().collect();
    let mut live = Vec::new();
    for step in steps.iter().rev() {
        if step.outputs.iter().any(|output| wanted.contains(output)) {
            wanted.extend(&step.inputs);
            live.push(step);
        }
    }
    live
}
