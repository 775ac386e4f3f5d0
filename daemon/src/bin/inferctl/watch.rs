//! `watch`: outcomes as they come, from the socket on which inferd serves them as JSON lines.

use std::path::Path;

use inferd_core::Name;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use crate::cli::{BusKind, Watch};
use crate::client::Client;
use crate::failure::Failure;
use crate::figures::milliseconds;
use crate::output::{Output, Paint};
use crate::view::Everything;

/// The name that the bus has for it.
const NOT_FOUND: &str = "org.inferd1.Error.NotFound";

pub(crate) async fn watch(what: &Watch, bus: BusKind, output: &Output) -> Result<(), Failure> {
    let stream = UnixStream::connect(&what.outcomes.socket)
        .await
        .map_err(|error| Failure::no_outcomes(&what.outcomes.socket, &error))?;
    if let Some(name) = &what.pipeline {
        look_up(name, bus, *output).await?;
    }
    tokio::select! {
        ended = print_outcomes(stream, what, *output) => ended,
        // Ctrl-C is how a watch ends.
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Of a pipeline that is not there nothing would ever come, of one that does not serve nothing may. Where the bus does not
/// answer, outcomes still may come.
async fn look_up(name: &Name, bus: BusKind, output: Output) -> Result<(), Failure> {
    let Ok(client) = Client::connect(bus).await else { return Ok(()) };
    let Ok(everything) = Everything::read(&client).await else { return Ok(()) };
    let Some(pipeline) = everything.pipelines.iter().find(|pipeline| pipeline.name == name.as_str()) else {
        return Err(Failure::from_daemon(NOT_FOUND, format!("there is no pipeline `{name}`")));
    };
    match pipeline.state.as_str() {
        "running" | "starting" => {}
        "resting" => output.remark(&format!("{name} rests: {}", pipeline.reason)),
        "waiting" => output.remark(&format!("{name} waits: {}", pipeline.reason)),
        state if pipeline.reason.is_empty() => output.remark(&format!("{name} is {state}; `inferctl start {name}`")),
        state => output.remark(&format!("{name} is {state}: {}", pipeline.reason)),
    }
    Ok(())
}

async fn print_outcomes(stream: UnixStream, what: &Watch, output: Output) -> Result<(), Failure> {
    let mut lines = BufReader::new(stream).lines();
    let mut left = what.count.unwrap_or(u64::MAX);
    while left > 0 {
        let line = lines.next_line().await.map_err(|error| Failure::no_outcomes(&what.outcomes.socket, &error))?;
        let line = line.ok_or_else(|| ended(&what.outcomes.socket))?;
        if let Some(text) = shown(&line, what.pipeline.as_ref(), output) {
            output.line(&text)?;
            left -= 1;
        }
    }
    Ok(())
}

fn ended(socket: &Path) -> Failure {
    let error = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "inferd ended the stream");
    Failure::no_outcomes(socket, &error)
}

/// The line to print for an outcome; `None` where it is another pipeline's.
fn shown(line: &str, pipeline: Option<&Name>, output: Output) -> Option<String> {
    let outcome: Value = serde_json::from_str(line).unwrap_or(Value::Null);
    if pipeline.is_some_and(|wanted| outcome["pipeline"] != wanted.as_str()) {
        return None;
    }
    // What we cannot read (a newer inferd's) is still shown as it is.
    let readable = (!output.is_json()).then(|| human(&outcome, output)).flatten();
    Some(readable.unwrap_or_else(|| line.to_owned()))
}

/// `12:00:00.123  belt  #42  event      scratch 0.98  3.20 ms  belt-inspect 1.0.0`
fn human(outcome: &Value, output: Output) -> Option<String> {
    let text = |key: &str| outcome[key].as_str();
    let verdict = text("verdict")?;
    let time = text("time")?;
    let clock = time.split_once('T').map_or(time, |(_, clock)| clock.trim_end_matches('Z'));
    let said = match text("label") {
        Some(label) => format!("{label} {:.3}", outcome["confidence"].as_f64().unwrap_or_default()),
        None => failure(outcome).unwrap_or_default(),
    };
    Some(format!(
        "{}  {}  {:>6}  {}  {said:<24}  {:>8}  {}",
        output.paint(Paint::Faint, clock),
        text("pipeline")?,
        format!("#{}", outcome["window"].as_u64()?),
        output.paint(colour(verdict), format!("{verdict:<9}")),
        milliseconds(outcome["latency_ms"].as_f64().unwrap_or_default()),
        output.paint(Paint::Faint, model(outcome)),
    ))
}

fn failure(outcome: &Value) -> Option<String> {
    let error = &outcome["error"];
    Some(format!("{}: {}", error["stage"].as_str()?, error["reason"].as_str()?))
}

fn model(outcome: &Value) -> String {
    format!("{} {}", outcome["model"].as_str().unwrap_or("?"), outcome["version"].as_str().unwrap_or("?"))
}

/// The colour of a verdict.
pub(crate) fn colour(verdict: &str) -> Paint {
    match verdict {
        "event" => Paint::Good,
        "uncertain" => Paint::Warn,
        "failed" => Paint::Bad,
        _ => Paint::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"time":"2026-01-01T12:00:00.123Z","pipeline":"belt","window":42,"model":"belt-inspect","version":"1.0.0","digest":"00","verdict":"event","label":"scratch","confidence":0.98,"margin":0.9,"latency_ms":3.2}"#;
    const FAILED: &str = r#"{"time":"2026-01-01T12:00:01.123Z","pipeline":"belt","window":43,"model":"belt-inspect","version":"1.0.0","verdict":"failed","error":{"stage":"decode","reason":"no JPEG"},"latency_ms":0.4}"#;

    #[test]
    fn outcomes_as_text() {
        let lines: Vec<_> = [EVENT, FAILED].iter().filter_map(|line| shown(line, None, Output::plain())).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn another_pipelines_outcomes_are_left_out() {
        assert!(shown(EVENT, Some(&"door".parse().unwrap()), Output::plain()).is_none());
        assert!(shown(EVENT, Some(&"belt".parse().unwrap()), Output::plain()).is_some());
    }

    #[test]
    fn json_is_passed_on_as_it_came_and_so_is_what_cannot_be_read() {
        assert_eq!(shown(EVENT, None, Output::new(true)).as_deref(), Some(EVENT));
        assert_eq!(shown("{\"new\":1}", None, Output::plain()).as_deref(), Some("{\"new\":1}"));
    }
}
