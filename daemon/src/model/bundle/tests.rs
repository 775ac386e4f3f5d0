use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::model::fixture::{self, FILES, archive, compress, file, good, packed_manifest, put};
use crate::model::hashing::digest_of;

const MAX_BYTES: u64 = 1 << 20;

fn unpacked(bundle: &[u8]) -> Result<Unpacked, BundleError> {
    unpack(bundle, tempfile::tempdir().unwrap().path(), MAX_BYTES)
}

/// The name of the error's variant, and its text.
fn refusal(bundle: &[u8]) -> (&'static str, String) {
    let error = unpacked(bundle).expect_err("must be refused");
    let variant = match &error {
        BundleError::NotABundle(_) => "NotABundle",
        BundleError::Manifest(_) => "Manifest",
        BundleError::DigestMismatch { .. } => "DigestMismatch",
        BundleError::Unlisted(_) => "Unlisted",
        BundleError::Missing(_) => "Missing",
        BundleError::Duplicate(_) => "Duplicate",
        BundleError::Unsafe { .. } => "Unsafe",
        BundleError::TooLarge(_) => "TooLarge",
        BundleError::Io(_) => "Io",
    };
    (variant, error.to_string())
}

#[test]
fn what_was_packed_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fixture::folder(&source, "1.0.0");
    put(&source.join("notes/todo.txt"), b"not for shipping");
    let packed = pack(&source, Some(&folder.path().join("out.inferd"))).unwrap();
    assert_eq!(packed.left_out, ["notes/todo.txt"]);

    let into = folder.path().join("into");
    fs::create_dir(&into).unwrap();
    let unpacked = unpack(fs::File::open(&packed.path).unwrap(), &into, MAX_BYTES).unwrap();
    assert_eq!(unpacked.manifest, packed.manifest);
    assert_eq!(unpacked.manifest.output.labels, ["belt", "empty"]);
    assert_eq!(unpacked.digest, packed.digest);
    assert_eq!(unpacked.digest, digest_of(&fs::read(into.join("model.toml")).unwrap()));
    assert_eq!(unpacked.bytes, FILES.iter().map(|(_, content)| content.len() as u64).sum::<u64>());
    for (path, content) in FILES {
        assert_eq!(fs::read(into.join(path)).unwrap(), content, "{path}");
        assert_eq!(fs::metadata(into.join(path)).unwrap().permissions().mode() & 0o777, 0o444, "{path}");
    }
    assert_eq!(
        fixture::tree(&into),
        ["golden", "golden/a.npy", "golden/a.png", "labels.txt", "model.onnx", "model.toml"]
    );
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let packed = |source: &Path, name: &str| {
        let packed = pack(source, Some(&folder.path().join(name))).unwrap();
        fs::read(packed.path).unwrap()
    };
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fixture::folder(&one, "1.0.0");
    let first = packed(&one, "1.inferd");
    fixture::folder(&two, "1.0.0");
    let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::open(two.join("model.onnx")).unwrap().set_modified(an_hour_ago).unwrap();
    fs::set_permissions(two.join("labels.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(packed(&two, "2.inferd"), first);

    let again = folder.path().join("again");
    fs::create_dir(&again).unwrap();
    unpack(first.as_slice(), &again, MAX_BYTES).unwrap();
    assert_eq!(packed(&again, "3.inferd"), first, "a `[files]` table from before is replaced");
}

#[test]
fn the_archive_is_what_the_documentation_says() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = fixture::bundle(folder.path(), "1.0.0");
    let mut archive = tar::Archive::new(zstd::Decoder::new(fs::File::open(bundle).unwrap()).unwrap());
    let mut paths = Vec::new();
    for entry in archive.entries().unwrap().raw(true) {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (0o644, 0));
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if path == MANIFEST {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert_eq!(text, packed_manifest("1.0.0", &FILES));
        }
        paths.push(path);
    }
    assert_eq!(paths, ["model.toml", "golden/a.npy", "golden/a.png", "labels.txt", "model.onnx"]);
}

