//! The file: a tar of one folder, compressed by zstd.
//!
//! Invariants: mode 0600 from its first byte; nothing that is there is replaced, no link is followed; one that could not be
//! written is removed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use tar::{Builder, Header};
use zstd::Encoder;

use super::parts::Part;
use crate::failure::Failure;

/// What says what is in the bundle.
const CONTENTS: &str = "CONTENTS.txt";

/// Makes the file, empty.
pub(super) fn create(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::failed(format!("{} is there already", path.display()))
            .hint("name a file that is not there with --output"),
        _ => Failure::failed(format!("cannot make {}: {error}", path.display()))
            .hint("name a file in a folder that you may write to with --output"),
    })
}

/// Writes all parts; gives the file's size in bytes.
pub(super) fn write(file: File, path: &Path, title: &str, parts: &[Part]) -> Result<u64, Failure> {
    pack(file, title, parts).map_err(|error| {
        // Half a bundle helps nobody.
        let _ = std::fs::remove_file(path);
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    })
}

fn pack(file: File, title: &str, parts: &[Part]) -> io::Result<u64> {
    let compressed = Encoder::new(BufWriter::new(file), zstd::DEFAULT_COMPRESSION_LEVEL)?;
    let mut archive = Builder::new(compressed);
    add(&mut archive, title, CONTENTS, &contents(parts))?;
    for part in parts {
        if let Ok(content) = &part.content {
            add(&mut archive, title, part.name, &content.text)?;
        }
    }
    let mut buffered = archive.into_inner()?.finish()?;
    buffered.flush()?;
    let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn add(archive: &mut Builder<impl io::Write>, title: &str, name: &str, text: &str) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or_default());
    archive.append_data(&mut header, format!("{title}/{name}"), text.as_bytes())
}

/// A line a part.
fn contents(parts: &[Part]) -> String {
    let mut text = "What is in here, what was cut, and why what is not here could not be had.\n\n".to_owned();
    for part in parts {
        let said = match &part.content {
            Ok(content) => format!("{} bytes  {}", content.text.len(), content.remark()),
            Err(why) => format!("not here: {why}"),
        };
        text += format!("{:<22}{said}", part.name).trim_end();
        text.push('\n');
    }
    text
}
