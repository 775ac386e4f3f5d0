use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use zbus::{Fd, Message, OwnedObjectPath, Variant};

use super::rig::{Method, Outcome, PATIENCE, Rig, control_errors, job, property};
use crate::bus::authority::Authority;
use crate::bus::{BusError, NAME, serve_on};
use crate::control::ControlError;
use crate::control::command::{Command, Done, Origin};
use crate::control::state::{Job, JobState, PipelineState};

const MANAGER: &str = "/org/inferd1";
const MODEL: &str = "/org/inferd1/model/belt_2dinspect";
const PIPELINE: &str = "/org/inferd1/pipeline/belt";
const JOB: &str = "/org/inferd1/job/1";
const SPOOL: &str = "/org/inferd1/spool";

type Options = HashMap<&'static str, Variant<'static>>;

fn me() -> Origin {
    Origin::User(nix::unistd::Uid::effective().as_raw())
}

async fn assert_becomes<B>(rig: &mut Rig, method: Method<'_>, body: &B, expected: Command)
where
    B: serde::Serialize + zbus::DynamicType,
{
    let (command, outcome) = rig.call_answered(method, body, Ok(Done::Now)).await;
    assert_eq!(format!("{command:?}"), format!("{expected:?}"));
    outcome.expect("answered without error");
}

#[tokio::test]
async fn every_method_becomes_its_command() {
    let rig = &mut Rig::start().await;
    let model = || "belt-inspect".parse().unwrap();
    let pipeline = || "belt".parse().unwrap();
    let version = || "1.1.0".parse().unwrap();
    let none = Options::new();

    assert_becomes(rig, Method(MANAGER, "Manager", "Reload"), &(), Command::Reload).await;
    // 1.0.0 is active.
    for (number, downgrade) in [("1.1.0", false), ("1.0.0", false), ("0.9.0", true)] {
        let version = number.parse().unwrap();
        let activate = Command::Activate { model: model(), version, downgrade, origin: me() };
        assert_becomes(rig, Method(MODEL, "Model", "Activate"), &(number, &none), activate).await;
    }
    let rollback = Command::Rollback { model: model(), origin: me() };
    assert_becomes(rig, Method(MODEL, "Model", "Rollback"), &(&none,), rollback).await;
    let remove = Command::Remove { model: model(), version: version(), origin: me() };
    assert_becomes(rig, Method(MODEL, "Model", "Remove"), &"1.1.0", remove).await;
    assert_becomes(rig, Method(PIPELINE, "Pipeline", "Start"), &(), Command::StartPipeline(pipeline())).await;
    assert_becomes(rig, Method(PIPELINE, "Pipeline", "Stop"), &(), Command::StopPipeline(pipeline())).await;
    let capture = Command::Capture { pipeline: pipeline(), count: 5 };
    assert_becomes(rig, Method(PIPELINE, "Pipeline", "Capture"), &5_u32, capture).await;
    assert_becomes(rig, Method(JOB, "Job", "Cancel"), &(), Command::CancelJob(1)).await;
    assert_becomes(rig, Method(SPOOL, "Spool", "Flush"), &(), Command::FlushSpool).await;
    assert_becomes(rig, Method(SPOOL, "Spool", "Discard"), &"s1", Command::DiscardSample("s1".into())).await;
}

#[tokio::test]
async fn an_installed_bundle_arrives_open_at_its_start() {
    let mut rig = Rig::start().await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"bundle").unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    let options = Options::from([("activate", true.into())]);
    let body = (Fd::from(&file), options);
    let (command, outcome) = rig.call_answered(Method(MANAGER, "Manager", "InstallModel"), &body, Ok(Done::Now)).await;
    let Command::Install { mut bundle, activate, origin } = command else { panic!("{command:?}") };
    let mut content = String::new();
    bundle.read_to_string(&mut content).unwrap();
    assert_eq!((content.as_str(), activate, origin), ("bundle", true, me()));
    outcome.unwrap();
}

