//! Takes secrets out of text.
//!
//! Invariants:
//! - Rather too much is taken than too little: what looks like a secret is one.
//! - Taken out are: user and password, query and fragment of every address; the value after every word that ends in
//!   `password`, `token`, `secret` and their like; what follows `Bearer` and `Basic`; the unit's environment; and
//!   wherever it stands, what the configuration's addresses hold.
//! - Paths of files of secrets stay: they are only names.

use inferd::config::{Config, Source};
use reqwest::Url;

/// What stands in the place of a secret.
const REMOVED: &str = "REMOVED";

/// Ends of words whose value is a secret.
const WORDS: [&str; 10] =
    ["password", "passwd", "passphrase", "pwd", "token", "secret", "api_key", "api-key", "apikey", "authorization"];

/// A shorter password would be found in the middle of words that are none.
const MIN_PASSWORD: usize = 4;

/// A shorter value of a query is `true` or `json` rather than a key.
const MIN_QUERY_VALUE: usize = 8;

/// Takes secrets out, those of a configuration wherever they stand.
#[derive(Debug)]
pub(super) struct Redactor {
    known: Vec<String>,
}

impl Redactor {
    pub(super) fn of(config: Option<&Config>) -> Self {
        let mut known: Vec<String> =
            config.into_iter().flat_map(addresses).flat_map(|text| secrets_of(&text)).collect();
        // A longer one may hold a shorter.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { known }
    }

    /// The text without secrets and without outcomes, and how many of those there were.
    pub(super) fn text(&self, text: &str) -> (String, u64) {
        let mut outcomes = 0;
        let mut clean = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            // With `sinks.stdout` outcomes stand in the journal.
            if line.contains("\"verdict\":") && line.contains("\"window\":") {
                outcomes += 1;
                continue;
            }
            clean += &self.line(line);
        }
        (clean, outcomes)
    }

    fn line(&self, line: &str) -> String {
        if let Some(name) = ["Environment=", "PassEnvironment="].into_iter().find(|name| line.starts_with(name)) {
            return format!("{name}{REMOVED}\n");
        }
        let mut line = line.to_owned();
        for secret in &self.known {
            line = line.replace(secret, REMOVED);
        }
        without_values(&without_address_parts(&line))
    }

    /// The configuration, each value that may hold a secret by itself.
    pub(super) fn config(&self, config: &Config) -> Config {
        let mut config = config.clone();
        config.upload.url = config.upload.url.map(|url| self.line(&url));
        for pipeline in config.pipelines.values_mut() {
            match &mut pipeline.source {
                Source::Mqtt(mqtt) => mqtt.url = self.line(&mqtt.url),
                Source::Command(command) => command.command = self.arguments(&command.command),
                Source::Recording(_) | Source::Camera(_) | Source::Microphone(_) | Source::Imu(_) => {}
            }
        }
        config
    }

    /// `--password X` are two of them.
    fn arguments(&self, arguments: &[String]) -> Vec<String> {
        let mut clean = Vec::with_capacity(arguments.len());
        let mut is_value = false;
        for argument in arguments {
            clean.push(if is_value { REMOVED.to_owned() } else { self.line(argument) });
            is_value = argument.starts_with('-') && is_word(argument);
        }
        clean
    }
}

/// Every text of the configuration that may have an address in it.
fn addresses(config: &Config) -> Vec<String> {
    let mut all: Vec<String> = config.upload.url.iter().cloned().collect();
    for pipeline in config.pipelines.values() {
        match &pipeline.source {
            Source::Mqtt(mqtt) => all.push(mqtt.url.clone()),
            Source::Command(command) => all.extend(command.command.iter().cloned()),
            Source::Recording(_) | Source::Camera(_) | Source::Microphone(_) | Source::Imu(_) => {}
        }
    }
    all
}

/// Password and query's values of an address, as they stand there and decoded, as they may stand in a log.
fn secrets_of(text: &str) -> Vec<String> {
    let Ok(mut url) = Url::parse(text) else { return Vec::new() };
    let mut secrets = values_of(&url);
    secrets.retain(|value| value.len() >= MIN_QUERY_VALUE);
    let password = url.password().unwrap_or_default().to_owned();
    // As a query it is decoded by the same rules.
    url.set_query(Some(&password));
    secrets.extend(values_of(&url).into_iter().filter(|value| value.len() >= MIN_PASSWORD));
    secrets
}

/// Of a pair that has no `=` the whole is the value.
fn values_of(url: &Url) -> Vec<String> {
    let raw = url.query().into_iter().flat_map(|query| query.split('&'));
    let raw = raw.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
    let decoded = url.query_pairs().map(|(name, value)| if value.is_empty() { name } else { value }.into_owned());
    raw.chain(decoded).collect()
}

/// Addresses keep scheme, host and path.
fn without_address_parts(line: &str) -> String {
    let (mut clean, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once("://") {
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '`' | '<' | '>');
        let end = after.find(ends).unwrap_or(after.len());
        let (address, tail) = after.split_at(end);
        clean += before;
        clean += "://";
        clean += &stripped(address);
        rest = tail;
    }
    clean + rest
}

/// `user:password@host/path?query` as `REMOVED@host/path?REMOVED`. An `@` in the path counts, too.
fn stripped(address: &str) -> String {
    let (user, place) = address.rsplit_once('@').map_or(("", address), |(_, place)| ("REMOVED@", place));
    match place.find(['?', '#']) {
        Some(at) => format!("{user}{}{REMOVED}", place.get(..=at).unwrap_or_default()),
        None => format!("{user}{place}"),
    }
}

/// Whether what follows is a secret: `mqtt_password`, `--api-key`.
fn is_word(word: &str) -> bool {
    let word = word.trim_matches(['"', '\'', '-', '\\']).to_ascii_lowercase();
    WORDS.iter().any(|end| word.ends_with(end))
}

/// `token = "abc"`, `"token": "abc"`, `token=abc`, `--token abc`, `Bearer abc`.
fn without_values(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    let mut is_value = false;
    while !rest.is_empty() {
        let begin = rest.find(|c: char| !is_between(c)).unwrap_or(rest.len());
        let (between, after) = rest.split_at(begin);
        clean += between;
        let (word, tail) = after.split_at(after.find(is_between).unwrap_or(after.len()));
        if word.is_empty() {
            break;
        }
        let follows = tail.trim_start_matches([' ', '"', '\'', '\\']).starts_with(['=', ':']);
        let is_scheme = ["bearer", "basic"].contains(&word.to_ascii_lowercase().as_str());
        // A scheme is followed by the secret; it is none itself.
        clean += if is_value && !is_scheme { REMOVED } else { word };
        is_value = is_scheme || is_word(word) && (follows || word.starts_with('-'));
        rest = tail;
    }
    clean
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | ':' | '"' | '\'' | ',' | ';' | '{' | '}' | '(' | ')' | '[' | ']' | '&')
}

#[cfg(test)]
mod tests;
