//! Whose files are and who may read them. Contents are never read.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use inferd::config::{Config, Source};
use nix::unistd::{Gid, Group, Uid, User};

use crate::doctor::facts::{File, Looked, Secret};

/// An upload folder.
pub(super) fn folder(path: &Path) -> Looked<File> {
    look(path)?.ok_or_else(|| format!("{} is not there", path.display()))
}

/// Every file of secrets that the configuration names, once.
pub(super) fn secrets(config: &Config) -> Vec<Secret> {
    let mut found: Vec<Secret> = Vec::new();
    for (key, path) in named(config) {
        if !found.iter().any(|known| known.path == path) {
            found.push(Secret { key, file: look(&path), path });
        }
    }
    found
}

/// What the configuration calls them.
pub(super) fn named(config: &Config) -> Vec<(String, PathBuf)> {
    let mut paths = Vec::new();
    paths.extend(config.upload.token_file.clone().map(|path| ("upload.token_file".to_owned(), path)));
    for (name, pipeline) in &config.pipelines {
        if let Source::Mqtt(mqtt) = &pipeline.source {
            for (key, file) in [("password_file", &mqtt.password_file), ("key_file", &mqtt.key_file)] {
                paths.extend(file.clone().map(|path| (format!("pipelines.{name}.source.{key}"), path)));
            }
        }
    }
    paths
}

/// `Ok(None)` where it is not there.
fn look(path: &Path) -> Looked<Option<File>> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("this user may not look at {}: {error}", path.display())),
    };
    let (uid, gid) = (found.uid(), found.gid());
    let owner = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name);
    let mode = found.mode() & 0o7777;
    Ok(Some(File { path: path.to_owned(), is_folder: found.is_dir(), mode, uid, gid, owner, group }))
}
