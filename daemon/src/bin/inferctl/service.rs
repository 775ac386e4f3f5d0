//! `reload`.

use inferd::bus::path;
use serde_json::json;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn reload(client: &Client, output: &Output) -> Result<(), Failure> {
    let (): () = client.call(path::ROOT, "Manager", "Reload", &()).await?;
    output.show(&json!({ "reloaded": true }), || "the configuration was read again and is in force".to_owned())
}
