//! Machines that are made up.

use inferd::config::{Config, Destination, Pipeline};

use super::facts::{
    Account, Clock, Configuration, Disk, Facts, File, Kernel, Loaded, Outcome, Reached, Runner, Scrape, Secret, Unit,
};
use crate::cli::BusKind;
use crate::fixture;
use crate::sources::Source;
use crate::view::Everything;

/// A device on which all is well.
pub(crate) fn good() -> Facts {
    let mut everything = fixture::everything();
    everything.pipelines.truncate(1);
    everything.jobs.clear();
    everything.spool.last_error.clear();
    everything.config_error.clear();
    everything.pending_sections.clear();
    Facts {
        version: "0.1.0",
        bus: BusKind::System,
        daemon: Ok(everything),
        sources: Ok(vec![Source { kind: "camera".into(), device: "/dev/video0".into(), ..Source::default() }]),
        unit: Ok(unit()),
        configuration: configuration(config()),
        account: Ok(account()),
        groups: vec!["video".into(), "audio".into()],
        runner: Ok(Runner { program: "/usr/libexec/inferd/inferd-runner".into(), executable: true }),
        kernel: Kernel {
            modules: Ok(vec!["capability".into(), "landlock".into()]),
            seccomp: Ok(true),
            limits: Ok(vec!["cpu".into(), "memory".into()]),
        },
        disk: Ok(disk()),
        clock: Clock { year: 2026, synchronised: Ok(true) },
        upload_folder: None,
        reached: vec![
            reached("upload", "samples.example", 443, Outcome::Connected(12)),
            reached("mqtt", "broker.example", 8883, Outcome::Connected(3)),
        ],
        metrics: Some(Scrape {
            address: "http://127.0.0.1:9469/metrics".into(),
            said: Ok("# TYPE x gauge\ninferd_build_info{version=\"0.1.0\"} 1\nx 2\n".into()),
        }),
        secrets: vec![secret(0o640)],
    }
}

/// A device on which little is.
pub(crate) fn bad() -> Facts {
    let mut unit = unit();
    unit.restarts = 3;
    let mut config = config();
    config.pipelines.values_mut().for_each(|pipeline| pipeline.source = camera());
    Facts {
        daemon: Ok(Everything { version: "0.0.9".into(), ..fixture::everything() }),
        sources: Ok(vec![microphone()]),
        unit: Ok(unit),
        configuration: configuration(config),
        account: Ok(Account { groups: vec!["inferd".into(), "audio".into()], ..account() }),
        runner: Err("/usr/libexec/inferd/inferd-runner cannot be run: No such file or directory (os error 2)".into()),
        disk: Ok(Disk { free_bytes: 12 << 20, ..disk() }),
        clock: Clock { year: 1970, synchronised: Ok(false) },
        reached: vec![
            reached("upload", "samples.example", 443, Outcome::NoAnswer("Connection refused (os error 111)".into())),
            reached("mqtt", "broker.example", 8883, Outcome::NoName("Name or service not known".into())),
        ],
        metrics: Some(Scrape {
            address: "http://127.0.0.1:9469/metrics".into(),
            said: Err("Connection refused (os error 111)".into()),
        }),
        secrets: vec![secret(0o644), secret(0o600)],
        ..good()
    }
}

/// A device whose inferd does not run, seen by a user who may see little.
pub(crate) fn silent() -> Facts {
    Facts {
        daemon: Err("inferd cannot be reached on the system bus: it does not run".into()),
        sources: Err("inferd does not answer".into()),
        unit: Err("systemctl is not installed".into()),
        configuration: Configuration {
            file: "/etc/inferd/inferd.toml".into(),
            loaded: Err("this user may not read /etc/inferd/inferd.toml".into()),
        },
        clock: Clock { year: 2026, synchronised: Err("timedatectl is not installed".into()) },
        reached: Vec::new(),
        metrics: None,
        secrets: Vec::new(),
        ..good()
    }
}

fn microphone() -> Source {
    Source {
        kind: "microphone".into(),
        device: "hw:CARD=Device,DEV=0".into(),
        problem: "/dev/snd/pcmC1D0c is for the group audio only: run `usermod -aG audio inferd`, then restart inferd"
            .into(),
        ..Source::default()
    }
}

pub(crate) fn unit() -> Unit {
    Unit {
        load: "loaded".into(),
        active: "active".into(),
        sub: "running".into(),
        enabled: "enabled".into(),
        result: "success".into(),
        restarts: 0,
        since: "Fri 2026-11-20 08:00:00 UTC".into(),
        groups: Vec::new(),
        strict: true,
        writable: Vec::new(),
    }
}

pub(crate) fn account() -> Account {
    Account {
        name: "inferd".into(),
        uid: 990,
        gids: vec![990, 44, 29],
        groups: vec!["inferd".into(), "video".into(), "audio".into()],
    }
}

pub(crate) const fn disk() -> Disk {
    Disk { bytes: 32 << 30, free_bytes: 8 << 30, files: 1000, free_files: 900, read_only: false }
}

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.upload.to = Destination::Http;
    config.upload.url = Some("https://samples.example/in".into());
    config.upload.token_file = Some("/etc/inferd/upload-token".into());
    let source = "kind = \"recording\"\npath = \"/data/belt\"\n";
    let pipeline: Pipeline = toml::from_str(&format!("model = \"belt-inspect\"\n[source]\n{source}")).unwrap();
    config.pipelines.insert("belt".parse().unwrap(), pipeline);
    config
}

pub(crate) fn camera() -> inferd::config::Source {
    toml::from_str("kind = \"camera\"\n").unwrap()
}

pub(crate) fn configuration(config: Config) -> Configuration {
    let loaded = Loaded { config: Some(config), wrong: Vec::new(), absent: Vec::new(), hidden: Vec::new() };
    Configuration { file: "/etc/inferd/inferd.toml".into(), loaded: Ok(loaded) }
}

pub(crate) fn reached(what: &str, host: &str, port: u16, outcome: Outcome) -> Reached {
    Reached { what: what.into(), host: host.into(), port, outcome }
}

/// A token that belongs to root and the service's group.
pub(crate) fn secret(mode: u32) -> Secret {
    let path = "/etc/inferd/upload-token";
    Secret { key: "upload.token_file".into(), path: path.into(), file: Ok(Some(file(path, mode))) }
}

pub(crate) fn file(path: &str, mode: u32) -> File {
    File { path: path.into(), is_folder: false, mode, uid: 0, gid: 990, owner: "root".into(), group: "inferd".into() }
}
