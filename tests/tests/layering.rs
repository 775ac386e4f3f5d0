//! Who may import whom: `bin -> app -> rooms -> host -> core`, `runner -> core`. The table is read from `ARCHITECTURE.md`.
//! A new pair is a decision: it is written there, with its reason, or not taken.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its figures"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What every room but `host` may import.
const GROUND: [&str; 2] = ["config", "host"];

/// A room, and one that it imports.
type Pair = (String, String);

/// What a package must not depend on, and why.
const FORBIDDEN: [(&str, &[&str], &str); 3] = [
    ("core", &["inferd", "inferd-runner", "inferd-tests", "tokio", "nix", "libc"], "core is plain values"),
    (
        "runner",
        &["inferd", "inferd-tests", "tokio", "zbus", "axum", "hyper", "reqwest"],
        "the runner is sealed: nothing in it may want a network, a bus or threads of its own",
    ),
    (
        "daemon",
        &["inferd-runner", "inferd-tests", "tract-onnx", "ort", "image", "zune-jpeg", "fast_image_resize", "realfft"],
        "the daemon parses no model and no picture: that happens behind the walls of the runner",
    ),
];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let sources = workspace().join("daemon/src");
    let allowed = table(&fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap());
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in sources_below(&sources) {
        let relative = file.strip_prefix(&sources).unwrap();
        let room = room_of(relative);
        // `app` may name every room, and `lib` declares them.
        if room == "app" || room == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let imports = if room == "bin" { library_imports(&text) } else { imports(&text, depth_of(relative)) };
        for import in imports {
            seen.insert((room.clone(), import.room.clone()));
            if !is_allowed(&allowed, &room, &import.room) {
                wrong.push(format!("daemon/src/{}:{}: {room} -> {}", relative.display(), import.line, import.room));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that ARCHITECTURE.md does not allow:\n{}", wrong.join("\n"));
    let stale: Vec<_> = allowed.difference(&seen).collect();
    assert!(stale.is_empty(), "pairs of the table that nobody uses: {stale:?}");
}

/// What plain values have no use for.
const NOT_IN_CORE: [&str; 8] =
    ["std::fs", "std::thread", "std::net", "std::os", "std::process", "std::env", "Instant::now", "SystemTime::now"];

#[test]
fn core_touches_nothing_outside_itself() {
    let sources = workspace().join("core/src");
    let mut wrong = Vec::new();
    for file in sources_below(&sources) {
        for (line, code) in program_lines(&fs::read_to_string(&file).unwrap()) {
            let found = NOT_IN_CORE.iter().filter(|word| code.contains(**word));
            wrong.extend(found.map(|word| format!("{}:{line}: {word}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "core is plain values and pure functions:\n{}", wrong.join("\n"));
}

#[test]
fn the_programs_and_the_shared_words_stand_apart() {
    let mut wrong = Vec::new();
    for (package, forbidden, why) in FORBIDDEN {
        let text = fs::read_to_string(workspace().join(package).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        assert!(!dependencies.is_empty(), "{package} has dependencies");
        for name in forbidden.iter().filter(|name| dependencies.contains_key(**name)) {
            wrong.push(format!("{package} -> {name}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::spool::{Id, Spool};\n\
                fn f() -> crate::config::Pipeline { super::super::judge::g() }\n\
                // crate::bus is only talked about\n\
                use inferd_core::Name;\n\
                use super::own;\n\
                #[cfg(test)]\n\
                mod tests {\n    use crate::upload;\n}\n\
                #[cfg(test)]\n\
                use crate::metrics::fake;\n\
                pub(in crate::app) fn g() {}\n";
    let found: Vec<_> = imports(text, 2).into_iter().map(|import| (import.line, import.room)).collect();
    let expected = [(1, "spool"), (2, "config"), (2, "judge"), (12, "app")];
    assert_eq!(found, expected.map(|(line, room)| (line, room.to_owned())));
    let program = "use inferd::bus::path;\nuse inferd_core::Name;\nuse crate::cli;\nfn f() { inferd::spool::g() }\n";
    let found: Vec<_> = library_imports(program).into_iter().map(|import| (import.line, import.room)).collect();
    assert_eq!(found, [(1, "bus".to_owned()), (4, "spool".to_owned())]);
}

fn is_allowed(allowed: &BTreeSet<Pair>, room: &str, import: &str) -> bool {
    room == import
        || (room != "host" && GROUND.contains(&import))
        || allowed.contains(&(room.to_owned(), import.to_owned()))
}

/// The pairs of the table below `| room | may import | why |`.
fn table(architecture: &str) -> BTreeSet<Pair> {
    let mut lines = architecture.lines().skip_while(|line| *line != "| room | may import | why |");
    assert!(lines.next().is_some(), "ARCHITECTURE.md has the table of imports");
    let mut pairs = BTreeSet::new();
    for row in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && !cells[2].is_empty(), "a room, its imports and why: {row}");
        pairs.extend(cells[1].split(", ").map(|import| (cells[0].to_owned(), import.to_owned())));
    }
    assert!(!pairs.is_empty(), "the table of imports has rows");
    pairs
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every source but those of tests.
fn sources_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        match () {
            () if stem == "tests" => {}
            () if path.is_dir() => found.extend(sources_below(&path)),
            () if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            () => {}
        }
    }
    found.sort_unstable();
    found
}

/// `capture/csv.rs` is in room `capture`, `judge.rs` in `judge`.
fn room_of(relative: &Path) -> String {
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// How many `super` lead from a file's module to the crate.
fn depth_of(relative: &Path) -> usize {
    relative.components().count() - usize::from(relative.ends_with("mod.rs"))
}

struct Import {
    line: usize,
    room: String,
}

/// Rooms that a source names, outside its tests and comments.
fn imports(text: &str, depth: usize) -> Vec<Import> {
    let to_crate = "super::".repeat(depth);
    let mut found = Vec::new();
    for (line, code) in program_lines(text) {
        for prefix in ["crate::", to_crate.as_str()] {
            found.extend(named_after(code, prefix).map(|room| Import { line, room }));
        }
    }
    found
}

/// Rooms that a program names: to it they are another crate's.
fn library_imports(text: &str) -> Vec<Import> {
    let named = |(line, code)| named_after(code, "inferd::").map(move |room| Import { line, room });
    program_lines(text).into_iter().flat_map(named).collect()
}

/// The identifiers that follow a prefix. A group (`crate::{a, b}`) gives an empty one, which no table allows.
fn named_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    code.match_indices(prefix).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let stands_alone = before.is_none_or(|letter| !is_word(letter) && letter != ':' && letter != '$');
        let rest = &code[at + prefix.len()..];
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        (stands_alone && !rest.starts_with("super::")).then(|| rest[..end].to_owned())
    })
}

/// Numbered lines without comments and without what `#[cfg(test)]` is written before. Formatted code ends an item either
/// with `;` on one line or with a brace at the item's own indentation.
fn program_lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = text.lines().enumerate();
    let mut kept = Vec::new();
    while let Some((index, line)) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            let indent = line.len() - line.trim_start().len();
            let ends = |line: &str| {
                let outside = line.len() - line.trim_start().len() == indent;
                outside && (line.ends_with(';') || line.ends_with('}'))
            };
            // Taken: everything up to the item's last line.
            let _ = lines.by_ref().find(|(_, line)| ends(line));
        } else if !line.trim_start().starts_with("//") {
            kept.push((index + 1, line));
        }
    }
    kept
}
