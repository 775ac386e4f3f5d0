use std::io::{BufRead as _, Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::host::durable::watched;
use crate::model::fixture::{self, FILES, archive, compress, good, put, tree};

const MAX_BYTES: u64 = 1 << 20;

fn open(at: &Path) -> Store {
    let (store, damage) = Store::open(at, MAX_BYTES).unwrap();
    assert_eq!(damage, [], "nothing is damaged");
    store
}

fn belt() -> Name {
    "belt".parse().unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn bundle(at: &Path, text: &str) -> File {
    File::open(fixture::bundle(at, text)).unwrap()
}

/// A store in `folder/models` with these versions of `belt` installed.
fn store_with(folder: &Path, versions: &[&str]) -> Store {
    let store = open(&folder.join("models"));
    for version in versions {
        store.install(bundle(folder, version)).unwrap();
    }
    store
}

fn content(file: &SealedFile) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(file.bytes).unwrap() + 1];
    let read = File::from(file.fd.try_clone().unwrap()).read_at(&mut content, 0).unwrap();
    assert_eq!(read as u64, file.bytes);
    content.truncate(read);
    content
}

fn damage_of(at: &Path) -> Vec<String> {
    Store::open(at, MAX_BYTES).unwrap().1.iter().map(ToString::to_string).collect()
}

/// Changes a byte of a read-only file.
fn flip(path: &Path, position: u64) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    file.seek(std::io::SeekFrom::Start(position)).unwrap();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    file.seek(std::io::SeekFrom::Start(position)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

#[test]
fn an_installed_version_is_listed_and_loads_as_it_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("models"));
    let installed = store.install(bundle(folder.path(), "1.0.0")).unwrap();
    assert!(installed.first && !installed.already);

    let entry = &store.list()[0];
    assert_eq!((entry.name.as_str(), &entry.active, &entry.previous), ("belt", &None, &None));
    let listed = &entry.versions[0];
    assert_eq!((listed.digest, listed.bytes), (installed.id.digest, installed.bytes));
    assert_eq!((listed.kind, listed.task, listed.description.as_str()), ("image", "classification", "finds belts"));

    let loaded = store.load(&belt(), &version("1.0.0")).unwrap();
    assert_eq!(*loaded.version.id, installed.id);
    assert_eq!(&*loaded.version.labels, ["belt", "empty"]);
    assert_eq!(content(&loaded.version.artifact), FILES[3].1);
    let [golden] = <[GoldenFiles; 1]>::try_from(loaded.golden).unwrap();
    assert_eq!((content(&golden.input).as_slice(), content(&golden.expected).as_slice()), (FILES[1].1, FILES[0].1));
    assert_eq!(golden.format, inferd_core::frame::Format::Png);
}

#[test]
fn nobody_can_change_what_was_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0"]);
    let loaded = store.load(&belt(), &version("1.0.0")).unwrap();
    let artifact = &loaded.version.artifact;
    flip(&folder.path().join("models/belt/1.0.0/model.onnx"), 9);
    let mut file = File::from(artifact.fd.try_clone().unwrap());
    assert!(file.write_all(b"x").is_err());
    assert!(file.set_len(0).is_err());
    assert!(file.set_len(1 << 20).is_err());
    file.rewind().unwrap();
    assert_eq!(content(artifact), FILES[3].1);
}

#[test]
fn activation_and_rollback_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let store = store_with(folder.path(), &["1.0.0", "1.1.0"]);
    let refused = store.rollback_target(&belt()).unwrap_err();
    assert!(matches!(refused, StoreError::NoPrevious(_)), "{refused}");
    for (activate, active, previous) in [
        ("1.0.0", "1.0.0", None),
        ("1.1.0", "1.1.0", Some("1.0.0")),
        ("1.1.0", "1.1.0", Some("1.0.0")),
        ("1.0.0", "1.0.0", Some("1.1.0")),
    ] {
        store.activate(&belt(), &version(activate)).unwrap();
        for store in [&store, &open(&models)] {
            let entry = &store.list()[0];
            assert_eq!((&entry.active, &entry.previous), (&Some(version(active)), &previous.map(version)));
            assert_eq!(store.rollback_target(&belt()).ok(), previous.map(version));
        }
    }
}

