//! Why there is no connection to a broker, and what to do.

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{ConnectReturnCode, ConnectionError, StateError};

/// A sentence that begins with the broker.
pub(super) fn explain(line: &str, error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("{line} does not let this client in: {}", refusal(*code)),
        ConnectionError::NetworkTimeout => format!("{line} cannot be reached: nothing answers"),
        ConnectionError::Io(error) => format!("{line} cannot be reached: {error}"),
        ConnectionError::Tls(error) => tls(line, &innermost(error)),
        ConnectionError::MqttState(StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(bytes))) => {
            format!("{line} has sent a message of {bytes} bytes: at most 1 MiB is read")
        }
        // TLS 1.3: what the broker thinks of a device's certificate comes when the connection stands.
        error => match innermost(error) {
            problem if problem.contains(ALERT) => tls(line, &problem),
            problem => format!("{line} is gone: {problem}"),
        },
    }
}

/// How an end begins that the other side gives a reason for.
const ALERT: &str = "fatal alert";

fn tls(line: &str, problem: &str) -> String {
    if problem.contains("peer certificate") {
        format!("{line} cannot be trusted: {problem}; see `ca_file`")
    } else if problem.contains(ALERT) {
        format!("{line} does not let this device in: {problem}; see `certificate_file`")
    } else {
        format!("{line} does not speak TLS with this client: {problem}")
    }
}

const fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            "the user name or the password is not right: see `username` and `password_file`"
        }
        ConnectReturnCode::BadClientId => "it does not take the client's name: see `client_id`",
        ConnectReturnCode::ServiceUnavailable => "it is not available",
        ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
        ConnectReturnCode::Success => "it gives no reason",
    }
}

/// What is at the bottom of an error whose layers all repeat it.
fn innermost(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().unwrap_or(error).to_string()
}
