//! An HTTP server as destination: one multipart POST a sample. `docs/samples.md` documents it for whoever writes the server.
//!
//! Invariants:
//! - Only the configured address is connected to: no redirect is followed and no proxy of the environment is used.
//! - The address may carry credentials (user information, a signed query): what is told of it in messages carries none.
//! - The client, with its TLS, is made with the first sample: a device without uploads does not pay for it.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::sync::OnceCell;

use super::Refusal;
use crate::host::clock::Clock;
use crate::host::error::{one_line, with_causes};
use crate::spool::{Entry, Stored};

/// The longest pause that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// As much of a refusal's text as goes into messages.
const MAX_QUOTED_CHARS: usize = 200;

/// The server.
#[derive(Debug)]
pub(super) struct Http {
    url: String,
    /// The address as messages name it.
    shown: String,
    token_file: Option<PathBuf>,
    timeout: Duration,
    clock: Clock,
    client: OnceCell<Client>,
}

impl Http {
    pub(super) fn new(url: String, token_file: Option<PathBuf>, timeout: Duration, clock: Clock) -> Self {
        Self { shown: without_secrets(&url), url, token_file, timeout, clock, client: OnceCell::new() }
    }

    pub(super) async fn deliver(&self, entry: &Entry, sample: Stored) -> Result<(), Refusal> {
        let client = self.client.get_or_try_init(|| async { build_client(self.timeout) }).await?;
        let mut request =
            client.post(&self.url).header("Idempotency-Key", entry.id.to_string()).multipart(form(entry, sample)?);
        if let Some(authorization) = self.authorization().await? {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() { Ok(()) } else { Err(self.refusal(response).await) }
    }

    /// The token, read anew each time, so that it can be replaced while inferd runs.
    async fn authorization(&self) -> Result<Option<HeaderValue>, Refusal> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let misconfigured =
            |what: String| Refusal::Misconfigured(format!("upload.token_file {}: {what}", file.display()));
        let text = tokio::fs::read_to_string(file).await.map_err(|error| misconfigured(error.to_string()))?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
            .map_err(|_| misconfigured("one line of plain characters is expected".into()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn unreachable(&self, error: reqwest::Error) -> Refusal {
        let error = error.without_url();
        let reason = format!("cannot upload to {}: {}", self.shown, with_causes(&error));
        if error.is_builder() { Refusal::Misconfigured(reason) } else { Refusal::Later { reason, after: None } }
    }

    async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status();
        let after = retry_after(response.headers(), &self.clock);
        let reason = format!("{} answered {status}{}", self.shown, quote(response).await);
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Refusal::Later { reason, after },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Refusal::Misconfigured(format!("{reason}; check upload.token_file"))
            }
            StatusCode::NOT_FOUND => Refusal::Misconfigured(format!("{reason}; check upload.url")),
            status if status.is_client_error() => Refusal::Never(reason),
            status if status.is_server_error() => Refusal::Later { reason, after },
            _ => Refusal::Misconfigured(format!("{reason}; redirects are not followed, check upload.url")),
        }
    }
}

/// An address without its user information, query and fragment. One that is none is not shown at all.
fn without_secrets(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "upload.url".to_owned() };
    // Each fails only where an address can have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn build_client(timeout: Duration) -> Result<Client, Refusal> {
    Client::builder()
        .user_agent(concat!("inferd/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(timeout)
        .build()
        .map_err(|error| Refusal::Misconfigured(format!("cannot make an HTTP client: {}", with_causes(&error))))
}

fn form(entry: &Entry, sample: Stored) -> Result<Form, Refusal> {
    let part = |content, file: &str, media_type| {
        Part::bytes(content)
            .file_name(file.to_owned())
            .mime_str(media_type)
            .map_err(|error| Refusal::Never(format!("no part can be made of {file}: {error}")))
    };
    let json = part(sample.json, "sample.json", "application/json")?;
    let payload = part(sample.payload, &entry.payload.file, entry.payload.media_type())?;
    Ok(Form::new().part("sample", json).part("payload", payload))
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_nanosecond();
            let ns = until.saturating_sub(i128::from(clock.unix_ns())).max(0);
            Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
        }
    };
    Some(pause.min(MAX_RETRY_AFTER))
}

/// The beginning of a refusal's text, on one line. Only its first chunk is read: a server cannot make it long.
async fn quote(mut response: Response) -> String {
    let chunk = response.chunk().await.ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&chunk);
    let line: String = one_line(text.trim()).chars().take(MAX_QUOTED_CHARS).collect();
    if line.is_empty() { line } else { format!(" ({line})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let cases = [
            ("https://user:secret@example.org:8443/a?sig=secret#secret", "https://example.org:8443/a"),
            ("https://secret@example.org", "https://example.org/"),
            ("http://127.0.0.1:9/samples", "http://127.0.0.1:9/samples"),
            ("secret", "upload.url"),
        ];
        for (url, shown) in cases {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_a_day() {
        let clock = Clock::manual();
        let cases = [
            ("7", Some(7)),
            ("Thu, 01 Jan 2026 00:01:00 GMT", Some(60)),
            ("Wed, 31 Dec 2025 00:00:00 GMT", Some(0)),
            ("99999999", Some(86_400)),
            ("soon", None),
        ];
        for (text, expected) in cases {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, &clock), expected.map(Duration::from_secs), "{text}");
        }
    }
}
