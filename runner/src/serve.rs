//! The program: load, seal, answer until the daemon closes the socket.
//!
//! The order is the point. The first message is the daemon's and names the model; the backend then reads what it needs
//! of the machine; then the process seals itself; and only then is the artifact read and parsed. So the model, which is
//! the least trusted input and meets the largest parser, never meets an unsealed process.
//!
//! Exit status: 0 when the daemon closed the socket or the model was refused, 1 when the daemon's messages made no sense.

use std::os::fd::OwnedFd;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Once;
use std::time::Instant;

use inferd_core::outcome::Failure;
use inferd_core::wire::{
    FromRunner, GoldenResult, GoldenRun, Load, Ready, SandboxReport, ToRunner, WindowRef, WireError,
};

use crate::backend::BackendName;
use crate::engine::{Engine, nanos};
use crate::failure;
use crate::files::{self, MAX_GOLDEN_BYTES};
use crate::frames::{Frames, FramesError};
use crate::link::{Files, Link, LinkError};
use crate::log;
use crate::memory;
use crate::sandbox;

/// Runs the program over standard input.
pub fn run() -> ExitCode {
    std::panic::set_hook(Box::new(log_first));
    match converse(&mut Link::over_stdin()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Logs a panic, once in this process: every one is a failure of its window and is told with it, and a model that breaks down
/// at each window would fill the log.
fn log_first(panic: &PanicHookInfo<'_>) {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| log::line(failure::shortened(panic.to_string())));
}

/// The daemon said something that makes no sense, or cannot be talked to.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Frames(#[from] FramesError),
    #[error("the daemon began with {0} instead of a model")]
    NoLoad(&'static str),
    #[error("the daemon sent a second model")]
    SecondLoad,
}

fn converse(link: &mut Link) -> Result<(), ServeError> {
    let received = match link.receive() {
        Err(LinkError::Wire(error @ WireError::Protocol { .. })) => return refuse(link, error.to_string()),
        received => received?,
    };
    let Some((message, files)) = received else { return Ok(()) };
    let ToRunner::Load(load) = message else { return Err(ServeError::NoLoad(word(&message))) };
    let [artifact] = files.exactly()?;
    match start(&load, artifact) {
        Ok((engine, frames, ready)) => {
            link.send(&FromRunner::Ready(ready))?;
            answer(link, engine, frames)
        }
        Err(reason) => refuse(link, reason),
    }
}

/// Says that the model cannot be served here.
fn refuse(link: &mut Link, reason: String) -> Result<(), ServeError> {
    let reason = failure::shortened(reason);
    log::line(format_args!("refused: {reason}"));
    Ok(link.send(&FromRunner::Refused { reason })?)
}

/// Seals the process and loads the model; on failure the sentence for the person who sent the model.
fn start(load: &Load, artifact: OwnedFd) -> Result<(Engine, Frames, Ready), String> {
    let backend = BackendName::Tract;
    backend.prepare();
    let frames = Frames::reserve();
    let limit = load.limits.memory_bytes;
    let sandbox = sandbox::seal(limit.saturating_add(frames.room_bytes()));
    if !sandbox.satisfies(load.limits.sandbox) {
        return Err(too_little(&sandbox));
    }
    let started = Instant::now();
    let bytes = files::read_whole(artifact, "artifact", load.artifact_bytes, limit).map_err(|error| chain(&error))?;
    let mut engine = Engine::load(&load.model, &bytes, load.limits.threads).map_err(|error| chain(&error))?;
    let load_ns = nanos(started);
    drop(bytes);
    memory::keep_what_serving_frees();
    let warm_ns = engine.warm_up(load.warm_up_runs).map_err(|error| chain(&error))?;
    Ok((engine, frames, Ready { backend: backend.word().to_owned(), sandbox, load_ns, warm_ns }))
}

fn too_little(sandbox: &SandboxReport) -> String {
    format!(
        "this kernel confines a runner less than `runner.sandbox` asks for ({sandbox:?}): use a kernel with Landlock and \
         seccomp, or set it to \"filtered\" or \"best-effort\""
    )
}

/// Answers every message until the daemon closes the socket.
fn answer(link: &mut Link, mut engine: Engine, mut frames: Frames) -> Result<(), ServeError> {
    while let Some((message, files)) = link.receive()? {
        let reply = match message {
            ToRunner::Load(_) => return Err(ServeError::SecondLoad),
            ToRunner::Pool { pool, bytes } => {
                let [file] = files.exactly()?;
                frames.announce(pool, file, bytes)?;
                continue;
            }
            ToRunner::Golden(run) => golden(&mut engine, &run, files)?,
            ToRunner::Infer(place) => {
                let [] = files.exactly()?;
                infer(&mut engine, &frames, &place)
            }
        };
        link.send(&reply)?;
    }
    Ok(())
}

fn infer(engine: &mut Engine, frames: &Frames, place: &WindowRef) -> FromRunner {
    let seq = place.seq;
    match frames.window(place).and_then(|bytes| engine.run(bytes, place.format)) {
        Ok((prediction, times)) => FromRunner::Done { seq, prediction, times },
        Err(failure) => FromRunner::Failed { seq, failure },
    }
}

fn golden(engine: &mut Engine, run: &GoldenRun, files: Files) -> Result<FromRunner, ServeError> {
    let (input, expected) = files.first_and(run.expected_bytes.len())?;
    let read = |file: OwnedFd, what, bytes| {
        files::read_whole(file, what, bytes, MAX_GOLDEN_BYTES).map_err(|error| failure::undecodable(chain(&error)))
    };
    let compare = || -> Result<f32, Failure> {
        let input = read(input, "golden input", run.input_bytes)?;
        let expected = expected.into_iter().zip(&run.expected_bytes);
        let expected =
            expected.map(|(file, &bytes)| read(file, "golden output", bytes)).collect::<Result<Vec<_>, _>>()?;
        let expected: Vec<&[u8]> = expected.iter().map(Vec::as_slice).collect();
        engine.compare_golden(&input, run.format, &expected)
    };
    let result = match compare() {
        Ok(max_difference) => GoldenResult::Compared { max_difference },
        Err(failure) => GoldenResult::Failed(failure),
    };
    Ok(FromRunner::Golden { index: run.index, result })
}

/// What a message is, for the log.
fn word(message: &ToRunner) -> &'static str {
    match message {
        ToRunner::Load(_) => "a model",
        ToRunner::Pool { .. } => "a memory file",
        ToRunner::Golden(_) => "a golden sample",
        ToRunner::Infer(_) => "a window",
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
