use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use inferd_core::frame::Format;
use inferd_core::outcome::{Inference, Outcome, Verdict};
use inferd_core::prediction::{Prediction, StageTimes};
use inferd_core::{Digest, ModelId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;
use crate::spool::{Offered, Reason, Why};

/// What the server does with one request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// This status line and these headers.
    Say(&'static str),
    /// Nothing.
    Stall,
    /// The connection is reset.
    Reset,
}

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
struct Request {
    head: String,
    json: Vec<u8>,
    payload: Vec<u8>,
}

impl Request {
    fn key(&self) -> String {
        self.header("idempotency-key").unwrap()
    }

    fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    }
}

/// A server on the loopback interface: it answers as it was told, then `201 Created` for ever.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Server {
    async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}/samples", listener.local_addr().unwrap()),
            requests: Arc::default(),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
        };
        let (requests, answers) = (Arc::clone(&server.requests), Arc::clone(&server.answers));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&requests), Arc::clone(&answers)));
            }
        });
        server
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn config(&self) -> config::Upload {
        config::Upload {
            to: config::Destination::Http,
            url: Some(self.url.clone()),
            timeout_ms: 400,
            backoff_first_ms: 10,
            backoff_max_ms: 50,
            ..config::Upload::default()
        }
    }
}

async fn serve(mut stream: TcpStream, requests: Arc<Mutex<Vec<Request>>>, answers: Arc<Mutex<VecDeque<Answer>>>) {
    let Some(request) = receive(&mut stream).await else { return };
    requests.lock().unwrap().push(request);
    let answer = answers.lock().unwrap().pop_front().unwrap_or(Answer::Say("201 Created"));
    match answer {
        Answer::Say(status) => {
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwhy\n");
            // A client that has gone away needs no answer.
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Answer::Stall => std::future::pending().await,
        Answer::Reset => stream.set_zero_linger().unwrap(),
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut request = Request { head, ..Request::default() };
    let length: usize = request.header("content-length").unwrap().parse().unwrap();
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let content_type = request.header("content-type").unwrap();
    let (_, boundary) = content_type.split_once("multipart/form-data; boundary=").unwrap();
    request.json = part(&body, boundary, "name=\"sample\"; filename=\"sample.json\"", "application/json");
    request.payload = part(&body, boundary, "name=\"payload\"; filename=\"payload.jpg\"", "image/jpeg");
    Some(request)
}

fn part(body: &[u8], boundary: &str, disposition: &str, media_type: &str) -> Vec<u8> {
    let head =
        format!("--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {media_type}\r\n\r\n");
    let start = find(body, head.as_bytes()).expect("the part is there") + head.len();
    let end = find(&body[start..], format!("\r\n--{boundary}").as_bytes()).unwrap();
    body[start..start + end].to_vec()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn open(folder: &Path) -> Spool {
    Spool::open(folder, "device-1", &config::Spool::default(), Clock::system()).unwrap()
}

/// Spools samples whose payloads are these; gives their ids, oldest first.
async fn fill(spool: &Spool, payloads: &[&[u8]]) -> Vec<String> {
    for payload in payloads {
        let before = spool.list(100).len();
        spool.offer(offered(payload));
        until(|| spool.list(100).len() > before).await;
    }
    spool.list(100).iter().map(|entry| entry.id.to_string()).collect()
}

fn offered(payload: &[u8]) -> Offered {
    let outcome = Outcome {
        pipeline: "belt".parse().unwrap(),
        window: 7,
        captured_unix_ns: 0,
        latency_ns: 0,
        model: Arc::new(ModelId {
            name: "inspect".parse().unwrap(),
            version: "1.2.0".parse().unwrap(),
            digest: Digest::from_bytes([0xab; 32]),
        }),
        labels: Arc::new([]),
        verdict: Verdict::Uncertain,
        class: None,
        confidence: 0.5,
        margin: 0.25,
        result: Ok(Inference { prediction: Prediction::Anomaly(0.5), times: StageTimes::default() }),
    };
    let reason = Reason { why: Why::Margin, uncertainty: 0.5 };
    Offered { outcome, reason, format: Format::Jpeg, channels: Arc::new([]), bytes: payload.to_vec() }
}

async fn until(condition: impl Fn() -> bool) {
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < patience, "it never came true");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn through_every_kind_of_trouble_each_sample_arrives_whole_and_in_order() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path());
    let payloads: [&[u8]; 3] = [b"\xff\xd8 first \r\n\0", b"second", b"third"];
    let ids = fill(&spool, &payloads).await;
    let stored: Vec<_> = spool.list(3).iter().map(|entry| spool.read(entry).unwrap()).collect();
    let trouble = [
        Answer::Say("503 Service Unavailable"),
        Answer::Stall,
        Answer::Reset,
        Answer::Say("201 Created"),
        Answer::Say("429 Too Many Requests\r\nRetry-After: 0"),
        Answer::Say("408 Request Timeout"),
    ];
    let server = Server::start(&trouble).await;
    let handle = start(&server.config(), spool.clone(), Clock::system()).unwrap();
    until(|| spool.counts().pending == 0).await;

    let requests = server.requests();
    let keys: Vec<_> = requests.iter().map(Request::key).collect();
    let [first, second, third] = [&ids[0], &ids[1], &ids[2]];
    assert_eq!(keys.iter().collect::<Vec<_>>(), [first, first, first, first, second, second, second, third]);
    for request in &requests {
        let sample = ids.iter().position(|id| *id == request.key()).unwrap();
        assert_eq!((&request.json, &request.payload), (&stored[sample].json, &stored[sample].payload));
        assert_eq!(request.header("authorization"), None);
    }
    let status = handle.status();
    assert_eq!((status.uploaded, status.failed_attempts, status.last_error.as_str()), (3, 5, ""));
    assert_eq!(spool.counts().delivered, 3);

    spool.offer(offered(b"later"));
    until(|| handle.status().uploaded == 4).await;
    handle.shutdown().await;
}

#[tokio::test]
async fn a_sample_refused_for_good_is_set_aside_and_the_next_goes_on() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path());
    let ids = fill(&spool, &[b"bad", b"good"]).await;
    let server = Server::start(&[Answer::Say("422 Unprocessable Content")]).await;
    let handle = start(&server.config(), spool.clone(), Clock::system()).unwrap();
    until(|| spool.counts().pending == 0).await;
    assert_eq!(fs::read(folder.path().join("quarantine").join(&ids[0]).join("payload.jpg")).unwrap(), b"bad");
    assert_eq!((spool.counts().quarantined, spool.counts().delivered), (1, 1));
    assert_eq!(handle.status().failed_attempts, 1);
}

