//! The program as the daemon runs it: over a socket on its standard input, with memory files and passed descriptors.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its own code and in what it calls"
)]

mod doubling;
mod real;

use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use inferd_core::frame::Format;
use inferd_core::manifest::Manifest;
use inferd_core::outcome::FailedStage;
use inferd_core::prediction::Prediction;
use inferd_core::wire::{
    self, FromRunner, GoldenResult, GoldenRun, Limits, Load, MAX_MESSAGE_BYTES, ModelSpec, PROTOCOL, SandboxPolicy,
    ToRunner, WindowRef,
};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, send, sendmsg, socketpair};
use nix::unistd::ftruncate;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use doubling::{MANIFEST, doubling_model, floats, npy};
use real::{VWW, realdata};

fn memory_file(content: &[u8], seals: SealFlag) -> OwnedFd {
    let fd = memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC).unwrap();
    File::from(fd.try_clone().unwrap()).write_all(content).unwrap();
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    fd
}

/// What a model may use here.
const MEMORY_BYTES: u64 = 1 << 30;

/// A runner and the daemon's end of its socket.
struct Runner {
    child: Child,
    socket: OwnedFd,
}

impl Runner {
    fn start() -> Self {
        Self::start_with(&mut Command::new(env!("CARGO_BIN_EXE_inferd-runner")))
    }

    fn start_with(command: &mut Command) -> Self {
        let (socket, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let child = command.stdin(Stdio::from(its)).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        Self { child, socket }
    }

    fn say(&self, message: &ToRunner, files: &[&OwnedFd]) {
        let mut buffer = Vec::new();
        wire::encode(message, &mut buffer).unwrap();
        let numbers: Vec<RawFd> = files.iter().map(|file| file.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let control = if files.is_empty() { &[][..] } else { &rights };
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&buffer)], control, MsgFlags::empty(), None).unwrap();
    }

    fn hear(&self) -> FromRunner {
        use std::os::fd::AsFd;
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(Duration::from_secs(60)).unwrap();
        assert_eq!(poll(&mut ready, limit).unwrap(), 1, "the runner does not answer");
        let mut buffer = vec![0; MAX_MESSAGE_BYTES];
        let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        wire::decode(&buffer[..length]).unwrap()
    }

    fn load(&self, manifest: &str, model: &[u8], protocol: u32) -> FromRunner {
        self.load_parsed(Manifest::parse(manifest, &mut |_| Err(String::new())).unwrap(), model, protocol)
    }

    fn load_parsed(&self, manifest: Manifest, model: &[u8], protocol: u32) -> FromRunner {
        let limits = Limits { memory_bytes: MEMORY_BYTES, threads: 1, sandbox: SandboxPolicy::BestEffort };
        self.load_limited(&manifest, model, protocol, limits)
    }

    fn load_limited(&self, manifest: &Manifest, model: &[u8], protocol: u32, limits: Limits) -> FromRunner {
        let spec = ModelSpec::from(manifest);
        let load = Load { protocol, model: spec, artifact_bytes: model.len() as u64, limits, warm_up_runs: 3 };
        let artifact = memory_file(model, SealFlag::empty());
        self.say(&ToRunner::Load(Box::new(load)), &[&artifact]);
        self.hear()
    }

    fn loaded() -> Self {
        let runner = Self::start();
        let answer = runner.load(MANIFEST, &doubling_model(), PROTOCOL);
        assert!(
            matches!(&answer, FromRunner::Ready(ready) if ready.backend == "tract" && ready.warm_ns > 0),
            "{answer:?}"
        );
        runner
    }

    fn infer(&self, seq: u64, pool: u32, offset: u64, format: Format) -> FromRunner {
        self.infer_at(WindowRef { seq, pool, offset, len: 16, format })
    }

    fn infer_at(&self, place: WindowRef) -> FromRunner {
        self.say(&ToRunner::Infer(place), &[]);
        self.hear()
    }

    fn end(mut self) -> i32 {
        drop(self.socket);
        self.child.wait().unwrap().code().expect("not ended by a signal")
    }
}

fn tensor() -> Format {
    Format::Tensor { dtype: inferd_core::frame::Dtype::F32, shape: inferd_core::Shape::new(&[1, 4]).unwrap() }
}

