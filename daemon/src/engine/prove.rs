//! Proving a version before it may serve: it loads, warms up and passes its golden samples, beside the one that serves.

use std::os::fd::AsFd;
use std::sync::Arc;

use inferd_core::frame::Format;
use inferd_core::wire::{FromRunner, GoldenResult, GoldenRun, ToRunner};

use super::RunnerSettings;
use super::link::{LinkError, word};
use super::process::{Runner, StartError};
use crate::model::store::{GoldenFiles, LoadedVersion};

/// What a proof is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The runner loads and warms up.
    Starting,
    /// The golden samples are run.
    Golden,
}

/// Starts a runner for a version and runs its golden samples, which nobody needs after that.
///
/// # Errors
/// [`StartError`]; the process has ended then.
pub fn prove(
    settings: &RunnerSettings,
    version: Arc<LoadedVersion>,
    golden: &[GoldenFiles],
    mut progress: impl FnMut(Step),
) -> Result<Runner, StartError> {
    progress(Step::Starting);
    let mut runner = Runner::start(settings, version)?;
    progress(Step::Golden);
    for (index, sample) in golden.iter().enumerate() {
        run_golden(&mut runner, settings, index, sample)?;
    }
    Ok(runner)
}

fn run_golden(
    runner: &mut Runner,
    settings: &RunnerSettings,
    index: usize,
    sample: &GoldenFiles,
) -> Result<(), StartError> {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let failed = |source| StartError::Failed { model: format!("golden sample {}", sample.name), source };
    let expected = || std::iter::once(&sample.expected).chain(&sample.scores);
    let run = ToRunner::Golden(GoldenRun {
        index,
        format: sample.format,
        input_bytes: sample.input.bytes,
        expected_bytes: expected().map(|file| file.bytes).collect(),
    });
    let files: Vec<_> = std::iter::once(&sample.input).chain(expected()).map(|file| file.fd.as_fd()).collect();
    runner.link.send(&run, &files, settings.deadline).map_err(failed)?;
    let answer = runner.link.receive(settings.deadline).map_err(failed)?;
    let FromRunner::Golden { index: answered, result } = answer else {
        return Err(failed(LinkError::Protocol(format!("it answered a golden sample with {}", word(&answer)))));
    };
    if answered != index {
        return Err(failed(LinkError::Protocol(format!("it answered golden sample {answered} for {index}"))));
    }
    judge(sample, &result)
}

fn judge(sample: &GoldenFiles, result: &GoldenResult) -> Result<(), StartError> {
    match result {
        // NaN is larger than any tolerance.
        GoldenResult::Compared { max_difference } if *max_difference <= sample.tolerance => Ok(()),
        GoldenResult::Compared { max_difference } => Err(StartError::Golden(format!(
            "golden sample {} differs by {max_difference}, {} is allowed: the preprocessing in model.toml is not the one that \
             its output was made with, or this machine computes something else{}",
            sample.name,
            sample.tolerance,
            // Two decoders differ by a level or two in a pixel, and both are right (ITU-T T.81, T.83).
            if is_jpeg(&sample.name) {
                "; JPEG decoders differ a little, so such a sample needs a larger tolerance"
            } else {
                ""
            }
        ))),
        GoldenResult::Failed(failure) => Err(StartError::Golden(format!(
            "golden sample {} cannot be run: {} ({})",
            sample.name,
            failure.reason,
            failure.stage.word()
        ))),
    }
}

fn is_jpeg(name: &str) -> bool {
    Format::of_file(name) == Some(Format::Jpeg)
}
