//! A destination that refuses, hangs or is not there: every sample waits, and arrives once it may.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread::Builder;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use inferd_tests::receiver::Receiver;
use inferd_tests::{Rig, outside};

use crate::serving::{Serving, assert_words, belt};

/// Samples that each test keeps.
const SAMPLES: usize = 5;

/// A server that answers every upload with the status that it is told.
struct Server {
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(listener: TcpListener, status: StatusCode) -> Self {
        let server = Self { status: Arc::new(AtomicU16::new(status.as_u16())), asked: Arc::default() };
        let (status, asked) = (Arc::clone(&server.status), Arc::clone(&server.asked));
        let answer = move |headers: HeaderMap, _: Bytes| {
            assert!(headers.contains_key("idempotency-key"));
            asked.fetch_add(1, Ordering::SeqCst);
            let status = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
            async move { status }
        };
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, Router::new().route("/samples", post(answer))).await.unwrap();
        };
        Builder::new().name("server".into()).spawn(move || runtime.block_on(serve)).unwrap();
        server
    }

    fn answer(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::SeqCst);
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A belt that uploads there, with samples that wait. Pauses are short, but for the longest, which is a minute.
fn uploading(url: &str, rest: &str) -> Serving {
    let upload =
        format!("[upload]\nto = \"http\"\nurl = \"{url}\"\nbackoff_first_ms = 20\nbackoff_max_ms = 60000\n{rest}\n");
    let serving = Serving::on(Rig::start(&(upload + &belt(""))).unwrap());
    serving.rig.ctl(&["capture", "belt", &SAMPLES.to_string()]).unwrap();
    serving
}

/// Waits for an error that says this; every sample is still on the disk.
fn refused(serving: &Serving, words: &[&str]) {
    let told = |rig: &Rig| {
        let spool = rig.ctl_json(&["samples"])?["spool"].clone();
        Ok(spool["pending"] == SAMPLES && spool["last_error"].as_str().is_some_and(|error| !error.is_empty()))
    };
    serving.rig.wait_for("an upload to fail", told).unwrap();
    let spool = serving.rig.ctl_json(&["samples"]).unwrap()["spool"].clone();
    assert_words(spool["last_error"].as_str().unwrap(), words);
    assert_eq!((&spool["uploaded"], &spool["dropped"]), (&0.into(), &0.into()), "{spool}");
    assert_eq!(on_disk(&serving.rig).len(), SAMPLES);
}

fn on_disk(rig: &Rig) -> BTreeSet<std::path::PathBuf> {
    let files = outside::tree(&rig.state().join("spool")).unwrap();
    files.into_iter().filter(|path| path.ends_with("sample.json")).collect()
}

fn delivered(serving: &mut Serving) {
    let all = |rig: &Rig| {
        let spool = rig.ctl_json(&["samples"])?["spool"].clone();
        Ok(spool["uploaded"] == SAMPLES && spool["pending"] == 0 && spool["last_error"] == "")
    };
    serving.rig.wait_for("every sample to arrive", all).unwrap();
    assert!(on_disk(&serving.rig).is_empty(), "delivered samples stay on the disk");
    serving.goes_on();
}

#[test]
fn a_server_that_is_overloaded_gets_every_sample_later() {
    let receiver = Receiver::start().unwrap();
    receiver.refuse(true);
    let mut serving = uploading(&receiver.url(), "");
    refused(&serving, &["503"]);
    receiver.refuse(false);
    serving.rig.ctl(&["samples", "--flush"]).unwrap();
    delivered(&mut serving);
    let samples = receiver.samples();
    assert_eq!(samples.len(), SAMPLES);
    assert!(samples.values().all(|sample| sample.times == 1 && sample.sample["reason"]["why"] == "requested"));
}

#[test]
fn a_server_that_wants_another_token_costs_no_sample() {
    let (listener, address) = listener();
    let server = Server::start(listener, StatusCode::FORBIDDEN);
    let mut serving = uploading(&format!("http://{address}/samples"), "");
    refused(&serving, &["answered 403", "check upload.token_file"]);
    let asked = server.asked.load(Ordering::SeqCst);
    assert!(asked <= 2, "a wrong token was tried {asked} times; it is not going to get better by itself");
    server.answer(StatusCode::CREATED);
    serving.rig.ctl(&["samples", "--flush"]).unwrap();
    delivered(&mut serving);
}

#[test]
fn a_server_that_is_not_there_yet_gets_every_sample_once_it_is() {
    let (closed, address) = listener();
    drop(closed);
    let mut serving = uploading(&format!("http://{address}/samples"), "");
    refused(&serving, &["cannot upload to", &address.to_string(), "Connection refused"]);
    let _server = Server::start(TcpListener::bind(address).unwrap(), StatusCode::OK);
    serving.rig.ctl(&["samples", "--flush"]).unwrap();
    delivered(&mut serving);
}

#[test]
fn a_server_that_hangs_is_given_up_and_stopping_does_not_wait_for_it() {
    let (hanging, address) = listener();
    let serving = uploading(&format!("http://{address}/samples"), "timeout_ms = 300");
    refused(&serving, &["cannot upload to", "timed out"]);
    let mut serving = serving;
    let took = serving.rig.stop().unwrap();
    assert!(took.as_secs() < 5, "stopping took {took:?}");
    assert_eq!(on_disk(&serving.rig).len(), SAMPLES);
    // After a restart they are still offered, and taken.
    drop(hanging);
    let _server = Server::start(TcpListener::bind(address).unwrap(), StatusCode::OK);
    serving.rig.launch().unwrap();
    serving.rig.wait_for("the samples to arrive", |rig| Ok(on_disk(rig).is_empty())).unwrap();
}

#[test]
fn a_sample_that_is_refused_for_good_is_kept_aside() {
    let (listener, address) = listener();
    let _server = Server::start(listener, StatusCode::UNPROCESSABLE_ENTITY);
    let mut serving = uploading(&format!("http://{address}/samples"), "");
    let aside = serving.rig.state().join("spool/quarantine");
    let all = |_: &Rig| Ok(std::fs::read_dir(&aside)?.count() == SAMPLES);
    serving.rig.wait_for("the samples to be set aside", all).unwrap();
    let quarantined = [("state", "quarantined")];
    let count = |rig: &Rig| Ok(rig.scrape()?.value("inferd_spool_samples_total", &quarantined) == Some(SAMPLES as f64));
    serving.rig.wait_for("them to be counted", count).unwrap();
    serving.goes_on();
}

#[test]
fn a_folder_that_is_gone_costs_no_sample() {
    let rig = Rig::new().unwrap();
    let target = rig.folder().join("collected");
    std::fs::create_dir(&target).unwrap();
    let upload = format!(
        "[upload]\nto = \"directory\"\ndirectory = \"{}\"\nbackoff_first_ms = 20\nbackoff_max_ms = 60000\n",
        target.display()
    );
    rig.configure(&(upload + &belt(""))).unwrap();
    let mut rig = rig;
    rig.launch().unwrap();
    let mut serving = Serving::on(rig);
    std::fs::remove_dir(&target).unwrap();
    serving.rig.ctl(&["capture", "belt", &SAMPLES.to_string()]).unwrap();
    refused(&serving, &["collected"]);
    assert!(!target.exists(), "the folder of a share that is not mounted was made");
    std::fs::create_dir(&target).unwrap();
    serving.rig.ctl(&["samples", "--flush"]).unwrap();
    delivered(&mut serving);
    let arrived = outside::tree(&target).unwrap().into_iter().filter(|path| path.ends_with("sample.json")).count();
    assert_eq!(arrived, SAMPLES);
}
