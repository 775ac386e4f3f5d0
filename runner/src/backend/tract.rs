//! tract: ONNX in pure Rust.
//!
//! Invariants:
//! - The input tensor and the run state are made once and reused. The tensor is made anew only where the model kept a
//!   reference to the last one.
//! - Every run is one by itself: what an operator would carry to the next one is dropped.
//! - Outputs are read as floats, whatever their type: bytes count as they are, without scale or zero point.
//! - One thread computes: tract's own threads are a build option that inferd does not take, because a sealed runner
//!   cannot start a thread.

use std::sync::Arc;

use inferd_core::frame::Dtype;
use inferd_core::outcome::{FailedStage, Failure};
use tract_onnx::prelude::{
    Datum, DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, IntoTValue, Tensor, TractResult,
    TypedModel, TypedRunnableModel, TypedSimpleState, tract_linalg, tvec,
};

use super::{InputMut, LoadError, Wanted, graph};
use crate::failure;
use crate::log;

/// Reads the sizes of caches and the CPU's features, and picks the kernels: tract does so at first use and keeps it.
pub(super) fn prepare() {
    let _ = tract_linalg::isa::native();
    let _ = tract_linalg::cache::cache_info();
    let _ = tract_linalg::cache::last_level_cache();
}

/// A loaded model with its tensors.
pub(crate) struct Session {
    plan: Arc<TypedRunnableModel>,
    state: TypedSimpleState,
    input: Arc<Tensor>,
    dtype: Dtype,
    /// Elements of every output, where the model lets them be known before it runs.
    output_elements: Option<Vec<usize>>,
    outputs: Vec<Vec<f32>>,
    /// Whether something in it is carried from run to run.
    remembers: bool,
}

impl Session {
    pub(super) fn load(artifact: &[u8], wanted: &Wanted<'_>, threads: u32) -> Result<Self, LoadError> {
        if threads > 1 {
            log::line(format_args!("{threads} threads were asked for; tract computes in one"));
        }
        let onnx = tract_onnx::onnx();
        let mut bytes = artifact;
        let proto = onnx.proto_model_for_read(&mut bytes).map_err(|error| LoadError::NotOnnx(words(&error)))?;
        let outputs = graph::inspect(&proto, &onnx, wanted)?;
        let inferred = onnx.model_for_proto_model(&proto).map_err(|error| LoadError::Backend(words(&error)))?;
        drop(proto);
        let typed = optimise(inferred, &outputs, wanted).map_err(|error| LoadError::Backend(words(&error)))?;
        Self::new(typed, wanted).map_err(|error| LoadError::Backend(words(&error)))
    }

    fn new(model: TypedModel, wanted: &Wanted<'_>) -> TractResult<Self> {
        let output_elements = known_elements(&model)?;
        let outputs = vec![Vec::new(); wanted.outputs.len()];
        let plan = model.into_runnable()?;
        let state = plan.spawn()?;
        let remembers = state.op_states.iter().any(Option::is_some);
        let input = Arc::new(Tensor::zero_dt(datum_type(wanted.dtype), &extents(wanted))?);
        Ok(Self { plan, state, input, dtype: wanted.dtype, output_elements, outputs, remembers })
    }

    /// How many elements the input has.
    pub(crate) fn input_elements(&self) -> usize {
        self.input.len()
    }

    /// How many elements every output has, if that is known before the model runs.
    pub(crate) fn output_elements(&self) -> Option<Vec<usize>> {
        self.output_elements.clone()
    }