#[test]
fn a_version_that_was_damaged_while_it_is_offered_is_repaired_by_its_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0"]);
    flip(&folder.path().join("models/belt/1.0.0/model.onnx"), 9);
    assert!(store.load(&belt(), &version("1.0.0")).is_err());
    let healed = store.install(bundle(folder.path(), "1.0.0")).unwrap();
    assert!(!healed.already);
    let loaded = store.load(&belt(), &version("1.0.0")).unwrap();
    assert_eq!(content(&loaded.version.artifact), FILES[3].1);
}

#[test]
fn installing_the_same_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0"]);
    let before = tree(folder.path());
    let again = store.install(bundle(folder.path(), "1.0.0")).unwrap();
    assert!(again.already);
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn a_version_over_the_limit_is_said_to_be_too_large_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    drop(store_with(folder.path(), &["1.0.0"]));
    let store = Store::open(&folder.path().join("models"), 100).unwrap().0;
    let refused = store.load(&belt(), &version("1.0.0")).unwrap_err();
    assert!(matches!(&refused, StoreError::Bundle(BundleError::TooLarge(_))), "{refused}");
    assert!(refused.to_string().contains("models.max_bundle_bytes"), "{refused}");
}

#[test]
fn another_content_under_the_same_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0"]);
    let before = tree(&folder.path().join("models"));
    let source = folder.path().join("other");
    fixture::folder(&source, "1.0.0");
    put(&source.join("model.onnx"), b"another model");
    let other = bundle::pack(&source, Some(&folder.path().join("other.inferd"))).unwrap();
    let refused = store.install(File::open(other.path).unwrap()).unwrap_err();
    assert!(matches!(refused, StoreError::VersionTaken { .. }), "{refused}");
    assert!(refused.to_string().contains("raise `version`"), "{refused}");
    assert_eq!(tree(&folder.path().join("models")), before);
    assert_eq!(content(&store.load(&belt(), &version("1.0.0")).unwrap().version.artifact), FILES[3].1);
}

#[test]
fn an_install_that_is_not_wanted_any_more_leaves_no_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("models"));
    let before = tree(&folder.path().join("models"));
    let file = bundle(folder.path(), "1.0.0");
    assert!(matches!(store.install_if(file, || false), Err(StoreError::Cancelled)));
    assert_eq!(tree(&folder.path().join("models")), before);
    assert!(store.list().is_empty());
}

#[test]
fn two_installs_at_once_give_one_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("models"));
    let path = fixture::bundle(folder.path(), "1.0.0");
    let installed: Vec<Installed> = std::thread::scope(|scope| {
        let install = || scope.spawn(|| store.install(File::open(&path).unwrap()).unwrap());
        let threads: Vec<_> = (0..8).map(|_| install()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(installed.iter().filter(|installed| !installed.already).count(), 1);
    assert_eq!(fs::read_dir(folder.path().join("models")).unwrap().count(), 1);
    open(&folder.path().join("models")).load(&belt(), &version("1.0.0")).unwrap();
}

#[test]
fn a_refused_install_leaves_no_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("models"));
    let whole = compress(&archive(&good()));
    let mut tampered = good();
    tampered[4].content[100] ^= 1;
    for bytes in [&whole[..whole.len() / 2], &whole[..whole.len() - 1], &compress(&archive(&tampered))] {
        put(&folder.path().join("bad.inferd"), bytes);
        let refused = store.install(File::open(folder.path().join("bad.inferd")).unwrap()).unwrap_err();
        assert!(matches!(refused, StoreError::Bundle(_)), "{refused}");
        assert_eq!(tree(&folder.path().join("models")), Vec::<String>::new());
    }
    assert!(store.list().is_empty());
    let folder_as_bundle = store.install(File::open(folder.path()).unwrap()).unwrap_err();
    assert!(folder_as_bundle.to_string().contains("no plain file"), "{folder_as_bundle}");
}

