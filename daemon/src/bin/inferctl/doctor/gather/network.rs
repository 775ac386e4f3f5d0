//! Whether the network leads where the configuration says. Connections are made and closed; nothing is sent but the request
//! for metrics.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use inferd::config::{Config, Source};
use reqwest::Url;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::doctor::facts::{Outcome, Reached, Scrape};
use crate::machine;
use crate::view::Everything;

/// What the destination of uploads is called.
pub(in crate::doctor) const UPLOAD: &str = "upload";

/// For the name and the connection together.
const REACH_WITHIN: Duration = Duration::from_secs(3);

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
    let said = machine::scrape(&address).await;
    Some(Scrape { address, said })
}
