//! The packaged file, the examples and the documentation say what the structs say.

use std::fs;
use std::path::{Path, PathBuf};

use inferd_core::frame::{ImageSize, PixelFormat};
use inferd_core::wire::SandboxPolicy;
use toml::{Table, Value};

use super::*;

fn project_file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A source of each kind with a value for every key, and commands that have them all together.
fn every_source() -> [(&'static str, Source); 8] {
    let recording = Recording {
        path: "/r".into(),
        pace: Pace::Fast,
        at_end: AtEnd::Loop,
        fps: Some(1.0),
        rate_hz: Some(1.0),
        timestamp: Some("t".into()),
    };
    let camera = Camera {
        device: Some("d".to_owned()),
        width: Some(1),
        height: Some(1),
        fps: Some(1.0),
        format: Some(CameraFormat::Raw(PixelFormat::Yuyv)),
        controls: [("gain".to_owned(), ControlValue(1))].into(),
        silence_ms: 1,
    };
    let microphone = Microphone { device: Some("d".to_owned()), rate_hz: Some(1), channel: Some(1), silence_ms: 1 };
    let imu = Imu {
        devices: vec!["d".to_owned()],
        rate_hz: Some(1.0),
        names: [("ax".to_owned(), "accel_x".to_owned())].into(),
        trigger: Some("t".to_owned()),
        silence_ms: 1,
    };
    let mqtt = Mqtt {
        url: "mqtts://h:1".to_owned(),
        topic: "t".to_owned(),
        format: MessageFormat::Csv,
        columns: vec!["a".to_owned()],
        rate_hz: 1.0,
        qos: 1,
        username: Some("u".to_owned()),
        password_file: Some("/p".into()),
        ca_file: Some("/a".into()),
        certificate_file: Some("/c".into()),
        key_file: Some("/k".into()),
        client_id: Some("c".to_owned()),
        silence_ms: 1,
    };
    let command =
        |format| Source::Command(Command { command: vec!["c".to_owned()], format, at_end: AtEnd::Stop, silence_ms: 1 });
    [
        ("recording", Source::Recording(recording)),
        ("picture", command(StreamFormat::Raw { pixels: PixelFormat::I420, size: ImageSize { width: 1, height: 1 } })),
        ("sound", command(StreamFormat::Pcm { rate_hz: 1, channels: 1 })),
        ("camera", Source::Camera(camera)),
        ("microphone", Source::Microphone(microphone)),
        ("imu", Source::Imu(imu)),
        ("mqtt", Source::Mqtt(mqtt)),
        ("rows", command(StreamFormat::Csv { rate_hz: 1.0, columns: vec!["a".to_owned()] })),
    ]
}

/// A configuration with a value for every key. No `..` here: the compiler asks for each new field.
fn everything() -> Config {
    let pipeline = |source| Pipeline {
        model: "m".parse().unwrap(),
        enabled: true,
        source,
        threshold: Some(0.5),
        margin: Some(0.5),
        sampling: Sampling { strategy: Strategy::Entropy, above: 0.5, per_minute: 1.0 },
        power: Power {
            max_per_second: Some(1.0),
            active: vec!["Mon-Fri 07:00-19:00".to_owned()].try_into().unwrap(),
            on_s: Some(1.0),
            off_s: Some(1.0),
            slow_above_c: Some(1.0),
            slow_to_per_second: Some(1.0),
        },
    };
    Config {
        service: Service { state_dir: "/s".into(), runtime_dir: "/r".into(), device_id: Some("d".into()) },
        bus: Bus { connect: BusChoice::System },
        metrics: Metrics { enabled: true, listen: ([127, 0, 0, 1], 1).into() },
        runner: Runner {
            program: Some("/p".into()),
            memory_max_bytes: 1,
            cpu_max_percent: Some(1),
            threads: 1,
            sandbox: SandboxPolicy::Filtered,
            start_timeout_ms: 1,
            deadline_ms: 1,
        },
        models: Models { watch_incoming: true, activate_incoming: true, max_bundle_bytes: 1 },
        spool: Spool { max_bytes: 1, max_samples: 1 },
        upload: Upload {
            to: Destination::Http,
            directory: Some("/d".into()),
            url: Some("http://h".into()),
            token_file: Some("/t".into()),
            timeout_ms: 1,
            backoff_first_ms: 1,
            backoff_max_ms: 1,
        },
        sinks: Sinks { stdout: true, socket: true },
        pipelines: every_source().map(|(name, source)| (name.parse().unwrap(), pipeline(source))).into(),
    }
}

/// The dotted keys of a table's values, with the pipeline's name left out.
fn keys(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        // Names of another's making are no keys of ours.
        Value::Table(table) if !path.ends_with(".names") && !path.ends_with(".controls") => {
            for (name, value) in table {
                let name = if path == "pipelines" { "NAME" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                keys(value, &path, into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

fn all_keys() -> Vec<String> {
    let mut all = Vec::new();
    keys(&Value::try_from(everything()).unwrap(), "", &mut all);
    assert!(all.len() > 30, "{all:?}");
    all
}

/// The packaged file with its defaults (`#key = …`), and where asked its examples (`#   key = …`), made effective.
fn uncommented(text: &str, examples: bool) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let default =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
        let example = line.strip_prefix("#   ").filter(|_| examples);
        lines.push(default.or(example).unwrap_or(line));
    }
    lines.join("\n")
}

#[test]
fn the_packaged_file_changes_nothing_until_it_is_edited() {
    let text = project_file("config/inferd.toml");
    assert!(toml::from_str::<Table>(&text).unwrap().is_empty());
    assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
}

#[test]
fn the_defaults_in_the_packaged_file_are_the_defaults() {
    let text = uncommented(&project_file("config/inferd.toml"), false);
    let table: Table = toml::from_str(&text).unwrap();
    assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    // Each default is there to be seen, but for keys that have none.
    let (mut written, mut with_default) = (Vec::new(), Vec::new());
    keys(&Value::Table(table), "", &mut written);
    keys(&Value::try_from(Config::default()).unwrap(), "", &mut with_default);
    for key in with_default {
        assert!(written.contains(&key), "config/inferd.toml: `#{key} = …` is missing");
    }
}

#[test]
fn the_packaged_file_shows_every_key() {
    let text = uncommented(&project_file("config/inferd.toml"), true);
    toml::from_str::<Config>(&text).unwrap();
    let mut shown = Vec::new();
    keys(&toml::from_str::<Value>(&text).unwrap(), "", &mut shown);
    for key in all_keys() {
        assert!(shown.contains(&key), "config/inferd.toml does not show {key}");
    }
}

#[test]
fn defaults_lie_in_their_ranges() {
    assert!(check::check(&Config::default()).is_empty());
}

#[test]
fn the_examples_load() {
    for example in ["camera", "imu", "microphone", "recorded-motion", "recorded-pictures", "recorded-sound"] {
        let text = project_file(&format!("config/examples/{example}.toml"));
        let config = load_elsewhere(&text);
        assert_eq!(config.pipelines.len(), 1, "{example}");
    }
}

#[test]
fn the_documented_examples_load() {
    let text = project_file("docs/configuration.md") + &project_file("docs/sources.md");
    let blocks: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 10, "the pages have {} examples", blocks.len());
    for block in blocks {
        load_elsewhere(block);
    }
}

#[test]
fn every_key_is_documented() {
    let (guide, page) = (project_file("docs/configuration.md"), project_file("packaging/man/inferd.toml.5"));
    for key in all_keys() {
        let (section, name) = key.rsplit_once('.').unwrap();
        let section = section.replace("pipelines.NAME", "pipelines.*");
        let heading = format!("## `[{section}]`");
        let part = guide.split(&heading).nth(1).unwrap_or_else(|| panic!("docs/configuration.md lacks {heading}"));
        let part = part.split("\n## ").next().unwrap();
        assert!(part.contains(&format!("| `{name}` |")), "docs/configuration.md does not explain {key}");
        assert!(page.contains(&format!(".B {name}\n")), "inferd.toml.5 does not name {key}");
    }
}

/// Loads a text whose `/srv` and `/etc/inferd` are in a temporary folder, with what the examples refer to in them.
fn load_elsewhere(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        host_write(&path, "x");
        path
    };
    for path in [
        "srv/recordings/belt/0001.jpg",
        "srv/recordings/speech.wav",
        "srv/recordings/motion.csv",
        "share/example/motion.csv",
    ] {
        file(path);
    }
    fs::create_dir_all(folder.path().join("srv/samples")).unwrap();
    file("etc/upload-token");
    let base = folder.path().join("inferd.toml");
    let moved = |root: &str, to: &str, text: &str| text.replace(root, &folder.path().join(to).display().to_string());
    let text = moved("/usr/share/inferd/", "share/", &moved("/etc/inferd/", "etc/", text));
    let text = moved("/srv/", "srv/", &text);
    host_write(&base, &text);
    load(&base, std::iter::empty()).unwrap_or_else(|problems| panic!("{}\nin\n{text}", describe(&problems)))
}

/// Writes a file the way an editor does.
pub(super) fn host_write(path: &Path, text: &str) {
    crate::host::durable::replace(path, text.as_bytes()).unwrap();
}

/// A folder with files in it.
pub(super) fn folder_with(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        host_write(&path, text);
    }
    let base = folder.path().join("inferd.toml");
    (folder, base)
}
