//! A loaded model with everything around it: one window's bytes in, one prediction out.
//!
//! Invariants:
//! - Every buffer lives as long as the engine: a window allocates what its prediction holds and no more, except where
//!   an image library insists.
//! - A panic in a decoder or in the backend is a failure of that window. The backend's state is made anew after it.
//! - The stage times add up to the time in [`Engine::run`], but for a few clock reads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use inferd_core::frame::Format;
use inferd_core::manifest::Manifest;
use inferd_core::outcome::{FailedStage, Failure};
use inferd_core::prediction::{Prediction, StageTimes};

use crate::backend::{BackendName, LoadError, Session};
use crate::failure;
use crate::postprocess::Postprocessor;
use crate::preprocess::{Placement, Preprocessor, npy};

/// A model ready to run.
pub struct Engine {
    preprocessor: Preprocessor,
    session: Session,
    postprocessor: Postprocessor,
    stage: FailedStage,
}

impl Engine {
    /// Loads `artifact` as `manifest` describes it. `threads` is what the backend may use; tract computes in one.
    ///
    /// # Errors
    /// [`LoadError`], a sentence that says what does not fit and what to do.
    pub fn load(manifest: &Manifest, artifact: &[u8], threads: u32) -> Result<Self, LoadError> {
        let load = || {
            let session = BackendName::Tract.load(manifest, artifact, threads)?;
            let postprocessor = Postprocessor::new(&manifest.output);
            if let Some(found) = session.output_elements() {
                postprocessor.check(session.input_elements(), &found).map_err(LoadError::Output)?;
            }
            let preprocessor = Preprocessor::new(&manifest.input);
            Ok(Self { preprocessor, session, postprocessor, stage: FailedStage::Inference })
        };
        catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|panic| Err(LoadError::Panicked(said(&*panic))))
    }

    /// Runs the model `runs` times on zeros, so that the first window is as fast as the rest. Gives the time of the last
    /// run in nanoseconds.
    ///
    /// # Errors
    /// [`LoadError::Run`] where the model loads but does not run.
    pub fn warm_up(&mut self, runs: u32) -> Result<u64, LoadError> {
        let mut last_ns = 0;
        for _ in 0..runs {
            let started = Instant::now();
            self.guarded(|engine| {
                engine.session.clear_input();
                engine.stage = FailedStage::Inference;
                engine.session.run()
            })
            .map_err(|failure| LoadError::Run(failure.reason))?;
            last_ns = nanos(started);
        }
        Ok(last_ns)
    }

    /// Runs one window.
    ///
    /// # Errors
    /// The stage that failed and why; the engine can be used on.
    pub fn run(&mut self, bytes: &[u8], format: Format) -> Result<(Prediction, StageTimes), Failure> {
        self.guarded(|engine| {
            let (placement, mut times) = engine.infer(bytes, format)?;
            let started = Instant::now();
            engine.stage = FailedStage::Postprocess;
            let prediction = engine.postprocessor.predict(&mut engine.session, placement)?;
            times.postprocess_ns = nanos(started);
            Ok((prediction, times))
        })
    }

    /// Runs one window and gives the output tensor (the manifest's, or the first) as it came, row-major, as floats.
    ///
    /// # Errors
    /// As for [`Engine::run`].
    pub fn run_tensor(&mut self, bytes: &[u8], format: Format) -> Result<&[f32], Failure> {
        self.guarded(|engine| engine.infer(bytes, format).map(drop))?;
        Ok(self.session.output(0))
    }

    /// The largest absolute difference between this machine's output for `input` and `expected`, a `.npy` file.
    ///
    /// # Errors
    /// As for [`Engine::run`]; also where `expected` cannot be read or has another number of elements.
    pub fn compare_golden(&mut self, input: &[u8], format: Format, expected: &[u8]) -> Result<f32, Failure> {
        let expected =
            npy::read(expected).map_err(|error| failure::undecodable(format_args!("golden output: {error}")))?;
        let expected = expected.to_f32();
        let found = self.run_tensor(input, format)?;
        if found.len() != expected.len() {
            return Err(failure::meaningless(format_args!(
                "the model's output has {} values, the golden output {}",
                found.len(),
                expected.len()
            )));
        }
        if !found.iter().all(|value| value.is_finite()) {
            return Err(failure::meaningless("the model's output holds NaN or infinity"));
        }
        Ok(found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max))
    }

    fn infer(&mut self, bytes: &[u8], format: Format) -> Result<(Placement, StageTimes), Failure> {
        let mut times = StageTimes::default();
        let started = Instant::now();
        self.stage = FailedStage::Decode;
        let window = self.preprocessor.decode(bytes, format)?;
        times.decode_ns = nanos(started);
        let started = Instant::now();
        self.stage = FailedStage::Preprocess;
        let placement = window.fill(self.session.input_mut())?;
        times.preprocess_ns = nanos(started);
        let started = Instant::now();
        self.stage = FailedStage::Inference;
        self.session.run()?;
        times.inference_ns = nanos(started);
        Ok((placement, times))
    }

    /// Runs `work`; a panic in it becomes a failure at the stage it had reached.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        // Unwind safety: every buffer is overwritten by the next window, and the backend's state is made anew.
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            self.session.reset()?;
            Err(failure::at(self.stage, format_args!("it broke down: {}", said(&*panic))))
        })
    }
}

/// Nanoseconds since `started`.
pub(crate) fn nanos(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    failure::shortened(text.unwrap_or("no reason given").to_owned())
}
