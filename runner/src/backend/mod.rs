//! What computes. Three levels, chosen by name in one place:
//!
//! 1. [`BackendName`]: what a backend is called; reads what it needs of the machine before the process is sealed.
//! 2. loading: an artifact and the manifest's wishes in, a [`Session`] or a [`LoadError`] out.
//! 3. [`Session`]: one input tensor to fill, `run`, output tensors to read.
//!
//! There is one backend now, `tract`. A second one adds a variant to [`BackendName`] and turns [`Session`] into an enum
//! over both; nothing outside this folder names a backend's own types.

mod folding;
mod graph;
mod tract;

use inferd_core::Shape;
use inferd_core::frame::Dtype;
use inferd_core::wire::{Decoding, ModelSpec};

pub(crate) use tract::Session;

/// The backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendName {
    /// Pure Rust, built in.
    Tract,
}

impl BackendName {
    /// The name in messages and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tract => "tract",
        }
    }

    /// Reads what the backend wants to know of the machine: afterwards nothing in `/proc` or `/sys` can be opened.
    pub fn prepare(self) {
        match self {
            Self::Tract => tract::prepare(),
        }
    }

    pub(crate) fn load(self, model: &ModelSpec, artifact: &[u8], threads: u32) -> Result<Session, LoadError> {
        let wanted = Wanted::of(model);
        match self {
            Self::Tract => Session::load(artifact, &wanted, threads),
        }
    }
}

/// What the manifest says of the model's tensors.
pub(crate) struct Wanted<'a> {
    /// The input's name; the only input where absent.
    input: Option<&'a str>,
    shape: Shape,
    dtype: Dtype,
    /// The outputs' names in the order in which they are read; the only output where absent.
    outputs: Vec<Option<&'a str>>,
}

impl<'a> Wanted<'a> {
    fn of(model: &'a ModelSpec) -> Self {
        let mut outputs = vec![model.output.as_deref()];
        if let Decoding::Detection(boxes) = &model.decoding {
            outputs.push(Some(&boxes.scores_tensor));
        }
        Self { input: model.input.tensor.as_deref(), shape: model.input.shape, dtype: model.input.dtype, outputs }
    }
}

/// The input tensor's elements, row-major, to be overwritten.
pub(crate) enum InputMut<'a> {
    F32(&'a mut [f32]),
    U8(&'a mut [u8]),
    I8(&'a mut [i8]),
}

impl InputMut<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
        }
    }

    pub(crate) fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U8(_) => Dtype::U8,
            Self::I8(_) => Dtype::I8,
        }
    }
}

/// A model that cannot be served. Every variant is a sentence for the person who brought the model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The artifact is no ONNX file.
    #[error("the artifact is not an ONNX model: {0}")]
    NotOnnx(String),
    /// Weights lie in files beside the model.
    #[error(
        "the model keeps tensor `{0}` in a file of its own: save it as one file (onnx.save with save_as_external_data \
         off)"
    )]
    ExternalData(String),
    /// Operators that the backend does not have.
    #[error("the model needs operators that tract does not support: {}: export it without them", .0.join(", "))]
    Unsupported(Vec<String>),
    /// Known to load, run and answer garbage.
    #[error(
        "the model quantises the result of Softmax `{softmax}` (QuantizeLinear `{quantize}`), which tract computes \
         wrongly: cut the model before that QuantizeLinear, so that its output is float"
    )]
    QuantizedSoftmax {
        /// The Softmax node.
        softmax: String,
        /// The node that quantises its result.
        quantize: String,
    },
    /// The manifest names a tensor that is not there.
    #[error("the manifest's {key} is `{name}`, but the model's {role}s are {}", .have.join(", "))]
    NoSuchTensor {
        /// The manifest's key.
        key: &'static str,
        /// Input or output.
        role: &'static str,
        /// What the manifest says.
        name: String,
        /// What the model has, with shapes.
        have: Vec<String>,
    },
    /// More than one input has to be fed.
    #[error(
        "the model has several inputs ({}), but inferd feeds one: fold the others into the model as constants",
        .0.join(", ")
    )]
    SeveralInputs(Vec<String>),
    /// The manifest does not say which output is meant.
    #[error("the model has several outputs ({}): name the one that is meant in `output.tensor`", .0.join(", "))]
    SeveralOutputs(Vec<String>),
    /// Another shape than the manifest's.
    #[error("the model's input is `{model}`, but the manifest says shape {manifest}: change `input.shape`")]
    Shape {
        /// The model's input with its shape.
        model: String,
        /// The manifest's shape.
        manifest: Shape,
    },
    /// Another element type than the manifest's.
    #[error("the model's input `{name}` is of type {model}, but the manifest says {manifest}: change `input.dtype`")]
    Dtype {
        /// The input.
        name: String,
        /// The model's type.
        model: String,
        /// The manifest's type.
        manifest: String,
    },
    /// The output does not fit the task.
    #[error("{0}")]
    Output(String),
    /// The backend refuses the model.
    #[error("tract cannot load the model: {0}")]
    Backend(String),
    /// The backend broke down.
    #[error("tract broke down over the model: {0}")]
    Panicked(String),
    /// It loads, but does not run.
    #[error("the model loads but does not run: {0}")]
    Run(String),
}