#[test]
fn windows_and_golden_samples_are_answered_in_order_until_the_socket_closes() {
    let runner = Runner::loaded();
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    let pool = memory_file(&floats(&[0.0, 0.0, 1.0, 2.0, 3.0, f32::NAN, 4.0, 5.0]), seals);
    runner.say(&ToRunner::Pool { pool: 7, bytes: 32 }, &[&pool]);
    let answer = runner.infer(1, 7, 4, tensor());
    assert!(
        matches!(&answer, FromRunner::Done { seq: 1, prediction: Prediction::Raw(values), .. } if values[..] == [0.0, 2.0, 4.0, 6.0]),
        "{answer:?}"
    );
    for (pool, offset, format, stage) in [
        (7, 12, tensor(), FailedStage::Postprocess), // NaN
        (7, 17, tensor(), FailedStage::Decode),      // beyond the end
        (8, 0, tensor(), FailedStage::Decode),       // another pool
        (7, 0, Format::Jpeg, FailedStage::Preprocess),
    ] {
        let answer = runner.infer(2, pool, offset, format);
        assert!(matches!(&answer, FromRunner::Failed { seq: 2, failure } if failure.stage == stage), "{answer:?}");
    }
    let (input, expected) = (npy(&[1.0, 2.0, 3.0, 4.0]), npy(&[2.0, 4.0, 6.5, 8.0]));
    let run = GoldenRun {
        index: 3,
        format: Format::Npy,
        input_bytes: input.len() as u64,
        expected_bytes: vec![expected.len() as u64],
    };
    let files = [memory_file(&input, SealFlag::empty()), memory_file(&expected, SealFlag::empty())];
    runner.say(&ToRunner::Golden(run), &[&files[0], &files[1]]);
    let result = GoldenResult::Compared { max_difference: 0.5 };
    assert_eq!(runner.hear(), FromRunner::Golden { index: 3, result });
    assert_eq!(runner.end(), 0);
}

/// A memory file without memory: as long as it is said to be, and empty.
fn hollow_file(bytes: u64) -> OwnedFd {
    let fd = memory_file(b"", SealFlag::empty());
    ftruncate(&fd, i64::try_from(bytes).unwrap()).unwrap();
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
    fd
}

