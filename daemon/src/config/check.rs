//! Every rule for a value that its type does not hold yet: ranges, keys that belong together, things that must be there.
//!
//! Whether a pipeline's model exists is not asked here: the store knows, and a model may be installed later.

mod command;
mod device;
mod mqtt;
mod power;
mod recording;

use std::fmt::Display;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use inferd_core::frame::ImageSize;

use super::problem::Severity;
use super::{Config, Destination, Models, Pipeline, Runner, Sampling, Service, Source, Spool, Upload};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

/// A socket's path in the kernel (`sun_path`) has 108 bytes, the last of which is zero.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// A value that breaks a rule.
#[derive(Debug)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) severity: Severity,
    /// The dotted key.
    pub(super) key: String,
    /// What was found and what is expected.
    pub(super) message: String,
}

/// Everything that breaks a rule.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    check_service(&config.service, &mut found);
    check_runner(&config.runner, &mut found);
    check_models(&config.models, &mut found);
    check_spool(&config.spool, &mut found);
    check_upload(&config.upload, &mut found);
    for (name, pipeline) in &config.pipelines {
        check_pipeline(&format!("pipelines.{name}"), pipeline, &mut found);
    }
    mqtt::check_clients(&config.pipelines, &mut found);
    found.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Wrong, key: key.into(), message: message.into() });
    }

    /// What the key names is not there now.
    fn absent(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Absent, key: key.into(), message: message.into() });
    }

    /// Not a number lies in no range.
    fn range<T: PartialOrd + Display>(
        &mut self,
        key: impl Into<String>,
        value: T,
        range: RangeInclusive<T>,
        unit: &str,
    ) {
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            self.add(key, format!("is {value}; {low} to {high}{unit} is expected"));
        }
    }

    fn absolute(&mut self, key: &str, path: &Path) {
        if !path.is_absolute() {
            self.add(key, format!("is \"{}\"; a path that begins with / is expected", path.display()));
        }
    }

    /// The key is given, but another key's value makes it meaningless.
    fn belongs_to(&mut self, key: &str, given: bool, owner: &str) {
        if given {
            self.add(key, format!("has a meaning only with {owner}; remove it or set that"));
        }
    }
}

fn check_service(service: &Service, found: &mut Findings) {
    found.absolute("service.state_dir", &service.state_dir);
    found.absolute("service.runtime_dir", &service.runtime_dir);
    let socket_bytes = service.outcomes_socket().as_os_str().as_bytes().len();
    if socket_bytes > MAX_SOCKET_PATH_BYTES {
        let most = MAX_SOCKET_PATH_BYTES - "/outcomes.sock".len();
        found.add(
            "service.runtime_dir",
            format!("is too long for the path of a socket; at most {most} bytes are expected"),
        );
    }
    if let Some(id) = &service.device_id {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if !(1..=128).contains(&id.len()) || !id.chars().all(allowed) {
            found.add(
                "service.device_id",
                format!("is \"{id}\"; 1 to 128 of a-z, A-Z, 0-9, -, _, . and : are expected"),
            );
        }
    }
}

fn check_runner(runner: &Runner, found: &mut Findings) {
    found.range("runner.memory_max_bytes", runner.memory_max_bytes, 64 * MIB..=64 * GIB, " bytes (64 MiB to 64 GiB)");
    if let Some(percent) = runner.cpu_max_percent {
        found.range("runner.cpu_max_percent", percent, 5..=6400, " percent of one processor");
    }
    found.range("runner.threads", runner.threads, 1..=64, "");
    found.range("runner.start_timeout_ms", runner.start_timeout_ms, 100..=600_000, " ms");
    found.range("runner.deadline_ms", runner.deadline_ms, 10..=600_000, " ms");
    if let Some(program) = &runner.program {
        match fs::metadata(program) {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {}
            Ok(_) => {
                found.add("runner.program", format!("is {}, which is no program that can be run", program.display()))
            }
            Err(error) => found.add("runner.program", cannot_use(program, "a program", &error)),
        }
    }
}

fn check_models(models: &Models, found: &mut Findings) {
    found.range("models.max_bundle_bytes", models.max_bundle_bytes, MIB..=16 * GIB, " bytes (1 MiB to 16 GiB)");
}

fn check_spool(spool: &Spool, found: &mut Findings) {
    found.range("spool.max_bytes", spool.max_bytes, MIB..=1024 * GIB, " bytes (1 MiB to 1 TiB)");
    found.range("spool.max_samples", spool.max_samples, 1..=1_000_000, "");
}

