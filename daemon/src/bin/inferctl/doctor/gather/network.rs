//! Whether the network leads where the configuration says. Connections are made and closed; nothing is sent but the request
//! for metrics.

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use futures_util::future::join_all;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use inferd::config::{Config, Source};
use reqwest::Url;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::doctor::facts::{Outcome, Reached, Scrape};
use crate::view::Everything;

/// What the destination of uploads is called.
pub(in crate::doctor) const UPLOAD: &str = "upload";

/// For the name and the connection together.
const REACH_WITHIN: Duration = Duration::from_secs(3);

/// How long a scrape may take.
const SCRAPE_WITHIN: Duration = Duration::from_secs(3);

/// Far more than inferd ever has.
const MAX_SCRAPE_BYTES: usize = 4 << 20;

/// The destination of uploads and every broker, all at once.
pub(super) async fn reach(config: Option<&Config>) -> Vec<Reached> {
    let places = config.map(places).unwrap_or_default();
    join_all(places.into_iter().map(|(what, host, port)| async move {
        let outcome = connect(&host, port).await;
        Reached { what, host, port, outcome }
    }))
    .await
}

fn places(config: &Config) -> Vec<(String, String, u16)> {
    let mut places: Vec<(String, String, u16)> = Vec::new();
    let url = config.upload.url.as_deref().and_then(|url| Url::parse(url).ok());
    if let Some((host, port)) = url.and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?))) {
        places.push((UPLOAD.to_owned(), host, port));
    }
    for pipeline in config.pipelines.values() {
        let Source::Mqtt(mqtt) = &pipeline.source else { continue };
        let Ok(broker) = mqtt.broker() else { continue };
        let place = ("mqtt".to_owned(), broker.host, broker.port);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

async fn connect(host: &str, port: u16) -> Outcome {
    let begun = Instant::now();
    // An IPv6 address stands in brackets in an address.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = match timeout(REACH_WITHIN, lookup_host((bare, port))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => return Outcome::NoName(error.to_string()),
        Err(_) => return Outcome::NoName("no answer within 3 s".to_owned()),
    };
    let left = REACH_WITHIN.saturating_sub(begun.elapsed());
    match timeout(left, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => Outcome::Connected(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)),
        Ok(Err(error)) => Outcome::NoAnswer(error.to_string()),
        Err(_) => Outcome::NoAnswer("no answer within 3 s".to_owned()),
    }
}

/// Scrapes where a running inferd says that its metrics are, else where they are configured to be. `None` where none are
/// served, also because inferd does not run.
pub(super) async fn metrics(config: Option<&Config>, daemon: Option<&Everything>) -> Option<Scrape> {
    let address = daemon.map(|daemon| daemon.metrics_address.clone()).filter(|address| !address.is_empty());
    // A daemon that runs and serves none was configured so, or its address was taken: that is told by its log.
    let address = match (address, daemon) {
        (Some(address), _) => address,
        (None, Some(_)) if config.is_some_and(|config| config.metrics.enabled) => {
            format!("http://{}/metrics", config?.metrics.listen)
        }
        (None, _) => return None,
    };
    let said = scrape(&address).await;
    Some(Scrape { address, said })
}

/// The metrics as text, or why not. By hyper alone: what can do more (TLS, proxies) is larger than all else in this program.
async fn scrape(address: &str) -> Result<String, String> {
    let answer = timeout(SCRAPE_WITHIN, fetch(address)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", SCRAPE_WITHIN.as_secs())))
}

async fn fetch(address: &str) -> Result<String, String> {
    let plain = |error: &dyn std::error::Error| error.to_string();
    let url = Url::parse(address).map_err(|error| plain(&error))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await.map_err(|error| plain(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| plain(&error))?;
    // It ends with the sender; what goes wrong with it, the request is told as well.
    tokio::spawn(async { drop(connection.await) });
    let request = Request::get(url.path()).header("host", url.authority()).body(Body::empty());
    let answer = sender.send_request(request.map_err(|error| plain(&error))?).await.map_err(|error| plain(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answers with {}", answer.status()));
    }
    let text = to_bytes(Body::new(answer.into_body()), MAX_SCRAPE_BYTES).await;
    let text = text.map_err(|error| format!("its answer breaks off, or has no end: {error}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_server_is_connected_to_and_sent_nothing() {
        let server = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = server.local_addr().unwrap();
        let host = if address.is_ipv6() { "[::1]" } else { "127.0.0.1" };
        assert!(matches!(run(connect(host, address.port())), Outcome::Connected(_)));
        let mut sent = Vec::new();
        server.accept().unwrap().0.read_to_end(&mut sent).unwrap();
        assert!(sent.is_empty());
        drop(server);
        assert!(matches!(run(connect(host, address.port())), Outcome::NoAnswer(_)));
    }

    #[test]
    fn a_scrape_gives_the_text_or_why_there_is_none() {
        let answer = |head: &'static str| {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}/metrics", server.local_addr().unwrap());
            let serving = std::thread::Builder::new().name("fake".into()).spawn(move || {
                let mut stream = server.accept().unwrap().0;
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(head.as_bytes()).unwrap();
            });
            let said = run(scrape(&address));
            serving.unwrap().join().unwrap();
            said
        };
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n").unwrap(), "x 1\n");
        assert!(answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap_err().contains("404"));
    }
}
