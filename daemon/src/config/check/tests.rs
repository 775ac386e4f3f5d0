use crate::config::load;
use crate::config::tests::folder_with;

/// What is said about `text`, whose `DIR` is a folder with recordings, without that folder's name.
fn said(text: &str) -> Vec<String> {
    let recordings = [
        ("belt/1.jpg", "x"),
        ("empty/notes.txt", "x"),
        ("a.wav", "x"),
        ("a.csv", "x"),
        ("a.mp4", "x"),
        ("script", "x"),
    ];
    let (folder, base) = folder_with(&recordings);
    let name = folder.path().display().to_string();
    crate::config::tests::host_write(&base, &text.replace("DIR", &name));
    match load(&base, std::iter::empty()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| format!("{}: {}", problem.key, problem.message).replace(&name, "DIR"))
            .collect(),
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let cases = [
        ("service.state_dir = \"var\"", "service.state_dir: is \"var\"; a path that begins with / is expected"),
        ("service.runtime_dir = \"run\"", "service.runtime_dir: is \"run\"; a path that begins with / is expected"),
        (
            "service.device_id = \"a b\"",
            "service.device_id: is \"a b\"; 1 to 128 of a-z, A-Z, 0-9, -, _, . and : are expected",
        ),
        (
            "service.device_id = \"\"",
            "service.device_id: is \"\"; 1 to 128 of a-z, A-Z, 0-9, -, _, . and : are expected",
        ),
        (
            "runner.memory_max_bytes = 1000",
            "runner.memory_max_bytes: is 1000; 67108864 to 68719476736 bytes (64 MiB to 64 GiB) is expected",
        ),
        ("runner.threads = 0", "runner.threads: is 0; 1 to 64 is expected"),
        ("runner.start_timeout_ms = 99", "runner.start_timeout_ms: is 99; 100 to 600000 ms is expected"),
        ("runner.deadline_ms = 600001", "runner.deadline_ms: is 600001; 10 to 600000 ms is expected"),
        ("runner.program = \"DIR/script\"", "runner.program: is DIR/script, which is no program that can be run"),
        (
            "runner.program = \"DIR/absent\"",
            "runner.program: is DIR/absent, which cannot be used (No such file or directory (os error 2)); a program is expected",
        ),
        (
            "models.max_bundle_bytes = 1",
            "models.max_bundle_bytes: is 1; 1048576 to 17179869184 bytes (1 MiB to 16 GiB) is expected",
        ),
        ("spool.max_bytes = 1", "spool.max_bytes: is 1; 1048576 to 1099511627776 bytes (1 MiB to 1 TiB) is expected"),
        ("spool.max_samples = 1000001", "spool.max_samples: is 1000001; 1 to 1000000 is expected"),
        ("upload.timeout_ms = 1", "upload.timeout_ms: is 1; 100 to 600000 ms is expected"),
        (
            "upload.backoff_first_ms = 3600001\nupload.backoff_max_ms = 3600001",
            "upload.backoff_first_ms: is 3600001; 10 to 3600000 ms is expected",
        ),
        (
            "upload.backoff_max_ms = 999",
            "upload.backoff_max_ms: is 999; 1000 to 86400000 ms (from `backoff_first_ms`) is expected",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(text), [expected], "{text}");
    }
}

#[test]
fn a_runtime_folder_leaves_room_for_the_socket_in_its_path() {
    let path = |bytes: usize| format!("service.runtime_dir = \"/{}\"", "r".repeat(bytes - 1));
    assert!(said(&path(93)).is_empty());
    assert_eq!(
        said(&path(94)),
        ["service.runtime_dir: is too long for the path of a socket; at most 93 bytes are expected"]
    );
}

