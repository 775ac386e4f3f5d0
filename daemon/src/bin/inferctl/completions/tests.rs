use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;

/// A program in the place of inferctl, which knows names and writes down what it was asked.
const FAKE: &str = "#!/bin/sh\necho \"$@\" >> \"$ASKED\"\ncase \"$*\" in\n\
    *'complete-names pipelines') printf 'belt\\nbelt-2\\ndoor\\n' ;;\n\
    *'complete-names models') printf 'inspect\\nknock\\n' ;;\n\
    *'complete-names versions inspect') printf '1.0.0\\n1.1.0\\n' ;;\nesac\n";

/// What a real bash offers after these words, and what was asked for it.
fn offered(words: &[&str]) -> (Vec<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    inferd::host::durable::replace(&path("inferctl"), FAKE.as_bytes()).unwrap();
    std::fs::set_permissions(path("inferctl"), PermissionsExt::from_mode(0o755)).unwrap();
    inferd::host::durable::replace(&path("script"), script(Shell::Bash).as_bytes()).unwrap();
    let run = "source \"$SCRIPT\"\nCOMP_WORDS=(inferctl \"$@\")\nCOMP_CWORD=$#\nCOMP_LINE=\"inferctl $*\"\n\
               COMP_POINT=${#COMP_LINE}\n_inferctl_with_names inferctl \"${@: -1}\" \"${COMP_WORDS[-2]}\"\n\
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    let search = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["--norc", "-c", run, "bash"])
        .args(words)
        .envs([("SCRIPT", path("script")), ("ASKED", path("asked"))])
        .env("PATH", search)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = std::fs::read_to_string(path("asked")).unwrap_or_default();
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(), asked)
}

#[test]
fn bash_completes_names_where_they_stand() {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["start", ""], &["belt", "belt-2", "door"]),
        (&["stop", "be"], &["belt", "belt-2"]),
        (&["watch", "--count", "3", "d"], &["door"]),
        (&["--json", "record", "d"], &["door"]),
        (&["activate", ""], &["inspect", "knock"]),
        (&["activate", "--no-wait", "inspect", "1.1"], &["1.1.0"]),
        (&["remove", "inspect", ""], &["1.0.0", "1.1.0"]),
        (&["remove", "knock", ""], &[]),
        (&["rollback", "k"], &["knock"]),
    ];
    for (words, expected) in cases {
        assert_eq!(offered(words).0, expected, "{words:?}");
    }
}

#[test]
fn bash_completes_commands_and_options_without_asking_inferd() {
    let (commands, asked) = offered(&["doc"]);
    assert_eq!((commands.as_slice(), asked.as_str()), (["doctor".to_owned()].as_slice(), ""));
    let (options, asked) = offered(&["activate", "--no"]);
    assert_eq!((options.as_slice(), asked.as_str()), (["--no-wait".to_owned()].as_slice(), ""));
    let (buses, asked) = offered(&["--bus", "s"]);
    assert_eq!((buses.len(), asked.as_str()), (2, ""), "{buses:?}");
}

#[test]
fn names_are_asked_on_the_bus_that_was_typed() {
    let (_, asked) = offered(&["--bus", "session", "start", ""]);
    assert_eq!(asked.trim(), "--bus session complete-names pipelines");
}

#[test]
fn zsh_completes_every_name_by_our_functions() {
    let script = script(Shell::Zsh);
    for left in ["The pipeline:_default'", "Only this pipeline:_default'", "The model:_default'"] {
        assert!(!script.contains(left), "{left}");
    }
    for (function, places) in [("_inferctl_pipelines'", 5), ("_inferctl_models'", 3), ("_inferctl_versions'", 2)] {
        assert_eq!(script.matches(function).count(), places, "{function}");
    }
    for function in ["_inferctl_names() {", "_inferctl_pipelines() {", "_inferctl_models() {", "_inferctl_versions() {"]
    {
        let (defined, used) = (script.find(function), script.find("\nif [ \"$funcstack[1]\""));
        assert!(defined.is_some() && defined < used, "{function}");
    }
}

#[test]
fn fish_completes_every_name() {
    let script = script(Shell::Fish);
    // Ours stands on a function of the generated part.
    assert!(script.contains("function __fish_inferctl_using_subcommand"));
    for asked in ["__inferctl_names pipelines", "__inferctl_names models", "__inferctl_names versions"] {
        assert!(script.contains(asked), "{asked}");
    }
}

#[test]
fn what_is_hidden_is_offered_by_no_shell() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let generated = match shell {
            Shell::Bash => generated(Generator::Bash),
            Shell::Zsh => generated(Generator::Zsh),
            Shell::Fish => generated(Generator::Fish),
        };
        assert!(!generated.contains("complete-names"), "{shell:?}");
        assert!(generated.contains("support-bundle"), "{shell:?}");
    }
}
