//! The HTTP endpoint: `/metrics`, `/healthz` (the process answers) and `/readyz` (every enabled pipeline serves).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Metrics, Readings};

/// What the endpoint asks the rest of the daemon at each request.
pub trait Health: Send + Sync + 'static {
    /// What is read off at a scrape.
    fn readings(&self) -> Readings;

    /// `Ok` where everything that should serve does; else what does not, a line each.
    ///
    /// # Errors
    /// The lines.
    fn ready(&self) -> Result<(), String>;
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {listen}; is it in use? change `metrics.listen`")]
pub struct HttpError {
    listen: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// The running endpoint; ends when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Where metrics are: `http://127.0.0.1:9469/metrics`.
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens and serves until the [`Server`] is dropped.
///
/// # Errors
/// [`HttpError`]
pub async fn serve(listen: SocketAddr, metrics: Metrics, health: Arc<dyn Health>) -> Result<Server, HttpError> {
    let failed = |source| HttpError { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state((metrics, health));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the metrics endpoint has ended");
        }
    });
    Ok(Server { address, task })
}

type Shared = (Metrics, Arc<dyn Health>);

async fn scrape(State((metrics, health)): State<Shared>) -> Response {
    match metrics.scrape(&health.readings()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State((_, health)): State<Shared>) -> Response {
    match health.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}
