//! What doctor and support-bundle both read of the machine: a scrape of the metrics.

use std::time::Duration;

/// How long a scrape may take.
const SCRAPE_WITHIN: Duration = Duration::from_secs(3);

/// The metrics as text, at most 4 MiB of them.
///
/// # Errors
/// Why not, as a clause.
pub(crate) async fn scrape(address: &str) -> Result<String, String> {
    const MAX_BYTES: usize = 4 << 20;
    let plain = |error: reqwest::Error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        cause.to_string()
    };
    // A proxy that the environment names does not lead to this machine.
    let client = reqwest::Client::builder().no_proxy().timeout(SCRAPE_WITHIN).build().map_err(plain)?;
    let mut response = client.get(address).send().await.and_then(|answer| answer.error_for_status()).map_err(plain)?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(plain)? {
        text.extend_from_slice(&chunk);
        if text.len() >= MAX_BYTES {
            text.truncate(MAX_BYTES);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
