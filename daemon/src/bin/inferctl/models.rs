//! `models`, `install`, `activate`, `rollback`, `remove`.

use std::collections::HashMap;
use std::fs::File;

use inferd::bus::path;
use inferd_core::Name;
use serde_json::json;
use zbus::{Fd, OwnedObjectPath, Variant};

use crate::cli::{Activate, Install, OneVersion, Rollback};
use crate::client::Client;
use crate::failure::Failure;
use crate::figures::{bytes, or_dash};
use crate::job;
use crate::output::{Output, Paint};
use crate::view::{Everything, Model, Version};

type Options = HashMap<&'static str, Variant<'static>>;

pub(crate) async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let models = Everything::read(client).await?.models;
    output.show(&json!({ "models": models }), || text(*output, &models))
}

fn text(output: Output, models: &[Model]) -> String {
    if models.is_empty() {
        return "no models are installed\n\ninstall one: inferctl install FILE.inferd\n".to_owned();
    }
    let rows = models.iter().flat_map(|model| model.versions.iter().map(move |version| row(output, model, version)));
    let header = ["MODEL", "VERSION", "", "KIND", "TASK", "SIZE", "DIGEST", "DESCRIPTION"];
    output.table(&header, &[5], rows.collect())
}

fn row(output: Output, model: &Model, version: &Version) -> Vec<String> {
    let role = if version.version == model.active {
        output.paint(Paint::Good, "active")
    } else if version.version == model.previous {
        "previous".to_owned()
    } else {
        String::new()
    };
    let short_digest = version.digest.get(..12).unwrap_or(&version.digest).to_owned();
    vec![
        model.name.clone(),
        version.version.clone(),
        role,
        version.kind.clone(),
        version.task.clone(),
        bytes(version.bytes),
        short_digest,
        or_dash(&version.description).to_owned(),
    ]
}

pub(crate) async fn install(client: &Client, output: &Output, what: Install) -> Result<(), Failure> {
    let file = File::open(&what.file).map_err(|error| {
        Failure::failed(format!("cannot read {}: {error}", what.file.display()))
            .hint("`inferctl bundle pack FOLDER` makes a bundle of a folder with a model.toml")
    })?;
    let options = Options::from([("activate", what.activate.into())]);
    let job: OwnedObjectPath = client.call(path::ROOT, "Manager", "InstallModel", &(Fd::from(&file), options)).await?;
    job::finish(client, output, &job, what.wait).await
}

pub(crate) async fn activate(client: &Client, output: &Output, what: Activate) -> Result<(), Failure> {
    let Activate { what: OneVersion { name, version }, wait } = what;
    let body = (version.to_string(), Options::new());
    let job: OwnedObjectPath =
        client.call(&object(&name), "Model", "Activate", &body).await.map_err(|failure| explain(failure, &name))?;
    job::finish(client, output, &job, wait).await
}

pub(crate) async fn rollback(client: &Client, output: &Output, what: Rollback) -> Result<(), Failure> {
    let Rollback { name, wait } = what;
    let job: OwnedObjectPath = client
        .call(&object(&name), "Model", "Rollback", &(Options::new(),))
        .await
        .map_err(|failure| explain(failure, &name))?;
    job::finish(client, output, &job, wait).await
}

pub(crate) async fn remove(client: &Client, output: &Output, what: &OneVersion) -> Result<(), Failure> {
    let OneVersion { name, version } = what;
    let removed: Result<(), _> = client.call(&object(name), "Model", "Remove", &version.to_string()).await;
    removed.map_err(|failure| explain(failure, name))?;
    output.show(&json!({"removed": {"model": name, "version": version}}), || format!("{name} {version} is removed"))
}

fn object(name: &Name) -> OwnedObjectPath {
    path::of_name(path::MODELS, name.as_str())
}

fn explain(failure: Failure, name: &Name) -> Failure {
    failure.where_absent(|| {
        Failure::failed(format!("there is no model `{name}`")).hint("`inferctl models` lists what is installed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn models_as_text() {
        insta::assert_snapshot!(text(Output::plain(), &fixture::everything().models));
    }

    #[test]
    fn no_models_as_text() {
        insta::assert_snapshot!(text(Output::plain(), &[]));
    }

    #[test]
    fn models_as_json() {
        insta::assert_snapshot!(fixture::json(&json!({ "models": fixture::everything().models })));
    }
}