#[test]
fn the_active_and_the_previous_version_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0", "1.1.0", "1.2.0"]);
    store.activate(&belt(), &version("1.0.0")).unwrap();
    store.activate(&belt(), &version("1.1.0")).unwrap();
    for (kept, why) in [("1.1.0", "active"), ("1.0.0", "rollback")] {
        let refused = store.remove(&belt(), &version(kept)).unwrap_err();
        assert!(matches!(&refused, StoreError::InUse { reason, .. } if reason.contains(why)), "{refused}");
    }
    store.remove(&belt(), &version("1.2.0")).unwrap();
    assert!(!folder.path().join("models/belt/1.2.0").exists());
    let gone = store.remove(&belt(), &version("1.2.0")).unwrap_err();
    assert!(matches!(gone, StoreError::NoVersion { .. }), "{gone}");
    let unknown = store.remove(&"other".parse().unwrap(), &version("1.2.0")).unwrap_err();
    assert!(matches!(unknown, StoreError::NoModel(_)), "{unknown}");
}

#[test]
fn the_last_version_takes_its_model_along() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0"]);
    store.remove(&belt(), &version("1.0.0")).unwrap();
    assert!(store.list().is_empty());
    assert_eq!(tree(&folder.path().join("models")), Vec::<String>::new());
}

#[test]
fn a_flipped_byte_on_disk_is_found_before_a_runner_sees_it() {
    for (path, content) in FILES {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with(folder.path(), &["1.0.0"]);
        for position in [0, content.len() / 2, content.len() - 1] {
            let place = folder.path().join("models/belt/1.0.0").join(path);
            flip(&place, position as u64);
            let refused = store.load(&belt(), &version("1.0.0")).unwrap_err();
            let named =
                matches!(&refused, StoreError::Bundle(BundleError::DigestMismatch { file, .. }) if file == path);
            assert!(named, "{path}: {refused}");
            flip(&place, position as u64);
        }
        store.load(&belt(), &version("1.0.0")).unwrap();
    }
}

/// Puts a pipe, that nobody writes to, in the place of a file.
fn put_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap();
}

/// What happens to a version's folder, and the words of the report.
type Harm = (&'static str, fn(&Path), &'static str);

#[test]
fn a_damaged_version_is_not_offered_and_the_others_are() {
    let harm: [Harm; 7] = [
        ("manifest", |at| flip(&at.join("model.toml"), 20), "`model.toml` has SHA-256"),
        ("digest file", |at| fs::remove_file(at.join("model.toml.sha256")).unwrap(), "model.toml.sha256"),
        ("pipe", |at| put_pipe(&at.join("model.toml")), "`model.toml` is refused"),
        ("pipe of labels", |at| put_pipe(&at.join("labels.txt")), "`labels.txt` is refused"),
        ("artifact gone", |at| fs::remove_file(at.join("model.onnx")).unwrap(), "`model.onnx` is missing"),
        ("labels", |at| flip(&at.join("labels.txt"), 0), "`labels.txt` has SHA-256"),
        (
            "linked",
            |at| {
                fs::remove_file(at.join("model.onnx")).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", at.join("model.onnx")).unwrap();
            },
            "`model.onnx` is refused",
        ),
    ];
    for (name, harm, words) in harm {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        let store = store_with(folder.path(), &["1.0.0", "1.1.0"]);
        store.activate(&belt(), &version("1.0.0")).unwrap();
        store.activate(&belt(), &version("1.1.0")).unwrap();
        harm(&models.join("belt/1.1.0"));

        let damage = damage_of(&models);
        assert!(damage.iter().any(|text| text.contains(words)), "{name}: {damage:?}");
        assert!(damage.iter().any(|text| text.contains("it names 1.1.0")), "{name}: {damage:?}");
        let store = Store::open(&models, MAX_BYTES).unwrap().0;
        let entry = &store.list()[0];
        assert_eq!((&entry.active, entry.versions.len()), (&None, 1), "{name}");
        assert_eq!(store.rollback_target(&belt()).unwrap(), version("1.0.0"), "{name}");
        store.load(&belt(), &version("1.1.0")).expect_err(name);

        let healed = store.install(bundle(folder.path(), "1.1.0")).unwrap();
        assert!(!healed.first && !healed.already, "{name}");
        assert_eq!(open(&models).list()[0].active, Some(version("1.1.0")), "{name}");
    }
}

