use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::*;
use crate::model::fixture::{put, tree};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn next(offers: &mut mpsc::Receiver<Offer>) -> Offer {
    runtime()
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), offers.recv()).await })
        .expect("an offer within 10 s")
        .expect("the watch goes on")
}

fn content(offer: &mut Offer) -> Vec<u8> {
    let mut content = Vec::new();
    offer.bundle.read_to_end(&mut content).unwrap();
    content
}

#[test]
fn a_bundle_that_is_moved_in_is_offered_and_removed_when_done() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    let (watch, mut offers) = Incoming::watch(&incoming).unwrap();
    put(&folder.path().join("outside"), b"a bundle");
    put(&incoming.join("notes.txt"), b"not a bundle");
    put(&incoming.join(".hidden.inferd"), b"half a bundle");
    fs::rename(folder.path().join("outside"), incoming.join("a.inferd")).unwrap();
    let mut offer = next(&mut offers);
    assert_eq!(offer.path, incoming.join("a.inferd"));
    assert_eq!(content(&mut offer), b"a bundle");
    watch.finish(&offer.path, Ok(())).unwrap();
    assert_eq!(tree(&incoming), [".hidden.inferd", "notes.txt"]);
    assert!(offers.try_recv().is_err(), "nothing else is offered");
}

#[test]
fn a_bundle_that_is_copied_slowly_is_offered_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (_watch, mut offers) = Incoming::watch(folder.path()).unwrap();
    let mut writer = fs::File::create(folder.path().join("a.inferd")).unwrap();
    writer.write_all(b"first half, ").unwrap();
    // Longer than a silent file would have to keep still.
    std::thread::sleep(pending::SETTLE + Duration::from_millis(500));
    assert!(offers.try_recv().is_err(), "it is not closed yet");
    writer.write_all(b"second half").unwrap();
    drop(writer);
    assert_eq!(content(&mut next(&mut offers)), b"first half, second half");
}

#[test]
fn a_bundle_that_was_there_before_the_start_is_offered() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("a.inferd"), b"a bundle");
    let (_watch, mut offers) = Incoming::watch(folder.path()).unwrap();
    assert_eq!(content(&mut next(&mut offers)), b"a bundle");
}

#[test]
fn a_failed_bundle_is_set_aside_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, mut offers) = Incoming::watch(folder.path()).unwrap();
    put(&folder.path().join("a.inferd"), b"broken");
    let offer = next(&mut offers);
    watch.finish(&offer.path, Err("it is broken".into())).unwrap();
    assert_eq!(tree(folder.path()), ["a.inferd.failed", "a.inferd.failed.txt"]);
    assert_eq!(fs::read_to_string(folder.path().join("a.inferd.failed.txt")).unwrap(), "it is broken\n");
}

#[test]
fn what_is_no_plain_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("secret"), b"secret");
    std::os::unix::fs::symlink("secret", folder.path().join("a.inferd")).unwrap();
    let (_watch, mut offers) = Incoming::watch(folder.path()).unwrap();
    let reason = folder.path().join("a.inferd.failed.txt");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !reason.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(fs::read_to_string(reason).unwrap().starts_with("cannot open it"));
    assert!(offers.try_recv().is_err(), "a link is not followed");
}

#[test]
fn a_bundle_replaced_while_it_was_installed_is_offered_in_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    let (watch, mut offers) = Incoming::watch(&incoming).unwrap();
    put(&incoming.join("a.inferd"), b"old");
    let offer = next(&mut offers);
    put(&folder.path().join("newer"), b"new");
    fs::rename(folder.path().join("newer"), incoming.join("a.inferd")).unwrap();
    watch.finish(&offer.path, Ok(())).unwrap();
    assert_eq!(content(&mut next(&mut offers)), b"new");
}

#[test]
fn a_bundle_written_over_in_place_while_it_was_installed_is_offered_in_its_turn() {
    for installed in [Ok(()), Err("half of each".to_owned())] {
        let folder = tempfile::tempdir().unwrap();
        let (watch, mut offers) = Incoming::watch(folder.path()).unwrap();
        let path = folder.path().join("a.inferd");
        put(&path, b"old");
        let offer = next(&mut offers);
        // As `cp` does: the same file with another content.
        put(&path, b"new");
        watch.finish(&offer.path, installed).unwrap();
        assert_eq!(content(&mut next(&mut offers)), b"new");
        assert_eq!(tree(folder.path()), ["a.inferd"]);
    }
}

#[test]
fn more_bundles_than_may_wait_are_all_offered() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, mut offers) = Incoming::watch(folder.path()).unwrap();
    let count = CAPACITY + 5;
    for number in 0..count {
        put(&folder.path().join(format!("{number:02}.inferd")), b"x");
    }
    for _ in 0..count {
        let offer = next(&mut offers);
        watch.finish(&offer.path, Ok(())).unwrap();
    }
    assert!(tree(folder.path()).is_empty());
}

#[test]
fn the_watch_ends_when_it_is_dropped_also_with_offers_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, offers) = Incoming::watch(folder.path()).unwrap();
    for number in 0..=CAPACITY {
        put(&folder.path().join(format!("{number}.inferd")), b"x");
    }
    let start = Instant::now();
    drop(watch);
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(offers);
}
