//! `status`: one look at everything. What runs, how fast, what is wrong, and what to type next.

use serde::Serialize;

use crate::client::Client;
use crate::failure::Failure;
use crate::figures::{counted, milliseconds, or_dash, per_second};
use crate::output::{Output, Paint};
use crate::pipelines;
use crate::samples;
use crate::service;
use crate::view::{Everything, Pipeline};

pub(crate) async fn show(client: &Client, output: &Output) -> Result<(), Failure> {
    let everything = Everything::read(client).await?;
    let report = Report::of(&everything);
    output.show(&report, || text(*output, &report))
}

/// As `--json` prints it.
///
/// # Errors
/// What JSON cannot hold, as a clause.
pub(crate) fn as_json(everything: &Everything) -> Result<serde_json::Value, String> {
    serde_json::to_value(Report::of(everything)).map_err(|error| error.to_string())
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    everything: &'a Everything,
    problems: Vec<Problem>,
}

/// Something wrong, and what to type about it (empty where nothing can be typed).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) next: String,
}

impl Problem {
    fn new(message: String, next: impl Into<String>) -> Self {
        Self { message, next: next.into() }
    }
}

impl<'a> Report<'a> {
    fn of(everything: &'a Everything) -> Self {
        Self { everything, problems: problems(everything) }
    }
}

/// What is wrong.
pub(crate) fn problems(everything: &Everything) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !everything.config_error.is_empty() {
        let message = format!("the configuration in force is the one before: {}", everything.config_error);
        problems.push(Problem::new(message, "inferctl check-config"));
    }
    if !everything.pending_sections.is_empty() {
        let sections = service::sections(&everything.pending_sections);
        let message = format!("changed, but not in force before inferd is started again: {sections}");
        problems.push(Problem::new(message, "sudo systemctl restart inferd"));
    }
    for pipeline in &everything.pipelines {
        problems.extend(pipeline_problems(pipeline, everything));
    }
    problems.extend(last_job_problem(everything));
    if !everything.spool.last_error.is_empty() {
        let message = format!("uploads fail: {}", everything.spool.last_error);
        problems.push(Problem::new(message, "inferctl samples --flush"));
    }
    problems
}

/// What is wrong with a pipeline.
pub(crate) fn pipeline_problems(pipeline: &Pipeline, everything: &Everything) -> Vec<Problem> {
    state_problem(pipeline, everything).into_iter().chain(running_problems(pipeline)).collect()
}

fn state_problem(pipeline: &Pipeline, everything: &Everything) -> Option<Problem> {
    let Pipeline { name, state, reason, model, .. } = pipeline;
    let message = match state.as_str() {
        "failed" => format!("pipeline {name} has failed: {}", or_dash(reason)),
        "waiting" => format!("pipeline {name} waits: {}", or_dash(reason)),
        _ => return None,
    };
    let installed = everything.models.iter().find(|known| &known.name == model);
    let next = match installed {
        None => "inferctl install FILE.inferd".to_owned(),
        Some(known) if known.active.is_empty() => format!("inferctl activate {model} VERSION"),
        Some(_) if state == "failed" => format!("inferctl start {name}"),
        Some(_) => String::new(),
    };
    Some(Problem::new(message, next))
}

fn running_problems(pipeline: &Pipeline) -> Vec<Problem> {
    let Pipeline { name, counts, .. } = pipeline;
    let mut problems = Vec::new();
    if counts.runner_restarts > 0 {
        let times = counted(counts.runner_restarts, "time");
        let message = format!("the runner of {name} died or hung {times}");
        problems.push(Problem::new(message, "journalctl -u inferd -e"));
    }
    if counts.failed > 0 {
        let message = format!("{} of {name} failed", counted(counts.failed, "window"));
        problems.push(Problem::new(message, format!("inferctl watch {name}")));
    }
    if counts.dropped > 0 {
        let message = format!(
            "{name} dropped {} since it was started: its model, or what carries its source, is too slow",
            counted(counts.dropped, "frame")
        );
        problems.push(Problem::new(message, "inferctl top"));
    }
    if !["full", ""].contains(&pipeline.sandbox.as_str()) {
        let message = format!("the runner of {name} is confined only in part: {}", pipeline.sandbox);
        problems.push(Problem::new(message, ""));
    }
    problems
}