#[test]
fn a_damaged_state_fails_closed_until_somebody_chooses() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let store = store_with(folder.path(), &["1.0.0", "1.1.0"]);
    store.activate(&belt(), &version("1.0.0")).unwrap();
    put(&models.join("belt/state.toml"), b"format = 1\nactive = \"1.0");

    let damage = damage_of(&models);
    assert!(damage[0].contains("state.toml is not used"), "{damage:?}");
    let store = Store::open(&models, MAX_BYTES).unwrap().0;
    assert_eq!(store.list()[0].active, None);
    let refused = store.remove(&belt(), &version("1.1.0")).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    assert!(!store.install(bundle(folder.path(), "1.2.0")).unwrap().first);
    store.activate(&belt(), &version("1.1.0")).unwrap();
    assert_eq!(open(&models).list()[0].active, Some(version("1.1.0")));
}

#[test]
fn a_state_that_is_missing_is_no_state_in_which_nothing_was_ever_active() {
    for harm in [|path: &Path| fs::remove_file(path).unwrap(), put_pipe] {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        let store = store_with(folder.path(), &["1.0.0", "1.1.0"]);
        store.activate(&belt(), &version("1.1.0")).unwrap();
        harm(&models.join("belt/state.toml"));

        let damage = damage_of(&models);
        assert!(damage[0].contains("state.toml is not used: "), "{damage:?}");
        let store = Store::open(&models, MAX_BYTES).unwrap().0;
        for kept in ["1.0.0", "1.1.0"] {
            let refused = store.remove(&belt(), &version(kept)).unwrap_err();
            assert!(matches!(refused, StoreError::InUse { .. }), "it may be the active one: {refused}");
        }
        assert!(!store.install(bundle(folder.path(), "1.2.0")).unwrap().first, "nothing is activated unasked");
        store.activate(&belt(), &version("1.1.0")).unwrap();
        assert_eq!(open(&models).list()[0].active, Some(version("1.1.0")));
    }
}

#[test]
fn a_first_install_or_a_last_removal_that_was_cut_off_leaves_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let store = store_with(folder.path(), &["1.0.0"]);
    assert!(models.join("belt/state.toml").exists(), "it is there before anything is active");
    fs::remove_dir_all(models.join("belt/1.0.0")).unwrap();
    drop(store);
    assert!(open(&models).list().is_empty());
    assert_eq!(tree(&models), Vec::<String>::new());
}

#[test]
fn an_install_that_fails_at_its_last_sync_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let store = open(&models);
    let failed = watched::with_broken(&models.join("belt"), || store.install(bundle(folder.path(), "1.0.0")));
    assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
    assert_eq!((tree(&models), store.list().len()), (Vec::new(), 0));

    store.install(bundle(folder.path(), "1.0.0")).unwrap();
    flip(&models.join("belt/1.0.0/model.onnx"), 9);
    let before = tree(&models);
    let failed = watched::with_broken(&models.join("belt"), || store.install(bundle(folder.path(), "1.0.0")));
    assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
    assert_eq!(tree(&models), before);
    assert!(store.load(&belt(), &version("1.0.0")).is_err(), "the damaged version has its name back");
    store.install(bundle(folder.path(), "1.0.0")).unwrap();
    assert_eq!(tree(&models), before);
    store.load(&belt(), &version("1.0.0")).unwrap();
}

#[test]
fn only_what_the_disk_holds_is_damage_and_no_trouble_of_this_process() {
    let trouble =
        |code| BundleError::Io(FileError::new("open", Path::new("x"), std::io::Error::from_raw_os_error(code)));
    for (error, damage) in [
        (trouble(libc::EMFILE), false),
        (trouble(libc::ENOMEM), false),
        (trouble(libc::EIO), true),
        (BundleError::Missing("model.onnx".into()), true),
        (BundleError::NotABundle("model.toml is missing".into()), true),
    ] {
        assert_eq!(is_damage(&error), damage, "{error}");
    }
}

