//! May inferd open what is attached.

use inferd::config::{Config, Source as Configured};

use crate::doctor::facts::{Account, Facts, Looked, Unit};
use crate::doctor::report::Check;
use crate::figures::counted;
use crate::sources::Source;

/// The groups that Debian gives devices to, and what for.
pub(in crate::doctor) const GROUPS: [&str; 2] = ["video", "audio"];

/// Is the user in them, or does the unit put it there. A group that nothing configured needs is no trouble.
pub(super) fn groups(facts: &Facts) -> Check {
    let name = "groups";
    let account = match &facts.account {
        Ok(account) => account,
        Err(why) => return Check::warning(name, why, "sudo apt install --reinstall inferd"),
    };
    let unit = facts.unit.as_ref().ok();
    let lacking: Vec<&str> =
        facts.groups.iter().map(String::as_str).filter(|group| !is_in(group, account, unit)).collect();
    let user = &account.name;
    let needed: Vec<&str> =
        lacking.iter().copied().filter(|group| is_needed(group, facts.configuration.config())).collect();
    if !needed.is_empty() {
        let message = format!("the user {user} is not in {}, whose devices pipelines use", needed.join(", "));
        return Check::problem(name, message, format!("sudo usermod -aG {} {user}", needed.join(",")))
            .then("sudo systemctl restart inferd");
    }
    if !lacking.is_empty() {
        let message = format!("the user {user} is not in {}, and cannot use such devices", lacking.join(", "));
        return Check::warning(name, message, format!("sudo usermod -aG {} {user}", lacking.join(",")));
    }
    let all = if facts.groups.is_empty() {
        "no group of devices".to_owned()
    } else {
        format!("the groups {}", facts.groups.join(", "))
    };
    Check::ok(name, format!("the user {user} has {all}"))
}

fn is_in(group: &str, account: &Account, unit: Option<&Unit>) -> bool {
    // Root needs no group.
    account.uid == 0
        || account.groups.iter().any(|has| has == group)
        || unit.is_some_and(|unit| unit.groups.iter().any(|has| has == group))
}

fn is_needed(group: &str, config: Option<&Config>) -> bool {
    config.is_some_and(|config| {
        config.pipelines.values().any(|pipeline| match &pipeline.source {
            Configured::Camera(_) => group == "video",
            Configured::Microphone(_) => group == "audio",
            Configured::Recording(_) | Configured::Command(_) | Configured::Imu(_) | Configured::Mqtt(_) => false,
        })
    })
}

/// What inferd says it cannot use, a check each.
pub(super) fn sources(sources: &Looked<Vec<Source>>) -> Vec<Check> {
    let sources = match sources {
        Ok(sources) => sources,
        Err(why) => return vec![Check::skipped("devices", why)],
    };
    let unusable: Vec<Check> = sources.iter().filter(|source| !source.problem.is_empty()).map(unusable).collect();
    if !unusable.is_empty() {
        return unusable;
    }
    let message = match sources.len() as u64 {
        0 => "none is attached".to_owned(),
        count => format!("{} can be used", counted(count, "device")),
    };
    vec![Check::ok("devices", message)]
}

fn unusable(source: &Source) -> Check {
    // Where a command mends it, the sentence has it in backquotes.
    let command = source.problem.split('`').nth(1).filter(|command| command.starts_with("usermod "));
    let next = command.map_or_else(|| "inferctl sources".to_owned(), |command| format!("sudo {command}"));
    Check::warning(
        format!("device {}", source.device),
        format!("{} cannot be used: {}", source.kind, source.problem),
        next,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fixture::{account, camera, config, configuration, good, unit};
    use crate::doctor::report::Level;

    #[test]
    fn a_group_that_is_lacking_is_a_problem_only_where_a_pipeline_needs_it() {
        let alone = Account { groups: vec!["inferd".into()], ..account() };
        let idle = Facts { account: Ok(alone.clone()), ..good() };
        assert_eq!(groups(&idle).level, Level::Warning);
        let mut config = config();
        config.pipelines.values_mut().for_each(|pipeline| pipeline.source = camera());
        let needed = Facts { account: Ok(alone), configuration: configuration(config), ..good() };
        let check = groups(&needed);
        assert_eq!((check.level, check.next[0].as_str()), (Level::Problem, "sudo usermod -aG video inferd"));
        let by_unit = Unit { groups: vec!["video".into(), "audio".into()], ..unit() };
        assert_eq!(groups(&Facts { unit: Ok(by_unit), ..needed }).level, Level::Ok);
    }
}