/// The newest job counts: what failed before it was tried again or given up.
fn last_job_problem(everything: &Everything) -> Option<Problem> {
    let job = everything.jobs.last()?;
    let error = job.error.as_ref()?;
    Some(Problem::new(format!("{} failed: {}", job.operation, error.message), "inferctl models"))
}

fn text(output: Output, report: &Report<'_>) -> String {
    let everything = report.everything;
    let title = format!("inferd {}", everything.version);
    let mut text = format!("{}: {}\n\n", output.paint(Paint::Strong, title), everything.status);
    text += &if everything.pipelines.is_empty() {
        pipelines::NONE.to_owned()
    } else {
        pipelines_table(output, &everything.pipelines)
    };
    text.push('\n');
    for job in everything.jobs.iter().filter(|job| job.state == "running") {
        text += &format!("job      {}: {} %, {}\n", job.operation, job.percent, job.step);
    }
    text += &format!("samples  {}\n", samples::summary(&everything.spool));
    text += &format!("metrics  {}\n", or_dash(&everything.metrics_address));
    text + &problems_text(output, report)
}

fn pipelines_table(output: Output, pipelines: &[Pipeline]) -> String {
    let header = [
        "PIPELINE",
        "STATE",
        "MODEL",
        "VERSION",
        "RATE",
        "P50",
        "P99",
        "WINDOWS",
        "EVENTS",
        "NORMAL",
        "UNCERTAIN",
        "FAILED",
    ];
    let rows = pipelines.iter().map(|pipeline| pipeline_row(output, pipeline)).collect();
    output.table(&header, &[4, 5, 6, 7, 8, 9, 10, 11], rows)
}

fn pipeline_row(output: Output, pipeline: &Pipeline) -> Vec<String> {
    let counts = &pipeline.counts;
    let decided = counts.events.saturating_add(counts.uncertain).saturating_add(counts.failed);
    vec![
        pipeline.name.clone(),
        pipelines::state(output, pipeline),
        pipeline.model.clone(),
        or_dash(&pipeline.version).to_owned(),
        per_second(counts.per_second),
        milliseconds(counts.latency_p50_ms),
        milliseconds(counts.latency_p99_ms),
        counts.windows.to_string(),
        counts.events.to_string(),
        counts.windows.saturating_sub(decided).to_string(),
        counts.uncertain.to_string(),
        counts.failed.to_string(),
    ]
}

fn problems_text(output: Output, report: &Report<'_>) -> String {
    if report.problems.is_empty() {
        let next = if report.everything.pipelines.is_empty() { "" } else { "\nnext: inferctl watch\n" };
        return next.to_owned();
    }
    let mut text = format!("\n{}\n", output.paint(Paint::Bad, "wrong:"));
    for problem in &report.problems {
        text += &format!("  {}\n", problem.message);
        if !problem.next.is_empty() {
            text += &format!("    next: {}\n", problem.next);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn status_as_text() {
        let everything = fixture::everything();
        insta::assert_snapshot!(text(Output::plain(), &Report::of(&everything)));
    }

    #[test]
    fn status_of_a_fresh_machine_as_text() {
        let everything = Everything { version: "0.1.0".into(), status: "nothing runs".into(), ..Everything::default() };
        insta::assert_snapshot!(text(Output::plain(), &Report::of(&everything)));
    }

    #[test]
    fn a_status_without_problems_says_what_to_look_at_next() {
        let mut everything = fixture::everything();
        everything.pipelines.truncate(1);
        everything.jobs.truncate(1);
        everything.spool.last_error.clear();
        everything.config_error.clear();
        everything.pending_sections.clear();
        insta::assert_snapshot!(text(Output::plain(), &Report::of(&everything)));
    }

    #[test]
    fn status_as_json() {
        let mut everything = fixture::everything();
        everything.models.clear();
        everything.spool.samples.clear();
        insta::assert_snapshot!(fixture::json(&Report::of(&everything)));
    }
}
