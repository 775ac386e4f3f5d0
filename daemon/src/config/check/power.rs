//! Rules for what spares power.

use super::Findings;
use crate::config::{AtEnd, Pipeline, Power, Source};

pub(super) fn check(key: &str, pipeline: &Pipeline, found: &mut Findings) {
    let power = &pipeline.power;
    check_rates(key, power, found);
    check_pair(key, ("on_s", power.on_s), ("off_s", power.off_s), found);
    for (name, seconds) in [("on_s", power.on_s), ("off_s", power.off_s)] {
        if let Some(seconds) = seconds {
            found.range(format!("{key}.{name}"), seconds, 1.0..=86_400.0, " s");
        }
    }
    let cannot_rest = match &pipeline.source {
        Source::Recording(_) => Some("a recording, which is files: there is nothing to close"),
        Source::Command(command) if command.at_end == AtEnd::Stop => {
            Some("`at_end = \"stop\"`: what is read once, to its end, cannot be closed between")
        }
        Source::Command(_) | Source::Camera(_) | Source::Microphone(_) | Source::Imu(_) | Source::Mqtt(_) => None,
    };
    if let Some(why) = cannot_rest {
        let given =
            [("active", !power.active.is_always()), ("on_s", power.on_s.is_some()), ("off_s", power.off_s.is_some())];
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            found.add(format!("{key}.{name}"), format!("does not fit {why}; remove it"));
        }
    }
}

fn check_rates(key: &str, power: &Power, found: &mut Findings) {
    for (name, rate) in [("max_per_second", power.max_per_second), ("slow_to_per_second", power.slow_to_per_second)] {
        if let Some(rate) = rate {
            found.range(format!("{key}.{name}"), rate, 0.001..=1000.0, " windows a second");
        }
    }
    if let Some(above) = power.slow_above_c {
        found.range(format!("{key}.slow_above_c"), above, 30.0..=120.0, " degrees Celsius");
    }
    let (above, slow) = (("slow_above_c", power.slow_above_c), ("slow_to_per_second", power.slow_to_per_second));
    check_pair(key, above, slow, found);
    if let (Some(slow), Some(most)) = (power.slow_to_per_second, power.max_per_second)
        && slow >= most
    {
        found.add(format!("{key}.slow_to_per_second"), format!("is {slow}; less than `max_per_second` is expected"));
    }
}

/// Both or none.
fn check_pair(key: &str, one: (&str, Option<f64>), other: (&str, Option<f64>), found: &mut Findings) {
    for ((missing, value), (given, there)) in [(one, other), (other, one)] {
        if value.is_none() && there.is_some() {
            found.add(format!("{key}.{missing}"), format!("is missing: it goes with `{given}`"));
        }
    }
}
