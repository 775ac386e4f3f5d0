//! The program: load, seal, answer until the daemon closes the socket.
//!
//! The order is the point. The first message is the daemon's and names the model; the backend then reads what it needs
//! of the machine; then the process seals itself; and only then is the artifact read and parsed. So the model, which is
//! the least trusted input and meets the largest parser, never meets an unsealed process.
//!
//! Exit status: 0 when the daemon closed the socket or the model was refused, 1 when the daemon's messages made no sense.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Instant;

use inferd_core::outcome::Failure;
use inferd_core::wire::{FromRunner, GoldenResult, GoldenRun, Load, PROTOCOL, Ready, ToRunner, WindowRef};

use crate::backend::BackendName;
use crate::engine::{Engine, nanos};
use crate::failure;
use crate::files::{self, FileError, MAX_GOLDEN_BYTES, Pool};
use crate::link::{Link, LinkError, Received};
use crate::log;
use crate::memory;
use crate::sandbox;

/// Runs the program over standard input.
pub fn run() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| log::line(panic)));
    match converse(&mut Link::over_stdin()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The daemon said something that makes no sense, or cannot be talked to.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the daemon began with {0} instead of a model")]
    NoLoad(&'static str),
    #[error("the daemon sent a second model")]
    SecondLoad,
}

fn converse(link: &mut Link) -> Result<(), ServeError> {
    let Some(received) = link.receive()? else { return Ok(()) };
    let (message, files) = received.into_parts();
    let ToRunner::Load(load) = message else { return Err(ServeError::NoLoad(word(&message))) };
    let [artifact] = Received::files(files)?;
    match start(&load, artifact) {
        Ok((engine, ready)) => {
            link.send(&FromRunner::Ready(ready))?;
            answer(link, engine)
        }
        Err(reason) => {
            log::line(format_args!("refused: {reason}"));
            link.send(&FromRunner::Refused { reason: failure::shortened(reason) })?;
            Ok(())
        }
    }
}

/// Seals the process and loads the model; on failure the sentence for the person who sent the model.
fn start(load: &Load, artifact: OwnedFd) -> Result<(Engine, Ready), String> {
    if load.protocol != PROTOCOL {
        return Err(format!(
            "this inferd-runner speaks protocol {PROTOCOL}, the daemon speaks {}: install both from one package",
            load.protocol
        ));
    }
    let backend = BackendName::Tract;
    backend.prepare();
    let sandbox = sandbox::seal(load.limits.memory_bytes);
    if load.limits.require_full_sandbox && !sandbox.is_full() {
        return Err(format!(
            "the configuration requires the full sandbox, but this kernel grants only part of it ({sandbox:?}): use a \
             kernel with Landlock and seccomp, or allow less"
        ));
    }
    let started = Instant::now();
    let limit = load.limits.memory_bytes;
    let bytes = files::read_whole(artifact, "artifact", load.artifact_bytes, limit).map_err(|error| chain(&error))?;
    let mut engine = Engine::load(&load.manifest, &bytes, load.limits.threads).map_err(|error| chain(&error))?;
    let load_ns = nanos(started);
    drop(bytes);
    memory::keep_what_serving_frees();
    let warm_ns = engine.warm_up(load.warm_up_runs).map_err(|error| chain(&error))?;
    Ok((engine, Ready { backend: backend.word().to_owned(), sandbox, load_ns, warm_ns }))
}

/// Answers every message until the daemon closes the socket.
fn answer(link: &mut Link, mut engine: Engine) -> Result<(), ServeError> {
    let mut pool = None;
    while let Some(received) = link.receive()? {
        let (message, files) = received.into_parts();
        let reply = match message {
            ToRunner::Load(_) => return Err(ServeError::SecondLoad),
            ToRunner::Pool { pool: number, bytes } => {
                let [file] = Received::files(files)?;
                // The old mapping goes first, so that two never count against the memory limit at once.
                drop(pool.take());
                pool = Some(Pool::map(number, file, bytes)?);
                continue;
            }
            ToRunner::Golden(run) => {
                let [input, expected] = Received::files(files)?;
                FromRunner::Golden { index: run.index, result: golden(&mut engine, &run, input, expected) }
            }
            ToRunner::Infer(place) => {
                let [] = Received::files(files)?;
                infer(&mut engine, pool.as_ref(), &place)
            }
        };
        link.send(&reply)?;
    }
    Ok(())
}

fn infer(engine: &mut Engine, pool: Option<&Pool>, place: &WindowRef) -> FromRunner {
    let seq = place.seq;
    let Some(bytes) = pool.and_then(|pool| pool.window(place)) else {
        let failure = failure::undecodable("the window lies outside the shared memory file");
        return FromRunner::Failed { seq, failure };
    };
    match engine.run(bytes, place.format) {
        Ok((prediction, times)) => FromRunner::Done { seq, prediction, times },
        Err(failure) => FromRunner::Failed { seq, failure },
    }
}

fn golden(engine: &mut Engine, run: &GoldenRun, input: OwnedFd, expected: OwnedFd) -> GoldenResult {
    let compare = || -> Result<f32, Failure> {
        let read = |file, what, bytes| {
            files::read_whole(file, what, bytes, MAX_GOLDEN_BYTES).map_err(|error| failure::undecodable(chain(&error)))
        };
        let input = read(input, "golden input", run.input_bytes)?;
        let expected = read(expected, "golden output", run.expected_bytes)?;
        engine.compare_golden(&input, run.format, &expected)
    };
    match compare() {
        Ok(max_difference) => GoldenResult::Compared { max_difference },
        Err(failure) => GoldenResult::Failed(failure),
    }
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
