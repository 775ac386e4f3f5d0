//! What documents say of the code, of each other and of the programs is so. What only a reader can judge is left to them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use inferd_tests::rig::program;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file and folder of the checkout, from its root; without what is built and what is hidden.
fn checkout() -> Vec<String> {
    let root = workspace();
    let (mut found, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            found.push(format!("/{}", path.strip_prefix(&root).unwrap().display()));
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

/// Texts between single back-ticks, outside blocks of code.
fn back_ticked(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// Whether a back-ticked text is the path of a file or folder of the project.
fn is_path(text: &str) -> bool {
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    let file = [".rs", ".md", ".toml", ".xml", ".py"].iter().any(|ending| text.ends_with(ending));
    plain && !text.starts_with('/') && (text.contains('/') || file)
}

/// What inferd writes on a device, or reads there.
const ON_DEVICE: [&str; 3] = ["inferd.toml", "model.toml", "incoming/"];

/// A proof is looked up, so its path is whole. Prose leaves out what it has said before: `images.rs`, `host/frames.rs`.
#[test]
fn every_path_that_a_document_names_exists() {
    let checkout = checkout();
    let mut wrong = Vec::new();
    for (name, is_prose) in [("docs/PROMISES.md", false), ("ARCHITECTURE.md", true)] {
        let text = document(name);
        let paths: BTreeSet<&str> = back_ticked(&text).into_iter().filter(|text| is_path(text)).collect();
        assert!(paths.len() > 10, "{name} names {paths:?}");
        for path in paths.into_iter().filter(|path| !ON_DEVICE.contains(path)) {
            let named = format!("/{}", path.trim_end_matches('/'));
            let exists = checkout.iter().any(|there| if is_prose { there.ends_with(&named) } else { *there == named });
            if !exists {
                wrong.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn architecture_says_why_each_crate_is_here() {
    let manifest: toml::Table = document("Cargo.toml").parse().unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let used: BTreeSet<&str> =
        dependencies.iter().filter(|(_, is)| is.get("path").is_none()).map(|(name, _)| &**name).collect();
    let text = document("ARCHITECTURE.md");
    let rows =
        text.lines().skip_while(|line| *line != "| crate | for |").skip(2).take_while(|line| line.starts_with('|'));
    let cells: Vec<String> = rows.map(|row| without_brackets(row.split('|').nth(1).unwrap())).collect();
    let told: BTreeSet<&str> = cells.iter().flat_map(|cell| cell.split(',')).map(str::trim).collect();
    assert_eq!(told, used, "left: the table of crates in ARCHITECTURE.md; right: Cargo.toml");
}

/// `image (PNG, BMP)` is `image`.
fn without_brackets(cell: &str) -> String {
    cell.split('(').map(|part| part.rsplit(')').next().unwrap_or_default()).collect()
}

/// A page without its markup: fonts, and hyphens that are minus signs.
fn manual(name: &str) -> String {
    let mut text = document(&format!("packaging/man/{name}"));
    for markup in ["\\fB", "\\fI", "\\fR", "\\&", "\\"] {
        text = text.replace(markup, "");
    }
    text
}

/// Commands and long options, as the program itself lists them: `bundle pack`, `bundle pack --output`.
fn of_inferctl() -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![Vec::<String>::new()]);
    while let Some(command) = open.pop() {
        let output = Command::new(program("inferctl")).args(&command).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        for option in long_options(&help) {
            found.insert([&command[..], &[option]].concat().join(" "));
        }
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        for name in
            commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty())
        {
            if name != "help" {
                let longer = [&command[..], &[name.to_owned()]].concat();
                found.insert(longer.join(" "));
                open.push(longer);
            }
        }
    }
    found
}

fn long_options(help: &str) -> Vec<String> {
    let words = help.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(str::split_whitespace);
    words.filter(|word| word.starts_with("--")).map(|word| word.trim_matches([',', '[', ']']).to_owned()).collect()
}

#[test]
fn both_pages_of_inferctl_have_every_command_and_option() {
    let all = of_inferctl();
    for known in ["bundle pack --output", "capture", "install --activate", "watch --count", "--bus"] {
        assert!(all.contains(known), "the help was not understood: {all:?}");
    }
    let mut wrong = Vec::new();
    for (page, text) in [("inferctl.1", manual("inferctl.1")), ("docs/inferctl.md", document("docs/inferctl.md"))] {
        for one in &all {
            let (command, option) =
                one.split_once("--").map_or((&**one, None), |(command, option)| (command.trim(), Some(option)));
            let general = ["help", "version", "json", "bus"];
            let there = match option {
                // What every command has is told once.
                Some(option) if general.contains(&option) => {
                    general[..2].contains(&option) || text.contains(&format!("--{option}"))
                }
                Some(option) => has_option(&text, command, option),
                None => command == "bundle" || has_entry(&text, command),
            };
            if !there {
                wrong.push(format!("{page} lacks {one}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A row of a table, or an entry of a manual page.
fn has_entry(text: &str, command: &str) -> bool {
    let begins = |line: &str| {
        let Some((markup, rest)) = line.split_once(' ') else { return false };
        let entry = rest.trim_start_matches('"').strip_prefix(command);
        markup.starts_with(".B") && entry.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    text.contains(&format!("`{command}`")) || text.contains(&format!("`{command} ")) || text.lines().any(begins)
}

/// Whether an entry of that command, up to the next one, names the option; short ones may stand for long ones.
fn has_option(text: &str, command: &str, option: &str) -> bool {
    let short = if option == "output" { "-o" } else { "--" };
    let entries = text.match_indices(command).map(|(at, _)| {
        let rest = &text[at..];
        let end = ["\n.TP", "\n.SS", "\n|"].iter().filter_map(|next| rest.find(next)).min().unwrap_or(rest.len());
        &rest[..end]
    });
    entries.into_iter().any(|entry| entry.contains(&format!("--{option}")) || (short == "-o" && entry.contains("-o")))
}

/// Keys by the table in which they are, from the tables of a Markdown page: the heading without marks and back-ticks.
fn keys_of_page(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    let (mut heading, mut is_table) = (String::new(), false);
    for line in text.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches(['#', ' ']).replace('`', "");
        }
        is_table = line.starts_with("| key |") || (is_table && line.starts_with('|'));
        if let Some(key) = line.strip_prefix("| `").filter(|_| is_table) {
            found.entry(heading.clone()).or_default().push(key.split('`').next().unwrap().to_owned());
        }
    }
    found
}

/// The same from a manual page: `.SS` is a heading, `.TP` and `.B` begin a key.
fn keys_of_manual(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    let (mut heading, mut previous) = (String::new(), "");
    for line in text.lines() {
        if let Some(title) = line.strip_prefix(".SS ") {
            title.clone_into(&mut heading);
        }
        if let Some(key) = line.strip_prefix(".B ").filter(|_| previous == ".TP" && !heading.is_empty()) {
            found.entry(heading.clone()).or_default().push(key.to_owned());
        }
        previous = line;
    }
    found
}

#[test]
fn the_manual_pages_of_both_files_have_the_keys_of_their_documents() {
    for (page, manual_page) in [("docs/manifest.md", "inferd-manifest.5"), ("docs/configuration.md", "inferd.toml.5")] {
        let text = manual(manual_page);
        let told: BTreeMap<_, _> = keys_of_page(&document(page))
            .into_iter()
            .map(|(heading, keys)| (heading.replace("pipelines.*", "pipelines.NAME"), keys))
            .collect();
        assert!(told.len() > 7, "{page} has tables: {told:?}");
        assert_eq!(keys_of_manual(&text), told, "left: {manual_page}; right: {page}");
        // What converting from Markdown leaves behind.
        for debris in ["](", "`", "**", "^"] {
            assert!(!text.contains(debris), "{manual_page} has `{debris}`");
        }
    }
}