#[test]
fn a_choice_whose_last_sync_fails_is_told_as_it_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let store = store_with(folder.path(), &["1.0.0", "1.1.0"]);
    store.activate(&belt(), &version("1.0.0")).unwrap();
    let failed = watched::with_broken(&models.join("belt"), || store.activate(&belt(), &version("1.1.0")));
    assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
    assert_eq!(store.list()[0].active, open(&models).list()[0].active);
}

#[test]
fn trouble_in_one_model_is_its_damage_and_the_others_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    store_with(folder.path(), &["1.0.0"]).activate(&belt(), &version("1.0.0")).unwrap();
    // What is mounted cannot be removed, not even by root.
    let left = models.join("aaa/.tmp-left");
    fs::create_dir_all(&left).unwrap();
    let Some(_mounted) = Mounted::small(&left) else {
        eprintln!("SKIPPED trouble_in_one_model_…: a tmpfs can only be mounted by root");
        return;
    };
    let damage = damage_of(&models);
    assert!(damage[0].contains("models/aaa is not used: what a crash left in it stays"), "{damage:?}");
    let store = Store::open(&models, MAX_BYTES).unwrap().0;
    assert_eq!(store.list().iter().find(|model| model.name == belt()).unwrap().active, Some(version("1.0.0")));
    store.load(&belt(), &version("1.0.0")).unwrap();
}

#[test]
fn reading_the_map_waits_for_nobody_who_changes_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0", "1.1.0"]);
    store.activate(&belt(), &version("1.0.0")).unwrap();
    store.activate(&belt(), &version("1.1.0")).unwrap();
    let _changing = store.change();
    assert_eq!(store.list()[0].active, Some(version("1.1.0")));
    assert_eq!(store.rollback_target(&belt()).unwrap(), version("1.0.0"));
    store.load(&belt(), &version("1.1.0")).unwrap();
}

#[test]
fn a_version_is_in_memory_once_while_somebody_has_it_and_not_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_with(folder.path(), &["1.0.0", "1.1.0"]);
    let first = store.load(&belt(), &version("1.0.0")).unwrap();
    let second = store.load(&belt(), &version("1.0.0")).unwrap();
    assert!(Arc::ptr_eq(&first.version, &second.version));
    assert!(!Arc::ptr_eq(&first.version, &store.load(&belt(), &version("1.1.0")).unwrap().version));
    assert_eq!(content(&second.golden[0].input), FILES[1].1);

    // What was verified cannot have changed; what is read anew is verified anew.
    flip(&folder.path().join("models/belt/1.0.0/model.onnx"), 9);
    store.load(&belt(), &version("1.0.0")).unwrap();
    flip(&folder.path().join("models/belt/1.0.0/golden/a.png"), 3);
    store.load(&belt(), &version("1.0.0")).unwrap_err();
    let kept = Arc::downgrade(&first.version);
    drop((first, second));
    assert!(kept.upgrade().is_none(), "the store keeps no version alive");
    flip(&folder.path().join("models/belt/1.0.0/golden/a.png"), 3);
    store.load(&belt(), &version("1.0.0")).unwrap_err();
}

#[test]
fn what_does_not_belong_is_reported_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    store_with(folder.path(), &["1.0.0"]);
    put(&models.join("README"), b"hello");
    put(&models.join("belt/notes.txt"), b"hello");
    fs::rename(models.join("belt/1.0.0"), models.join("belt/2.0.0")).unwrap();
    let damage = damage_of(&models).join("\n");
    for words in ["README", "notes.txt", "its manifest is that of belt 1.0.0"] {
        assert!(damage.contains(words), "{words}: {damage}");
    }
    assert!(models.join("README").exists());
}

#[test]
fn a_full_disk_is_said_to_be_full_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Mounted::small(&disk) else {
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI skips no test: run this one as root");
        // Written directly: what `eprintln!` prints is captured, and shown of failing tests only.
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED a full disk: a tmpfs can only be mounted by root ***\n");
        return;
    };
    let store = open(&disk.join("models"));
    store.install(bundle(folder.path(), "1.0.0")).unwrap();
    store.activate(&belt(), &version("1.0.0")).unwrap();
    let before = tree(&disk);

    let source = folder.path().join("large");
    fixture::folder(&source, "2.0.0");
    let large: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(600 * 1024).collect();
    put(&source.join("model.onnx"), &large);
    let large = bundle::pack(&source, Some(&folder.path().join("large.inferd"))).unwrap();
    let refused = store.install(File::open(large.path).unwrap()).unwrap_err();
    assert!(refused.is_storage_full(), "{refused:?}");
    assert_eq!(tree(&disk), before);
    assert_eq!(open(&disk.join("models")).list()[0].active, Some(version("1.0.0")));
}