fn check_upload(upload: &Upload, found: &mut Findings) {
    found.range("upload.timeout_ms", upload.timeout_ms, 100..=600_000, " ms");
    found.range("upload.backoff_first_ms", upload.backoff_first_ms, 10..=HOUR_MS, " ms");
    let least = upload.backoff_first_ms.min(HOUR_MS);
    found.range("upload.backoff_max_ms", upload.backoff_max_ms, least..=24 * HOUR_MS, " ms (from `backoff_first_ms`)");
    let (folder, http) = (upload.to == Destination::Directory, upload.to == Destination::Http);
    found.belongs_to("upload.directory", upload.directory.is_some() && !folder, "`to = \"directory\"`");
    found.belongs_to("upload.url", upload.url.is_some() && !http, "`to = \"http\"`");
    found.belongs_to("upload.token_file", upload.token_file.is_some() && !http, "`to = \"http\"`");
    match upload.to {
        Destination::None => {}
        Destination::Directory => check_upload_folder(upload, found),
        Destination::Http => check_upload_http(upload, found),
    }
}

fn check_upload_folder(upload: &Upload, found: &mut Findings) {
    let Some(folder) = &upload.directory else {
        found.add("upload.directory", "is missing: `to = \"directory\"` needs an existing folder");
        return;
    };
    match fs::metadata(folder) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => found.add("upload.directory", format!("is {}, which is no folder", folder.display())),
        Err(error) => found.absent("upload.directory", cannot_use(folder, "an existing folder", &error)),
    }
}

fn check_upload_http(upload: &Upload, found: &mut Findings) {
    let shape = "an address that begins with http:// or https://";
    match upload.url.as_deref() {
        None => found.add("upload.url", format!("is missing: `to = \"http\"` needs {shape}")),
        Some(url) => {
            let fits =
                reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !fits {
                found.add("upload.url", format!("is \"{url}\"; {shape} is expected"));
            }
        }
    }
    if let Some(file) = &upload.token_file {
        check_readable("upload.token_file", file, found);
    }
}

/// A file that is read once it is needed.
fn check_readable(key: &str, file: &Path, found: &mut Findings) {
    match fs::metadata(file) {
        // Opening a pipe would wait for its other end.
        Ok(meta) if !meta.is_file() => found.add(key, format!("is {}, which is no regular file", file.display())),
        Ok(_) => {
            if let Err(error) = fs::File::open(file) {
                found.absent(key, cannot_use(file, "a readable file", &error));
            }
        }
        Err(error) => found.absent(key, cannot_use(file, "a readable file", &error)),
    }
}

fn check_pipeline(key: &str, pipeline: &Pipeline, found: &mut Findings) {
    if let Some(threshold) = pipeline.threshold.filter(|threshold| !threshold.is_finite()) {
        found.add(format!("{key}.threshold"), format!("is {threshold}; a finite number is expected"));
    }
    if let Some(margin) = pipeline.margin {
        found.range(format!("{key}.margin"), margin, 0.0..=1.0, "");
    }
    check_sampling(key, &pipeline.sampling, found);
    power::check(&format!("{key}.power"), pipeline, found);
    match &pipeline.source {
        Source::Recording(recording) => recording::check(&format!("{key}.source"), recording, found),
        Source::Command(command) => command::check(&format!("{key}.source"), command, found),
        Source::Camera(camera) => device::check_camera(&format!("{key}.source"), camera, found),
        Source::Microphone(microphone) => device::check_microphone(&format!("{key}.source"), microphone, found),
        Source::Imu(imu) => device::check_imu(&format!("{key}.source"), imu, found),
        Source::Mqtt(mqtt) => mqtt::check(&format!("{key}.source"), mqtt, found),
    }
}

fn check_sampling(key: &str, sampling: &Sampling, found: &mut Findings) {
    found.range(format!("{key}.sampling.above"), sampling.above, 0.0..=1.0, "");
    found.range(format!("{key}.sampling.per_minute"), sampling.per_minute, 0.01..=6000.0, " samples a minute");
}

fn check_side(key: &str, side: u32, found: &mut Findings) {
    found.range(key, side, 1..=ImageSize::MAX_RAW_SIDE, " pixels");
}

fn cannot_use(path: &Path, expected: &str, error: &std::io::Error) -> String {
    format!("is {}, which cannot be used ({error}); {expected} is expected", path.display())
}

#[cfg(test)]
mod tests;
