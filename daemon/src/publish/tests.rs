use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;

use inferd_core::outcome::{FailedStage, Failure, Inference, Verdict};
use inferd_core::prediction::{Prediction, StageTimes};
use inferd_core::{Digest, ModelId};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;

use super::*;

const SOCKET_ONLY: config::Sinks = config::Sinks { stdout: false, socket: true };

fn outcome(window: u64) -> Outcome {
    let times =
        StageTimes { decode_ns: 1_500_000, preprocess_ns: 250_000, inference_ns: 4_000_000, postprocess_ns: 9_999 };
    Outcome {
        pipeline: "belt".parse().unwrap(),
        window,
        captured_unix_ns: 1_767_225_600_250_000_000,
        latency_ns: 6_123_456,
        model: Arc::new(ModelId {
            name: "inspect".parse().unwrap(),
            version: "1.2.0".parse().unwrap(),
            digest: Digest::from_bytes([0xab; 32]),
        }),
        labels: Arc::new(["fine".to_owned(), "broken".to_owned()]),
        verdict: Verdict::Event,
        class: Some(1),
        confidence: 0.75,
        margin: 0.5,
        result: Ok(Inference { prediction: Prediction::Classes(vec![0.25, 0.75]), times }),
    }
}

async fn attach(path: &Path, publisher: &Publisher) -> Lines<BufReader<UnixStream>> {
    let before = publisher.counts().readers;
    let stream = UnixStream::connect(path).await.unwrap();
    until(|| publisher.counts().readers > before).await;
    BufReader::new(stream).lines()
}

async fn until(condition: impl Fn() -> bool) {
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < patience, "it never came true");
        tokio::task::yield_now().await;
    }
}

fn text(outcome: &Outcome) -> String {
    String::from_utf8(json::line(outcome).to_vec()).unwrap()
}

#[test]
fn lines_are_as_documented() {
    let expected = concat!(
        r#"{"pipeline":"belt","window":7,"time":"2026-01-01T00:00:00.250Z","model":"inspect","version":"1.2.0","#,
        r#""digest":"abababababababababababababababababababababababababababababababab","verdict":"event","#,
        r#""label":"broken","confidence":0.75,"margin":0.5,"#,
        r#""prediction":{"classes":[{"label":"broken","score":0.75},{"label":"fine","score":0.25}]},"#,
        r#""latency_ms":6.123,"stages_ms":{"decode":1.5,"preprocess":0.25,"inference":4.0,"postprocess":0.009}}"#,
        "\n"
    );
    assert_eq!(text(&outcome(7)), expected);
    let failure = Failure { stage: FailedStage::Decode, reason: "no \"JPEG\"\n".into() };
    let failed = Outcome { verdict: Verdict::Failed, class: None, result: Err(failure), ..outcome(8) };
    let tail = r#""latency_ms":6.123,"error":{"stage":"decode","reason":"no \"JPEG\"\n"}}"#.to_owned() + "\n";
    assert!(text(&failed).ends_with(&tail), "{}", text(&failed));
    assert!(!text(&failed).contains("prediction"));
}

#[tokio::test]
async fn every_reader_gets_every_line_from_when_it_attaches() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outcomes.sock");
    let (publisher, handle) = start(&SOCKET_ONLY, &path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    publisher.send(&outcome(0));
    assert_eq!(publisher.counts().lines, 0, "no line is made while nobody listens");

    let mut first = attach(&path, &publisher).await;
    publisher.send(&outcome(1));
    let mut second = attach(&path, &publisher).await;
    publisher.send(&outcome(2));
    assert_eq!(first.next_line().await.unwrap().unwrap() + "\n", text(&outcome(1)));
    assert_eq!(first.next_line().await.unwrap().unwrap() + "\n", text(&outcome(2)));
    assert_eq!(second.next_line().await.unwrap().unwrap() + "\n", text(&outcome(2)));

    drop(first);
    publisher.send(&outcome(3));
    until(|| {
        publisher.send(&outcome(4));
        publisher.counts().readers == 1
    })
    .await;
    handle.shutdown(Duration::from_secs(20)).await;
    assert!(!path.exists());
    let mut last = String::new();
    while let Some(line) = second.next_line().await.unwrap() {
        last = line;
    }
    assert_eq!(last + "\n", text(&outcome(4)), "what was queued arrives before the end");
    publisher.send(&outcome(5));
}

