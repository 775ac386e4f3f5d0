//! A real MQTT broker (mosquitto), and somebody who publishes.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::variant::write;

/// How long the broker may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What these tests need of the system, by their Debian packages' names.
pub const PROGRAMS: [&str; 3] = ["mosquitto", "mosquitto_pub", "openssl"];

/// A broker on a port of the loopback, and its files.
#[derive(Debug)]
pub struct Broker {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Broker {
    /// A broker that is not started, with these lines of configuration, in which `DIR` is its folder.
    ///
    /// # Errors
    /// Where there is no port or no folder.
    pub fn new(config: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let broker = Self { folder, port, process: None };
        let config = config.replace("DIR", &broker.folder().display().to_string());
        let log = "log_type all\nlog_dest stderr\n";
        // As root it would become somebody who may not read its files.
        let text = format!("user root\nlistener {port} 127.0.0.1\n{log}{config}\n");
        write(&broker.folder().join("mosquitto.conf"), text.as_bytes())?;
        Ok(broker)
    }

    /// A broker that lets everybody do everything, running.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn open_to_all() -> anyhow::Result<Self> {
        let mut broker = Self::new("allow_anonymous true")?;
        broker.start()?;
        Ok(broker)
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::create(self.log_file())?;
        let mut command = command("mosquitto");
        command.arg("-c").arg(self.folder().join("mosquitto.conf")).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("mosquitto")?);
        self.wait_for_log(1, "running")
    }

    /// Kills it: its clients are not told.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // The only failure is that it has ended.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Waits until so many topics have been subscribed to since it was started.
    ///
    /// # Errors
    /// Where they are not in time.
    pub fn wait_for_subscribers(&self, count: usize) -> anyhow::Result<()> {
        self.wait_for_log(count, "Sending SUBACK")
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// Where it is not taken.
    pub fn publish(&self, topic: &str, message: &[u8]) -> anyhow::Result<()> {
        self.publish_with(topic, message, &[])
    }

    /// Publishes a message that is kept for those who come later.
    ///
    /// # Errors
    /// Where it is not taken.
    pub fn publish_retained(&self, topic: &str, message: &[u8]) -> anyhow::Result<()> {
        self.publish_with(topic, message, &["-r"])
    }

    /// Publishes a message, with more arguments of `mosquitto_pub`.
    ///
    /// # Errors
    /// Where it is not taken.
    pub fn publish_with(&self, topic: &str, message: &[u8], more: &[&str]) -> anyhow::Result<()> {
        let file = self.folder().join("message");
        write(&file, message)?;
        let status = self.publisher(topic).arg("-q").arg("1").arg("-f").arg(file).args(more).status()?;
        anyhow::ensure!(status.success(), "mosquitto_pub {topic}: {status}");
        Ok(())
    }

    /// Publishes a line a message, for as long as it lives.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn publish_lines(&self, topic: &str) -> anyhow::Result<Lines> {
        let mut process = self.publisher(topic).arg("-l").stdin(Stdio::piped()).spawn()?;
        let stdin = process.stdin.take().context("no pipe")?;
        Ok(Lines { process, stdin: Some(stdin) })
    }

    fn publisher(&self, topic: &str) -> Command {
        let mut command = command("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", topic]);
        command
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join("log")
    }

    fn wait_for_log(&self, count: usize, text: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let log = fs::read_to_string(self.log_file())?;
            if log.matches(text).count() >= count {
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "mosquitto has not said {text:?} {count} times:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lines that become messages.
#[derive(Debug)]
pub struct Lines {
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Lines {
    /// Publishes a line.
    ///
    /// # Errors
    /// Where the program has ended.
    pub fn send(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.stdin.as_mut().context("no pipe")?, "{line}").context("mosquitto_pub has ended")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // It publishes what it has, and ends.
        drop(self.stdin.take());
        let _ = self.process.wait();
    }
}

/// A certificate authority, a broker's certificate for 127.0.0.1 and a device's: `ca.pem`, `broker.pem`, `broker.key`,
/// `device.pem`, `device.key` in a folder.
///
/// # Errors
/// Where `openssl` fails.
pub fn make_certificates(folder: &Path) -> anyhow::Result<()> {
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(folder, &format!("req -x509 {new_key} -subj /CN=ca -keyout ca.key -out ca.pem"))?;
    for (name, more) in
        [("broker", "-addext subjectAltName=IP:127.0.0.1"), ("device", "-addext subjectAltName=DNS:device")]
    {
        let usual = "-addext basicConstraints=CA:FALSE -CA ca.pem -CAkey ca.key";
        openssl(
            folder,
            &format!("req -x509 {new_key} {usual} {more} -subj /CN={name} -keyout {name}.key -out {name}.pem"),
        )?;
    }
    Ok(())
}

fn openssl(folder: &Path, arguments: &str) -> anyhow::Result<()> {
    let ended = command("openssl").current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null()).output()?;
    anyhow::ensure!(ended.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

/// A program, servers included: they are on the superuser's path alone.
pub fn command(program: &str) -> Command {
    let there = ["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(program));
    Command::new(there.iter().find(|file| file.is_file()).map_or(Path::new(program), PathBuf::as_path))
}

/// Whether all programs are there; says so where not.
///
/// # Panics
/// In CI, where they have to be.
pub fn is_there(test: &str) -> bool {
    let runs = |program: &&str| {
        let version = if *program == "openssl" { "version" } else { "--help" };
        command(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !runs(program)).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        crate::skip::say_but_fail_in_ci(
            test,
            &format!("{missing} is not there; packaging/install-dependencies {missing}"),
        );
    }
    missing.is_empty()
}