#[test]
fn a_bundle_made_by_hand_as_documented_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    fixture::folder(folder.path(), "1.0.0");
    put(&folder.path().join(MANIFEST), packed_manifest("1.0.0", &FILES).as_bytes());
    let archived = std::process::Command::new("tar")
        .args(["--format=ustar", "-cf", "-", "model.toml", "labels.txt", "model.onnx", "golden/a.npy", "golden/a.png"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    unpacked(&compress(&archived.stdout)).unwrap();
}

#[test]
fn inspection_shows_what_unpacking_would_give() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = fixture::bundle(folder.path(), "1.0.0");
    let seen = inspect(&bundle).unwrap();
    assert_eq!(seen.digest, unpacked(&fs::read(&bundle).unwrap()).unwrap().digest);
    assert_eq!(seen.packed_bytes, fs::metadata(&bundle).unwrap().len());
    let listed: Vec<_> = seen.files.iter().map(|file| (file.path.as_str(), file.bytes, file.digest)).collect();
    let expected = FILES.map(|(path, content)| (path, content.len() as u64, digest_of(content)));
    assert_eq!(listed, expected);
}

#[test]
fn a_truncated_bundle_is_refused_at_every_length() {
    let bundle = compress(&archive(&good()));
    unpacked(&bundle).unwrap();
    for length in 0..bundle.len() {
        let (variant, text) = refusal(&bundle[..length]);
        assert_eq!(variant, "NotABundle", "{length}: {text}");
    }
}

#[test]
fn a_flipped_byte_in_any_file_is_named() {
    for index in 1..good().len() {
        let length = good()[index].content.len();
        for position in [0, length / 2, length - 1] {
            let mut entries = good();
            entries[index].content[position] ^= 0x10;
            let path = String::from_utf8(entries[index].path.clone()).unwrap();
            let (variant, text) = refusal(&compress(&archive(&entries)));
            assert_eq!(variant, "DigestMismatch", "{text}");
            assert!(text.contains(&format!("`{path}` has SHA-256 {}", digest_of(&entries[index].content))), "{text}");
        }
    }
}

#[test]
fn a_flipped_byte_of_the_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = fs::read(fixture::bundle(folder.path(), "1.0.0")).unwrap();
    for position in 0..bundle.len() {
        let mut damaged = bundle.clone();
        damaged[position] ^= 0x01;
        // Some bits of a zstd header mean nothing (reserved, a wider window): then the content is the same.
        if let Ok(unpacked) = unpacked(&damaged) {
            assert_eq!(unpacked.digest, digest_of(packed_manifest("1.0.0", &FILES).as_bytes()), "{position}");
        }
    }
}