    /// The input tensor, to be filled.
    pub(crate) fn input_mut(&mut self) -> InputMut<'_> {
        if Arc::get_mut(&mut self.input).is_none() {
            self.input = Arc::new(Tensor::clone(&self.input));
        }
        let tensor = Arc::get_mut(&mut self.input).expect("a tensor that was just made has no other owner");
        match self.dtype {
            Dtype::F32 => InputMut::F32(elements(tensor)),
            Dtype::U8 => InputMut::U8(elements(tensor)),
            Dtype::I8 => InputMut::I8(elements(tensor)),
        }
    }

    /// Sets the input to zero.
    pub(crate) fn clear_input(&mut self) {
        match self.input_mut() {
            InputMut::F32(values) => values.fill(0.0),
            InputMut::U8(values) => values.fill(0),
            InputMut::I8(values) => values.fill(0),
        }
    }

    /// The input as it stands, as floats.
    pub(crate) fn read_input(&self, values: &mut Vec<f32>) -> Result<(), Failure> {
        read_floats(&self.input, values).map_err(|error| broken(&error))
    }

    /// Runs the model on the input; the outputs can be read afterwards.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        if self.remembers {
            self.forget()?;
        }
        let input = Arc::clone(&self.input).into_tvalue();
        let result = self.state.run(tvec!(input));
        let outputs = match result {
            Ok(outputs) => outputs,
            Err(error) => {
                self.reset()?;
                return Err(broken(&error));
            }
        };
        for (tensor, values) in outputs.iter().zip(&mut self.outputs) {
            read_floats(tensor, values).map_err(|error| broken(&error))?;
        }
        Ok(())
    }

    /// Begins anew: in ONNX a GRU, an LSTM, a Scan starts every run from its initial state, in tract where the last one ended.
    /// All else of the run state stays as it is, and warm.
    fn forget(&mut self) -> Result<(), Failure> {
        let mut fresh = self.plan.spawn().map_err(|error| broken(&error))?;
        std::mem::swap(&mut self.state.op_states, &mut fresh.op_states);
        Ok(())
    }

    /// How many outputs are read.
    pub(crate) const fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// The values of an output of the last run, in the order in which the manifest names them.
    pub(crate) fn output(&self, index: usize) -> &[f32] {
        self.outputs.get(index).map_or(&[], Vec::as_slice)
    }

    /// Forgets the run state. After an error it may hold half a run.
    pub(crate) fn reset(&mut self) -> Result<(), Failure> {
        self.state = self.plan.spawn().map_err(|error| broken(&error))?;
        Ok(())
    }
}

fn optimise(
    mut model: tract_onnx::prelude::InferenceModel,
    outputs: &[usize],
    wanted: &Wanted<'_>,
) -> TractResult<TypedModel> {
    let outlets: Vec<_> = outputs.iter().map(|&place| model.outputs[place]).collect();
    model.select_output_outlets(&outlets)?;
    let fact = InferenceFact::dt_shape(datum_type(wanted.dtype), extents(wanted));
    // It is the only one: the graph was looked at.
    model.set_input_fact(0, fact)?;
    model.into_typed()?.into_decluttered()?.into_optimized()
}

fn known_elements(model: &TypedModel) -> TractResult<Option<Vec<usize>>> {
    let mut elements = Vec::with_capacity(model.outputs.len());
    for outlet in &model.outputs {
        let Some(shape) = model.outlet_fact(*outlet)?.shape.as_concrete() else { return Ok(None) };
        elements.push(shape.iter().product());
    }
    Ok(Some(elements))
}

fn extents(wanted: &Wanted<'_>) -> Vec<usize> {
    wanted.shape.extents().iter().map(|&extent| extent as usize).collect()
}

const fn datum_type(dtype: Dtype) -> DatumType {
    match dtype {
        Dtype::F32 => DatumType::F32,
        Dtype::U8 => DatumType::U8,
        Dtype::I8 => DatumType::I8,
    }
}

/// Copies a tensor's elements out as floats.
fn read_floats(tensor: &Tensor, values: &mut Vec<f32>) -> TractResult<()> {
    values.clear();
    let floats = tensor.cast_to::<f32>()?;
    values.extend_from_slice(floats.try_as_plain_ram()?.as_slice::<f32>()?);
    Ok(())
}

/// The elements of an input tensor, row-major.
fn elements<T: Datum>(tensor: &mut Tensor) -> &mut [T] {
    let view = tensor.to_plain_array_view_mut::<T>().expect("the input tensor was made in memory, with this type");
    view.into_slice().expect("a tensor that was made whole lies in one piece")
}

fn broken(error: &tract_onnx::prelude::TractError) -> Failure {
    failure::at(FailedStage::Inference, words(error))
}

/// An error with its causes.
fn words(error: &tract_onnx::prelude::TractError) -> String {
    failure::shortened(format!("{error:#}"))
}