#[tokio::test]
async fn a_job_is_an_object_before_its_path_is_told() {
    let mut rig = Rig::start().await;
    let client = rig.client.clone();
    let ask = async {
        let outcome = Method(MODEL, "Model", "Activate").call(&client, &("1.1.0", Options::new())).await;
        let path: OwnedObjectPath = outcome.unwrap().body().deserialize().unwrap();
        let state: String = property(&client, path.as_str(), "Job", "State").await;
        (path, state)
    };
    let own = async {
        rig.owner.answer(Ok(Done::Job(2))).await;
        // Long enough for an answer that does not wait to overtake the object.
        tokio::time::sleep(Duration::from_millis(200)).await;
        rig.owner.change(|state| drop(state.jobs.insert(2, job(JobState::Running))));
    };
    let ((path, state), ()) = tokio::join!(ask, own);
    assert_eq!((path.as_str(), state.as_str()), ("/org/inferd1/job/2", "running"));
}

#[tokio::test]
async fn every_refusal_keeps_its_name_and_sentence() {
    let mut rig = Rig::start().await;
    for error in control_errors() {
        let expected = (format!("org.inferd1.Error.{}", error.name()), error.to_string());
        let (_, outcome) = rig.call_answered(Method(MANAGER, "Manager", "Reload"), &(), Err(error)).await;
        assert_eq!(outcome.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn what_is_too_long_is_not_quoted_whole() {
    let mut rig = Rig::start().await;
    let long = "ü".repeat(4 << 20);
    let outcome = Method(MODEL, "Model", "Remove").call(&rig.client, &long.as_str()).await;
    let (name, sentence) = outcome.unwrap_err();
    assert_eq!((name.as_str(), sentence.chars().count()), ("org.inferd1.Error.InvalidArgument", 1001));
    assert!(rig.owner.was_asked_nothing());
}

fn assert_invalid(outcome: Outcome, word: &str) {
    let (name, sentence) = outcome.unwrap_err();
    assert_eq!(name, "org.inferd1.Error.InvalidArgument");
    assert!(sentence.contains(word), "{sentence}");
}

#[tokio::test]
async fn what_cannot_be_meant_never_reaches_the_owner() {
    let mut rig = Rig::start().await;
    let (client, none) = (rig.client.clone(), Options::new());
    let file = tempfile::tempfile().unwrap();
    let (pipe, _end) = std::io::pipe().unwrap();
    let install = Method(MANAGER, "Manager", "InstallModel");
    let activate = Method(MODEL, "Model", "Activate");
    let misspelt = Options::from([("actvate", true.into())]);
    let mistyped = Options::from([("activate", "yes".into())]);

    assert_invalid(install.call(&client, &(Fd::from(&file), misspelt.clone())).await, "actvate");
    assert_invalid(install.call(&client, &(Fd::from(&file), mistyped)).await, "boolean");
    assert_invalid(install.call(&client, &(Fd::from(&pipe), none.clone())).await, "regular file");
    assert_invalid(activate.call(&client, &("1.1", none)).await, "1.1");
    assert_invalid(activate.call(&client, &("1.1.0", misspelt)).await, "actvate");
    assert!(rig.owner.was_asked_nothing());
}

#[tokio::test]
async fn a_second_daemon_is_told_who_has_the_name() {
    let rig = Rig::start().await;
    let (_owner, handle) = super::rig::Owner::new(super::rig::state());
    let error = serve_on(rig.bus.connect().await, Authority::everyone(), handle).await.unwrap_err();
    assert!(matches!(error, BusError::NameTaken { ref owner } if *owner == std::process::id().to_string()), "{error}");
}

#[tokio::test]
async fn alive_tells_a_dead_bus_from_a_living_one() {
    let rig = Rig::start().await;
    rig.served.alive().await.unwrap();
    drop(rig.bus);
    assert!(rig.served.alive().await.is_err());
}

#[tokio::test]
async fn a_bus_that_stalls_holds_up_the_end_no_longer_than_told() {
    let rig = Rig::start().await;
    rig.bus.freeze();
    let begun = Instant::now();
    rig.served.close(tokio::time::Instant::now() + Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_comes_after_what_it_is_about_is_shown() {
    let mut rig = Rig::start().await;
    let client = rig.client.clone();
    let ask = async {
        Method(PIPELINE, "Pipeline", "Stop").call(&client, &()).await.unwrap();
        property::<String>(&client, PIPELINE, "Pipeline", "State").await
    };
    let own = async {
        rig.owner
            .change_and_answer(|state| {
                state.pipelines.values_mut().next().unwrap().state = PipelineState::Stopped;
            })
            .await;
    };
    let (state, ()) = tokio::join!(ask, own);
    assert_eq!(state, "stopped");
}

#[tokio::test]
async fn no_text_costs_us_the_connection() {
    let mut rig = Rig::start().await;
    let foul = || "a\0b\u{1b}".to_owned();
    let error = ControlError::ModelRefused(foul());
    rig.owner.change(|state| {
        state.status = foul();
        state.config_error = foul();
        state.metrics_address = foul();
        state.spool.last_error = foul();
        let sample = &mut state.spool.samples[0];
        (sample.id, sample.reason, sample.time, sample.label) = (foul(), foul(), foul(), foul());
        let belt = state.pipelines.values_mut().next().unwrap();
        (belt.reason, belt.source, belt.sandbox, belt.backend) = (foul(), foul(), foul(), foul());
        state.models.values_mut().next().unwrap().versions[0].description = foul();
        let failed = Job { operation: foul(), step: foul(), ..job(JobState::Failed(error.clone())) };
        state.jobs.insert(1, failed);
    });
    let (_, outcome) = rig.call_answered(Method(MANAGER, "Manager", "Reload"), &(), Err(error.clone())).await;
    assert_eq!(outcome.unwrap_err().1, "a\u{fffd}b\u{fffd}");
    // The call was answered after the state had been told.
    for (path, interface) in
        [(MANAGER, "Manager"), (MODEL, "Model"), (PIPELINE, "Pipeline"), (JOB, "Job"), (SPOOL, "Spool")]
    {
        let interface = format!("org.inferd1.{interface}");
        let properties = "org.freedesktop.DBus.Properties";
        let all = rig.client.call_method(Some(NAME), path, Some(properties), "GetAll", &interface).await.unwrap();
        let text = format!("{:?}", all.body().deserialize::<HashMap<String, zbus::OwnedVariant>>().unwrap());
        assert!(text.contains('\u{fffd}') && !text.contains("\\0") && !text.contains("\\u{1b}"), "{interface}: {text}");
    }
    rig.served.alive().await.unwrap();
}

#[tokio::test]
async fn the_name_is_free_once_the_bus_is_closed() {
    let rig = Rig::start().await;
    rig.served.close(tokio::time::Instant::now() + PATIENCE).await;
    let owned: bool = rig
        .client
        .call_method(Some("org.freedesktop.DBus"), "/org/freedesktop/DBus", None::<&str>, "NameHasOwner", &NAME)
        .await
        .unwrap()
        .body()
        .deserialize()
        .unwrap();
    assert!(!owned);
}

/// Writes calls by the thousand and reads none of the replies.
#[tokio::test]
async fn a_client_that_does_not_read_its_replies_hurts_nobody() {
    let rig = Rig::start().await;
    let path = rig.bus.address.split(['=', ',']).nth(1).unwrap();
    let mut deaf = deaf_client(path).await;
    let flood = async {
        for _ in 0..20_000 {
            let call = message(MANAGER, "org.freedesktop.DBus.Introspectable", "Introspect", NAME);
            if deaf.write_all(&call).await.is_err() {
                return;
            }
        }
    };
    let others = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = Instant::now();
        let status: String = property(&rig.client, MANAGER, "Manager", "Status").await;
        assert_eq!(status, "1 pipeline runs");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        rig.served.alive().await.unwrap();
    };
    // The flood may well be cut off by the bus, or stall: it ends when the others are done.
    tokio::select! { () = async { flood.await; std::future::pending::<()>().await } => {}, () = others => {} }
}

async fn deaf_client(path: &str) -> tokio::net::UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    let uid = hex::encode(nix::unistd::Uid::effective().to_string());
    stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes()).unwrap();
    let mut answer = [0; 256];
    let length = stream.read(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"OK"));
    stream.write_all(b"BEGIN\r\n").unwrap();
    stream
        .write_all(&message("/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "org.freedesktop.DBus"))
        .unwrap();
    stream.set_nonblocking(true).unwrap();
    tokio::net::UnixStream::from_std(stream).unwrap()
}

fn message(path: &str, interface: &str, member: &str, destination: &str) -> Vec<u8> {
    let call = Message::method_call(path, member).interface(interface).destination(destination).build(&()).unwrap();
    call.data().to_vec()
}
