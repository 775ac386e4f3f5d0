//! Files of secrets: readable by inferd, and by nobody who has no business there.

use crate::doctor::facts::{Account, File, Looked, Right, Secret};
use crate::doctor::report::Check;

/// A check a file; none where no file of secrets is configured.
pub(super) fn all(secrets: &[Secret], account: &Looked<Account>) -> Vec<Check> {
    secrets.iter().map(|secret| one(secret, account.as_ref().ok())).collect()
}

fn one(secret: &Secret, account: Option<&Account>) -> Check {
    let Secret { key, path, file } = secret;
    let name = "secret";
    let shown = path.display();
    let file = match file {
        Ok(Some(file)) => file,
        Ok(None) => {
            return Check::problem(name, format!("{shown} ({key}) is not there"), format!("ls -l {shown}"));
        }
        Err(why) => return Check::skipped(name, &format!("{shown} ({key}): {why}")),
    };
    let whose = whose(file);
    if file.mode & 0o006 != 0 {
        let message = format!("{shown} ({key}, {whose}) can be read or changed by every user of this machine");
        return Check::warning(name, message, format!("sudo chmod o-rwx {shown}"));
    }
    if let Some(account) = account.filter(|account| !file.lets(account, Right::Read)) {
        let user = &account.name;
        let message = format!("{shown} ({key}, {whose}) cannot be read by the user {user}");
        return Check::problem(name, message, format!("sudo chown {user} {shown}"))
            .then(format!("sudo chmod 0600 {shown}"));
    }
    Check::ok(name, format!("{shown} ({key}) is {whose}"))
}

fn whose(file: &File) -> String {
    format!("{}:{} {:04o}", file.owner, file.group, file.mode)
}