#[tokio::test]
async fn a_sample_that_always_fails_does_not_hold_up_the_others() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path());
    let ids = fill(&spool, &[b"poison", b"good", b"good too"]).await;
    let failing = [Answer::Say("500 Internal Server Error"); TRIES as usize];
    let server = Server::start(&failing).await;
    let _handle = start(&server.config(), spool.clone(), Clock::system()).unwrap();
    until(|| spool.counts().pending == 0).await;
    let keys: Vec<_> = server.requests().iter().map(Request::key).collect();
    assert_eq!(keys[..TRIES as usize], vec![ids[0].clone(); TRIES as usize]);
    assert_eq!(keys[TRIES as usize..], [ids[1].clone(), ids[2].clone(), ids[0].clone()]);
}

#[tokio::test]
async fn trouble_with_the_configuration_costs_no_sample() {
    let cases = ["401 Unauthorized", "403 Forbidden", "404 Not Found", "302 Found\r\nLocation: http://127.0.0.1:9/"];
    for status in cases {
        let folder = TempDir::new().unwrap();
        let spool = open(folder.path());
        fill(&spool, &[b"kept"]).await;
        let server = Server::start(&[Answer::Say(status)]).await;
        let config = config::Upload { backoff_max_ms: 3_600_000, ..server.config() };
        let handle = start(&config, spool.clone(), Clock::system()).unwrap();
        until(|| handle.status().failed_attempts == 1).await;
        assert_eq!((spool.counts().pending, server.requests().len()), (1, 1), "{status}");
        assert!(handle.status().last_error.contains("check upload."), "{}", handle.status().last_error);
        handle.flush();
        until(|| spool.counts().delivered == 1).await;
    }
}

#[tokio::test]
async fn neither_an_answer_nor_silence_tells_the_credentials_in_the_address() {
    for (answer, words) in
        [(Answer::Say("503 Service Unavailable"), "answered 503"), (Answer::Reset, "cannot upload to")]
    {
        let folder = TempDir::new().unwrap();
        let spool = open(folder.path());
        fill(&spool, &[b"kept"]).await;
        let server = Server::start(&[answer]).await;
        let url = server.url.replace("http://", "http://user:secret@") + "?signature=secret";
        let config = config::Upload { url: Some(url), backoff_first_ms: 3_600_000, ..server.config() };
        let handle = start(&config, spool.clone(), Clock::system()).unwrap();
        until(|| handle.status().failed_attempts == 1).await;
        let told = handle.status().last_error;
        assert!(told.contains(words) && told.contains(&server.url), "{told}");
        assert!(!told.contains("secret") && !told.contains("user"), "{told}");
        assert!(server.requests()[0].head.starts_with("POST /samples?signature=secret"), "it was sent with them");
    }
}

#[tokio::test]
async fn the_token_is_read_for_each_upload_and_a_missing_one_sends_nothing() {
    let folder = TempDir::new().unwrap();
    let spool = open(&folder.path().join("spool"));
    let token = folder.path().join("token");
    let server = Server::start(&[]).await;
    let config = config::Upload { token_file: Some(token.clone()), ..server.config() };
    let handle = start(&config, spool.clone(), Clock::system()).unwrap();
    spool.offer(offered(b"first"));
    until(|| handle.status().last_error.contains("upload.token_file")).await;
    assert!(server.requests().is_empty());
    for secret in ["one", "two"] {
        crate::host::durable::replace(&token, format!("{secret}\n").as_bytes()).unwrap();
        spool.offer(offered(b"next"));
        until(|| spool.counts().accepted > 1 && spool.counts().pending == 0).await;
        let last = server.requests().pop().unwrap();
        assert_eq!(last.header("authorization").unwrap(), format!("Bearer {secret}"));
    }
}

