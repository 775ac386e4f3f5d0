//! The bare loop: tract in this process, one thread, nothing around it. The most that could be had.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tract_onnx::prelude::{
    Datum as _, Framework as _, InferenceFact, InferenceModelExt as _, IntoRunnable as _, IntoTValue as _, Tensor,
    TypedSimpleState, tvec,
};

use crate::models::Model;

/// A loaded model and its frames, ready to be run.
pub(crate) struct Bare {
    state: TypedSimpleState,
    frames: Vec<Arc<Tensor>>,
    next: usize,
}

impl Bare {
    /// Loads a model as the runner does.
    ///
    /// # Errors
    /// Where tract refuses it.
    pub(crate) fn load(model: &Model) -> anyhow::Result<Self> {
        let fact = InferenceFact::dt_shape(f32::datum_type(), model.shape);
        let plan = tract_onnx::onnx()
            .model_for_path(&model.artifact)?
            .with_input_fact(0, fact)?
            .into_typed()?
            .into_decluttered()?
            .into_optimized()?
            .into_runnable()?;
        let frames: tract_onnx::prelude::TractResult<Vec<_>> =
            model.frames().iter().map(|frame| Tensor::from_shape(&model.shape, frame).map(Arc::new)).collect();
        Ok(Self { state: plan.spawn()?, frames: frames?, next: 0 })
    }

    /// Runs for a time; gives windows per second.
    ///
    /// # Errors
    /// Where the model does not run.
    pub(crate) fn run_for(&mut self, time: Duration) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let mut windows = 0_u32;
        while begun.elapsed() < time {
            let frame = Arc::clone(&self.frames[self.next]);
            self.next = (self.next + 1) % self.frames.len();
            std::hint::black_box(self.state.run(tvec!(frame.into_tvalue()))?);
            windows += 1;
        }
        Ok(f64::from(windows) / begun.elapsed().as_secs_f64())
    }
}
