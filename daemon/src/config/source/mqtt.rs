//! Sensors on the network: rows of values that an MQTT broker passes on.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A topic of an MQTT broker, whose messages are rows of sensor values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mqtt {
    /// The broker: `mqtt://HOST[:1883]`, or `mqtts://HOST[:8883]` for TLS.
    pub url: String,
    /// One topic, without wildcards.
    pub topic: String,
    /// How a message is written. Default `json`.
    pub format: MessageFormat,
    /// Names of a row's values.
    pub columns: Vec<String>,
    /// Rows per second, 0.001 to 100000.
    pub rate_hz: f64,
    /// The quality of service that is asked for: 0, 1 or 2. Default 0.
    pub qos: u8,
    /// With a password or without. Default: none.
    pub username: Option<String>,
    /// With `username`: a file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// With `mqtts`: certificates, in PEM, one of which has signed the broker's. Default: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// With `mqtts` and `key_file`: the device's certificate, in PEM, for brokers that ask for one.
    pub certificate_file: Option<PathBuf>,
    /// With `certificate_file`: its private key, in PEM.
    pub key_file: Option<PathBuf>,
    /// What the broker knows this client by. Two clients of one name throw each other out. Default: a random one.
    pub client_id: Option<String>,
    /// The pipeline says that it waits when no row has come for so long, in milliseconds. 0: the topic may be silent for ever.
    /// Default 10000.
    pub silence_ms: u64,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageFormat {
    /// An object or an array a row, or an array of them; of one column a number, too.
    #[default]
    Json,
    /// Lines of comma-separated values, a row each, in the columns' order.
    Csv,
    /// 32-bit little-endian floats, row after row.
    F32,
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Name or address, an IPv6 one in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// By TLS.
    pub tls: bool,
}

impl Mqtt {
    /// The largest message that is read.
    pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

    /// Where the broker is.
    ///
    /// # Errors
    /// What is wrong with the address, as a sentence without it: it may hold a password.
    pub fn broker(&self) -> Result<Broker, &'static str> {
        let shape = "mqtt://HOST:PORT or mqtts://HOST:PORT is expected";
        let url = reqwest::Url::parse(&self.url).map_err(|_| shape)?;
        let (tls, usual_port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(shape),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user name or a password; `username` and `password_file` are for them");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("goes on after the host and the port; `topic` is for the topic");
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(shape)?;
        if tls && host.starts_with('[') {
            return Err("names an IPv6 address, which no certificate is checked for; the broker's name is expected");
        }
        Ok(Broker { host: host.to_owned(), port: url.port().unwrap_or(usual_port), tls })
    }

    /// How long it may be silent; zero for ever.
    pub const fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }

    /// A line for people.
    pub fn line(&self) -> String {
        format!("mqtt {} on {}", self.topic, self.shown())
    }

    /// The broker's address for people, without what it should not hold.
    pub fn shown(&self) -> String {
        match self.broker() {
            Ok(Broker { host, port, tls }) => format!("{}://{host}:{port}", if tls { "mqtts" } else { "mqtt" }),
            Err(_) => "a broker without an address".to_owned(),
        }
    }
}
