//! Shows a job until it ends: a live line on a terminal, a line per step elsewhere, its end as JSON.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::sleep;
use zbus::message::Type;
use zbus::{MatchRule, MessageStream, OwnedObjectPath};

use crate::cli::Wait;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, Paint};
use crate::view::Job;

/// How often a job is looked at even if nothing is heard of it, so that an inferd that ended is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows the job at `path` to its end, as far as asked.
pub(crate) async fn finish(
    client: &Client,
    output: &Output,
    path: &OwnedObjectPath,
    wait: Wait,
) -> Result<(), Failure> {
    if path.as_str() == "/" {
        return output.show(&json!({ "job": null }), || "nothing to do: it is so already".to_owned());
    }
    if wait.no_wait {
        let job = Job::read(client, path).await?;
        return output.show(&json!({ "job": job }), || format!("{} has begun; see `inferctl status`", job.operation));
    }
    tokio::select! {
        ended = follow(client, output, path) => ended,
        _ = tokio::signal::ctrl_c() => Err(left_running(output)),
    }
}

fn left_running(output: &Output) -> Failure {
    if output.is_live() {
        output.remark("");
    }
    Failure::interrupted("the job goes on; `inferctl status` shows how far it is")
}

async fn follow(client: &Client, output: &Output, path: &OwnedObjectPath) -> Result<(), Failure> {
    // Listening begins before the first look, so that no step is missed between the two.
    let mut signals = signals_of(client, path).await?;
    let mut shown = None;
    loop {
        let job = Job::read(client, path).await?;
        if job.state != "running" {
            return end(output, &job);
        }
        if shown.as_ref() != Some(&job) {
            progress(*output, &job)?;
        }
        shown = Some(job);
        tokio::select! { _ = signals.next() => {}, () = sleep(LOOK_EVERY) => {} }
    }
}

async fn signals_of(client: &Client, path: &OwnedObjectPath) -> Result<MessageStream, Failure> {
    let rule = MatchRule::builder().msg_type(Type::Signal).path(path.as_ref()).build();
    let cannot = |error: zbus::Error| Failure::failed(format!("cannot listen to the job: {error}"));
    MessageStream::for_match_rule(rule.map_err(cannot)?, client.connection(), None).await.map_err(cannot)
}

fn progress(output: Output, job: &Job) -> Result<(), Failure> {
    let line = progress_line(job);
    if output.is_json() {
        Ok(())
    } else if output.is_live() {
        output.rewrite_line(&line)
    } else {
        output.line(&line)
    }
}

fn progress_line(job: &Job) -> String {
    format!("{}: {:3} %  {}", job.operation, job.percent, job.step)
}

fn end(output: &Output, job: &Job) -> Result<(), Failure> {
    if output.is_live() {
        output.rewrite_line("")?;
    }
    if let Some(error) = &job.error {
        let failure = Failure::from_daemon(&error.name, format!("{} failed: {}", job.operation, error.message));
        // In JSON the job holds the error, and one value is all that is printed.
        return if output.is_json() {
            output.show(&json!({ "job": job }), String::new).and(Err(failure.told()))
        } else {
            Err(failure)
        };
    }
    output.show(&json!({ "job": job }), || format!("{}: {}", job.operation, output.paint(Paint::Good, "done")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_one_line() {
        let job = Job {
            operation: "activate belt 1.1.0".into(),
            percent: 30,
            step: "warming".into(),
            state: "running".into(),
            ..Job::default()
        };
        assert_eq!(progress_line(&job), "activate belt 1.1.0:  30 %  warming");
    }
}