/// A file system of 256 KiB, until it is dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn small(at: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(at).output().ok()?;
        mounted.status.success().then_some(Self(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

const VICTIM_FOLDER: &str = "INFERD_TEST_VICTIM_FOLDER";
const VICTIM_START: &str = "INFERD_TEST_VICTIM_START";
const KILLS: u32 = 60;

/// The other half of the next test: installs, activates and removes until it is killed.
#[test]
#[ignore = "runs in a process of its own, to be killed"]
fn victim() {
    let Ok(folder) = std::env::var(VICTIM_FOLDER).map(PathBuf::from) else { return };
    let start: u64 = std::env::var(VICTIM_START).unwrap().parse().unwrap();
    let store = Store::open(&folder.join("models"), MAX_BYTES).unwrap().0;
    for patch in start.. {
        // Tar and a low level of compression: this process is to spend its time on the disk.
        let text = format!("1.0.{patch}");
        let manifest = fixture::packed_manifest(&text, &FILES);
        let mut entries = good();
        entries[0].content = manifest.into_bytes();
        put(&folder.join("next.inferd"), &compress(&archive(&entries)));
        store.install(File::open(folder.join("next.inferd")).unwrap()).unwrap();
        store.activate(&belt(), &version(&text)).unwrap();
        // One write: a line arrives whole or not at all.
        std::io::stderr().write_all(format!("activated {patch}\n").as_bytes()).unwrap();
        if patch >= start + 2 {
            store.remove(&belt(), &version(&format!("1.0.{}", patch - 2))).unwrap();
        }
    }
}

#[test]
fn sigkill_at_any_point_leaves_the_old_or_the_new_version() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let (mut acknowledged, mut cut_off) = (0, 0);
    store_with(folder.path(), &["1.0.0"]).activate(&belt(), &version("1.0.0")).unwrap();
    for _ in 0..KILLS {
        acknowledged = run_victim(folder.path(), acknowledged);
        cut_off += u32::from(tree(&models).iter().any(|path| path.contains(TEMPORARY)));

        let store = open(&models);
        let entry = &store.list()[0];
        let active = entry.active.clone().expect("a version is active");
        assert!(
            active.patch == acknowledged || active.patch == acknowledged + 1,
            "1.0.{acknowledged} was acknowledged, but {active} is active"
        );
        assert_eq!(content(&store.load(&belt(), &active).unwrap().version.artifact), FILES[3].1);
        store.load(&belt(), &store.rollback_target(&belt()).unwrap_or(active.clone())).unwrap();
        assert!(!tree(&models).iter().any(|path| path.contains(TEMPORARY)), "left-overs are removed");
        assert!(entry.versions.len() <= 4 * KILLS as usize);
        acknowledged = active.patch;
    }
    eprintln!("{KILLS} kills, {cut_off} of them in the middle of a write, {acknowledged} activations");
    assert!(cut_off > 0, "no kill met a write: the test proves nothing");
}

/// Starts the victim, kills it at a random moment after its first activation, and says what it had acknowledged.
fn run_victim(folder: &Path, from: u64) -> u64 {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "model::store::tests::victim", "--ignored", "--nocapture", "--test-threads=1"])
        .env(VICTIM_FOLDER, folder)
        .env(VICTIM_START, (from + 1).to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(victim.stderr.take().unwrap()).lines().map(Result::unwrap);
    let patch = |line: String| line.strip_prefix("activated ").map(|patch| patch.parse().unwrap());
    let first = lines.by_ref().find_map(patch).expect("the victim works");
    std::thread::sleep(Duration::from_micros(fastrand::u64(0..30_000)));
    victim.kill().unwrap();
    victim.wait().unwrap();
    lines.filter_map(patch).last().unwrap_or(first)
}
