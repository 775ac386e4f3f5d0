//! Runners that take as long to start as a test wants.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::Rig;
use crate::rig::program;

/// While it holds, runners that are started wait before they load anything. It does not hold at first.
#[derive(Debug)]
pub struct Hold {
    folder: PathBuf,
}

impl Hold {
    /// For the daemon's next start.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn on(rig: &mut Rig) -> std::io::Result<Self> {
        let folder = rig.folder().join("hold");
        fs::create_dir(&folder)?;
        let script = folder.join("runner");
        let place = folder.display();
        let runner = program("inferd-runner");
        // Whoever makes the folder `pass` his own goes on at once.
        let text = format!(
            "#!/bin/sh\nrmdir {place}/pass 2>/dev/null && exec {0}\n\
             while [ -e {place}/holds ]; do sleep 0.02; done\nexec {0}\n",
            runner.display()
        );
        File::create(&script)?.write_all(text.as_bytes())?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        rig.set_env("INFERD__RUNNER__PROGRAM", &script.display().to_string());
        Ok(Self { folder })
    }

    /// Holds runners from now on.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn hold(&self) -> std::io::Result<()> {
        File::create(self.folder.join("holds")).map(drop)
    }

    /// Lets one runner pass.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn let_one_pass(&self) -> std::io::Result<()> {
        fs::create_dir(self.folder.join("pass"))
    }

    /// Lets all go on.
    ///
    /// # Errors
    /// Where it did not hold.
    pub fn release(&self) -> std::io::Result<()> {
        fs::remove_file(self.folder.join("holds"))
    }
}
