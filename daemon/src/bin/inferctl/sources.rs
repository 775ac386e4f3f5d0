//! `sources`.

use inferd::bus::path;
use serde::Serialize;
use serde_json::json;

use crate::client::{Client, Values};
use crate::failure::Failure;
use crate::output::{Output, Paint};
use crate::view::Taken;

/// A device that is attached.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Source {
    pub(crate) kind: String,
    pub(crate) device: String,
    pub(crate) name: String,
    pub(crate) place: String,
    pub(crate) formats: Vec<String>,
    pub(crate) problem: String,
    pub(crate) source: String,
}

pub(crate) async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let sources = Source::all(client).await?;
    output.show(&json!({ "sources": sources }), || text(*output, &sources))
}

impl Source {
    /// What is attached.
    pub(crate) async fn all(client: &Client) -> Result<Vec<Self>, Failure> {
        let listed: Vec<Values> = client.call(path::ROOT, "Manager", "ListSources", &()).await?;
        listed.into_iter().map(|values| Self::take(Taken(values))).collect()
    }

    fn take(mut from: Taken) -> Result<Self, Failure> {
        Ok(Self {
            kind: from.take("kind")?,
            device: from.take("device")?,
            name: from.take("name")?,
            place: from.take("place")?,
            formats: from.take("formats")?,
            problem: from.take("problem")?,
            source: from.take("source")?,
        })
    }
}

fn text(output: Output, sources: &[Source]) -> String {
    if sources.is_empty() {
        return NONE.to_owned();
    }
    sources.iter().map(|source| paragraph(output, source)).collect::<Vec<_>>().join("\n")
}

const NONE: &str = "no camera, microphone or sensor of motion is attached\n\n\
                    what another program reads comes in by kind = \"command\": /usr/share/doc/inferd/sources.md\n";

fn paragraph(output: Output, source: &Source) -> String {
    let place = if source.place.is_empty() { String::new() } else { format!(", {}", source.place) };
    let title = output.paint(Paint::Strong, format!("{} {}", source.kind, source.device));
    let mut text = format!("{title}  {}{place}\n", source.name);
    for format in &source.formats {
        text += &format!("  {format}\n");
    }
    if !source.problem.is_empty() {
        text += &format!("  {}\n", output.paint(Paint::Warn, &source.problem));
    }
    if !source.source.is_empty() {
        text += &format!("\n    [pipelines.NAME]\n    model = \"MODEL\"\n    source = {}\n", source.source);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_as_text() {
        let camera = Source {
            kind: "camera".into(),
            device: "/dev/video0".into(),
            name: "UVC Camera (046d:0825)".into(),
            place: "usb-0000:00:14.0-1".into(),
            formats: vec![
                "YUYV 160x120 to 1280x960, up to 30 fps".into(),
                "MJPG 160x120 to 1280x960, up to 30 fps".into(),
            ],
            problem: String::new(),
            source: "{ kind = \"camera\", device = \"/dev/v4l/by-id/usb-046d_0825-video-index0\" }".into(),
        };
        let refused = Source {
            kind: "microphone".into(),
            device: "hw:CARD=Device,DEV=0".into(),
            name: "USB Audio Device".into(),
            problem: "inferd may not open /dev/snd/pcmC1D0c, which is for the group audio".into(),
            ..Source::default()
        };
        insta::assert_snapshot!(text(Output::plain(), &[camera, refused]));
        insta::assert_snapshot!(text(Output::plain(), &[]));
    }
}
