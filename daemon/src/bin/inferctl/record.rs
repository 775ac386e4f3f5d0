//! `record`: what a pipeline's source gives, as files that a recording source plays.

mod files;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use inferd::bus::path;
use inferd_core::recorded::{End, FrameHead, Head, Line};
use serde_json::json;
use zbus::Fd;

use crate::cli::Record;
use crate::client::Client;
use crate::failure::Failure;
use crate::figures::counted;
use crate::output::Output;
use files::Files;

/// The largest frame that is read: as large as any that the daemon hands on.
const MAX_FRAME_BYTES: u64 = 192 << 20;

/// The longest line.
const MAX_LINE_BYTES: u64 = 1 << 20;

pub(crate) async fn record(client: &Client, output: &Output, what: &Record) -> Result<(), Failure> {
    let Record { name, seconds, output: folder } = what;
    let folder = std::path::absolute(folder).map_err(|error| cannot("use", folder, &error))?;
    let is_ours = make_folder(&folder)?;
    let (reader, writer) = io::pipe().map_err(|error| Failure::failed(format!("cannot make a pipe: {error}")))?;
    let object = path::of_name(path::PIPELINES, name.as_str());
    let begun: Result<(), Failure> =
        client.call(&object, "Pipeline", "Record", &(Fd::from(OwnedFd::from(writer)), *seconds)).await;
    if let Err(failure) = begun {
        if is_ours {
            // It was made for nothing.
            let _ = std::fs::remove_dir(&folder);
        }
        return Err(failure.where_absent(|| {
            Failure::failed(format!("there is no pipeline `{name}`")).hint("`inferctl pipelines` lists them")
        }));
    }
    if output.is_live() {
        output.remark(&format!("recording {name} for {seconds} s into {}", folder.display()));
    }
    let target = folder.clone();
    let written = tokio::task::spawn_blocking(move || write(File::from(OwnedFd::from(reader)), &target));
    let recorded = written.await.map_err(|error| Failure::failed(error.to_string()))??;
    show(*output, &folder, &recorded)
}

/// What was recorded.
#[derive(Debug, PartialEq)]
struct Recorded {
    head: Head,
    end: End,
    /// From the first frame to the last.
    seconds: f64,
}

fn show(output: Output, folder: &Path, recorded: &Recorded) -> Result<(), Failure> {
    let Recorded { head, end, seconds, .. } = recorded;
    let json = json!({ "recorded": {
        "pipeline": head.pipeline, "folder": folder, "frames": end.frames, "missed": end.missed, "seconds": seconds,
        "ended_early": end.reason,
    }});
    output.show(&json, || {
        let early =
            if end.reason.is_empty() { String::new() } else { format!("; {} before the time was over", end.reason) };
        let missed = match end.missed {
            0 => String::new(),
            missed => format!(", {} missed (this disk was too slow)", counted(missed, "frame")),
        };
        format!(
            "{} of {:.1} s{missed}{early}\n\nplay it with:\n\n    source = {{ kind = \"recording\", path = {} }}",
            counted(end.frames, "frame"),
            seconds,
            toml_edit::Value::from(folder.display().to_string())
        )
    })
}

/// Whether it had to be made.
fn make_folder(folder: &Path) -> Result<bool, Failure> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
            if empty {
                return Ok(false);
            }
            Err(Failure::failed(format!("{} is there already, and not an empty folder", folder.display()))
                .hint("name a folder that is not there"))
        }
        made => made.map(|()| true).map_err(|error| cannot("make", folder, &error)),
    }
}

fn cannot(what: &str, folder: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", folder.display()))
}

/// Reads the stream to its end, into files.
fn write(stream: File, folder: &Path) -> Result<Recorded, Failure> {
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let Line::Head(head) = line(&mut stream)? else { return Err(garbled("it does not say what it is")) };
    let mut files = Files::begin(folder, &head)?;
    let mut bytes = Vec::new();
    let end = loop {
        match line(&mut stream)? {
            Line::Frame(frame) => {
                read_frame(&mut stream, &frame, &mut bytes)?;
                files.add(&frame, &bytes)?;
            }
            Line::End(end) => break end,
            Line::Head(_) => return Err(garbled("it begins twice")),
        }
    };
    if end.frames == 0 {
        return Err(Failure::failed("the source gave nothing").hint("`inferctl status` says what it waits for"));
    }
    files.finish(head, end)
}

fn read_frame(stream: &mut impl io::Read, frame: &FrameHead, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    if frame.bytes > MAX_FRAME_BYTES {
        return Err(garbled("a frame is too large"));
    }
    bytes.clear();
    let read = stream.take(frame.bytes).read_to_end(bytes).map_err(|error| garbled(&error.to_string()))?;
    if read as u64 == frame.bytes { Ok(()) } else { Err(garbled("it ends in a frame")) }
}

fn line(stream: &mut impl io::BufRead) -> Result<Line, Failure> {
    let mut text = Vec::new();
    stream.take(MAX_LINE_BYTES).read_until(b'\n', &mut text).map_err(|error| garbled(&error.to_string()))?;
    if text.is_empty() {
        return Err(garbled("it ends before its time: inferd has broken it off, or was stopped"));
    }
    serde_json::from_slice(&text).map_err(|error| garbled(&error.to_string()))
}

fn garbled(problem: &str) -> Failure {
    Failure::failed(format!("the recording broke off: {problem}"))
        .hint("what was written is kept; inferd's log may say more (`journalctl -u inferd`)")
}