#[test]
fn an_upload_has_what_its_kind_needs_and_no_more() {
    let cases = [
        ("to = \"directory\"", "upload.directory: is missing: `to = \"directory\"` needs an existing folder"),
        ("to = \"directory\"\ndirectory = \"DIR/a.wav\"", "upload.directory: is DIR/a.wav, which is no folder"),
        (
            "to = \"directory\"\ndirectory = \"DIR/absent\"",
            "upload.directory: is DIR/absent, which cannot be used (No such file or directory (os error 2)); an existing folder is expected",
        ),
        (
            "to = \"http\"",
            "upload.url: is missing: `to = \"http\"` needs an address that begins with http:// or https://",
        ),
        (
            "to = \"http\"\nurl = \"ftp://host/x\"",
            "upload.url: is \"ftp://host/x\"; an address that begins with http:// or https:// is expected",
        ),
        (
            "to = \"http\"\nurl = \"host/x\"",
            "upload.url: is \"host/x\"; an address that begins with http:// or https:// is expected",
        ),
        (
            "to = \"http\"\nurl = \"http://h/\"\ntoken_file = \"DIR/absent\"",
            "upload.token_file: is DIR/absent, which cannot be used (No such file or directory (os error 2)); a readable file is expected",
        ),
        ("url = \"http://h/\"", "upload.url: has a meaning only with `to = \"http\"`; remove it or set that"),
        (
            "directory = \"DIR\"",
            "upload.directory: has a meaning only with `to = \"directory\"`; remove it or set that",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(&format!("[upload]\n{text}")), [expected], "{text}");
    }
    assert!(said("[upload]\nto = \"directory\"\ndirectory = \"DIR\"").is_empty());
    assert!(said("[upload]\nto = \"http\"\nurl = \"https://h/x\"\ntoken_file = \"DIR/script\"").is_empty());
}

#[test]
fn a_recording_is_there_and_its_keys_fit_it() {
    let cases = [
        ("path = \"DIR/belt\"\nfps = -1", "fps: is -1; 0.001 to 1000 frames a second is expected"),
        ("path = \"DIR/belt\"\nfps = nan", "fps: is NaN; 0.001 to 1000 frames a second is expected"),
        ("path = \"DIR/a.csv\"\nrate_hz = 0", "rate_hz: is 0; 0.001 to 100000 rows a second is expected"),
        (
            "path = \"DIR/a.csv\"\nrate_hz = 9\ntimestamp = \"t\"",
            "timestamp: stands beside `rate_hz`; one of them is expected",
        ),
        ("path = \"DIR/a.csv\"\ntimestamp = \"\"", "timestamp: is empty; the name of a column is expected"),
        ("path = \"DIR/a.wav\"\nfps = 5", "fps: does not fit DIR/a.wav: it is for images and tensors; remove it"),
        ("path = \"DIR/belt\"\nrate_hz = 5", "rate_hz: does not fit DIR/belt: it is for a CSV file; remove it"),
        (
            "path = \"DIR/a.wav\"\ntimestamp = \"t\"",
            "timestamp: does not fit DIR/a.wav: it is for a CSV file; remove it",
        ),
        (
            "path = \"DIR/a.mp4\"",
            "path: is DIR/a.mp4; a folder of images or tensors, or a .mjpeg, .y4m, .wav, .csv or .npy file is expected",
        ),
        ("path = \"DIR/empty\"", "path: is DIR/empty, a folder without a .jpg, .png, .bmp or .npy file"),
        (
            "path = \"DIR/absent\"",
            "path: is DIR/absent, which cannot be used (No such file or directory (os error 2)); an existing recording that inferd may read is expected",
        ),
    ];
    for (text, expected) in cases {
        let text = format!("[pipelines.p]\nmodel = \"m\"\n[pipelines.p.source]\nkind = \"recording\"\n{text}");
        assert_eq!(said(&text), [format!("pipelines.p.source.{expected}")], "{text}");
    }
}

#[test]
fn a_pipelines_numbers_lie_in_their_ranges() {
    let cases = [
        ("threshold = inf", "threshold: is inf; a finite number is expected"),
        ("margin = 2", "margin: is 2; 0 to 1 is expected"),
        ("sampling.above = 1.5", "sampling.above: is 1.5; 0 to 1 is expected"),
        ("sampling.per_minute = 0", "sampling.per_minute: is 0; 0.01 to 6000 samples a minute is expected"),
    ];
    for (text, expected) in cases {
        let text =
            format!("[pipelines.p]\nmodel = \"m\"\nsource = {{ kind = \"recording\", path = \"DIR/belt\" }}\n{text}");
        assert_eq!(said(&text), [format!("pipelines.p.{expected}")], "{text}");
    }
}