/// A good bundle with one change, and how it must be refused.
type Case = (&'static str, fn(&mut Vec<fixture::Entry>), &'static str, &'static str);

#[test]
fn every_tampered_archive_is_refused_by_name() {
    let cases: [Case; 16] = [
        ("added", |all| all.push(file("extra.bin", b"x")), "Unlisted", "`extra.bin` is not listed"),
        ("removed", |all| drop(all.pop()), "Missing", "`model.onnx` is missing"),
        ("renamed", |all| all[4].path = b"model2.onnx".to_vec(), "Unlisted", "`model2.onnx`"),
        ("twice", |all| all.push(file("labels.txt", b"belt\nempty\n")), "Duplicate", "`labels.txt` is there twice"),
        ("two manifests", |all| all.push(file("model.toml", b"")), "Duplicate", "`model.toml`"),
        ("manifest late", |all| all.swap(0, 1), "NotABundle", "its first file is `golden/a.npy`"),
        ("empty", Vec::clear, "NotABundle", "it is empty"),
        ("symlink", |all| all[4].kind = tar::EntryType::Symlink, "Unsafe", "only plain files"),
        ("hard link", |all| all[4].kind = tar::EntryType::Link, "Unsafe", "only plain files"),
        ("device", |all| all[4].kind = tar::EntryType::Char, "Unsafe", "only plain files"),
        ("folder", |all| all[4].kind = tar::EntryType::Directory, "Unsafe", "only plain files"),
        ("long name", |all| all[4].kind = tar::EntryType::GNULongName, "Unsafe", "only plain files"),
        ("pax", |all| all[4].kind = tar::EntryType::XHeader, "Unsafe", "only plain files"),
        ("sparse", |all| all[4].kind = tar::EntryType::GNUSparse, "Unsafe", "only plain files"),
        ("escape", |all| all.push(file("../escaped", b"x")), "Unsafe", "`../escaped` is refused"),
        ("absolute", |all| all.push(file("/etc/cron.d/x", b"x")), "Unsafe", "`/etc/cron.d/x` is refused"),
    ];
    for (name, change, expected, words) in cases {
        let mut entries = good();
        change(&mut entries);
        let (variant, text) = refusal(&compress(&archive(&entries)));
        assert_eq!(variant, expected, "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
    }
}

#[test]
fn a_manifest_that_lists_what_could_do_harm_is_refused() {
    let listing = |files: &[(&str, &[u8])]| {
        let mut entries = vec![file(MANIFEST, packed_manifest("1.0.0", files).as_bytes())];
        entries.extend(files.iter().map(|(path, content)| file(path, content)));
        refusal(&compress(&archive(&entries)))
    };
    for (path, words) in [
        ("../escaped", "plain ASCII names"),
        ("/etc/cron.d/x", "plain ASCII names"),
        ("a//b", "plain ASCII names"),
        ("a/./b", "plain ASCII names"),
        ("a\\\\b", "plain ASCII names"),
        ("model.toml", "kept for inferd"),
        ("model.toml.sha256", "kept for inferd"),
        ("model.onnx/inside", "has the name of the folder"),
    ] {
        let mut files = FILES.to_vec();
        files.push((path, b"x"));
        let (variant, text) = listing(&files);
        assert_eq!(variant, "Unsafe", "{path}: {text}");
        assert!(text.contains(words), "{path}: {text}");
    }
    let (variant, text) = listing(&FILES[..3]);
    assert_eq!((variant, text.contains("`model.onnx` is missing")), ("Missing", true), "{text}");
    let (variant, text) = listing(&[]);
    assert_eq!((variant, text.contains("[files]")), ("Manifest", true), "{text}");
}

#[test]
fn a_wrong_manifest_is_refused_with_its_line() {
    let text = packed_manifest("1.0.0", &FILES).replace("licence = \"MIT\"", "license = \"MIT\"");
    let mut entries = good();
    entries[0].content = text.into_bytes();
    let (variant, text) = refusal(&compress(&archive(&entries)));
    assert_eq!(variant, "Manifest");
    assert!(text.contains("line 6: license: unknown key `license`; did you mean `licence`?"), "{text}");

    entries[0].content = packed_manifest(&format!("1.0.0-{}", "a".repeat(80)), &FILES).into_bytes();
    let (variant, text) = refusal(&compress(&archive(&entries)));
    assert_eq!((variant, text.contains("line 4: version: has more than 64")), ("Manifest", true), "{text}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_written() {
    let with_files = |files: Vec<(&str, &[u8])>| {
        let mut entries = vec![file(MANIFEST, packed_manifest("1.0.0", &files).as_bytes())];
        entries.extend(files.iter().map(|(path, content)| file(path, content)));
        compress(&archive(&entries))
    };
    let big = vec![1; 2 << 20];
    let mut files = FILES.to_vec();
    files.push(("big.bin", &big));
    let (variant, text) = refusal(&with_files(files));
    assert_eq!((variant, text.contains("over the limit of 1048576 bytes")), ("TooLarge", true), "{text}");

    let names: Vec<String> = (0..1001).map(|number| format!("f{number}")).collect();
    let many = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let (variant, text) = refusal(&with_files(many));
    assert_eq!((variant, text.contains("1001 files")), ("TooLarge", true), "{text}");

    let mut entries = good();
    entries[0].content.resize(300 * 1024, b'\n');
    let (variant, text) = refusal(&compress(&archive(&entries)));
    assert_eq!((variant, text.contains("model.toml has more than")), ("TooLarge", true), "{text}");
}

#[test]
fn a_bomb_is_refused_by_its_ratio() {
    let zeros = vec![0; 64 << 20];
    let mut files = FILES.to_vec();
    files[3].1 = &zeros;
    let mut entries = vec![file(MANIFEST, packed_manifest("1.0.0", &files).as_bytes())];
    entries.extend(files.iter().map(|(path, content)| file(path, content)));
    let bomb = compress(&archive(&entries));
    let into = tempfile::tempdir().unwrap();
    let error = unpack(bomb.as_slice(), into.path(), 1 << 30).unwrap_err();
    assert!(matches!(error, BundleError::TooLarge(_)), "{error}");
    let written = fs::metadata(into.path().join("model.onnx")).unwrap().len();
    assert!(written <= 17 << 20, "{written} bytes were written");
}

#[test]
fn data_behind_the_end_is_refused() {
    let mut hidden = archive(&good());
    hidden.extend_from_slice(&[0; 512]);
    unpacked(&compress(&hidden)).unwrap();
    hidden.extend_from_slice(b"hidden");
    let (variant, text) = refusal(&compress(&hidden));
    assert_eq!((variant, text.contains("behind its end")), ("NotABundle", true), "{text}");

    let mut zeros = archive(&good());
    zeros.resize(8 << 20, 0);
    assert_eq!(refusal(&compress(&zeros)).0, "TooLarge");

    let mut second = compress(&archive(&good()));
    second.extend_from_slice(b"not a frame");
    assert_eq!(refusal(&second).0, "NotABundle");
}

#[test]
fn more_memory_than_stated_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(26).unwrap();
    std::io::Write::write_all(&mut encoder, &archive(&good())).unwrap();
    let (variant, text) = refusal(&encoder.finish().unwrap());
    assert_eq!((variant, text.contains("memory")), ("NotABundle", true), "{text}");
}

#[test]
fn what_is_no_bundle_is_said_to_be_none() {
    for (name, bytes) in [
        ("text", b"hello".to_vec()),
        ("gzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]),
        ("no archive", compress(b"hello, this is no archive")),
        ("bare tar", archive(&good())),
    ] {
        let (variant, text) = refusal(&bytes);
        assert_eq!(variant, "NotABundle", "{name}: {text}");
        assert!(text.contains("inferctl bundle pack"), "{name}: {text}");
    }
}

/// A change to a model folder, and the words of its refusal.
type Change = (&'static str, fn(&Path), &'static str);

#[test]
fn packing_says_what_is_wrong_and_leaves_nothing() {
    let cases: [Change; 5] = [
        ("missing", |at| fs::remove_file(at.join("golden/a.png")).unwrap(), "`golden/a.png` is missing"),
        ("no labels", |at| fs::remove_file(at.join("labels.txt")).unwrap(), "line 18: output.labels_file: cannot read"),
        ("no manifest", |at| fs::remove_file(at.join("model.toml")).unwrap(), "cannot read"),
        (
            "linked",
            |at| {
                fs::remove_file(at.join("model.onnx")).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", at.join("model.onnx")).unwrap();
            },
            "`model.onnx` is refused: it is a link",
        ),
        (
            "labels from elsewhere",
            |at| {
                let text = fixture::manifest("1.0.0").replace("labels.txt", "../labels.txt");
                put(&at.join("model.toml"), text.as_bytes());
            },
            "output.labels_file: `../labels.txt` is no path in a bundle",
        ),
    ];
    for (name, change, words) in cases {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fixture::folder(&source, "1.0.0");
        change(&source);
        let text = pack(&source, Some(&folder.path().join("out.inferd"))).expect_err(name).to_string();
        assert!(text.contains(words), "{name}: {text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name} left something");
    }
}
