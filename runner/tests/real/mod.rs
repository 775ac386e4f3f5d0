//! Real models and recordings by others, which lie beside the workspace or nowhere.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use inferd_core::manifest::Manifest;

/// The folder, or `None` (said loudly) where it is absent.
pub(crate) fn realdata() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/realdata");
    let folder = std::env::var_os("INFERD_REALDATA").map_or(beside, PathBuf::from);
    if folder.join("INDEX.md").is_file() {
        return Some(folder);
    }
    // Written directly: what `eprintln!` prints is captured, and shown of failing tests only.
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: no real models and recordings at {} ***\n", folder.display());
    None
}

/// A manifest for `model`, with everything but its input and output filled in.
pub(crate) fn manifest(model: &str, body: &str) -> Manifest {
    let text = format!(
        "format = 1\nname = \"real\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\n[artifact]\nfile = \"{model}\"\n{body}"
    );
    Manifest::parse(&text, &mut |_| Err("no files".into())).unwrap()
}

/// The manifest of `image/vww_float.onnx` below its head; whole-system tests use the same files.
pub(crate) const VWW: &str = include_str!("../../../tests/fixtures/realdata/vww_float.toml");
