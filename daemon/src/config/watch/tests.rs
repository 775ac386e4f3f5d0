use std::fs;

use tokio::time::timeout;

use super::*;
use crate::config::tests::{folder_with, host_write};

/// Far longer than a signal takes, so that only a missing one ends a wait.
const LONG: Duration = Duration::from_secs(20);

async fn signal(changes: &mut mpsc::Receiver<()>, after: &str) {
    assert_eq!(timeout(LONG, changes.recv()).await, Ok(Some(())), "no signal after {after}");
}

/// Takes signals until none has come for five times the quiet time; gives how many came.
async fn drain(changes: &mut mpsc::Receiver<()>) -> usize {
    let mut count = 0;
    while timeout(QUIET * 5, changes.recv()).await.is_ok() {
        count += 1;
    }
    count
}

fn edit_in_place(path: &Path, text: &str) {
    use std::io::Write as _;
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn every_way_of_changing_a_file_is_told() {
    let (folder, base) = folder_with(&[("inferd.toml", ""), ("conf.d/10.toml", "")]);
    let mut changes = watch(&base).unwrap();
    edit_in_place(&base, "# edited\n");
    signal(&mut changes, "a write").await;
    host_write(&base, "# renamed over\n");
    signal(&mut changes, "a rename over it").await;
    edit_in_place(&folder.path().join("conf.d/20.toml"), "# new\n");
    signal(&mut changes, "a new file in conf.d").await;
    fs::rename(folder.path().join("conf.d/20.toml"), folder.path().join("conf.d/05.toml")).unwrap();
    signal(&mut changes, "a rename in conf.d").await;
    fs::remove_file(folder.path().join("conf.d/05.toml")).unwrap();
    signal(&mut changes, "a removal in conf.d").await;
    fs::remove_file(&base).unwrap();
    signal(&mut changes, "a removal").await;
    host_write(&base, "");
    signal(&mut changes, "it was made again").await;
}

#[tokio::test]
async fn a_folder_made_later_is_watched() {
    let (folder, base) = folder_with(&[("inferd.toml", "")]);
    let drop_ins = folder.path().join("conf.d");
    let mut changes = watch(&base).unwrap();
    for round in ["made", "made anew"] {
        fs::create_dir(&drop_ins).unwrap();
        signal(&mut changes, round).await;
        drain(&mut changes).await;
        edit_in_place(&drop_ins.join("10.toml"), "# new\n");
        signal(&mut changes, "a file in the folder").await;
        fs::remove_dir_all(&drop_ins).unwrap();
        signal(&mut changes, "the folder's removal").await;
        drain(&mut changes).await;
    }
}

#[tokio::test]
async fn many_changes_give_few_signals() {
    let (_folder, base) = folder_with(&[("inferd.toml", "")]);
    let mut changes = watch(&base).unwrap();
    let writer = tokio::task::spawn_blocking(move || {
        for round in 0..100 {
            edit_in_place(&base, &format!("# {round}\n"));
        }
    });
    let (signals, written) = tokio::join!(drain(&mut changes), writer);
    written.unwrap();
    assert!((1..10).contains(&signals), "100 changes made {signals} signals");
}

#[tokio::test]
async fn reading_the_files_and_changing_others_is_no_change() {
    let (folder, base) = folder_with(&[("inferd.toml", ""), ("conf.d/10.toml", "")]);
    let mut changes = watch(&base).unwrap();
    crate::config::load(&base, std::iter::empty()).unwrap();
    host_write(&folder.path().join("other.toml"), "x");
    assert_eq!(drain(&mut changes).await, 0);
    host_write(&base, "# now\n");
    signal(&mut changes, "a change after that").await;
}

#[tokio::test]
async fn a_relative_path_is_watched_too() {
    let (folder, base) = folder_with(&[("inferd.toml", "")]);
    let here = std::env::current_dir().unwrap();
    let up: std::path::PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(base.strip_prefix("/").unwrap());
    assert!(relative.is_relative() && relative.exists(), "{}", relative.display());
    let mut changes = watch(&relative).unwrap();
    edit_in_place(&base, "# edited\n");
    signal(&mut changes, "a write").await;
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    signal(&mut changes, "a new folder").await;
    edit_in_place(&folder.path().join("conf.d/10.toml"), "# new\n");
    signal(&mut changes, "a file in it").await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_cannot_be_watched() {
    let error = watch(Path::new("/nonexistent/inferd.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot watch /nonexistent for changes");
}
