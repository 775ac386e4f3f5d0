//! The HTTP endpoint: `/metrics`, `/healthz` (the process answers) and `/readyz` (every enabled pipeline serves).
//!
//! Invariants:
//! - At most [`MAX_CONNECTIONS`] connections, so that nobody who opens more takes the descriptors that runners are started
//!   with. One more ends the oldest: whoever holds connections without using them keeps nobody out.
//! - A connection is for one request and lasts [`CONNECTION_TIMEOUT`] at most, whatever its peer does or does not do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::{Metrics, Readings};

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 16;

/// Time for a request and its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after an accept that failed, as it does while the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
    let task = tokio::spawn(accept(listener, router));
    Ok(Server { address, task })
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = Connections::default();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.make_room().await;
                connections.add(answer(stream, router.clone(), CONNECTION_TIMEOUT));
            }
            Err(error) => {
                tracing::warn!(%error, "a request for metrics cannot be let in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What runs, and in which order it came.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    /// Ends the oldest until there is room for one more; their descriptors are closed when this returns.
    async fn make_room(&mut self) {
        while self.tasks.len() >= MAX_CONNECTIONS {
            if let Some(oldest) = self.oldest_first.pop_front() {
                oldest.abort();
            }
            self.tasks.join_next().await;
        }
    }

    fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.oldest_first.retain(|other| !other.is_finished());
        self.oldest_first.push_back(self.tasks.spawn(connection));
    }
}

/// Answers one request, or gives it up after `timeout`.
async fn answer(stream: TcpStream, router: Router, timeout: Duration) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(timeout, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request for metrics was not answered"),
        Err(_) => tracing::debug!("a request for metrics took too long"),
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Nothing runs, and all is well.
    struct Idle;

    impl Health for Idle {
        fn readings(&self) -> Readings {
            Readings::default()
        }

        fn ready(&self) -> Result<(), String> {
            Ok(())
        }
    }

    async fn endpoint() -> Server {
        let any = "127.0.0.1:0".parse().unwrap();
        serve(any, Metrics::new().unwrap(), Arc::new(Idle)).await.unwrap()
    }

    async fn ask(server: &Server, path: &str) -> String {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Sockets that this process has bound to the port of the endpoint: its own, and those that it has accepted.
    fn sockets(server: &Server) -> usize {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open: Vec<_> = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok()).collect();
        let port = format!(":{:04X}", server.address.port());
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let ours = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        // Local address, and the inode that a descriptor of the socket is a link to (proc_net_tcp).
        ours.filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&port)))
            .filter(|fields| open.contains(&format!("socket:[{}]", fields[9]).into()))
            .count()
    }

    #[tokio::test]
    async fn a_request_is_answered_and_its_connection_closed() {
        let server = endpoint().await;
        assert!(ask(&server, "/metrics").await.contains("inferd_build_info"));
        assert!(ask(&server, "/healthz").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(&server, "/nothing").await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn idle_connections_keep_nobody_out_and_take_few_descriptors() {
        let server = endpoint().await;
        let mut idle = Vec::new();
        for _ in 0..300 {
            idle.push(TcpStream::connect(server.address).await.unwrap());
            assert!(sockets(&server) <= MAX_CONNECTIONS + 2, "its own, and one that is being let in");
        }
        assert!(ask(&server, "/metrics").await.contains("inferd_build_info"));
        assert!(sockets(&server) > MAX_CONNECTIONS / 2, "the count counts");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_ask_or_does_not_read_is_left_after_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let large = Router::new().route("/", get(|| async { vec![0_u8; 64 << 20] }));
        for said in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: here\r\n\r\n"] {
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            peer.write_all(said.as_bytes()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let ended = answer(stream, large.clone(), Duration::from_millis(50));
            tokio::time::timeout(Duration::from_secs(20), ended).await.expect(said);
        }
    }
}
