//! Does it run, since when, with which configuration, and what do its pipelines do.

use crate::cli::BusKind;
use crate::doctor::facts::{Configuration, Facts, Looked, Scrape, Unit};
use crate::doctor::report::Check;
use crate::figures::counted;
use crate::service::sections;
use crate::status;
use crate::view::{Everything, Pipeline};

const RESTART: &str = "sudo systemctl restart inferd";
const LOG: &str = "journalctl -u inferd -n 50";

/// Is it on the bus, and of our release.
pub(super) fn service(facts: &Facts) -> Check {
    let name = "service";
    let daemon = match &facts.daemon {
        Ok(daemon) => daemon,
        Err(why) => return Check::problem(name, why, start(facts.bus)),
    };
    if daemon.version != facts.version {
        let message = format!(
            "inferd {} runs, and this is inferctl {}: it was not started again after an upgrade",
            daemon.version, facts.version
        );
        return Check::warning(name, message, restart(facts.bus));
    }
    let since = since(facts.unit.as_ref().ok(), facts.metrics.as_ref());
    let pipelines = counted(daemon.pipelines.len() as u64, "pipeline");
    Check::ok(name, format!("inferd {} runs{since}, {pipelines}: {}", daemon.version, daemon.status))
}

const fn start(bus: BusKind) -> &'static str {
    match bus {
        BusKind::System => "sudo systemctl start inferd",
        BusKind::Session => "inferd --user",
    }
}

const fn restart(bus: BusKind) -> &'static str {
    match bus {
        BusKind::System => RESTART,
        BusKind::Session => "inferd --user",
    }
}

/// By systemd where it runs the service, else by the metrics.
fn since(unit: Option<&Unit>, scrape: Option<&Scrape>) -> String {
    if let Some(unit) = unit.filter(|unit| unit.runs() && !unit.since.is_empty()) {
        return format!(" since {}", unit.since);
    }
    let value = scrape.and_then(|scrape| scrape.said.as_ref().ok()).and_then(|text| started(text));
    value.map_or_else(String::new, |time| format!(" since {time}"))
}

fn started(metrics: &str) -> Option<String> {
    let value: f64 = metrics.lines().find_map(|line| line.strip_prefix("process_start_time_seconds "))?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a cast that saturates, and then no time")]
    let time = jiff::Timestamp::from_second(value as i64).ok()?;
    Some(time.to_string())
}

/// What systemd thinks of it.
pub(super) fn unit(bus: BusKind, unit: &Looked<Unit>) -> Check {
    let name = "unit";
    if bus == BusKind::Session {
        return Check::skipped(name, "an inferd on the session bus is started by hand");
    }
    let unit = match unit {
        Ok(unit) => unit,
        Err(why) => return Check::skipped(name, why),
    };
    if unit.load != "loaded" {
        let message = format!("systemd has no inferd.service ({}); is the package installed?", unit.load);
        return Check::warning(name, message, "sudo apt install inferd");
    }
    if unit.active == "failed" {
        return Check::problem(name, format!("inferd.service has failed: {}", unit.result), LOG)
            .then("sudo systemctl reset-failed inferd")
            .then("sudo systemctl start inferd");
    }
    if !unit.runs() {
        let message = format!("inferd.service is {} ({})", unit.active, unit.sub);
        return Check::warning(name, message, "sudo systemctl enable --now inferd");
    }
    if !matches!(unit.enabled.as_str(), "enabled" | "enabled-runtime" | "static") {
        let message = format!("inferd.service runs and will not after a reboot: it is {}", unit.enabled);
        return Check::warning(name, message, "sudo systemctl enable inferd");
    }
    if unit.restarts > 0 {
        let message = format!("inferd.service was started again {}: it had died", counted(unit.restarts, "time"));
        return Check::warning(name, message, LOG);
    }
    Check::ok(name, format!("inferd.service is {} ({}), {} at boot", unit.active, unit.sub, unit.enabled))
}

/// What is wrong in the files, and what the daemon has made of them.
pub(super) fn configuration(configuration: &Configuration, daemon: Option<&Everything>) -> Check {
    let name = "configuration";
    let file = configuration.file.display();
    let check = format!("inferctl check-config {file}");
    let loaded = match &configuration.loaded {
        Ok(loaded) => loaded,
        Err(why) => return Check::skipped(name, why).then(format!("sudo {check}")),
    };
    if !loaded.wrong.is_empty() {
        return Check::problem(name, loaded.wrong.join("; "), check);
    }
    if let Some(daemon) = daemon {
        if !daemon.config_error.is_empty() {
            let message = format!("the one before is in force: {}", daemon.config_error);
            return Check::problem(name, message, check).then("inferctl reload");
        }
        if !daemon.pending_sections.is_empty() {
            let message =
                format!("changed, and in force at the next start only: {}", sections(&daemon.pending_sections));
            return Check::warning(name, message, RESTART);
        }
    }
    if !loaded.absent.is_empty() {
        return Check::warning(name, loaded.absent.join("; "), check);
    }
    let unread = if loaded.hidden.is_empty() {
        String::new()
    } else {
        format!("; {} that it names may not be read by this user", counted(loaded.hidden.len() as u64, "file"))
    };
    Check::ok(name, format!("{file} is good{unread}"))
}

/// One check a pipeline.
pub(super) fn pipelines(daemon: &Looked<Everything>) -> Vec<Check> {
    let Ok(daemon) = daemon else { return vec![Check::skipped("pipelines", "inferd does not run")] };
    if daemon.pipelines.is_empty() {
        return vec![
            Check::warning("pipelines", "none is configured", "inferctl sources")
                .then("sudoedit /etc/inferd/inferd.toml"),
        ];
    }
    daemon.pipelines.iter().map(|pipeline| one_pipeline(pipeline, daemon)).collect()
}

fn one_pipeline(pipeline: &Pipeline, daemon: &Everything) -> Check {
    let name = format!("pipeline {}", pipeline.name);
    let problems = status::pipeline_problems(pipeline, daemon);
    if problems.is_empty() {
        let version = if pipeline.version.is_empty() { String::new() } else { format!(" {}", pipeline.version) };
        return Check::ok(name, format!("{}: {}{version} on {}", pipeline.state, pipeline.model, pipeline.source));
    }
    let message = problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ");
    let mut next: Vec<String> =
        problems.into_iter().map(|problem| problem.next).filter(|next| !next.is_empty()).collect();
    if next.is_empty() {
        next.push("inferctl pipelines".to_owned());
    }
    let first = next.remove(0);
    let check = if pipeline.state == "failed" {
        Check::problem(name, message, first)
    } else {
        Check::warning(name, message, first)
    };
    next.into_iter().fold(check, Check::then)
}

#[cfg(test)]
mod tests;
