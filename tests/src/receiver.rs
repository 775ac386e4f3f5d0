//! A small HTTP server that receives samples, as somebody's retraining server would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;

/// A received sample.
#[derive(Clone, Debug)]
pub struct Received {
    /// `sample.json`.
    pub sample: Value,
    /// The payload.
    pub payload: Vec<u8>,
    /// How often it was sent.
    pub times: u32,
}

/// The server; answers until the process ends.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    refusing: AtomicBool,
    delay_ms: AtomicU64,
    samples: Mutex<BTreeMap<String, Received>>,
}

impl Receiver {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// Where the system gives no port or thread.
    pub fn start() -> anyhow::Result<Self> {
        let shared = Arc::<Shared>::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/samples", post(receive)).with_state(Arc::clone(&shared));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Builder::new().name("receiver".into()).spawn(move || {
            runtime.block_on(async move {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    // It ends with the process.
                    let _ = axum::serve(listener, router.layer(axum::extract::DefaultBodyLimit::max(64 << 20))).await;
                }
            });
        })?;
        Ok(Self { address, shared })
    }

    /// For `upload.url`.
    pub fn url(&self) -> String {
        format!("http://{}/samples", self.address)
    }

    /// Answers 503 from now on, or no more.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Answers this much later from now on, as over a slow link.
    pub fn delay(&self, by: Duration) {
        self.shared.delay_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// What has come, by id.
    pub fn samples(&self) -> BTreeMap<String, Received> {
        self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    tokio::time::sleep(Duration::from_millis(shared.delay_ms.load(Ordering::SeqCst))).await;
    if shared.refusing.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let Ok((sample, payload)) = parts(&headers, &body) else { return StatusCode::BAD_REQUEST };
    let id = sample["id"].as_str().unwrap_or_default().to_owned();
    let mut samples = shared.samples.lock().unwrap_or_else(PoisonError::into_inner);
    samples.entry(id).or_insert(Received { sample, payload, times: 0 }).times += 1;
    StatusCode::CREATED
}

/// The two parts of a `multipart/form-data` body (RFC 7578): `sample` and `payload`.
fn parts(headers: &HeaderMap, body: &[u8]) -> anyhow::Result<(Value, Vec<u8>)> {
    let kind = headers.get("content-type").context("no content type")?.to_str()?;
    let boundary = kind.split("boundary=").nth(1).context("no boundary")?.trim_matches('"');
    let delimiter = format!("\r\n--{boundary}");
    let (mut sample, mut payload) = (None, None);
    // The first delimiter has no line break before it.
    let whole = [b"\r\n", body].concat();
    for part in split(&whole, delimiter.as_bytes()) {
        let Some(at) = find(part, b"\r\n\r\n") else { continue };
        let (head, content) = (String::from_utf8_lossy(&part[..at]).to_lowercase(), &part[at + 4..]);
        if head.contains("name=\"sample\"") {
            sample = Some(serde_json::from_slice(content)?);
        } else if head.contains("name=\"payload\"") {
            payload = Some(content.to_vec());
        }
    }
    Ok((sample.context("no part `sample`")?, payload.context("no part `payload`")?))
}

fn split<'a>(mut bytes: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, delimiter) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + delimiter.len()..];
    }
    parts.push(bytes);
    parts
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
