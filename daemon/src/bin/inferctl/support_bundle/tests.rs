//! A whole bundle, of a device whose secrets are everywhere.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use inferd::config::Source;

use super::parts::{Part, of_facts, part};
use super::redact::Redactor;
use super::{archive, text};
use crate::command::Keep;
use crate::doctor::facts::{Facts, Outcome, Scrape};
use crate::doctor::fixture::{bad, config, configuration, reached};
use crate::output::Output;

/// None of these may be in a bundle.
const PLANTED: [&str; 7] =
    ["hunter2", "s3cr3t-sig", "cam-pass", "tok-in-arg", "bearer-tok", "env-pass", "scratch-label"];

fn planted() -> Facts {
    let mut config = config();
    config.upload.url = Some("https://up:hunter2@samples.example/in?sig=s3cr3t-sig".into());
    let command = ["ffmpeg", "-i", "rtsp://cam:cam-pass@10.0.0.3/", "--api-key", "tok-in-arg"];
    let source: Source =
        toml::from_str(&format!("kind = \"command\"\nformat = \"mjpeg\"\ncommand = {command:?}")).unwrap();
    config.pipelines.values_mut().for_each(|pipeline| pipeline.source = source.clone());
    let mut facts = bad();
    let daemon = facts.daemon.as_mut().unwrap();
    daemon.spool.last_error = "POST https://up:hunter2@samples.example/in?sig=s3cr3t-sig: 403".into();
    daemon.spool.samples[0].label = "scratch-label".into();
    daemon.config_error = "upload.url: is \"ftp://up:hunter2@h\"".into();
    daemon.pipelines[0].source = command.join(" ");
    facts.configuration = configuration(config);
    facts.reached = vec![reached("upload", "h", 1, Outcome::NoAnswer("token=bearer-tok".into()))];
    facts.metrics = Some(Scrape { address: "http://h".into(), said: Ok("x 1\n# password: env-pass\n".into()) });
    facts
}

/// As they would be had, and a journal and a unit that tell all.
fn parts(facts: &Facts) -> Vec<Part> {
    let redactor = Redactor::of(facts.configuration.config());
    let made = of_facts(facts, &redactor);
    let mut parts: Vec<Part> = made.into_iter().map(|(name, raw)| part(name, raw, Keep::First, &redactor)).collect();
    let journal = "sig is s3cr3t-sig\nAuthorization: Bearer bearer-tok\n\
                   {\"pipeline\":\"belt\",\"window\":1,\"verdict\":\"event\",\"label\":\"scratch-label\"}\n";
    let show = "LoadState=loaded\nEnvironment=INFERD__UPLOAD__URL=http://a:env-pass@h\n";
    parts.push(part("journal.txt", Ok((journal.into(), 0)), Keep::Last, &redactor));
    parts.push(part("systemctl-show.txt", Ok((show.into(), 0)), Keep::First, &redactor));
    parts.push(part("lsmod.txt", Err("lsmod said password=env-pass".into()), Keep::First, &redactor));
    parts
}

/// Names and contents, unpacked.
fn unpacked(path: &std::path::Path) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(path).unwrap()).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    });
    entries.collect()
}

#[test]
fn no_secret_and_no_outcome_is_in_any_byte_of_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.tar.zst");
    let parts = parts(&planted());
    archive::write(archive::create(&path).unwrap(), &path, "inferd-support", &parts).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let files = unpacked(&path);
    for (name, text) in &files {
        for secret in PLANTED {
            assert!(!text.contains(secret) && !name.contains(secret), "{secret} is in {name}:\n{text}");
        }
    }
    let of = |name: &str| &files.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
    // What helps is there: a test of an empty bundle could not fail.
    assert!(of("config.toml").contains("https://REMOVED@samples.example/in?REMOVED"), "{}", of("config.toml"));
    assert!(of("config.toml").contains("token_file = \"/etc/inferd/upload-token\""));
    let json = |name: &str| serde_json::from_str::<serde_json::Value>(of(name)).unwrap();
    assert!(json("doctor.json")["checks"].as_array().unwrap().len() > 10);
    assert_eq!(json("status.json")["pipelines"][0]["name"], "belt");
    assert_eq!(json("models.json")["models"][0]["name"], "belt-inspect");
    assert_eq!(json("sources.json")["sources"][0]["kind"], "microphone");
    assert!(of("metrics.txt").contains("x 1"));
    assert!(of("CONTENTS.txt").contains("lsmod.txt") && of("CONTENTS.txt").contains("not here: lsmod said"));
}

#[test]
fn the_screen_says_what_is_in_it_and_what_is_not() {
    let parts = parts(&planted());
    insta::assert_snapshot!(text(Output::plain(), std::path::Path::new("/home/me/b.tar.zst"), 4321, &parts));
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.tar.zst");
    inferd::host::durable::replace(&path, b"mine").unwrap();
    let failure = archive::create(&path).unwrap_err();
    assert!(failure.sentence.contains("is there already"), "{failure:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    // Nor is a link followed.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
    archive::create(&link).unwrap_err();
    assert!(!folder.path().join("elsewhere").exists());
}