#[tokio::test]
async fn stopping_aborts_a_running_upload_and_the_sample_is_delivered_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path());
    let ids = fill(&spool, &[b"kept"]).await;
    let server = Server::start(&[Answer::Stall]).await;
    let config = config::Upload { timeout_ms: 600_000, ..server.config() };
    let handle = start(&config, spool.clone(), Clock::system()).unwrap();
    until(|| server.requests().len() == 1).await;
    let begun = Instant::now();
    handle.shutdown().await;
    assert!(begun.elapsed() < STOP_TIMEOUT);
    assert_eq!(spool.counts().pending, 1);
    drop(spool);

    let spool = open(folder.path());
    let _handle = start(&config, spool.clone(), Clock::system()).unwrap();
    until(|| spool.counts().delivered == 1).await;
    assert_eq!(server.requests().iter().map(Request::key).collect::<Vec<_>>(), [ids[0].clone(), ids[0].clone()]);
}

#[tokio::test]
async fn a_damaged_sample_is_set_aside_and_never_sent() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path());
    let ids = fill(&spool, &[b"whole", b"other"]).await;
    let path = folder.path().join(&ids[0]).join("payload.jpg");
    crate::host::durable::replace(&path, b"wrong").unwrap();
    let server = Server::start(&[]).await;
    let _handle = start(&server.config(), spool.clone(), Clock::system()).unwrap();
    until(|| spool.counts().pending == 0).await;
    assert_eq!(server.requests().iter().map(Request::key).collect::<Vec<_>>(), [ids[1].clone()]);
    assert_eq!(spool.counts().quarantined, 1);
}

fn to_directory(target: &Path) -> config::Upload {
    config::Upload {
        to: config::Destination::Directory,
        directory: Some(target.to_owned()),
        backoff_first_ms: 10,
        backoff_max_ms: 20,
        ..config::Upload::default()
    }
}

#[tokio::test]
async fn a_directory_gets_whole_samples_once_it_exists() {
    let folder = TempDir::new().unwrap();
    let (spool, target) = (open(&folder.path().join("spool")), folder.path().join("share"));
    let ids = fill(&spool, &[b"first", b"second"]).await;
    let stored = spool.read(&spool.oldest(None).unwrap()).unwrap();
    let handle = start(&to_directory(&target), spool.clone(), Clock::system()).unwrap();
    until(|| handle.status().last_error.contains("does upload.directory exist")).await;
    // Left by a crash of an earlier run, and a copy that the share has damaged.
    let damaged = target.join(&ids[1]);
    let half = folder.path().join("made").join(format!("{}{}", crate::host::durable::TEMPORARY, ids[0]));
    fs::create_dir_all(&half).unwrap();
    fs::create_dir_all(folder.path().join("made").join(&ids[1])).unwrap();
    fs::rename(folder.path().join("made"), &target).unwrap();
    until(|| spool.counts().delivered == 2).await;
    assert_eq!(fs::read(target.join(&ids[0]).join("payload.jpg")).unwrap(), b"first");
    assert_eq!(fs::read(target.join(&ids[0]).join("sample.json")).unwrap(), stored.json);
    assert_eq!(fs::read(damaged.join("payload.jpg")).unwrap(), b"second");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 2);
}

#[tokio::test]
async fn a_sample_that_is_there_already_counts_as_delivered() {
    let folder = TempDir::new().unwrap();
    let (spool, target) = (open(&folder.path().join("spool")), folder.path().join("share"));
    let ids = fill(&spool, &[b"first"]).await;
    let delivered = target.join(&ids[0]);
    fs::create_dir_all(&delivered).unwrap();
    for file in ["sample.json", "payload.jpg"] {
        fs::copy(folder.path().join("spool").join(&ids[0]).join(file), delivered.join(file)).unwrap();
    }
    let before = delivered.metadata().unwrap().modified().unwrap();
    let _handle = start(&to_directory(&target), spool.clone(), Clock::system()).unwrap();
    until(|| spool.counts().delivered == 1).await;
    assert_eq!(delivered.metadata().unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn without_a_destination_samples_stay() {
    let folder = TempDir::new().unwrap();
    let spool = open(folder.path());
    fill(&spool, &[b"kept"]).await;
    let handle = start(&config::Upload::default(), spool.clone(), Clock::system()).unwrap();
    handle.flush();
    handle.shutdown().await;
    assert_eq!(spool.counts().pending, 1);
    let incomplete = config::Upload { to: config::Destination::Http, ..config::Upload::default() };
    assert_eq!(
        start(&incomplete, spool, Clock::system()).unwrap_err().to_string(),
        "upload.url is missing; it is needed where upload.to is \"http\""
    );
}
