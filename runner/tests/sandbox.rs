//! One probe per forbidden call: this test program starts itself again, the copy seals itself and tries exactly one thing,
//! and the parent looks at how it ended. A copy that could do it says so by its exit status.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its own code and in what it calls"
)]
#![expect(unsafe_code, reason = "forbidden system calls are tried by number")]

#[allow(dead_code, reason = "not every test needs all of it")]
mod doubling;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use inferd_core::frame::Format;
use inferd_core::manifest::Manifest;
use inferd_core::prediction::Prediction;
use inferd_core::wire::ModelSpec;
use inferd_runner::sandbox::{deny_paths, limit_resources, seal};
use inferd_runner::{BackendName, Engine};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use doubling::{MANIFEST, doubling_model, floats};

/// Names the probe in the copy's environment.
const PROBE: &str = "INFERD_SANDBOX_PROBE";
const MEMORY_BYTES: u64 = 2 << 30;

/// The copy got what it should not.
const POSSIBLE: i32 = 40;
/// The call was answered EACCES.
const REFUSED: i32 = 41;
/// The call failed in another way, which proves nothing.
const UNCLEAR: i32 = 42;
/// The first of several checks was wrong; the second is one above, and so on.
const WRONG: i32 = 50;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Ended by SIGSYS.
    Killed,
    /// Answered EACCES.
    Refused,
}

use End::{Killed, Refused};

/// A forbidden call: its number, its arguments, how it ends.
struct Call {
    name: &'static str,
    number: libc::c_long,
    arguments: [i64; 6],
    end: End,
}

const fn call(name: &'static str, number: libc::c_long, arguments: [i64; 6], end: End) -> Call {
    Call { name, number, arguments, end }
}

const PASSWD: &std::ffi::CStr = c"/etc/passwd";
const NEW: &std::ffi::CStr = c"/tmp/inferd-sandbox-probe";

fn calls() -> Vec<Call> {
    let mut calls = files();
    calls.extend(sockets());
    calls.extend(processes());
    calls.extend(memory());
    calls.extend(kernel());
    #[cfg(target_arch = "x86_64")]
    calls.extend(older());
    calls
}

/// Paths: looked for, opened, changed.
fn files() -> Vec<Call> {
    let (passwd, new, here) = (PASSWD.as_ptr() as i64, NEW.as_ptr() as i64, i64::from(libc::AT_FDCWD));
    let writing = i64::from(libc::O_WRONLY | libc::O_CREAT);
    vec![
        call("open a file", libc::SYS_openat, [here, passwd, 0, 0, 0, 0], Refused),
        call("open for writing", libc::SYS_openat, [here, new, writing, 0o600, 0, 0], Refused),
        call("stat a file", libc::SYS_newfstatat, [here, passwd, 0, 0, 0, 0], Refused),
        call("look for a file", libc::SYS_faccessat, [here, passwd, 0, 0, 0, 0], Refused),
        call("read a link", libc::SYS_readlinkat, [here, passwd, 0, 0, 0, 0], Refused),
        call("remove a file", libc::SYS_unlinkat, [here, new, 0, 0, 0, 0], Killed),
        call("make a folder", libc::SYS_mkdirat, [here, new, 0o700, 0, 0, 0], Killed),
        call("make a link", libc::SYS_symlinkat, [passwd, here, new, 0, 0, 0], Killed),
        call("rename a file", libc::SYS_renameat2, [here, new, here, new, 0, 0], Killed),
        call("change a mode", libc::SYS_fchmodat, [here, new, 0o600, 0, 0, 0], Killed),
        call("change folder", libc::SYS_chdir, [passwd, 0, 0, 0, 0, 0], Killed),
    ]
}

/// Sockets, and messages anywhere but to the daemon and the log.
fn sockets() -> Vec<Call> {
    let stream = i64::from(libc::SOCK_STREAM);
    vec![
        call("internet socket", libc::SYS_socket, [i64::from(libc::AF_INET), stream, 0, 0, 0, 0], Killed),
        call("unix socket", libc::SYS_socket, [i64::from(libc::AF_UNIX), stream, 0, 0, 0, 0], Killed),
        call("netlink socket", libc::SYS_socket, [i64::from(libc::AF_NETLINK), stream, 0, 0, 0, 0], Killed),
        call("socket pair", libc::SYS_socketpair, [i64::from(libc::AF_UNIX), stream, 0, 0, 0, 0], Killed),
        call("connect", libc::SYS_connect, [0; 6], Killed),
        call("bind", libc::SYS_bind, [0; 6], Killed),
        call("listen", libc::SYS_listen, [0; 6], Killed),
        call("accept", libc::SYS_accept4, [0; 6], Killed),
        call("send a descriptor", libc::SYS_sendmsg, [0; 6], Killed),
        call("send elsewhere", libc::SYS_sendto, [5, 0, 0, 0, 0, 0], Killed),
        call("receive elsewhere", libc::SYS_recvmsg, [5, 0, 0, 0, 0, 0], Killed),
        call("write elsewhere", libc::SYS_write, [1, 0, 0, 0, 0, 0], Killed),
        call("write by position", libc::SYS_pwrite64, [2, 0, 0, 0, 0, 0], Killed),
    ]
}