#[test]
fn frame_memory_is_no_part_of_the_models_and_too_much_of_it_costs_only_its_windows() {
    let runner = Runner::loaded();
    for (pool, bytes, fits) in [(1, 2 * MEMORY_BYTES, true), (2, 64 << 30, false), (3, 4 * MEMORY_BYTES, true)] {
        runner.say(&ToRunner::Pool { pool, bytes }, &[&hollow_file(bytes)]);
        for seq in 0..2 {
            let answer = runner.infer(seq, pool, bytes - 16, tensor());
            let served = matches!(&answer, FromRunner::Done { prediction: Prediction::Raw(values), .. } if values[..] == [0.0; 4]);
            let told = matches!(&answer, FromRunner::Failed { failure, .. } if failure.reason.contains("raise runner.memory_max_bytes"));
            assert_eq!((served, told), (fits, !fits), "{bytes}: {answer:?}");
        }
    }
    assert_eq!(runner.end(), 0);
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_a_sentence() {
    for (manifest, model, protocol, says) in [
        (MANIFEST.to_owned(), doubling_model(), PROTOCOL + 1, "protocol"),
        (MANIFEST.to_owned(), b"not a model".to_vec(), PROTOCOL, "ONNX"),
        (MANIFEST.replace("[1, 4]", "[1, 5]"), doubling_model(), PROTOCOL, "x [1, 4] f32"),
    ] {
        let runner = Runner::start();
        let answer = runner.load(&manifest, &model, protocol);
        assert!(matches!(&answer, FromRunner::Refused { reason } if reason.contains(says)), "{answer:?}");
        assert_eq!(runner.end(), 0);
    }
}

/// A runner whose kernel says that it has no Landlock.
#[expect(unsafe_code, reason = "a filter that a program starts with is installed between fork and exec")]
fn without_landlock() -> Runner {
    let absent = [(libc::SYS_landlock_create_ruleset, Vec::new())];
    let no_such_call = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let here = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(absent.into(), SeccompAction::Allow, no_such_call, here).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_inferd-runner"));
    // SAFETY: installing a filter takes two system calls and no memory.
    unsafe { command.pre_exec(move || apply_filter(&program).map_err(|_| std::io::ErrorKind::Other.into())) };
    Runner::start_with(&mut command)
}

#[test]
fn less_than_the_full_sandbox_is_refused_where_it_is_required_and_reported_where_not() {
    let manifest = Manifest::parse(MANIFEST, &mut |_| Err(String::new())).unwrap();
    let load = |sandbox| {
        let runner = without_landlock();
        let limits = Limits { memory_bytes: MEMORY_BYTES, threads: 1, sandbox };
        let answer = runner.load_limited(&manifest, &doubling_model(), PROTOCOL, limits);
        assert_eq!(runner.end(), 0);
        answer
    };
    let answer = load(SandboxPolicy::Full);
    assert!(
        matches!(&answer, FromRunner::Refused { reason } if reason.contains("less than `runner.sandbox` asks for")),
        "{answer:?}"
    );
    for enough in [SandboxPolicy::Filtered, SandboxPolicy::BestEffort] {
        let answer = load(enough);
        let FromRunner::Ready(ready) = &answer else { panic!("{answer:?}") };
        assert!(
            ready.sandbox.landlock_abi == 0 && ready.sandbox.seccomp && ready.sandbox.level() == "partial",
            "{answer:?}"
        );
    }
}

#[test]
fn messages_that_make_no_sense_end_the_runner() {
    let garbage = Runner::start();
    send(garbage.socket.as_raw_fd(), b"\xff\xff\xff", MsgFlags::empty()).unwrap();
    assert_eq!(garbage.end(), 1);
    let early = Runner::start();
    let place = WindowRef { seq: 0, pool: 0, offset: 0, len: 0, format: Format::Jpeg };
    early.say(&ToRunner::Infer(place), &[]);
    assert_eq!(early.end(), 1);
    let shrinking = Runner::loaded();
    shrinking.say(&ToRunner::Pool { pool: 1, bytes: 4 }, &[&memory_file(b"1234", SealFlag::empty())]);
    assert_eq!(shrinking.end(), 1);
    let without_file = Runner::loaded();
    without_file.say(&ToRunner::Pool { pool: 1, bytes: 4 }, &[]);
    assert_eq!(without_file.end(), 1);
    assert_eq!(Runner::start().end(), 0);
}

#[test]
fn a_sealed_runner_serves_a_real_model() {
    let Some(data) = realdata() else { return };
    let read = |path: &str| std::fs::read(data.join(path)).unwrap();
    let runner = Runner::start();
    let manifest = real::manifest("vww_float.onnx", VWW);
    let answer = runner.load_parsed(manifest, &read("image/vww_float.onnx"), PROTOCOL);
    assert!(matches!(&answer, FromRunner::Ready(ready) if ready.sandbox.seccomp), "{answer:?}");
    eprintln!("{answer:?}");
    let photo = read("image/samples/man_in_red_jacket.png");
    let photos = [photo.clone(), read("image/samples/cat_720p.jpg")].concat();
    let (total, first) = (photos.len() as u64, photo.len() as u64);
    runner.say(&ToRunner::Pool { pool: 1, bytes: total }, &[&memory_file(&photos, SealFlag::F_SEAL_SHRINK)]);
    // The reference's answers. JPEG decoders spread colour over its pixels in different ways: same cat, 0.002 apart.
    for (seq, offset, len, format, person, tolerance) in
        [(1, 0, first, Format::Png, 0.978, 1e-3), (2, first, total - first, Format::Jpeg, 0.031, 5e-3)]
    {
        let answer = runner.infer_at(WindowRef { seq, pool: 1, offset, len, format });
        let FromRunner::Done { prediction: Prediction::Classes(scores), times, .. } = answer else {
            panic!("{answer:?}")
        };
        eprintln!("P(person) {} in {times:?}", scores[1]);
        assert!((scores[1] - person).abs() < tolerance, "{scores:?}");
    }
    assert_eq!(runner.end(), 0);
}
