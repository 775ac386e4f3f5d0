use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout};
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

use super::rig::{PATIENCE, Rig, job, property};
use crate::control::ControlError;
use crate::control::state::{JobState, PipelineState};

const PIPELINE: &str = "/org/inferd1/pipeline/belt";
type Interfaces = HashMap<String, HashMap<String, OwnedVariant>>;

/// All signals of the service.
async fn signals(rig: &Rig) -> MessageStream {
    let rule = MatchRule::builder().msg_type(Type::Signal).path_namespace("/org/inferd1").build().unwrap();
    MessageStream::for_match_rule(rule, &rig.client, None).await.unwrap()
}

async fn next(signals: &mut MessageStream, member: &str) -> Message {
    let wanted = async {
        loop {
            let message = signals.next().await.unwrap().unwrap();
            if message.header().member().unwrap() == member {
                return message;
            }
        }
    };
    timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("no {member} came"))
}

/// Path, changed and invalidated names of a PropertiesChanged.
fn changed(message: &Message) -> (String, HashMap<String, OwnedVariant>, Vec<String>) {
    let body = message.body();
    let (_, changed, invalidated): (String, HashMap<String, OwnedVariant>, Vec<String>) = body.deserialize().unwrap();
    (message.header().path().unwrap().to_string(), changed, invalidated)
}

#[tokio::test]
async fn the_object_manager_lists_everything_with_its_properties() {
    let rig = Rig::start().await;
    let reply = rig
        .client
        .call_method(
            Some("org.inferd1"),
            "/org/inferd1",
            Some("org.freedesktop.DBus.ObjectManager"),
            "GetManagedObjects",
            &(),
        )
        .await
        .unwrap();
    let mut objects: HashMap<OwnedObjectPath, Interfaces> = reply.body().deserialize().unwrap();
    // The folders on the way are listed too, with the standard interfaces only.
    objects.retain(|_, interfaces| interfaces.keys().any(|name| name.starts_with("org.inferd1.")));
    let mut paths: Vec<String> = objects.keys().map(ToString::to_string).collect();
    paths.sort();
    let expected =
        ["/org/inferd1/job/1", "/org/inferd1/model/belt_2dinspect", PIPELINE, "/org/inferd1/spool"].map(String::from);
    assert_eq!(paths, expected);
    let (_, model) = objects.iter_mut().find(|(path, _)| path.contains("model")).unwrap();
    let versions = model.get_mut("org.inferd1.Model").unwrap().remove("Versions").unwrap();
    let versions: Vec<HashMap<String, OwnedVariant>> = versions.try_into().unwrap();
    assert_eq!(u64::try_from(&versions[0]["bytes"]).unwrap(), 123_456);
    assert_eq!(<&str>::try_from(&versions[0]["version"]).unwrap(), "1.0.0");
}

#[tokio::test]
async fn objects_come_and_go_with_what_they_stand_for() {
    let rig = Rig::start().await;
    let mut signals = signals(&rig).await;
    rig.owner.change(|state| {
        let belt = state.pipelines.values().next().unwrap().clone();
        state.pipelines.insert("7-door".parse().unwrap(), belt);
    });
    let added = next(&mut signals, "InterfacesAdded").await;
    let body = added.body();
    let (path, interfaces): (OwnedObjectPath, Interfaces) = body.deserialize().unwrap();
    assert_eq!(path.as_str(), "/org/inferd1/pipeline/_37_2ddoor");
    assert_eq!(<&str>::try_from(&interfaces["org.inferd1.Pipeline"]["State"]).unwrap(), "running");

    rig.owner.change(|state| state.pipelines.clear());
    for _ in 0..2 {
        let removed = next(&mut signals, "InterfacesRemoved").await;
        let body = removed.body();
        let (path, interfaces): (OwnedObjectPath, Vec<String>) = body.deserialize().unwrap();
        assert!(path.starts_with("/org/inferd1/pipeline/"), "{path}");
        assert_eq!(interfaces, ["org.inferd1.Pipeline"]);
    }
}

#[tokio::test]
async fn only_what_changed_is_told() {
    let rig = Rig::start().await;
    let mut signals = signals(&rig).await;
    rig.owner.change(|state| {
        let belt = state.pipelines.values_mut().next().unwrap();
        belt.state = PipelineState::Failed;
        belt.reason = "the runner died".into();
    });
    let (path, values, invalidated) = changed(&next(&mut signals, "PropertiesChanged").await);
    let mut names: Vec<_> = values.keys().cloned().collect();
    names.sort();
    assert_eq!((path.as_str(), names), (PIPELINE, vec!["Reason".to_owned(), "State".to_owned()]));
    assert!(invalidated.is_empty());
    let state: String = property(&rig.client, PIPELINE, "Pipeline", "State").await;
    assert_eq!(state, "failed");
}

#[tokio::test]
async fn figures_are_told_once_a_second_and_the_last_is_not_lost() {
    let rig = Rig::start().await;
    let mut signals = signals(&rig).await;
    let begun = Instant::now();
    for windows in 11..=100 {
        rig.owner.change(|state| state.pipelines.values_mut().next().unwrap().counts.windows = windows);
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let mut told = 0;
    loop {
        let (_, mut values, _) = changed(&next(&mut signals, "PropertiesChanged").await);
        let mut counts: HashMap<String, OwnedVariant> = values.remove("Counts").unwrap().try_into().unwrap();
        told += 1;
        if u64::try_from(counts.remove("windows").unwrap()).unwrap() == 100 {
            break;
        }
    }
    // One more than seconds: the first is held back by the object's appearance, the last comes when it is due.
    assert!(told <= begun.elapsed().as_secs() + 1, "{told} in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_list_of_samples_is_not_sent_around() {
    let rig = Rig::start().await;
    let mut signals = signals(&rig).await;
    rig.owner.change(|state| state.spool.samples.clear());
    let (path, values, invalidated) = changed(&next(&mut signals, "PropertiesChanged").await);
    assert_eq!((path.as_str(), invalidated), ("/org/inferd1/spool", vec!["Samples".to_owned()]));
    assert!(values.is_empty());
}

#[tokio::test]
async fn a_job_says_once_that_it_has_ended() {
    let rig = Rig::start().await;
    let mut signals = signals(&rig).await;
    let error = ControlError::GoldenMismatch("sample 3 differs".into());
    rig.owner.change(|state| drop(state.jobs.insert(1, job(JobState::Failed(error)))));
    let finished = next(&mut signals, "Finished").await;
    assert_eq!(finished.header().path().unwrap().as_str(), "/org/inferd1/job/1");
    assert_eq!(finished.body().deserialize::<String>().unwrap(), "failed");
    let error: zbus::Structure<'static> = property_raw(&rig, "Error").await.try_into().unwrap();
    let expected = zbus::Structure::from(("org.inferd1.Error.GoldenMismatch", "sample 3 differs"));
    assert_eq!(error, expected);

    // Another change must not tell it again: the next signal is about job 2, which was over when first seen.
    rig.owner.change(|state| {
        state.jobs.get_mut(&1).unwrap().percent = 31;
        state.jobs.insert(2, job(JobState::Succeeded));
    });
    let finished = next(&mut signals, "Finished").await;
    assert_eq!(finished.header().path().unwrap().as_str(), "/org/inferd1/job/2");
}

async fn property_raw(rig: &Rig, name: &str) -> OwnedVariant {
    property(&rig.client, "/org/inferd1/job/1", "Job", name).await
}
