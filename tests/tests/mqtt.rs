//! Sensors on the network, by a real broker (mosquitto) and its own publishing client.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what it measured"
)]

use std::fs;
use std::time::{Duration, Instant};

use inferd_tests::broker::{self, Broker};
use inferd_tests::outcomes::{self, Collector};
use inferd_tests::rig::{path, pipeline_config};
use inferd_tests::variant::write;
use inferd_tests::{Rig, fixtures};

/// A pipeline that listens to a topic of its own name.
fn listening(name: &str, url: &str, rest: &str) -> String {
    format!(
        "[pipelines.{name}]\nmodel = \"gesture\"\n[pipelines.{name}.source]\nkind = \"mqtt\"\nurl = \"{url}\"\n\
         topic = \"{name}\"\nrate_hz = 50\ncolumns = [\"ax\", \"ay\", \"az\", \"gx\", \"gy\", \"gz\"]\n{rest}\n"
    )
}

fn url(broker: &Broker) -> String {
    format!("mqtt://127.0.0.1:{}", broker.port())
}

/// The recording's rows, without its column of time: texts.
fn rows() -> Vec<String> {
    let text = fs::read_to_string(fixtures::recording("motion.csv")).unwrap();
    text.lines().skip(1).map(|line| line.split_once(',').unwrap().1.to_owned()).collect()
}

fn json(rows: &[String]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("[{row}]")).collect();
    format!("[{}]", rows.join(","))
}

fn floats(rows: &[String]) -> Vec<u8> {
    let values = rows.iter().flat_map(|row| row.split(','));
    values.flat_map(|value| value.parse::<f32>().unwrap().to_le_bytes()).collect()
}

/// The predictions of a pipeline, in the order of its windows.
fn predictions(collector: &Collector, name: &str) -> Vec<String> {
    let lines = collector.lines();
    outcomes::of(&lines, name)
        .iter()
        .map(|line| format!("{} {}", line.outcome["window"], line.outcome["prediction"]))
        .collect()
}

