//! The checks: small functions of facts. The order is that in which a person looks: does it run, is it set up right, does
//! the machine give what it needs, does the network.

mod devices;
mod host;
mod network;
mod secrets;
mod service;

pub(super) use devices::GROUPS;

use super::facts::Facts;
use super::report::Check;

/// All of them.
pub(super) fn all(facts: &Facts) -> Vec<Check> {
    let config = facts.configuration.config();
    let mut checks = vec![
        service::service(facts),
        service::unit(facts.bus, &facts.unit),
        service::configuration(&facts.configuration, facts.daemon.as_ref().ok()),
    ];
    checks.extend(service::pipelines(&facts.daemon));
    checks.push(devices::groups(facts));
    checks.extend(devices::sources(&facts.sources));
    checks.push(host::runner(facts));
    checks.push(host::sandbox(&facts.kernel, facts.daemon.as_ref().ok(), config));
    checks.push(host::limits(&facts.kernel));
    checks.push(host::disk(&facts.disk, config));
    checks.push(host::spool(&facts.daemon, config));
    checks.push(host::clock(&facts.clock));
    checks.push(network::upload(facts));
    checks.extend(network::brokers(&facts.reached));
    checks.push(network::metrics(facts.metrics.as_ref(), facts.daemon.is_ok()));
    checks.extend(secrets::all(&facts.secrets, &facts.account));
    checks
}