/// Programs and processes, its own and others.
fn processes() -> Vec<Call> {
    let (passwd, here) = (PASSWD.as_ptr() as i64, i64::from(libc::AT_FDCWD));
    let parent = i64::from(std::os::unix::process::parent_id());
    vec![
        call("run a program", libc::SYS_execve, [passwd, 0, 0, 0, 0, 0], Killed),
        call("run a program by descriptor", libc::SYS_execveat, [here, passwd, 0, 0, 0, 0], Killed),
        call("start a process", libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0, 0, 0], Killed),
        call("start a process, newer", libc::SYS_clone3, [0; 6], Killed),
        call("trace a process", libc::SYS_ptrace, [i64::from(libc::PTRACE_ATTACH), parent, 0, 0, 0, 0], Killed),
        call("read another's memory", libc::SYS_process_vm_readv, [parent, 0, 0, 0, 0, 0], Killed),
        call("signal a process", libc::SYS_kill, [parent, 0, 0, 0, 0, 0], Killed),
        call("signal a thread", libc::SYS_tgkill, [parent, parent, 0, 0, 0, 0], Killed),
        call("take a descriptor", libc::SYS_pidfd_getfd, [0; 6], Killed),
        call("name a process", libc::SYS_pidfd_open, [parent, 0, 0, 0, 0, 0], Killed),
    ]
}

/// Code that an exploit would bring along, and descriptors that it would bend.
fn memory() -> Vec<Call> {
    let passwd = PASSWD.as_ptr() as i64;
    let (page, anonymous) = (4096, i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS));
    let exec = i64::from(libc::PROT_READ | libc::PROT_EXEC);
    vec![
        call("map executable memory", libc::SYS_mmap, [0, page, exec, anonymous, -1, 0], Killed),
        call("make memory executable", libc::SYS_mprotect, [0, page, exec, 0, 0, 0], Killed),
        call("make memory executable by key", libc::SYS_pkey_mprotect, [0, page, exec, 0, 0, 0], Killed),
        call("make a memory file", libc::SYS_memfd_create, [passwd, 0, 0, 0, 0, 0], Killed),
        call("change a descriptor", libc::SYS_fcntl, [0, i64::from(libc::F_SETFL), 0, 0, 0, 0], Killed),
        call("copy a descriptor", libc::SYS_dup, [0; 6], Killed),
        call("control a device", libc::SYS_ioctl, [2, 0, 0, 0, 0, 0], Killed),
    ]
}

/// The kernel at large.
fn kernel() -> Vec<Call> {
    let passwd = PASSWD.as_ptr() as i64;
    vec![
        call("io_uring", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0], Killed),
        call("mount", libc::SYS_mount, [0; 6], Killed),
        call("change root", libc::SYS_chroot, [passwd, 0, 0, 0, 0, 0], Killed),
        call("new namespace", libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0], Killed),
        call("enter a namespace", libc::SYS_setns, [0; 6], Killed),
        call("change user", libc::SYS_setuid, [0; 6], Killed),
        call("raise a limit", libc::SYS_prlimit64, [0; 6], Killed),
        call("change the process", libc::SYS_prctl, [i64::from(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0], Killed),
        call("another filter", libc::SYS_seccomp, [0; 6], Killed),
        call("bpf", libc::SYS_bpf, [0; 6], Killed),
        call("userfaultfd", libc::SYS_userfaultfd, [0; 6], Killed),
        call("performance counters", libc::SYS_perf_event_open, [0; 6], Killed),
        call("kernel keys", libc::SYS_keyctl, [0; 6], Killed),
        call("load a module", libc::SYS_finit_module, [0; 6], Killed),
        call("another personality", libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0, 0], Killed),
    ]
}