#[tokio::test]
async fn a_slow_reader_misses_lines_is_told_and_slows_nobody() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outcomes.sock");
    let (publisher, _handle) = start(&SOCKET_ONLY, &path).unwrap();
    let mut slow = attach(&path, &publisher).await;
    let mut quick = attach(&path, &publisher).await;
    let sent = 4000;
    for window in 0..sent {
        publisher.send(&outcome(window));
        assert_eq!(quick.next_line().await.unwrap().unwrap() + "\n", text(&outcome(window)));
    }
    let dropped = publisher.counts().socket_dropped;
    assert!(dropped > 0, "4000 lines fit neither the queue nor the socket's buffer");
    let (mut got, mut told) = (0, 0);
    while got + told < sent {
        let line = slow.next_line().await.unwrap().unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        match line["dropped"].as_u64() {
            Some(missed) => told += missed,
            None => {
                assert_eq!(line["window"], got + told, "a gap is told of in its place");
                got += 1;
            }
        }
    }
    assert_eq!(told, dropped);
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_served_one_is_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outcomes.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (publisher, _handle) = start(&SOCKET_ONLY, &path).unwrap();
    assert!(matches!(start(&SOCKET_ONLY, &path), Err(PublishError::InUse(_))));
    drop(attach(&path, &publisher).await);
}

#[tokio::test]
async fn one_reader_too_many_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outcomes.sock");
    let (publisher, _handle) = start(&SOCKET_ONLY, &path).unwrap();
    let mut readers = Vec::new();
    for _ in 0..socket::MAX_READERS {
        readers.push(attach(&path, &publisher).await);
    }
    let mut refused = BufReader::new(UnixStream::connect(&path).await.unwrap()).lines();
    assert_eq!(refused.next_line().await.unwrap(), None);
    assert_eq!(publisher.counts().refused, 1);
}

#[tokio::test]
async fn readers_that_leave_make_room_also_while_no_lines_come() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outcomes.sock");
    let (publisher, _handle) = start(&SOCKET_ONLY, &path).unwrap();
    for _ in 0..socket::MAX_READERS + 8 {
        drop(attach(&path, &publisher).await);
        until(|| publisher.counts().readers == 0).await;
    }
    let mut readers = Vec::new();
    for _ in 0..socket::MAX_READERS {
        readers.push(attach(&path, &publisher).await);
    }
    drop(readers);
    until(|| publisher.counts().readers == 0).await;
    drop(attach(&path, &publisher).await);
    assert_eq!((publisher.counts().refused, publisher.counts().lines), (0, 0));
}

#[tokio::test]
async fn a_reader_that_closes_the_direction_it_does_not_use_stays() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outcomes.sock");
    let (publisher, _handle) = start(&SOCKET_ONLY, &path).unwrap();
    let half_closed = attach(&path, &publisher).await;
    let stream = half_closed.into_inner().into_inner().into_std().unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut half_closed = BufReader::new(UnixStream::from_std(stream).unwrap()).lines();
    for window in 0..10 {
        // Each time after its task has slept with the direction closed.
        tokio::time::sleep(Duration::from_millis(5)).await;
        publisher.send(&outcome(window));
        assert_eq!(half_closed.next_line().await.unwrap().unwrap() + "\n", text(&outcome(window)));
    }
    assert_eq!(publisher.counts().readers, 1);
}

/// An output that takes nothing until it is let go.
struct Held(std::sync::mpsc::Receiver<()>, Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // An error means that the test let go of it.
        let _ = self.0.recv();
        self.1.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_held_up_standard_output_holds_up_its_own_thread_only() {
    let (let_go, held) = std::sync::mpsc::sync_channel::<()>(0);
    let written = Arc::<std::sync::Mutex<Vec<u8>>>::default();
    let stdout = Stdout::start(Held(held, Arc::clone(&written))).unwrap();
    for window in 0..3000 {
        stdout.send(json::line(&outcome(window)));
    }
    let dropped = stdout.dropped();
    assert!((1975..=1976).contains(&dropped), "{dropped}: 1024 are queued, one may be in hand");
    drop(let_go);
    stdout.shutdown(tokio::time::Instant::now() + Duration::from_secs(20)).await;
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert_eq!(written.lines().count() as u64, 3000 - dropped + 1);
    assert_eq!(written.lines().last().unwrap(), format!("{{\"dropped\":{dropped}}}"));
}
