//! What comes from inferd: everything that it shows, once a second, and outcomes. inferd may go and come back.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::cli::BusKind;
use crate::client::Client;
use crate::failure::Failure;
use crate::view::Everything;

/// Between two looks at everything.
const EVERY: Duration = Duration::from_secs(1);
/// An inferd that takes longer to answer is not there.
const PATIENCE: Duration = Duration::from_secs(3);
/// News that wait to be drawn. Whoever has more waits: inferd drops outcomes for a reader that does not keep up.
const QUEUE: usize = 256;

/// Something to show.
#[derive(Debug)]
pub(super) enum News {
    Everything(Box<Everything>),
    /// inferd does not answer, for this reason.
    Gone(String),
    Outcome(Outcome),
    /// Outcomes cannot be read, for this reason; `None`: they can.
    Outcomes(Option<String>),
}

/// What is shown of an outcome.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Outcome {
    pub(super) pipeline: String,
    #[serde(default)]
    pub(super) time: String,
    #[serde(default)]
    pub(super) window: u64,
    pub(super) verdict: String,
    #[serde(default)]
    pub(super) label: String,
    /// 0 where there is none.
    #[serde(default)]
    pub(super) confidence: f64,
    #[serde(default)]
    pub(super) latency_ms: f64,
}

/// Two tasks, which end when nobody reads their news.
pub(super) fn begin(bus: BusKind, socket: PathBuf) -> mpsc::Receiver<News> {
    let (sender, news) = mpsc::channel(QUEUE);
    tokio::spawn(look(bus, sender.clone()));
    tokio::spawn(listen(socket, sender));
    news
}

async fn look(bus: BusKind, news: mpsc::Sender<News>) {
    let mut client = None;
    loop {
        let looked = timeout(PATIENCE, read(&mut client, bus)).await;
        let told = match looked {
            Ok(Ok(everything)) => News::Everything(Box::new(everything)),
            Ok(Err(failure)) => News::Gone(failure.sentence),
            Err(_) => News::Gone(format!("inferd did not answer within {} s", PATIENCE.as_secs())),
        };
        if matches!(told, News::Gone(_)) {
            // A bus that was restarted knows nothing of the connection.
            client = None;
        }
        if news.send(told).await.is_err() {
            return;
        }
        sleep(EVERY).await;
    }
}

async fn read(client: &mut Option<Client>, bus: BusKind) -> Result<Everything, Failure> {
    let connected = match client.take() {
        Some(connected) => connected,
        None => Client::connect(bus).await?,
    };
    let everything = Everything::read(&connected).await?;
    *client = Some(connected);
    Ok(everything)
}

async fn listen(socket: PathBuf, news: mpsc::Sender<News>) {
    loop {
        let reason = match UnixStream::connect(&socket).await {
            Err(error) => Failure::no_outcomes(&socket, &error).sentence,
            Ok(stream) => {
                if news.send(News::Outcomes(None)).await.is_err() {
                    return;
                }
                let mut lines = BufReader::new(stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    // Lines that are no outcomes tell of those that were left out.
                    let Ok(outcome) = serde_json::from_str(&line) else { continue };
                    if news.send(News::Outcome(outcome)).await.is_err() {
                        return;
                    }
                }
                "inferd ended the stream of outcomes".to_owned()
            }
        };
        if news.send(News::Outcomes(Some(reason))).await.is_err() {
            return;
        }
        sleep(EVERY).await;
    }
}
