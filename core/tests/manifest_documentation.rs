//! `docs/manifest.md` says what the code reads: its examples parse, and it explains every key.

use std::fs;
use std::path::Path;

use inferd_core::manifest::{Kind, Manifest};

fn project_file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    assert!(path.is_file(), "{} is missing", path.display());
    fs::read_to_string(&path).expect("a file of the project can be read")
}

fn examples(text: &str) -> Vec<&str> {
    text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_documented_example_is_a_good_manifest() {
    let text = project_file("docs/manifest.md");
    let manifests: Vec<Manifest> = examples(&text)
        .into_iter()
        .map(|example| {
            Manifest::parse(example, &mut |_| Ok("glass\nbackground\n".into()))
                .unwrap_or_else(|problems| panic!("{problems:?}\nin\n{example}"))
        })
        .collect();
    for kind in [Kind::Image, Kind::Audio, Kind::Imu, Kind::Tensor] {
        assert!(manifests.iter().any(|manifest| manifest.kind() == kind), "no example for {}", kind.word());
    }
}

/// The tables of `raw.rs` and the heading under which each one's keys are explained.
const TABLES: [(&str, &str); 10] = [
    ("Manifest", "## Top level"),
    ("Artifact", "## `[artifact]`"),
    ("Input", "## `[input]`"),
    ("Image", "### `[input.image]`"),
    ("Audio", "### `[input.audio]`"),
    ("Imu", "### `[input.imu]`"),
    ("Output", "## `[output]`"),
    ("Boxes", "### `[output.boxes]`"),
    ("Decision", "## `[decision]`"),
    ("Golden", "## `[[golden]]`"),
];

#[test]
fn every_key_is_explained() {
    let (text, source) = (project_file("docs/manifest.md"), project_file("core/src/manifest/raw.rs"));
    let structs: Vec<(&str, Vec<&str>)> = source.split("pub(super) struct ").skip(1).map(fields).collect();
    assert_eq!(structs.len(), TABLES.len(), "a struct of raw.rs has no heading in TABLES");
    for (name, keys) in structs {
        let heading = TABLES.iter().find(|(table, _)| *table == name).map(|(_, heading)| *heading);
        let heading = heading.unwrap_or_else(|| panic!("the struct {name} of raw.rs has no heading in TABLES"));
        let part = section(&text, heading);
        assert!(!keys.is_empty(), "{name}");
        for key in keys {
            assert!(part.contains(&format!("| `{key}` |")), "docs/manifest.md, {heading}: `{key}` is not explained");
        }
    }
    for key in ["length", "hop"] {
        assert!(section(&text, "## `[window]`").contains(&format!("| `{key}` |")), "`window.{key}` is not explained");
    }
}

/// The name and the fields of a struct whose declaration `text` begins with.
fn fields(text: &str) -> (&str, Vec<&str>) {
    let (name, rest) = text.split_once(" {").expect("a struct with fields");
    let body = rest.split("\n}").next().unwrap_or_default();
    let names = body.lines().filter_map(|line| line.trim().strip_prefix("pub(super) ")?.split(':').next());
    (name, names.collect())
}

/// The text under a heading, up to the next one.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let body = text.split_once(&format!("\n{heading}\n")).map(|(_, body)| body);
    assert!(body.is_some(), "docs/manifest.md lacks {heading}");
    let body = body.unwrap_or_default();
    let end = ["\n## ", "\n### "].iter().filter_map(|next| body.find(next)).min().unwrap_or(body.len());
    &body[..end]
}
