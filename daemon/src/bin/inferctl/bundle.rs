//! `bundle pack` and `bundle inspect`: no daemon is needed.

use std::path::Path;

use inferd::model::bundle::{self, Inspection, Packed};
use inferd_core::manifest::Manifest;
use serde_json::{Value, json};

use crate::cli::Bundle;
use crate::failure::Failure;
use crate::figures::{bytes, counted};
use crate::output::Output;

pub(crate) fn bundle(what: &Bundle, output: &Output) -> Result<(), Failure> {
    match what {
        Bundle::Pack { folder, output: file } => pack(folder, file.as_deref(), output),
        Bundle::Inspect { file } => inspect(file, output),
    }
}

fn pack(folder: &Path, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let packed = bundle::pack(folder, file).map_err(|error| failure(folder, &error))?;
    if !packed.left_out.is_empty() {
        output.remark(&format!("left out, as model.toml does not refer to it: {}", packed.left_out.join(", ")));
    }
    output.show(&packed_json(&packed), || {
        let (path, size) = (packed.path.display(), bytes(packed.packed_bytes));
        format!("{path}: {}, {size}\n\ninstall it: inferctl install {path}", title(&packed.manifest))
    })
}

fn packed_json(packed: &Packed) -> Value {
    let Packed { path, manifest, digest, packed_bytes, left_out } = packed;
    json!({"packed": {
        "path": path,
        "name": manifest.name,
        "version": manifest.version,
        "digest": digest.to_string(),
        "bytes": packed_bytes,
        "left_out": left_out,
    }})
}

fn inspect(file: &Path, output: &Output) -> Result<(), Failure> {
    let found = bundle::inspect(file).map_err(|error| failure(file, &error))?;
    output.show(&inspection_json(&found), || inspection_text(&found, *output))
}

fn inspection_json(found: &Inspection) -> Value {
    let Inspection { manifest, digest, files, packed_bytes } = found;
    let files: Vec<Value> = files
        .iter()
        .map(|file| json!({"path": file.path, "bytes": file.bytes, "sha256": file.digest.to_string()}))
        .collect();
    json!({"bundle": {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "licence": manifest.licence,
        "digest": digest.to_string(),
        "bytes": packed_bytes,
        "artifact": {"file": manifest.artifact.file, "format": manifest.artifact.format},
        "input_shape": manifest.input.shape,
        "golden": manifest.golden.len(),
        "files": files,
    }})
}

fn inspection_text(found: &Inspection, output: Output) -> String {
    let Inspection { manifest, digest, files, packed_bytes } = found;
    let mut text = format!("{}\n{}\n\n", title(manifest), manifest.description);
    text += &format!("digest   {digest}\n");
    text += &format!("licence  {}\n", manifest.licence);
    text += &format!("input    {}, {:?}\n", manifest.input.shape, manifest.input.dtype);
    text += &format!("golden   {}\n", counted(manifest.golden.len() as u64, "sample"));
    text += &format!("size     {}\n\n", bytes(*packed_bytes));
    let rows = files.iter().map(|file| vec![file.path.clone(), bytes(file.bytes), file.digest.short()]).collect();
    text + &output.table(&["FILE", "SIZE", "SHA-256"], &[1], rows)
}

fn title(manifest: &Manifest) -> String {
    format!("{} {}", manifest.name, manifest.version)
}

fn failure(path: &Path, error: &bundle::BundleError) -> Failure {
    Failure::failed(format!("{}: {}", path.display(), inferd::host::error::with_causes(error)))
}
