//! `samples`.

use inferd::bus::path;
use serde_json::json;

use crate::cli::Samples;
use crate::client::Client;
use crate::failure::Failure;
use crate::figures::{bytes, counted, or_dash};
use crate::output::{Output, Paint};
use crate::view::{Everything, Sample, Spool};

pub(crate) async fn samples(client: &Client, output: &Output, what: &Samples) -> Result<(), Failure> {
    if what.flush {
        let (): () = client.call(path::SPOOL, "Spool", "Flush", &()).await?;
        return output.show(&json!({ "flushing": true }), || {
            "uploads are tried now; `inferctl samples` shows what is left".to_owned()
        });
    }
    if let Some(id) = &what.discard {
        let (): () = client.call(path::SPOOL, "Spool", "Discard", id).await?;
        return output.show(&json!({ "discarded": id }), || format!("sample {id} is deleted"));
    }
    let spool = Everything::read(client).await?.spool;
    output.show(&json!({ "spool": spool }), || text(*output, &spool))
}

fn text(output: Output, spool: &Spool) -> String {
    let mut text = String::new();
    if !spool.samples.is_empty() {
        let header = ["ID", "PIPELINE", "TIME", "LABEL", "CONFIDENCE", "SIZE", "REASON"];
        text += &output.table(&header, &[4, 5], spool.samples.iter().map(row).collect());
        text.push('\n');
    }
    text += &summary(spool);
    text.push('\n');
    if !spool.last_error.is_empty() {
        text += &output.paint(Paint::Bad, format!("the last upload failed: {}", spool.last_error));
        text += "\ntry again now: inferctl samples --flush\n";
    }
    text
}

/// How many there are, in a line.
pub(crate) fn summary(spool: &Spool) -> String {
    let waiting = if spool.pending == 0 {
        "none waits".to_owned()
    } else {
        format!("{} ({})", counted(spool.pending, "waiting sample"), bytes(spool.bytes))
    };
    format!("{waiting}, {} uploaded, {} dropped since the start", spool.uploaded, spool.dropped)
}

fn row(sample: &Sample) -> Vec<String> {
    vec![
        sample.id.clone(),
        sample.pipeline.clone(),
        sample.time.clone(),
        or_dash(&sample.label).to_owned(),
        format!("{:.3}", sample.confidence),
        bytes(sample.bytes),
        sample.reason.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn samples_as_text() {
        insta::assert_snapshot!(text(Output::plain(), &fixture::everything().spool));
    }

    #[test]
    fn no_samples_as_text() {
        insta::assert_snapshot!(text(Output::plain(), &Spool::default()));
    }

    #[test]
    fn samples_as_json() {
        insta::assert_snapshot!(fixture::json(&json!({ "spool": fixture::everything().spool })));
    }
}
