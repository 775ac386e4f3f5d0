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
        let closed = File { mode: file.mode & !0o007, ..file.clone() };
        return match account.filter(|account| !closed.lets(account, Right::Read)) {
            // It could read it as anybody could.
            Some(account) => Check::warning(name, message, format!("sudo chown {} {shown}", account.name))
                .then(format!("sudo chmod 0600 {shown}")),
            None => Check::warning(name, message, format!("sudo chmod o-rwx {shown}")),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixture::{account, secret};
    use crate::doctor::report::Level;

    #[test]
    fn a_secret_is_for_the_service_and_for_nobody_else() {
        let cases = [(0o640, Level::Ok), (0o600, Level::Problem), (0o644, Level::Warning), (0o642, Level::Warning)];
        for (mode, level) in cases {
            assert_eq!(one(&secret(mode), Some(&account())).level, level, "{mode:o}");
        }
        let open = one(&secret(0o604), Some(&account()));
        assert_eq!(
            open.next,
            ["sudo chown inferd /etc/inferd/upload-token", "sudo chmod 0600 /etc/inferd/upload-token"]
        );
        let unseen = Secret { file: Err("x".into()), ..secret(0) };
        assert_eq!(one(&unseen, Some(&account())).level, Level::Skipped);
        let absent = Secret { file: Ok(None), ..secret(0) };
        assert_eq!(one(&absent, None).level, Level::Problem);
    }
}
