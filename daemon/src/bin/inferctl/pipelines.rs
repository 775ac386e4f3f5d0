//! `pipelines`, `start`, `stop`, `capture`.

use inferd::bus::path;
use inferd_core::Name;
use serde_json::json;
use zbus::DynamicType;

use crate::cli::Capture;
use crate::client::Client;
use crate::failure::Failure;
use crate::figures::{counted, or_dash};
use crate::output::{Output, Paint};
use crate::view::{Everything, Pipeline};

pub(crate) async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let pipelines = Everything::read(client).await?.pipelines;
    output.show(&json!({ "pipelines": pipelines }), || text(*output, &pipelines))
}

fn text(output: Output, pipelines: &[Pipeline]) -> String {
    if pipelines.is_empty() {
        return NONE.to_owned();
    }
    let header = ["PIPELINE", "STATE", "MODEL", "VERSION", "BACKEND", "SANDBOX", "RUNNER", "SOURCE"];
    let mut text = output.table(&header, &[], pipelines.iter().map(|pipeline| row(output, pipeline)).collect());
    for pipeline in pipelines.iter().filter(|pipeline| !pipeline.reason.is_empty()) {
        text += &format!("\n{}: {}\n", pipeline.name, pipeline.reason);
    }
    text
}

/// What to say where there is none.
pub(crate) const NONE: &str =
    "no pipelines are configured\n\nadd one to /etc/inferd/inferd.toml, then: inferctl reload\n";

fn row(output: Output, pipeline: &Pipeline) -> Vec<String> {
    let runner = if pipeline.runner_pid == 0 { "-".to_owned() } else { format!("pid {}", pipeline.runner_pid) };
    vec![
        pipeline.name.clone(),
        state(output, pipeline),
        pipeline.model.clone(),
        or_dash(&pipeline.version).to_owned(),
        or_dash(&pipeline.backend).to_owned(),
        or_dash(&pipeline.sandbox).to_owned(),
        runner,
        or_dash(&pipeline.source).to_owned(),
    ]
}

/// A pipeline's state in its colour.
pub(crate) fn state(output: Output, pipeline: &Pipeline) -> String {
    output.paint(colour(&pipeline.state), &pipeline.state)
}

/// The colour of a state.
pub(crate) fn colour(state: &str) -> Paint {
    match state {
        "running" => Paint::Good,
        "failed" => Paint::Bad,
        "waiting" | "starting" => Paint::Warn,
        _ => Paint::Faint,
    }
}

pub(crate) async fn start(client: &Client, output: &Output, name: &Name) -> Result<(), Failure> {
    call(client, name, "Start", &()).await?;
    output.show(&json!({ "started": name }), || format!("{name} is started; `inferctl watch {name}` shows outcomes"))
}

pub(crate) async fn stop(client: &Client, output: &Output, name: &Name) -> Result<(), Failure> {
    call(client, name, "Stop", &()).await?;
    // It answers when the pipeline has stopped, or when that takes long.
    let pipelines = Everything::read(client).await?.pipelines;
    let found = pipelines.iter().find(|pipeline| pipeline.name == name.as_str());
    let draining = found.is_some_and(|pipeline| ["running", "starting"].contains(&pipeline.state.as_str()));
    output.show(&json!({ "stopped": name, "draining": draining }), || match draining {
        false => format!("{name} is stopped"),
        true => format!(
            "{name} is being stopped: windows under way are served first; `inferctl pipelines` shows when it has"
        ),
    })
}

pub(crate) async fn capture(client: &Client, output: &Output, what: &Capture) -> Result<(), Failure> {
    let Capture { name, count } = what;
    call(client, name, "Capture", count).await?;
    output.show(&json!({"capturing": {"pipeline": name, "count": count}}), || {
        let windows = counted(u64::from(*count), "window");
        format!("the next {windows} of {name} will be kept; `inferctl samples` lists them")
    })
}

async fn call<B>(client: &Client, name: &Name, method: &str, body: &B) -> Result<(), Failure>
where
    B: serde::Serialize + DynamicType,
{
    let object = path::of_name(path::PIPELINES, name.as_str());
    client.call(&object, "Pipeline", method, body).await.map_err(|failure: Failure| {
        failure.where_absent(|| {
            Failure::failed(format!("there is no pipeline `{name}`")).hint("`inferctl pipelines` lists them")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn pipelines_as_text() {
        insta::assert_snapshot!(text(Output::plain(), &fixture::everything().pipelines));
    }

    #[test]
    fn pipelines_as_json() {
        insta::assert_snapshot!(fixture::json(&json!({ "pipelines": fixture::everything().pipelines[..1] })));
    }
}
