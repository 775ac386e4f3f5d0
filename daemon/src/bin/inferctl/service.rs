//! `reload`.

use inferd::bus::path;
use serde_json::json;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::view::Everything;

pub(crate) async fn reload(client: &Client, output: &Output) -> Result<(), Failure> {
    let (): () = client.call(path::ROOT, "Manager", "Reload", &()).await?;
    let pending = Everything::read(client).await?.pending_sections;
    output.show(&json!({ "reloaded": true, "pending_sections": pending }), || text(&pending))
}

fn text(pending: &[String]) -> String {
    let read = "the configuration was read again and is in force";
    if pending.is_empty() {
        return read.to_owned();
    }
    format!("{read}, but for {}\nnext: sudo systemctl restart inferd", sections(pending))
}

/// Sections as they stand in the file.
pub(crate) fn sections(names: &[String]) -> String {
    let sections: Vec<String> = names.iter().map(|name| format!("[{name}]")).collect();
    sections.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_force_yet_is_named() {
        assert_eq!(text(&[]), "the configuration was read again and is in force");
        assert_eq!(
            text(&["metrics".into(), "upload".into()]),
            "the configuration was read again and is in force, but for [metrics], [upload]\n\
             next: sudo systemctl restart inferd"
        );
    }
}
