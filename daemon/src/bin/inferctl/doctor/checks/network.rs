//! Does the way lead there: uploads, brokers, metrics.

use inferd::config::Destination;

use crate::doctor::facts::{Account, Facts, File, Looked, Outcome, Reached, Right, Scrape, Unit};
use crate::doctor::gather::UPLOAD;
use crate::doctor::report::Check;

/// Where samples go.
pub(super) fn upload(facts: &Facts) -> Check {
    let name = "upload";
    let Some(config) = facts.configuration.config() else {
        return Check::skipped(name, "the configuration could not be read");
    };
    match config.upload.to {
        Destination::None => Check::ok(name, "samples stay on this device (`upload.to` is \"none\")"),
        Destination::Directory => match &facts.upload_folder {
            Some(Ok(folder)) => self::folder(folder, &facts.account, facts.unit.as_ref().ok()),
            Some(Err(why)) => Check::warning(name, why, "ls -ld /srv /mnt"),
            None => Check::skipped(name, "no folder is named"),
        },
        Destination::Http => match facts.reached.iter().find(|reached| reached.what == UPLOAD) {
            Some(reached) => self::reached(reached),
            None => Check::skipped(name, "its address has no host"),
        },
    }
}

fn folder(folder: &File, account: &Looked<Account>, unit: Option<&Unit>) -> Check {
    let name = "upload";
    let path = folder.path.display();
    if !folder.is_folder {
        return Check::problem(name, format!("{path} is no folder"), format!("ls -ld {path}"));
    }
    let account = match account {
        Ok(account) => account,
        Err(why) => return Check::skipped(name, why),
    };
    let whose = format!("{}:{} {:04o}", folder.owner, folder.group, folder.mode);
    if !folder.lets(account, Right::Write) {
        let message = format!("{path} ({whose}) is not writable by the user {}", account.name);
        return Check::problem(name, message, format!("sudo chown {} {path}", account.name));
    }
    let is_open = |unit: &Unit| unit.writable.iter().any(|open| folder.path.starts_with(open));
    if unit.is_some_and(|unit| unit.load == "loaded" && unit.strict && !is_open(unit)) {
        let message = format!("{path} is read-only to the service: its unit needs `ReadWritePaths={path}`");
        return Check::problem(name, message, "sudo systemctl edit inferd").then("sudo systemctl restart inferd");
    }
    Check::ok(name, format!("{path} ({whose}) is writable by the user {}", account.name))
}

/// A check a broker.
pub(super) fn brokers(all: &[Reached]) -> Vec<Check> {
    all.iter().filter(|reached| reached.what != UPLOAD).map(reached).collect()
}

fn reached(to: &Reached) -> Check {
    let Reached { what, host, port, outcome } = to;
    match outcome {
        Outcome::Connected(ms) => Check::ok(what, format!("{host} port {port} answers in {ms} ms")),
        Outcome::NoName(why) => {
            Check::problem(what, format!("the name {host} leads nowhere: {why}"), format!("getent hosts {host}"))
        }
        Outcome::NoAnswer(why) => {
            let message = format!("{host} port {port} cannot be connected to: {why}");
            Check::problem(what, message, format!("nc -vz -w 3 {host} {port}"))
        }
    }
}

/// Does Prometheus get an answer.
pub(super) fn metrics(scrape: Option<&Scrape>, runs: bool) -> Check {
    let name = "metrics";
    match scrape {
        None if runs => Check::ok(name, "not served (`metrics.enabled` is false)"),
        None => Check::skipped(name, "inferd does not run"),
        Some(Scrape { address, said: Ok(text) }) if text.contains("inferd_build_info") => {
            let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
            Check::ok(name, format!("{address} answers with {samples} series"))
        }
        Some(Scrape { address, said: Ok(_) }) => {
            let message = format!("{address} answers, and not as inferd does: another program has the port");
            Check::problem(name, message, "sudo ss -ltnp")
        }
        Some(Scrape { address, said: Err(why) }) => {
            Check::problem(name, format!("{address} does not answer: {why}"), format!("curl -sS -m 3 {address}"))
        }
    }
}

#[cfg(test)]
mod tests;
