//! Why a command came to nothing: a sentence, what to do about it, and the exit code.

use std::io;
use std::process::ExitCode;

use inferd::bus::error::{NOT_AUTHORIZED, PREFIX};

use crate::cli::BusKind;

/// What kind of failure; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Unreachable,
    NotAuthorised,
    /// Ctrl-C before the end.
    Interrupted,
    /// Whoever read our output went away: nothing failed, there is just nobody left to tell.
    NobodyReads,
}

/// Why a command came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    /// The error's name on the bus without the part that all share; empty where it is none from there.
    pub(crate) name: String,
    pub(crate) sentence: String,
    /// What to do; empty where the sentence says it.
    pub(crate) hint: String,
    /// It was printed already.
    told: bool,
}

impl Failure {
    /// Refused or failed.
    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, name: String::new(), sentence: sentence.into(), hint: String::new(), told: false }
    }

    /// The same failure with what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The user did not wait for the end.
    pub(crate) fn interrupted(sentence: &str) -> Self {
        Self { kind: Kind::Interrupted, ..Self::failed(sentence) }
    }

    /// The same failure, printed already.
    pub(crate) fn told(self) -> Self {
        Self { told: true, ..self }
    }

    /// What the daemon said: an error's whole name and its sentence.
    pub(crate) fn from_daemon(name: &str, sentence: impl Into<String>) -> Self {
        let name = short_name(name);
        let (kind, hint) = if name == NOT_AUTHORIZED {
            (Kind::NotAuthorised, "try it with sudo".to_owned())
        } else {
            (Kind::Failed, hint_for(name))
        };
        Self { kind, name: name.to_owned(), sentence: sentence.into(), hint, told: false }
    }

    /// Nobody answers at the name, or there is no bus.
    pub(crate) fn unreachable(bus: BusKind, why: &str) -> Self {
        let (bus, hint) = match bus {
            BusKind::System => (
                "system",
                "start it with `sudo systemctl start inferd`; if you run it with `--user`, add `--bus session`",
            ),
            BusKind::Session => (
                "session",
                "start it with `inferd --user`; where there is no session bus, in `dbus-run-session -- bash`",
            ),
        };
        let sentence = format!("inferd cannot be reached on the {bus} bus: {why}");
        Self { kind: Kind::Unreachable, name: String::new(), sentence, hint: hint.to_owned(), told: false }
    }

    /// Like [`unreachable`](Self::unreachable), for the outcomes' socket.
    pub(crate) fn no_outcomes(socket: &std::path::Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "try it with sudo, or as a member of the group inferd",
            _ => "is inferd running (`inferctl status`), and is `[sinks] socket` on? `--socket` names another place",
        };
        let sentence = format!("no outcomes at {}: {error}", socket.display());
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => Kind::NotAuthorised,
            _ => Kind::Unreachable,
        };
        Self { kind, name: String::new(), sentence, hint: hint.to_owned(), told: false }
    }

    /// Another failure in its place where the object that was called does not exist.
    pub(crate) fn where_absent(self, instead: impl FnOnce() -> Self) -> Self {
        const ABSENT: [&str; 2] =
            ["org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownInterface"];
        if ABSENT.contains(&self.name.as_str()) { Self { name: "NotFound".to_owned(), ..instead() } } else { self }
    }

    /// Printing failed.
    pub(crate) fn printing(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::NobodyReads } else { Kind::Failed };
        Self { kind, ..Self::failed(format!("cannot write to standard output: {error}")) }
    }

    /// Whether there is somebody to tell it to.
    pub(crate) fn is_worth_telling(&self) -> bool {
        self.kind != Kind::NobodyReads && !self.told
    }

    pub(crate) fn code(&self) -> u8 {
        match self.kind {
            Kind::NobodyReads => 0,
            Kind::Failed => 1,
            Kind::Unreachable => 3,
            Kind::NotAuthorised => 4,
            // As a shell counts a program that Ctrl-C ended.
            Kind::Interrupted => 130,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// An error's name on the bus without the part that all share.
pub(crate) fn short_name(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// What to do, for errors whose sentence cannot know what the user can type.
fn hint_for(name: &str) -> String {
    match name {
        "NotFound" => "`inferctl models`, `inferctl pipelines` and `inferctl samples` list what there is",
        "Stopping" => "wait until it runs again: `systemctl status inferd`",
        _ => "",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        let absent = io::Error::from(io::ErrorKind::NotFound);
        let cases = [
            (Failure::failed("x"), 1),
            (Failure::from_daemon("org.inferd1.Error.GoldenMismatch", "x"), 1),
            (Failure::from_daemon("org.inferd1.Error.NotAuthorized", "x"), 4),
            (Failure::unreachable(BusKind::System, "x"), 3),
            (Failure::no_outcomes(std::path::Path::new("/x"), &absent), 3),
            (Failure::printing(&broken), 0),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }
}
