//! What a process writes: frames on its standard output, complaints on its standard error.

use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::process::{ChildStderr, ChildStdout};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use crate::capture::live::Interrupts;
use crate::host::error::one_line;

/// Complaints that are logged in a span; more are counted.
const LINES_IN_SPAN: u32 = 20;

/// The span.
const SPAN: Duration = Duration::from_secs(10);

/// The longest line that is kept.
const MAX_LINE_BYTES: usize = 500;

/// Standard output as a stream that ends when the pipeline stops or the source rests, and that takes care of standard error meanwhile.
#[derive(Debug)]
pub(super) struct Output {
    stdout: ChildStdout,
    complaints: Complaints,
    interrupts: Interrupts,
    /// How long nothing may come; zero for ever.
    silence: Duration,
}

impl Output {
    /// `stderr` must not block; `who` stands before what it says in the log.
    pub(super) fn new(
        stdout: ChildStdout,
        stderr: ChildStderr,
        who: String,
        interrupts: Interrupts,
        silence: Duration,
    ) -> Self {
        Self { stdout, complaints: Complaints::new(stderr, who), interrupts, silence }
    }

    /// The last line of standard error, after the process has ended.
    pub(super) fn last_words(&mut self) -> &str {
        self.complaints.drain();
        self.complaints.end_line();
        &self.complaints.last
    }

    /// Waits until there is something to read, or nothing will come.
    fn wait(&mut self) -> io::Result<()> {
        let mut patience = self.interrupts.patience(self.silence);
        loop {
            if self.interrupts.rests() {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the source rests"));
            }
            let timeout = patience.timeout();
            let (frames, complaints, stop) = {
                let ready = |fd| PollFd::new(fd, PollFlags::POLLIN);
                let stopping = ready(self.interrupts.stopping().as_fd());
                // Twice the same is as good as once.
                let stderr = self.complaints.stderr.as_ref().map_or(stopping.clone(), |pipe| ready(pipe.as_fd()));
                let mut fds = [ready(self.stdout.as_fd()), stderr, stopping];
                let waiting = self.interrupts.attendance().wait();
                let polled = poll(&mut fds, timeout);
                drop(waiting);
                match polled {
                    Err(nix::errno::Errno::EINTR) => continue,
                    Err(error) => return Err(error.into()),
                    Ok(0) if !patience.is_over() => continue,
                    Ok(0) => {
                        let text = format!("has written nothing for {} s", self.silence.as_secs_f64());
                        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                    }
                    Ok(_) => {}
                }
                let [stdout, stderr, stop] = fds.map(|fd| fd.any().unwrap_or(true));
                (stdout, stderr && self.complaints.stderr.is_some(), stop)
            };
            if complaints {
                self.complaints.drain();
                patience = self.interrupts.patience(self.silence);
            }
            if stop {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the pipeline stops"));
            }
            if frames {
                return Ok(());
            }
        }
    }
}

impl Read for Output {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.stdout.read(space)
    }
}

/// Standard error, line by line into the log.
#[derive(Debug)]
struct Complaints {
    stderr: Option<ChildStderr>,
    who: String,
    line: Vec<u8>,
    last: String,
    span: Instant,
    logged: u32,
    left_out: u32,
}

impl Complaints {
    fn new(stderr: ChildStderr, who: String) -> Self {
        Self {
            stderr: Some(stderr),
            who,
            line: Vec::new(),
            last: String::new(),
            span: Instant::now(),
            logged: 0,
            left_out: 0,
        }
    }

    /// Reads what there is.
    fn drain(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(stderr) = &mut self.stderr {
            match stderr.read(&mut buffer) {
                Ok(0) => self.stderr = None,
                Ok(length) => self.take(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.stderr = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // Progress displays go back to the beginning of their line.
            if byte == b'\n' || byte == b'\r' {
                self.end_line();
            } else if self.line.len() < MAX_LINE_BYTES {
                self.line.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        let text = one_line(String::from_utf8_lossy(&self.line).trim());
        self.line.clear();
        if text.is_empty() {
            return;
        }
        self.log(&text);
        self.last = text;
    }

    fn log(&mut self, text: &str) {
        if self.span.elapsed() > SPAN {
            if self.left_out > 0 {
                tracing::info!("{}: {} more lines", self.who, self.left_out);
            }
            (self.span, self.logged, self.left_out) = (Instant::now(), 0, 0);
        }
        if self.logged < LINES_IN_SPAN {
            self.logged += 1;
            tracing::info!("{}: {text}", self.who);
        } else {
            self.left_out += 1;
        }
    }
}