#[test]
fn rows_by_a_broker_give_the_outcomes_of_the_recording() {
    if !broker::is_there("rows_by_a_broker_give_the_outcomes_of_the_recording") {
        return;
    }
    let broker = Broker::open_to_all().unwrap();
    let url = url(&broker);
    let config = [
        pipeline_config("played", "gesture", &fixtures::recording("motion.csv"), "pace = \"fast\""),
        listening("floats", &url, "format = \"f32\""),
        listening("objects", &url, "qos = 1"),
        listening("lines", &url, "format = \"csv\"\nqos = 2"),
    ];
    let rig = Rig::start(&config.concat()).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.1.0")).unwrap();
    rig.wait_for_state("played", "finished").unwrap();
    broker.wait_for_subscribers(3).unwrap();

    let rows = rows();
    // Each in one, half in one, and all in one.
    let (first, second) = rows.split_at(rows.len() / 2);
    broker.publish("objects", json(first).as_bytes()).unwrap();
    broker.publish("objects", json(second).as_bytes()).unwrap();
    let mut lines = broker.publish_lines("lines").unwrap();
    for row in &rows {
        lines.send(row).unwrap();
        // Like a sensor, though 20 times faster: what comes at once is more than a live source keeps.
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(lines);
    broker.publish("floats", &floats(&rows)).unwrap();

    let played = predictions(&collector, "played");
    assert!(played.len() > 50, "{} windows", played.len());
    for name in ["floats", "objects", "lines"] {
        rig.wait_for("all windows", |_| Ok(collector.count(name) >= played.len())).unwrap();
        assert_eq!(predictions(&collector, name), played, "{name}");
    }
    println!("{} windows, the same by file and by three formats of messages", played.len());
    let lines = collector.lines();
    println!("mqtt, a row a message: {}", outcomes::added_line(&outcomes::added_ms(&outcomes::of(&lines, "lines"))));
    measured_one_after_the_other(&collector, "floats");
}

/// All rows came in one message: that they were measured one after the other is seen in the windows' times. There is no time
/// before the daemon's start, which was some seconds ago: the last four windows are looked at, a second each.
fn measured_one_after_the_other(collector: &Collector, name: &str) {
    let lines = collector.lines();
    let times: Vec<f64> =
        outcomes::of(&lines, name).iter().map(|line| seconds_of_day(line.outcome["time"].as_str().unwrap())).collect();
    let [first, .., last] = times[times.len() - 4..] else { panic!("{} windows", times.len()) };
    let passed = (last - first).rem_euclid(86_400.0);
    // A frame of 64 rows has one time.
    assert!((1.7..4.3).contains(&passed), "{passed} s");
}

/// Of RFC 3339.
fn seconds_of_day(time: &str) -> f64 {
    let clock = time.split_once('T').unwrap().1.trim_end_matches('Z');
    clock.split(':').fold(0.0, |seconds, part| 60.0 * seconds + part.parse::<f64>().unwrap())
}

/// Waits until a pipeline waits for something, and says so.
fn wait_for_reason(rig: &Rig, name: &str, part: &str) {
    rig.wait_for(part, |rig| {
        let pipeline = rig.pipeline(name)?;
        Ok(pipeline["state"] == "waiting" && pipeline["reason"].as_str().is_some_and(|reason| reason.contains(part)))
    })
    .unwrap();
}

#[test]
fn a_broker_that_is_away_is_waited_for_and_old_news_is_none() {
    if !broker::is_there("a_broker_that_is_away_is_waited_for_and_old_news_is_none") {
        return;
    }
    let rows = rows();
    let mut broker = Broker::open_to_all().unwrap();
    broker.publish_retained("arm", json(&rows).as_bytes()).unwrap();
    let rig = Rig::start(&listening("arm", &url(&broker), "")).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.1.0")).unwrap();
    broker.wait_for_subscribers(1).unwrap();
    wait_for_reason(&rig, "arm", "no row has come yet on arm, by mqtt://127.0.0.1:");
    let runner = rig.runner_pid("arm").unwrap();

    // A second's rows, a message that is none, 19 seconds' rows: no window is of both.
    broker.publish("arm", json(&rows[..50]).as_bytes()).unwrap();
    broker.publish("arm", b"{\"ax\": \"broken\"}").unwrap();
    broker.publish("arm", json(&rows[50..1000]).as_bytes()).unwrap();
    rig.wait_for_state("arm", "running").unwrap();
    rig.wait_for("windows", |_| Ok(collector.count("arm") > 10)).unwrap();
    let scrape = rig.scrape().unwrap();
    let dropped = |place, reason| {
        scrape.value("inferd_frames_dropped_total", &[("pipeline", "arm"), ("place", place), ("reason", reason)])
    };
    assert_eq!((dropped("source", "unreadable"), dropped("queue", "queue-full")), (Some(1.0), Some(0.0)));
    assert_eq!(
        scrape.value("inferd_frames_total", &[("pipeline", "arm")]),
        Some(16.0),
        "50 and 950 rows by 64, no more"
    );

    let before = collector.count("arm");
    broker.kill();
    wait_for_reason(&rig, "arm", "cannot be reached: Connection refused");
    broker.start().unwrap();
    broker.wait_for_subscribers(1).unwrap();
    wait_for_reason(&rig, "arm", "no row has come yet");
    broker.publish("arm", json(&rows[..1000]).as_bytes()).unwrap();
    rig.wait_for("more windows", |_| Ok(collector.count("arm") > before + 10)).unwrap();
    assert_eq!(rig.runner_pid("arm").unwrap(), runner, "the model stays loaded");
    let lines = collector.lines();
    let tally = outcomes::tally(&outcomes::of(&lines, "arm"));
    assert!(tally.is_whole(), "{tally:?}");
    let restarts = rig.scrape().unwrap().value("inferd_source_restarts_total", &[("pipeline", "arm")]);
    assert_eq!(restarts, Some(1.0));
}

#[test]
fn a_silent_topic_is_told_and_still_listened_to() {
    if !broker::is_there("a_silent_topic_is_told_and_still_listened_to") {
        return;
    }
    let broker = Broker::open_to_all().unwrap();
    let rig = Rig::start(&listening("arm", &url(&broker), "silence_ms = 300")).unwrap();
    rig.install(&fixtures::model("gesture", "1.1.0")).unwrap();
    wait_for_reason(&rig, "arm", "no row has come for 0.3 s on arm, by mqtt://127.0.0.1:");
    let rows = rows();
    broker.publish("arm", json(&rows[..10]).as_bytes()).unwrap();
    rig.wait_for_state("arm", "running").unwrap();
    for _ in 0..3 {
        broker.publish("arm", b"21.5").unwrap();
    }
    wait_for_reason(&rig, "arm", "3 messages could not be read: see `format` and `columns`");
    broker.publish("arm", json(&rows[..10]).as_bytes()).unwrap();
    rig.wait_for_state("arm", "running").unwrap();
    let restarts = rig.scrape().unwrap().value("inferd_source_restarts_total", &[("pipeline", "arm")]);
    assert_eq!(restarts, Some(0.0), "the broker was there");
}

#[test]
fn a_pipeline_stops_under_a_flood_of_nonsense() {
    if !broker::is_there("a_pipeline_stops_under_a_flood_of_nonsense") {
        return;
    }
    let broker = Broker::open_to_all().unwrap();
    let rig = Rig::start(&listening("arm", &url(&broker), "")).unwrap();
    rig.install(&fixtures::model("gesture", "1.1.0")).unwrap();
    broker.wait_for_subscribers(1).unwrap();
    let mut lines = broker.publish_lines("arm").unwrap();
    let stopped = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                lines.send("nonsense").unwrap();
            }
        });
        let unreadable = |rig: &Rig| {
            let labels = [("pipeline", "arm"), ("place", "source"), ("reason", "unreadable")];
            Ok(rig.scrape()?.value("inferd_frames_dropped_total", &labels) > Some(1000.0))
        };
        let flooded = rig.wait_for("the flood", unreadable);
        let begun = Instant::now();
        let ended = rig.ctl(&["stop", "arm"]);
        let took = begun.elapsed();
        stopped.store(true, std::sync::atomic::Ordering::Relaxed);
        flooded.unwrap();
        ended.unwrap();
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn who_is_not_let_in_is_told_why_and_who_is_gets_rows() {
    if !broker::is_there("who_is_not_let_in_is_told_why_and_who_is_gets_rows") {
        return;
    }
    let mut broker = Broker::new(
        "allow_anonymous false\npassword_file DIR/passwords\ncafile DIR/ca.pem\ncertfile DIR/broker.pem\n\
         keyfile DIR/broker.key\nrequire_certificate true",
    )
    .unwrap();
    let folder = broker.folder().to_owned();
    broker::make_certificates(&folder).unwrap();
    let file = |name: &str| path(&folder.join(name)).unwrap().to_owned();
    let mut passwords = broker::command("mosquitto_passwd");
    assert!(passwords.args(["-c", "-b", &file("passwords"), "arm", "horse staple"]).status().unwrap().success());
    write(&folder.join("right"), b"horse staple\n").unwrap();
    write(&folder.join("wrong"), b"battery\n").unwrap();
    broker.start().unwrap();

    let url = format!("mqtts://127.0.0.1:{}", broker.port());
    let user = |password: &str| format!("username = \"arm\"\npassword_file = \"{}\"", file(password));
    let trusted = format!("ca_file = \"{}\"", file("ca.pem"));
    let device = format!("certificate_file = \"{}\"\nkey_file = \"{}\"", file("device.pem"), file("device.key"));
    let config = [
        listening("arm", &url, &[user("right").as_str(), &trusted, &device].join("\n")),
        listening("stranger", &url, &[user("right").as_str(), &device].join("\n")),
        listening("nobody", &url, &[user("right").as_str(), &trusted].join("\n")),
        listening("guesser", &url, &[user("wrong").as_str(), &trusted, &device].join("\n")),
    ];
    let rig = Rig::start(&config.concat()).unwrap();
    let collector = Collector::attach(&rig.outcomes_socket()).unwrap();
    rig.install(&fixtures::model("gesture", "1.1.0")).unwrap();
    for (name, why) in [
        ("stranger", "cannot be trusted: "),
        ("nobody", "does not let this device in: received fatal alert: CertificateRequired; see `certificate_file`"),
        ("guesser", "the user name or the password is not right: see `username` and `password_file`"),
    ] {
        rig.wait_for(name, |rig| {
            let pipeline = rig.pipeline(name)?;
            let reason = pipeline["reason"].as_str().unwrap_or_default().to_owned();
            Ok(pipeline["state"] == "waiting" && reason.contains(why))
        })
        .unwrap();
        println!("{name}: {}", rig.pipeline(name).unwrap()["reason"]);
    }
    broker.wait_for_subscribers(1).unwrap();
    let tls = ["--cafile", &file("ca.pem"), "--cert", &file("device.pem"), "--key", &file("device.key")];
    let who = ["-u", "arm", "-P", "horse staple"];
    broker.publish_with("arm", &floats(&[]), &[&tls[..], &who].concat()).unwrap();
    broker.publish_with("arm", json(&rows()[..500]).as_bytes(), &[&tls[..], &who].concat()).unwrap();
    rig.wait_for("windows", |_| Ok(collector.count("arm") > 5)).unwrap();
    assert!(!rig.log().contains("staple") && !rig.log().contains("battery"), "no password is told");
}

