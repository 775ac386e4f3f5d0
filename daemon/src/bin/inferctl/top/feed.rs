//! Where the view's data come from: the bus, asked once a second, and the outcomes' socket.
//!
//! Invariants:
//! - Neither ends: what fails is told and tried again, so a view goes on when inferd is back.
//! - An answer has [`ANSWER_WITHIN`]; a bus that hangs is told as silence, on a connection that is then given up.
//! - Asking takes at most a fiftieth of the time: where a lot is installed or waiting, it is asked less often.
//! - Feeds are told over a bounded channel. Where it is full the socket is not read, and inferd counts what we miss.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, timeout};

use super::process::Process;
use super::seen::Line;
use super::state::{Feed, Told};
use crate::cli::BusKind;
use crate::client::Client;
use crate::failure::Failure;
use crate::view::Everything;

/// How long the bus may take to connect, and inferd to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// The shortest time between two questions, and between two tries.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The longest.
const ASK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// How many times as long as a question took is waited before the next.
const IDLE_SHARE: u32 = 50;

/// Tells what the bus says, until nobody listens.
pub(super) async fn bus(bus: BusKind, feeds: Sender<Feed>) {
    let mut client = None;
    loop {
        let begun = Instant::now();
        let asked = timeout(ANSWER_WITHIN, ask(bus, &mut client)).await;
        let answer = asked.unwrap_or_else(|_| Err(Failure::unreachable(bus, "no answer within 3 s")));
        let pause = answer.as_ref().map_or(ASK_EVERY, |_| pause_after(begun.elapsed()));
        if answer.is_err() {
            client = None;
        }
        if feeds.send(answer.map_or_else(Feed::Silent, Feed::Told)).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

fn pause_after(took: Duration) -> Duration {
    took.saturating_mul(IDLE_SHARE).clamp(ASK_EVERY, ASK_AT_LEAST_EVERY)
}

async fn ask(bus: BusKind, kept: &mut Option<Client>) -> Result<Box<Told>, Failure> {
    let client = match kept {
        Some(client) => client,
        None => kept.insert(Client::connect(bus).await?),
    };
    let everything = Everything::read(client).await?;
    let process = client.process_id().await.map(Process::look);
    Ok(Box::new(Told { everything, process }))
}

/// Tells outcomes, until nobody listens.
pub(super) async fn outcomes(socket: &Path, feeds: Sender<Feed>) {
    loop {
        let Err(error) = read_outcomes(socket, &feeds).await else { return };
        let failure = Failure::no_outcomes(socket, &error);
        if feeds.send(Feed::Outcomes(Err(failure))).await.is_err() {
            return;
        }
        sleep(ASK_EVERY).await;
    }
}

/// Reads until there is nothing more to read, which is an error, or until nobody listens.
async fn read_outcomes(socket: &Path, feeds: &Sender<Feed>) -> std::io::Result<()> {
    let stream = UnixStream::connect(socket).await?;
    let mut lines = BufReader::new(stream).lines();
    let mut told = feeds.send(Feed::Outcomes(Ok(()))).await;
    while told.is_ok() {
        let ended = || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "inferd ended the stream");
        let line = lines.next_line().await?.ok_or_else(ended)?;
        told = match Line::read(&line) {
            Some(Line::Outcome(seen)) => feeds.send(Feed::Outcome(seen)).await,
            Some(Line::Missed(count)) => feeds.send(Feed::Missed(count)).await,
            // What we cannot read (a newer inferd's) is missed, too.
            None => feeds.send(Feed::Missed(1)).await,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixListener;
    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;

    #[test]
    fn asking_takes_at_most_a_fiftieth_of_the_time_until_it_takes_very_long() {
        let cases = [(0, 1000), (20, 1000), (40, 2000), (150, 7500), (2999, 10_000)];
        for (took, pause) in cases {
            assert_eq!(pause_after(Duration::from_millis(took)), Duration::from_millis(pause), "{took} ms");
        }
    }

    /// The next two feeds.
    async fn two(feeds: &mut Receiver<Feed>) -> [Feed; 2] {
        [feeds.recv().await.unwrap(), feeds.recv().await.unwrap()]
    }

    #[tokio::test]
    async fn a_stream_that_ends_is_told_and_attached_to_again() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("outcomes.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, mut feeds) = channel(1);
        let told = async {
            for window in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let line = format!("{{\"pipeline\":\"belt\",\"window\":{window}}}\n");
                stream.write_all(line.as_bytes()).await.unwrap();
                let [attached, outcome] = two(&mut feeds).await;
                assert!(matches!(attached, Feed::Outcomes(Ok(()))), "{attached:?}");
                assert!(matches!(&outcome, Feed::Outcome(seen) if seen.window == window), "{outcome:?}");
                stream.write_all(b"{\"dropped\":7}\nnew\n").await.unwrap();
                drop(stream);
                let [missed, unreadable] = two(&mut feeds).await;
                assert!(matches!((&missed, &unreadable), (Feed::Missed(7), Feed::Missed(1))), "{missed:?}");
                assert!(matches!(feeds.recv().await, Some(Feed::Outcomes(Err(_)))));
            }
        };
        tokio::select! { () = told => {}, () = outcomes(&socket, sender) => panic!("it ended") }
    }
}
