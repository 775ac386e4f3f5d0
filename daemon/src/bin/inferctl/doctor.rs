//! `doctor`: checks this machine as an operator would, and says what to type about what is wrong.
//!
//! [`gather`] looks, [`checks`] judge, [`report`] shows: only the first touches the machine. It works without a running
//! daemon and as any user; what this user may not look at is said and counts as no problem.

mod checks;
pub(crate) mod facts;
pub(crate) mod gather;
pub(crate) mod report;

use std::path::PathBuf;

use clap::Args;

use crate::cli::BusKind;
use crate::failure::Failure;
use crate::output::{self, Output};
use facts::Facts;
use gather::Subject;
use report::Report;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The configuration; conf.d beside it and the environment are read too
    #[arg(long, default_value = "/etc/inferd/inferd.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Check the rights of the current user, where inferd is run by hand
    #[arg(long)]
    pub(crate) user: bool,
}

pub(crate) async fn examine(what: &Doctor, bus: BusKind, output: &Output) -> Result<(), Failure> {
    let facts =
        gather::gather(Subject { bus, config: &what.config, own_user: what.user || bus == BusKind::Session }).await;
    let report = judge(&facts);
    output.show(&report, || report.text(*output, output::width()))?;
    if report.has_problems() { Err(Failure::failed("this machine has problems").told()) } else { Ok(()) }
}

/// All checks of what was found.
pub(crate) fn judge(facts: &Facts) -> Report {
    Report::of(facts.version, checks::all(facts))
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
