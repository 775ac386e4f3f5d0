use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::super::tests::folder_with;
use super::super::{AtEnd, Config, ConfigProblem, Pace, Place, Severity, Source, StreamFormat};
use super::{load, load_for_start};

const NO_ENVIRONMENT: [(&str, &str); 0] = [];

fn environment<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (OsString, OsString)> + 'a {
    pairs.iter().map(|(name, value)| (name.into(), value.into()))
}

fn loaded(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Config {
    let (folder, base) = folder_with(files);
    let config = load(&base, environment(variables));
    drop(folder);
    config.unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What is said about wrong files, without the name of the temporary folder.
fn said(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Vec<String> {
    let (folder, base) = folder_with(files);
    let prefix = format!("{}/", folder.path().display());
    let problems = load(&base, environment(variables)).expect_err("must be refused");
    problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

#[test]
fn an_empty_file_is_a_valid_configuration() {
    assert_eq!(loaded(&[("inferd.toml", "")], &NO_ENVIRONMENT), Config::default());
}

#[test]
fn a_missing_base_file_is_named() {
    assert_eq!(
        said(&[], &NO_ENVIRONMENT),
        ["inferd.toml: does not exist; make it (an empty file is valid) or name another with --config"]
    );
}

#[test]
fn later_files_win_key_by_key_and_the_environment_wins_over_all() {
    let files = [
        ("inferd.toml", "[runner]\nthreads = 2\ndeadline_ms = 100\n[spool]\nmax_samples = 5\n"),
        ("conf.d/10-a.toml", "[runner]\nthreads = 3\n"),
        ("conf.d/20-b.toml", "runner.threads = 4\n"),
        ("conf.d/30-c.toml.bak", "runner.threads = 5\n"),
        ("conf.d/.40-d.toml", "runner.threads = 6\n"),
    ];
    let config = loaded(&files, &NO_ENVIRONMENT);
    assert_eq!((config.runner.threads, config.runner.deadline_ms, config.spool.max_samples), (4, 100, 5));
    let config = loaded(&files, &[("INFERD__RUNNER__THREADS", "7"), ("INFERD_LOG", "debug")]);
    assert_eq!((config.runner.threads, config.runner.deadline_ms), (7, 100));
}

#[test]
fn variables_reach_into_pipelines() {
    let text = "[pipelines.belt-one]\nmodel = \"m\"\nsource = { kind = \"recording\", path = \"absent\" }\n";
    let (folder, _) = folder_with(&[("r/a.jpg", "x")]);
    let recording = folder.path().join("r").display().to_string();
    let variables = [
        ("INFERD__PIPELINES__BELT_ONE__SOURCE__PATH", recording.as_str()),
        ("INFERD__PIPELINES__BELT_ONE__SOURCE__PACE", "fast"),
        ("INFERD__PIPELINES__BELT_ONE__SOURCE__FPS", "12.5"),
        ("INFERD__METRICS__LISTEN", "127.0.0.1:0"),
        ("INFERD__METRICS__ENABLED", "false"),
    ];
    let config = loaded(&[("inferd.toml", text)], &variables);
    let Source::Recording(played) = &config.pipelines[&"belt-one".parse().unwrap()].source else {
        panic!("a recording was configured")
    };
    assert_eq!((played.pace, played.fps), (Pace::Fast, Some(12.5)));
    assert_eq!((config.metrics.listen.port(), config.metrics.enabled), (0, false));
}

#[test]
fn a_variable_that_looks_like_a_number_is_a_text_where_one_is_expected() {
    let config = loaded(&[("inferd.toml", "")], &[("INFERD__SERVICE__DEVICE_ID", "42")]);
    assert_eq!(config.service.device_id.as_deref(), Some("42"));
    assert_eq!(
        said(&[("inferd.toml", "[service]\ndevice_id = 42\n")], &NO_ENVIRONMENT),
        ["inferd.toml:2: service.device_id: is the integer 42; a text in quotes is expected"]
    );
}

#[test]
fn problems_name_file_line_key_what_was_found_and_what_is_expected() {
    let pipeline = "[pipelines.belt]\nmodel = \"m\"\n[pipelines.belt.source]\nkind = \"recording\"\npath = \".\"\n";
    let cases: [(&str, &str); 14] = [
        ("[metrics\n", "inferd.toml:1: is not TOML: unclosed table, expected `]`"),
        ("[metrics]\nlisten = 3\n", "inferd.toml:2: metrics.listen: is the integer 3; a text in quotes is expected"),
        (
            "[metrics]\nlisten = \"localhost\"\n",
            "inferd.toml:2: metrics.listen: is \"localhost\"; an IP address and a port as in \"127.0.0.1:9469\" is expected",
        ),
        ("[metrix]\n", "inferd.toml:1: metrix: unknown key `metrix`; did you mean `metrics`?"),
        ("\n[runner]\nthread = 1\n", "inferd.toml:3: runner.thread: unknown key `thread`; did you mean `threads`?"),
        ("runner = 5\n", "inferd.toml:1: runner: is the integer 5; a table is expected"),
        (
            "[runner]\nthreads = -1\n",
            "inferd.toml:2: runner.threads: is the integer -1; a whole number from 0 to 4294967295 is expected",
        ),
        ("[runner]\nsandbox = \"ful\"\n", "inferd.toml:2: runner.sandbox: unknown value `ful`; did you mean `full`?"),
        ("[bus]\nconnect = true\n", "inferd.toml:2: bus.connect: is the boolean true; a word in quotes is expected"),
        (
            "[sinks]\nstdout = \"yes\"\n",
            "inferd.toml:2: sinks.stdout: is the string \"yes\"; true or false is expected",
        ),
        ("{P}fps = \"ten\"\n", "inferd.toml:6: pipelines.belt.source.fps: is the string \"ten\"; a number is expected"),
        ("{P}pase = \"fast\"\n", "inferd.toml:6: pipelines.belt.source.pase: unknown key `pase`; did you mean `pace`?"),
        (
            "{P}pace = \"fsat\"\n",
            "inferd.toml:6: pipelines.belt.source.pace: unknown value `fsat`; did you mean `fast`?",
        ),
        (
            "[pipelines.Belt]\n",
            "inferd.toml:1: pipelines.Belt: `Belt` is no name: 1 to 64 of a-z, 0-9, `-` and `_` are expected, beginning with a letter or a digit",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(&[("inferd.toml", &text.replace("{P}", pipeline))], &NO_ENVIRONMENT), [expected], "{text}");
    }
}

#[test]
fn variables_that_are_no_text_are_named_and_those_of_others_are_nobodys_business() {
    let (_folder, base) = folder_with(&[("inferd.toml", "")]);
    let broken = || OsString::from_vec(vec![b'/', 0xff]);
    let variable = |name: &str| (OsString::from(name), broken());
    load(&base, [variable("OTHER"), (broken(), broken())].into_iter()).unwrap();
    let mut named = OsString::from("INFERD__RUNNER__");
    named.push(broken());
    let ours = [variable("INFERD__SERVICE__STATE_DIR"), (named, "1".into())];
    let said: Vec<String> = load(&base, ours.into_iter()).unwrap_err().iter().map(ToString::to_string).collect();
    let expected = [
        "environment variable INFERD__RUNNER__/\u{fffd}: is not UTF-8 text",
        "environment variable INFERD__SERVICE__STATE_DIR: is not UTF-8 text",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_not_there_now_keeps_no_service_from_starting() {
    let pipeline = |path: &str| {
        format!(
            "[pipelines.p]\nmodel = \"m\"\nenabled = false\nsource = {{ kind = \"recording\", path = \"{path}\" }}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let unmounted = folder.path().display();
    let cases = [
        (pipeline("/absent/a.wav"), "pipelines.p.source.path"),
        (pipeline(&unmounted.to_string()), "pipelines.p.source.path"),
        ("[upload]\nto = \"directory\"\ndirectory = \"/absent\"\n".to_owned(), "upload.directory"),
        ("[upload]\nto = \"http\"\nurl = \"http://h/\"\ntoken_file = \"/absent\"\n".to_owned(), "upload.token_file"),
    ];
    for (text, key) in cases {
        let (_folder, base) = folder_with(&[("inferd.toml", &text)]);
        let problems = load(&base, std::iter::empty()).expect_err("checked, it is a problem");
        assert_eq!((problems.len(), problems[0].key.as_str(), problems[0].severity), (1, key, Severity::Absent));
        let (_, absent) = load_for_start(&base, std::iter::empty()).unwrap();
        assert_eq!(absent, problems);
    }
    let text = format!("{}[runner]\nthreads = 0\n", pipeline("/absent/a.wav"));
    let (_folder, base) = folder_with(&[("inferd.toml", &text)]);
    assert_eq!(load_for_start(&base, std::iter::empty()).unwrap_err().len(), 2, "both are told");
}

#[test]
fn a_missing_key_is_named_at_its_table() {
    assert_eq!(
        said(&[("inferd.toml", ""), ("conf.d/10-belt.toml", "\n[pipelines.belt]\nmodel = \"m\"\n")], &NO_ENVIRONMENT),
        ["conf.d/10-belt.toml:2: pipelines.belt.source: is missing, and has no default"]
    );
}

#[test]
fn a_problem_is_found_in_the_file_whose_value_counts() {
    let files = [
        ("inferd.toml", "[runner]\nthreads = 0\n"),
        ("conf.d/10-a.toml", "\n\n[runner]\nthreads = 65\n"),
        ("conf.d/20-b.toml", "[runner]\ndeadline_ms = 100\n"),
    ];
    assert_eq!(said(&files, &NO_ENVIRONMENT), ["conf.d/10-a.toml:4: runner.threads: is 65; 1 to 64 is expected"]);
    assert_eq!(
        said(&files, &[("INFERD__RUNNER__THREADS", "70")]),
        ["environment variable INFERD__RUNNER__THREADS: runner.threads: is 70; 1 to 64 is expected"]
    );
}

#[test]
fn wrong_variables_are_named() {
    let base = [("inferd.toml", "")];
    assert_eq!(
        said(&base, &[("INFERD__METRIX__LISTEN", "x")]),
        ["environment variable INFERD__METRIX__LISTEN: metrix: unknown key `metrix`; did you mean `metrics`?"]
    );
    let both = said(&base, &[("INFERD__METRICS", "1"), ("INFERD__METRICS__LISTEN", "127.0.0.1:0")]);
    assert_eq!(both.len(), 1);
    assert!(
        both[0].starts_with("environment variable INFERD__METRICS__LISTEN: metrics.listen: does not fit"),
        "{both:?}"
    );
    assert_eq!(said(&base, &[("INFERD____X", "1")]).len(), 1);
}

#[test]
fn every_problem_is_found_at_once_and_said_once() {
    let text = "[runner]\nthreads = \"two\"\nmemory_max_bytes = 1\n[spool]\nmax_bytes = 1\nmax_samples = 0\n\
                [pipelines.a]\nmodel = 3\nsource = 1\n[pipelines.b]\nmodel = \"m\"\n\
                [pipelines.b.source]\nkind = \"recordng\"\npath = \"x\"\n";
    let keys: Vec<String> = {
        let (_folder, base) = folder_with(&[("inferd.toml", text), ("conf.d/10.toml", "[upload]\nto = \"http\"\n")]);
        load(&base, std::iter::empty()).unwrap_err().into_iter().map(|problem| problem.key).collect()
    };
    assert_eq!(
        keys,
        [
            "pipelines.a.model",
            "pipelines.a.source",
            "pipelines.b.source.kind",
            "runner.threads",
            "spool.max_bytes",
            "spool.max_samples",
            "upload.url",
        ]
    );
}

#[test]
fn every_broken_file_is_named() {
    let files = [("inferd.toml", "a = = 1\n"), ("conf.d/10.toml", "fine = 1\n"), ("conf.d/20.toml", "\nb = [\n")];
    let found = said(&files, &NO_ENVIRONMENT);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("inferd.toml:1: is not TOML: "), "{found:?}");
    assert!(found[1].starts_with("conf.d/20.toml:"), "{found:?}");
}

#[test]
fn problems_read_as_a_list() {
    let problem = ConfigProblem {
        severity: Severity::Wrong,
        place: Place::File { path: "/etc/inferd/conf.d/10-belt.toml".into(), line: Some(12) },
        key: "pipelines.belt.source.fps".into(),
        message: "is -1; 0.001 to 1000 is expected".into(),
    };
    let one = "/etc/inferd/conf.d/10-belt.toml:12: pipelines.belt.source.fps: is -1; 0.001 to 1000 is expected";
    assert_eq!(
        super::super::describe(std::slice::from_ref(&problem)),
        format!("the configuration has a problem:\n  {one}")
    );
    assert_eq!(
        super::super::describe(&[problem.clone(), problem]),
        format!("the configuration has 2 problems:\n  {one}\n  {one}")
    );
}

#[test]
fn a_sources_keys_depend_on_its_kind_and_format() {
    let source = |keys: &str| format!("[pipelines.a]\nmodel = \"m\"\n[pipelines.a.source]\n{keys}\n");
    let command = "kind = \"command\"\ncommand = [\"c\", \"-x\"]";
    for (keys, line, expected) in [
        ("kind = \"recording\"", None, "pipelines.a.source.path: is missing"),
        (command, None, "pipelines.a.source.format: is missing"),
        ("kind = \"command\"\nformat = \"y4m\"", None, "pipelines.a.source.command: is missing"),
        (&format!("{command}\nformat = \"y4m\"\npace = \"fast\""), Some(7), "source.pace: unknown key `pace`"),
        (&format!("{command}\nformat = \"mjpeg\"\nwidth = 3"), Some(7), "source.width: unknown key `width`"),
        ("kind = \"recording\"\npath = \"/\"\ncolumns = []", Some(6), "source.columns: unknown key `columns`"),
        (&format!("{command}\nformat = \"h264\""), Some(6), "source.format: unknown value `h264`"),
        (&format!("{command}\nformat = \"rgb24\"\nwidth = 3"), None, "pipelines.a.source.height: is missing"),
        (&format!("{command}\nformat = \"rgb24\"\nwidth = 0\nheight = 1"), Some(7), "source.width: is 0; 1 to 8192"),
        (&format!("{command}\nformat = \"pcm\"\nrate_hz = 16000.5"), Some(7), "a whole number of samples a second"),
        (&format!("{command}\nformat = \"pcm\"\nrate_hz = 16000\nchannels = 0"), Some(8), "1 to 64"),
        (&format!("{command}\nformat = \"csv\"\nrate_hz = 0\ncolumns = [\"a\"]"), Some(7), "rows a second"),
        (&format!("{command}\nformat = \"json\"\nrate_hz = 1\ncolumns = [\"a\", \"a\"]"), Some(8), "twice"),
        (&format!("{command}\nformat = \"csv\"\nrate_hz = 1\ncolumns = []"), Some(8), "0 columns"),
        ("kind = \"command\"\ncommand = []\nformat = \"y4m\"", Some(5), "names no program"),
        (&format!("{command}\nformat = \"y4m\"\nsilence_ms = 5"), Some(7), "100 to 86400000"),
    ] {
        let problems = said(&[("inferd.toml", &source(keys))], &NO_ENVIRONMENT);
        assert_eq!(problems.len(), 1, "{keys}: {problems:?}");
        assert!(problems[0].contains(expected), "{keys}: {problems:?}");
        if let Some(line) = line {
            assert!(problems[0].starts_with(&format!("inferd.toml:{line}: ")), "{keys}: {problems:?}");
        }
    }
}

#[test]
fn a_command_has_defaults() {
    let text = "[pipelines.a]\nmodel = \"m\"\n[pipelines.a.source]\nkind = \"command\"\ncommand = [\"c\", \"-x\"]\n\
                format = \"pcm\"\nrate_hz = 16000\n";
    let config = loaded(&[("inferd.toml", text)], &[]);
    let Source::Command(command) = &config.pipelines[&"a".parse().unwrap()].source else {
        panic!("a command was configured")
    };
    assert_eq!((command.program(), command.arguments()), ("c", &["-x".to_owned()][..]));
    assert_eq!((command.at_end, command.silence_ms), (AtEnd::Loop, 10_000));
    assert_eq!(command.format, StreamFormat::Pcm { rate_hz: 16_000, channels: 1 });
}