/// The same under the older numbers of this architecture.
#[cfg(target_arch = "x86_64")]
fn older() -> Vec<Call> {
    let (passwd, new) = (PASSWD.as_ptr() as i64, NEW.as_ptr() as i64);
    vec![
        call("open a file, older", libc::SYS_open, [passwd, 0, 0, 0, 0, 0], Refused),
        call("stat a file, older", libc::SYS_stat, [passwd, 0, 0, 0, 0, 0], Refused),
        call("start a process, older", libc::SYS_fork, [0; 6], Killed),
        call("start a process, oldest", libc::SYS_vfork, [0; 6], Killed),
        call("remove a file, older", libc::SYS_unlink, [new, 0, 0, 0, 0, 0], Killed),
        call("make a folder, older", libc::SYS_mkdir, [new, 0o700, 0, 0, 0, 0], Killed),
        // The same number with the bit of the 32-bit-pointer ABI.
        call("write by other numbers", 0x4000_0000 | libc::SYS_write, [2, 0, 0, 0, 0, 0], Killed),
        call("model-specific registers", libc::SYS_arch_prctl, [0; 6], Killed),
    ]
}

/// Starts the copy that runs test `test` as probe `probe`.
fn copy(test: &str, probe: &str, input: Stdio) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(PROBE, probe)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

fn probe() -> Option<String> {
    std::env::var(PROBE).ok()
}

/// Seals, tries one call, ends.
fn try_one(name: &str) -> ! {
    let calls = calls();
    let call = calls.iter().find(|call| call.name == name).unwrap();
    assert!(seal(MEMORY_BYTES).seccomp);
    let [a, b, c, d, e, f] = call.arguments;
    // SAFETY: the sealed process is refused the call or ended by it; nothing after it relies on memory.
    let result = unsafe { libc::syscall(call.number, a, b, c, d, e, f) };
    let status = match std::io::Error::last_os_error().raw_os_error() {
        _ if result >= 0 => POSSIBLE,
        Some(libc::EACCES) => REFUSED,
        _ => UNCLEAR,
    };
    end(status)
}