/// What is said about a pipeline's power, without the pipeline's name.
fn said_of_power(source: &str, power: &str) -> Vec<String> {
    let text = format!("[pipelines.p]\nmodel = \"m\"\nsource = {{ {source} }}\npower = {{ {power} }}\n");
    said(&text).iter().map(|said| said.replace("pipelines.p.power.", "")).collect()
}

#[test]
fn what_spares_power_lies_in_its_ranges_and_belongs_together() {
    let hours = "days, times or both are expected, as in \"Mon-Fri 07:00-19:00\", \"Sat,Sun\" or \"22:00-06:00\"";
    let cases = [
        ("max_per_second = 0", "max_per_second: is 0; 0.001 to 1000 windows a second is expected"),
        ("on_s = 0.5, off_s = 5", "on_s: is 0.5; 1 to 86400 s is expected"),
        ("on_s = 5, off_s = 86401", "off_s: is 86401; 1 to 86400 s is expected"),
        ("on_s = 5", "off_s: is missing: it goes with `on_s`"),
        ("off_s = 5", "on_s: is missing: it goes with `off_s`"),
        ("slow_above_c = 80", "slow_to_per_second: is missing: it goes with `slow_above_c`"),
        ("slow_to_per_second = 1", "slow_above_c: is missing: it goes with `slow_to_per_second`"),
        ("slow_above_c = 20, slow_to_per_second = 1", "slow_above_c: is 20; 30 to 120 degrees Celsius is expected"),
        (
            "slow_above_c = 80, slow_to_per_second = 2000",
            "slow_to_per_second: is 2000; 0.001 to 1000 windows a second is expected",
        ),
        (
            "max_per_second = 2, slow_above_c = 80, slow_to_per_second = 2",
            "slow_to_per_second: is 2; less than `max_per_second` is expected",
        ),
        ("active = [\"Mon-Fri\", \"7-19\"]", &format!("active: has \"7-19\"; {hours}")),
    ];
    for (power, expected) in cases {
        assert_eq!(said_of_power("kind = \"camera\"", power), [expected], "{power}");
    }
    let all =
        "max_per_second = 2, active = [\"Sat,Sun\"], on_s = 1, off_s = 5, slow_above_c = 80, slow_to_per_second = 1";
    assert!(said_of_power("kind = \"camera\"", all).is_empty());
}

#[test]
fn what_cannot_be_closed_does_not_rest() {
    let rests = "active = [\"Sat,Sun\"], on_s = 1, off_s = 5, max_per_second = 2";
    for (source, why) in [
        (
            "kind = \"recording\", path = \"DIR/belt\"",
            "does not fit a recording, which is files: there is nothing to close; remove it",
        ),
        (
            "kind = \"command\", command = [\"sh\"], format = \"mjpeg\", at_end = \"stop\"",
            "does not fit `at_end = \"stop\"`: what is read once, to its end, cannot be closed between; remove it",
        ),
    ] {
        let expected = ["active", "on_s", "off_s"].map(|key| format!("{key}: {why}"));
        assert_eq!(said_of_power(source, rests), expected);
        assert!(said_of_power(source, "max_per_second = 2").is_empty());
    }
}

