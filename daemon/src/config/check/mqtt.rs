//! Rules for a topic of a broker. Whether the broker is there is asked when it is connected to.

use std::collections::BTreeMap;
use std::path::Path;

use inferd_core::Name;

use super::command::{check_columns, check_row_rate};
use super::{Findings, check_readable};
use crate::config::{Mqtt, Pipeline, Source};

/// What MQTT gives a topic, a user name, a client's name.
const MAX_TEXT_BYTES: usize = 65_535;

pub(super) fn check(key: &str, mqtt: &Mqtt, found: &mut Findings) {
    let tls = match mqtt.broker() {
        Ok(broker) => broker.tls,
        Err(problem) => {
            found.add(format!("{key}.url"), problem);
            true
        }
    };
    check_topic(&format!("{key}.topic"), &mqtt.topic, found);
    check_columns(&format!("{key}.columns"), &mqtt.columns, found);
    check_row_rate(key, mqtt.rate_hz, mqtt.silence_ms, found);
    found.range(format!("{key}.qos"), mqtt.qos, 0..=2, "");
    if mqtt.silence_ms != 0 {
        found.range(format!("{key}.silence_ms"), mqtt.silence_ms, 100..=86_400_000, " ms, or 0 for ever,");
    }
    for (name, text) in [("username", &mqtt.username), ("client_id", &mqtt.client_id)] {
        if text.as_ref().is_some_and(|text| !is_text(text)) {
            found.add(format!("{key}.{name}"), "is empty, too long, or has a zero byte");
        }
    }
    found.belongs_to(
        &format!("{key}.password_file"),
        mqtt.password_file.is_some() && mqtt.username.is_none(),
        "`username`",
    );
    for (name, file) in
        [("ca_file", &mqtt.ca_file), ("certificate_file", &mqtt.certificate_file), ("key_file", &mqtt.key_file)]
    {
        found.belongs_to(&format!("{key}.{name}"), file.is_some() && !tls, "an address that begins with mqtts://");
    }
    check_pair(key, mqtt, found);
    check_files(key, mqtt, found);
}

/// Clients of one name throw each other out, for ever.
pub(super) fn check_clients(pipelines: &BTreeMap<Name, Pipeline>, found: &mut Findings) {
    let mut seen = BTreeMap::new();
    for (name, pipeline) in pipelines {
        let Source::Mqtt(mqtt) = &pipeline.source else { continue };
        let Some(id) = &mqtt.client_id else { continue };
        if let Some(other) = seen.insert((mqtt.shown(), id), name) {
            let message = format!("is that of the pipeline {other}: the broker lets in one client of a name at a time");
            found.add(format!("pipelines.{name}.source.client_id"), message);
        }
    }
}

fn check_topic(key: &str, topic: &str, found: &mut Findings) {
    if !is_text(topic) {
        found.add(key, "is no topic; `site/sensor` is expected");
    }
    if topic.contains(['+', '#']) || topic.starts_with("$share/") {
        found.add(key, "has a wildcard; one topic is expected: rows of several sensors would become one stream");
    }
}

fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.contains('\0')
}

fn check_pair(key: &str, mqtt: &Mqtt, found: &mut Findings) {
    match (&mqtt.certificate_file, &mqtt.key_file) {
        (Some(_), None) => found.add(format!("{key}.key_file"), "is missing: it goes with `certificate_file`"),
        (None, Some(_)) => found.add(format!("{key}.certificate_file"), "is missing: it goes with `key_file`"),
        _ => {}
    }
}

fn check_files(key: &str, mqtt: &Mqtt, found: &mut Findings) {
    let files = [
        ("password_file", &mqtt.password_file),
        ("ca_file", &mqtt.ca_file),
        ("certificate_file", &mqtt.certificate_file),
        ("key_file", &mqtt.key_file),
    ];
    let given = files.iter().filter_map(|(name, file)| Some((name, file.as_deref()?)));
    for (name, file) in given {
        check_file(&format!("{key}.{name}"), file, found);
    }
}

fn check_file(key: &str, file: &Path, found: &mut Findings) {
    if file.is_absolute() {
        check_readable(key, file, found);
    } else {
        // Not what it is: somebody may have written the password itself.
        found.add(key, "is no path that begins with /");
    }
}
