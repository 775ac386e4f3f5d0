//! Talking to the service manager (sd_notify). Without one every call does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

use super::error::one_line;

/// The service answers on every side. The status is made one line: what comes after a line break would be another message.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// A line for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&one_line(status))]);
}

/// The start takes longer than usual, and goes on: the service manager waits this much longer, from now.
pub fn starting_for(longer: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(longer.as_micros()).unwrap_or(u32::MAX))]);
}

/// The configuration is being read again; [`ready`] ends it. The time stamp is what `notify-reload` (systemd 253) asks for.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot read the clock for the service manager"),
    }
}

/// The service is ending on purpose.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// All parts have answered: the watchdog may go on waiting.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often the watchdog wants to hear [`alive`]: half its limit. `None` where nobody listens.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot reach the service manager");
    }
}
