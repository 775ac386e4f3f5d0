//! `support-bundle`: one file with what whoever helps needs to know of this device.
//!
//! Invariants:
//! - No secrets, no samples, no pictures, no outcomes: every part goes through [`redact`], and files of secrets are never
//!   opened.
//! - Each part is at most [`MAX_PART_BYTES`] and takes at most [`PART_WITHIN`]; what was cut and what could not be had is said in
//!   the bundle and on the screen.
//! - The file is for its owner only, and never replaces another.

mod archive;
mod parts;
mod redact;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::cli::BusKind;
use crate::doctor::gather::{self, Subject};
use crate::failure::Failure;
use crate::figures::bytes;
use crate::output::{Output, Paint};
use parts::Part;

/// Of one part, after secrets were taken out.
const MAX_PART_BYTES: usize = 2 << 20;

/// Of one part; all that doctor looks at is one.
const PART_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct SupportBundle {
    /// The file to make; inferd-support-HOST-TIME.tar.zst here where it is not given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The configuration; conf.d beside it and the environment are read too
    #[arg(long, default_value = "/etc/inferd/inferd.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

pub(crate) async fn make(what: &SupportBundle, bus: BusKind, output: &Output) -> Result<(), Failure> {
    let title = title();
    let path = what.output.clone().unwrap_or_else(|| format!("{title}.tar.zst").into());
    let path = std::path::absolute(&path)
        .map_err(|error| Failure::failed(format!("cannot use {}: {error}", path.display())))?;
    // Before all the work: the name may be taken, or the folder not ours.
    let file = archive::create(&path)?;
    let subject = Subject { bus, config: &what.config, own_user: bus == BusKind::Session };
    let facts = gather::gather(subject).await;
    let parts = parts::all(&facts).await;
    let size = archive::write(file, &path, &title, &parts)?;
    show(*output, &path, size, &parts)
}

/// What the folder in it is called.
fn title() -> String {
    let host = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    format!("inferd-support-{}-{time}", if plain.is_empty() { "device" } else { &plain })
}

fn show(output: Output, path: &Path, size: u64, parts: &[Part]) -> Result<(), Failure> {
    let listed: Vec<_> = parts.iter().map(Part::as_json).collect();
    let json = json!({"support_bundle": {"path": path, "bytes": size, "parts": listed}});
    output.show(&json, || text(output, path, size, parts))
}

fn text(output: Output, path: &Path, size: u64, parts: &[Part]) -> String {
    let rows = parts.iter().map(|part| row(output, part)).collect();
    let table = output.table(&["PART", "SIZE", ""], &[1], rows);
    let path = output.paint(Paint::Strong, path.display());
    format!(
        "{table}\n{path} ({}), readable by you only\n\n\
         secrets were taken out; look into it before you pass it on: tar --zstd -tf FILE\n",
        bytes(size)
    )
}

fn row(output: Output, part: &Part) -> Vec<String> {
    let (size, remark) = match &part.content {
        Ok(content) => (bytes(content.text.len() as u64), content.remark()),
        Err(why) => ("-".to_owned(), output.paint(Paint::Warn, why)),
    };
    vec![part.name.to_owned(), size, remark]
}

#[cfg(test)]
mod tests;
