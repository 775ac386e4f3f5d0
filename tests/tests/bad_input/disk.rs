//! A full disk: a small file system of its own under the state folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use inferd_tests::{Rig, fixtures, outside, rig, skip};

use crate::serving::{MODEL, Serving, assert_failed_job, belt};

/// A file system in memory with a file that fills it.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None`, loudly, where this process may not mount.
    fn mount(at: &Path, test: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { at: at.to_owned() });
        }
        skip::say_but_fail_in_ci(test, "a small disk cannot be mounted here; run it as root");
        None
    }

    /// Leaves this many blocks of 4096 bytes.
    fn fill(&self, left: u64) {
        let free = free_blocks(&self.at);
        let bytes = vec![1; usize::try_from((free - left) * 4096).unwrap()];
        inferd_tests::variant::write(&self.at.join("filler"), &bytes).unwrap();
        assert_eq!(free_blocks(&self.at), left);
    }

    fn empty(&self) {
        std::fs::remove_file(self.at.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        // The rig could not remove its folder while the disk was mounted in it.
        let _ = self.at.parent().map(std::fs::remove_dir_all);
    }
}

fn free_blocks(at: &Path) -> u64 {
    nix::sys::statvfs::statvfs(at).unwrap().blocks_available()
}

#[test]
fn an_install_on_a_full_disk_leaves_nothing() {
    let rig = Rig::new().unwrap();
    let Some(disk) = SmallDisk::mount(&rig.state(), "an_install_on_a_full_disk_leaves_nothing") else { return };
    rig.configure(&belt("")).unwrap();
    let mut rig = rig;
    rig.launch().unwrap();
    let mut serving = Serving::on(rig);
    let bundle = serving.rig.pack(&fixtures::model(MODEL, "1.1.0")).unwrap();
    let install = ["install", rig::path(&bundle).unwrap(), "--json"];
    for left in [0, 1, 5, 20] {
        disk.fill(left);
        let refused = serving.rig.ctl_output(&install).unwrap();
        assert_failed_job(&refused, "NoSpace", &["No space left on device", "make room, then try again"]);
        assert_eq!(free_blocks(&disk.at), left, "what was written is not given back");
        disk.empty();
    }
    serving.goes_on();
    serving.rig.ctl(&install).unwrap();
}

/// The choice of a version has to be written; where it cannot, the old one stays in every sense.
#[test]
fn an_activation_on_a_full_disk_changes_nothing() {
    let rig = Rig::new().unwrap();
    let Some(disk) = SmallDisk::mount(&rig.state(), "an_activation_on_a_full_disk_changes_nothing") else { return };
    rig.configure(&belt("")).unwrap();
    let mut rig = rig;
    rig.launch().unwrap();
    let serving = Serving::on(rig);
    serving.rig.install(&fixtures::model(MODEL, "1.1.0")).unwrap();
    disk.fill(0);
    let refused = serving.rig.ctl_output(&["activate", MODEL, "1.1.0", "--json"]).unwrap();
    assert_failed_job(&refused, "NoSpace", &["state.toml", "make room"]);
    serving.more_outcomes();
    assert_eq!(serving.rig.pipeline("belt").unwrap()["version"], "1.0.0");
    assert_eq!(serving.rig.ctl_json(&["models"]).unwrap()["models"][0]["active"], "1.0.0");
    disk.empty();
    serving.rig.ctl(&["activate", MODEL, "1.1.0"]).unwrap();
}

#[test]
fn sampling_on_a_full_disk_drops_and_counts_samples_while_inference_goes_on() {
    let rig = Rig::new().unwrap();
    let test = "sampling_on_a_full_disk_drops_and_counts_samples_while_inference_goes_on";
    let Some(disk) = SmallDisk::mount(&rig.state(), test) else { return };
    let sampling = "[pipelines.belt.sampling]\nstrategy = \"entropy\"\nabove = 0.0\nper_minute = 6000";
    rig.configure(&(belt("") + sampling)).unwrap();
    let mut rig = rig;
    rig.launch().unwrap();
    let mut serving = Serving::on(rig);
    let dropped = [("state", "dropped-disk")];
    let some = |rig: &Rig| Ok(rig.scrape()?.value("inferd_spool_samples_total", &dropped).is_some_and(|n| n >= 5.0));
    serving.rig.wait_for("the disk to be full of samples", some).unwrap();
    serving.goes_on();
    assert!(serving.rig.log().contains("samples are lost until the spool's disk works"));
    assert_eq!(serving.rig.log().matches("samples are lost").count(), 1, "one line for a disk that stays full");
    let temporary = |path: &PathBuf| path.to_string_lossy().contains(".tmp-");

    // A restart on the full disk: what is there is served, and what was kept is still there.
    let kept = serving.rig.ctl_json(&["samples"]).unwrap()["spool"]["pending"].as_u64().unwrap();
    serving.rig.stop().unwrap();
    assert!(!outside::tree(&serving.rig.state()).unwrap().iter().any(temporary), "left-overs");
    disk.fill(0);
    serving.rig.launch().unwrap();
    serving.rig.wait_for_state("belt", "running").unwrap();
    let found = serving.rig.ctl_json(&["samples"]).unwrap()["spool"]["pending"].as_u64().unwrap();
    assert!(kept > 0 && found >= kept, "{kept} samples were kept, {found} were found");
}