#[test]
fn a_topic_that_may_not_be_read_is_told() {
    if !broker::is_there("a_topic_that_may_not_be_read_is_told") {
        return;
    }
    let plugin = "plugin /usr/lib/ARCH/mosquitto_dynamic_security.so\nplugin_opt_config_file DIR/rights.json";
    let plugin = plugin.replace("ARCH", &format!("{}-linux-gnu", std::env::consts::ARCH));
    let mut broker = Broker::new(&format!("allow_anonymous false\n{plugin}")).unwrap();
    let rights = broker.folder().join("rights.json");
    let mut ctl = broker::command("mosquitto_ctrl");
    assert!(ctl.args(["dynsec", "init", path(&rights).unwrap(), "arm", "staple"]).output().unwrap().status.success());
    // The superuser may read everything; now only what is public.
    let text = fs::read_to_string(&rights).unwrap();
    assert!(text.contains("\"#\""), "{text}");
    write(&rights, text.replace("\"#\"", "\"public/#\"").as_bytes()).unwrap();
    let password = broker.folder().join("password");
    write(&password, b"staple").unwrap();
    broker.start().unwrap();
    let user = format!("username = \"arm\"\npassword_file = \"{}\"", password.display());
    let rig = Rig::start(&listening("arm", &url(&broker), &user)).unwrap();
    rig.install(&fixtures::model("gesture", "1.1.0")).unwrap();
    rig.wait_for("it to say why", |rig| {
        let arm = rig.pipeline("arm")?;
        let reason = arm["reason"].as_str().unwrap_or_default().to_owned();
        Ok(arm["state"] == "waiting" && reason.contains("does not let this client read arm"))
    })
    .unwrap();
}