#[test]
fn a_topic_has_a_broker_and_rows() {
    let needed = |keys: &str| format!("url = \"mqtts://h\", topic = \"t\", rate_hz = 10, columns = [\"a\"]{keys}");
    let with = |keys: &str| needed(&format!(", {keys}"));
    let without = |key: &str, instead: &str| needed("").replace(key, instead);
    let shape = "mqtt://HOST:PORT or mqtts://HOST:PORT is expected";
    let wildcard = "has a wildcard; one topic is expected: rows of several sensors would become one stream";
    let twice = [("columns", "has a name twice")];
    let cases: &[(String, &[(&str, &str)])] = &[
        (needed(""), &[]),
        (with("qos = 2, client_id = \"c\", silence_ms = 0"), &[]),
        (without("mqtts://h", "http://h"), &[("url", shape)]),
        (without("mqtts://h", "mqtt:"), &[("url", shape)]),
        (without("mqtts://h", "h:1883"), &[("url", shape)]),
        (without("mqtts://h", "mqtt://[::1]:1883"), &[]),
        (
            without("mqtts://h", "mqtts://[::1]"),
            &[("url", "names an IPv6 address, which no certificate is checked for; the broker's name is expected")],
        ),
        (
            without("mqtts://h", "mqtt://u:secret@h"),
            &[("url", "holds a user name or a password; `username` and `password_file` are for them")],
        ),
        (
            without("mqtts://h", "mqtt://h/t"),
            &[("url", "goes on after the host and the port; `topic` is for the topic")],
        ),
        (without("\"t\"", "\"\""), &[("topic", "is no topic; `site/sensor` is expected")]),
        (without("\"t\"", "\"a/+/b\""), &[("topic", wildcard)]),
        (without("\"t\"", "\"a/#\""), &[("topic", wildcard)]),
        (without("[\"a\"]", "[\"a\", \"a\"]"), &twice),
        (without("= 10", "= 0"), &[("rate_hz", "is 0; 0.001 to 100000 rows a second is expected")]),
        (with("qos = 3"), &[("qos", "is 3; 0 to 2 is expected")]),
        (
            with("silence_ms = 150"),
            &[("silence_ms", "is 150, but at `rate_hz` two rows take 200 ms; more than that is expected")],
        ),
        (with("client_id = \"\""), &[("client_id", "is empty, too long, or has a zero byte")]),
        (
            with("password_file = \"DIR/script\""),
            &[("password_file", "has a meaning only with `username`; remove it or set that")],
        ),
        (with("username = \"u\", password_file = \"p\""), &[("password_file", "is no path that begins with /")]),
        (with("key_file = \"DIR/script\""), &[("certificate_file", "is missing: it goes with `key_file`")]),
        (with("certificate_file = \"DIR/script\""), &[("key_file", "is missing: it goes with `certificate_file`")]),
        (
            without("mqtts", "mqtt") + ", ca_file = \"DIR/script\"",
            &[("ca_file", "has a meaning only with an address that begins with mqtts://; remove it or set that")],
        ),
    ];
    for (keys, expected) in cases {
        let text = format!("[pipelines.p]\nmodel = \"m\"\nsource = {{ kind = \"mqtt\", {keys} }}\n");
        let expected: Vec<String> =
            expected.iter().map(|(key, problem)| format!("pipelines.p.source.{key}: {problem}")).collect();
        assert_eq!(said(&text), expected, "{keys}");
    }
}

#[test]
fn clients_of_one_broker_have_names_of_their_own() {
    let pipeline = |name, url, id| {
        format!(
            "[pipelines.{name}]\nmodel = \"m\"\nsource = {{ kind = \"mqtt\", url = \"{url}\", topic = \"t\", rate_hz = 10, \
             columns = [\"a\"], client_id = \"{id}\" }}\n"
        )
    };
    let one = pipeline("one", "mqtt://h", "c");
    assert!(said(&(one.clone() + &pipeline("two", "mqtt://h", "d"))).is_empty());
    assert!(said(&(one.clone() + &pipeline("two", "mqtt://other", "c"))).is_empty());
    let problem = "is that of the pipeline one: the broker lets in one client of a name at a time";
    let expected = [format!("pipelines.two.source.client_id: {problem}")];
    assert_eq!(said(&(one + &pipeline("two", "mqtt://h:1883", "c"))), expected);
}

#[test]
fn two_pipelines_may_share_a_model() {
    let pipeline = |name| {
        format!(
            "[pipelines.{name}]\nmodel = \"m\"\nsource = {{ kind = \"recording\", path = \"DIR/belt\", fps = 5 }}\n"
        )
    };
    assert!(said(&(pipeline("left") + &pipeline("right"))).is_empty());
}

#[test]
fn pipes_are_refused_instead_of_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("a.wav");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = pipe.display();
    let source = format!("[pipelines.p]\nmodel = \"m\"\nsource = {{ kind = \"recording\", path = \"{pipe}\" }}\n");
    assert_eq!(said(&source), [format!("pipelines.p.source.path: is {pipe}, which is no regular file")]);
    let upload = format!("[upload]\nto = \"http\"\nurl = \"http://h/\"\ntoken_file = \"{pipe}\"\n");
    assert_eq!(said(&upload), [format!("upload.token_file: is {pipe}, which is no regular file")]);
}