#[test]
fn a_sealed_runner_is_refused_or_ended_at_every_forbidden_call() {
    if let Some(name) = probe() {
        try_one(&name);
    }
    let test = "a_sealed_runner_is_refused_or_ended_at_every_forbidden_call";
    let mut wrong = Vec::new();
    for call in calls() {
        let status = copy(test, call.name, Stdio::null());
        let end = match (status.signal(), status.code()) {
            (Some(libc::SIGSYS), _) => Some(End::Killed),
            (_, Some(REFUSED)) => Some(End::Refused),
            _ => None,
        };
        if end != Some(call.end) {
            wrong.push(format!("{}: {status}", call.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Ends a copy at once, without the test harness's writing to standard output.
fn end(status: i32) -> ! {
    // SAFETY: ends the process; nothing runs after it.
    unsafe { libc::_exit(status) }
}

/// Gives up root, if the tests run as root.
fn become_nobody() {
    const NOBODY: u32 = 65_534;
    // SAFETY: a plain call. Where it fails the process is not root, and need not be.
    unsafe { libc::setgid(NOBODY) };
    // SAFETY: as above.
    unsafe { libc::setuid(NOBODY) };
}

/// How a probe of several things ends: by the first that was wrong.
fn judged(right: &[bool]) -> ! {
    end(right.iter().position(|right| !right).map_or(REFUSED, |wrong| WRONG + i32::try_from(wrong).unwrap()))
}

/// The ABI of the kernel's Landlock by its own word, 0 where it has none.
fn kernel_landlock_abi() -> u32 {
    const VERSION: usize = 1;
    // SAFETY: with this flag the call reads no memory.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// What a file says that was opened before sealing. Plain reads: all that the filter lets through.
fn said(mut file: File) -> String {
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = file.read(&mut part) {
        text.extend_from_slice(&part[..length]);
    }
    String::from_utf8(text).unwrap()
}

/// The words of the line that begins so.
fn line<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let found = text.lines().find_map(|line| line.strip_prefix(start));
    found.map(|rest| rest.split_whitespace().collect()).unwrap_or_default()
}

#[test]
fn the_report_is_what_the_kernel_says() {
    if probe().is_some() {
        let status = File::open("/proc/thread-self/status").unwrap();
        let limits = File::open("/proc/thread-self/limits").unwrap();
        let abi = kernel_landlock_abi();
        let report = seal(MEMORY_BYTES);
        let (status, limits) = (said(status), said(limits));
        let memory = MEMORY_BYTES.to_string();
        let right = [
            report.no_new_privs && line(&status, "NoNewPrivs:") == ["1"],
            // 2: by a filter.
            report.seccomp && line(&status, "Seccomp:") == ["2"],
            report.rlimits,
            line(&limits, "Max address space")[..2] == [memory.as_str(); 2],
            line(&limits, "Max open files")[..2] == ["32"; 2],
            line(&limits, "Max processes")[..2] == ["0"; 2],
            line(&limits, "Max core file size")[..2] == ["0"; 2],
            // 10 is the newest that is asked for.
            report.landlock_abi == abi.min(10),
            report.is_full() == (abi > 0),
        ];
        judged(&right);
    }
    let status = copy("the_report_is_what_the_kernel_says", "report", Stdio::null());
    assert_eq!(status.code(), Some(REFUSED), "{WRONG} and above: which of the checks failed");
}

#[test]
fn landlock_alone_refuses_paths_and_connections() {
    if probe().is_some() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let abi = deny_paths();
        let refused =
            |error: Option<std::io::Error>| error.is_some_and(|error| error.raw_os_error() == Some(libc::EACCES));
        let right = [
            refused(File::open("/etc/passwd").err()),
            refused(std::fs::read_dir("/").err()),
            refused(File::create("/tmp/inferd-sandbox-probe").err()),
            abi < 4 || refused(TcpStream::connect(address).err()),
            abi < 4 || refused(TcpListener::bind("127.0.0.1:0").err()),
        ];
        judged(&right);
    }
    if kernel_landlock_abi() == 0 {
        eprintln!("\n*** SKIPPED: this kernel has no Landlock ***\n");
        return;
    }
    let status = copy("landlock_alone_refuses_paths_and_connections", "landlock", Stdio::null());
    assert_eq!(status.code(), Some(REFUSED), "{WRONG} and above: which of the checks failed");
}

#[test]
fn limits_alone_refuse_memory_processes_and_descriptors() {
    if probe().is_some() {
        // Root is not bound by the number of processes.
        become_nobody();
        let in_force = limit_resources(MEMORY_BYTES);
        let memory = usize::try_from(2 * MEMORY_BYTES).unwrap();
        // SAFETY: the child, were there one, ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            end(0);
        }
        let copies: Vec<_> = (0..64).map_while(|_| std::io::stdin().as_fd().try_clone_to_owned().ok()).collect();
        let highest = copies.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(0);
        let right = [in_force, Vec::<u8>::new().try_reserve_exact(memory).is_err(), child == -1, highest == 31];
        judged(&right);
    }
    let status = copy("limits_alone_refuse_memory_processes_and_descriptors", "limits", Stdio::null());
    assert_eq!(status.code(), Some(REFUSED), "{WRONG} and above: which of the checks failed");
}

/// An inherited limit that is lower than what is asked for stays, and the others are set.
#[test]
fn limits_that_were_lower_before_stay() {
    if probe().is_some() {
        // Root may raise a limit again.
        become_nobody();
        setrlimit(Resource::RLIMIT_NOFILE, 20, 20).unwrap();
        setrlimit(Resource::RLIMIT_AS, MEMORY_BYTES / 2, MEMORY_BYTES / 2).unwrap();
        let in_force = limit_resources(MEMORY_BYTES);
        let limit = |resource| getrlimit(resource).unwrap();
        let right = [
            in_force,
            limit(Resource::RLIMIT_AS) == (MEMORY_BYTES / 2, MEMORY_BYTES / 2),
            limit(Resource::RLIMIT_NOFILE) == (20, 20),
            limit(Resource::RLIMIT_CORE) == (0, 0),
            limit(Resource::RLIMIT_NPROC) == (0, 0),
        ];
        judged(&right);
    }
    let status = copy("limits_that_were_lower_before_stay", "inherited", Stdio::null());
    assert_eq!(status.code(), Some(REFUSED), "{WRONG} and above: which of the checks failed");
}

#[test]
fn a_sealed_runner_reads_what_it_was_given_and_computes() {
    if probe().is_some() {
        BackendName::Tract.prepare();
        assert!(seal(MEMORY_BYTES).seccomp);
        let mut artifact = Vec::new();
        std::io::stdin().read_to_end(&mut artifact).unwrap();
        let manifest = Manifest::parse(MANIFEST, &mut |_| Err(String::new())).unwrap();
        let mut engine = Engine::load(&ModelSpec::from(&manifest), &artifact, 1).unwrap();
        let input = floats(&[1.0, 2.0, 3.0, 4.0]);
        let format = Format::Tensor { dtype: manifest.input.dtype, shape: manifest.input.shape };
        let right = engine.run(&input, format).unwrap().0 == Prediction::Raw(vec![2.0, 4.0, 6.0, 8.0]);
        end(i32::from(right) * POSSIBLE)
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&doubling_model()).unwrap();
    file.rewind().unwrap();
    let status = copy("a_sealed_runner_reads_what_it_was_given_and_computes", "compute", file.into());
    assert_eq!(status.code(), Some(POSSIBLE), "{status}");
}

/// The probes prove something only if the calls would be possible for an unsealed process.
#[test]
fn an_unsealed_process_may_do_what_the_probes_try() {
    assert!(File::open("/etc/passwd").unwrap().as_raw_fd() > 2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(Command::new("true").status().unwrap().success());
}
