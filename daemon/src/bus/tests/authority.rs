//! On a bus of the system's kind. Callers without authority are real processes of another user.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use tokio::process::Command as Process;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zbus::{Connection, OwnedVariant, interface};

use super::rig::{Method, PATIENCE, Rig};
use crate::bus::authority::{Action, Authority};
use crate::control::command::{Command, Done};

const NOBODY: &str = "65534";
const RELOAD: Method<'_> = Method("/org/inferd1", "Manager", "Reload");

async fn rig() -> Rig {
    Rig::start_on("system", Authority::polkit_within(Duration::from_secs(2))).await
}

/// Whether callers without authority can be tried. Says loudly where they cannot; in CI that is a failure.
fn may_become_another_user() -> bool {
    if nix::unistd::Uid::effective().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI skips no test: run this one as root");
    // Written directly: what `eprintln!` prints is captured, and shown of failing tests only.
    let _ =
        writeln!(std::io::stderr(), "\n*** SKIPPED callers without authority: only root can become another user ***\n");
    false
}

/// `Reload` as nobody: what `dbus-send` prints. `None` where we may not become nobody.
async fn reload_as_nobody(address: &str) -> Option<String> {
    if !may_become_another_user() {
        return None;
    }
    let output = Process::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "dbus-send", "--print-reply"])
        .arg(format!("--bus={address}"))
        .args(["--dest=org.inferd1", "/org/inferd1", "org.inferd1.Manager.Reload"])
        .output()
        .await
        .expect("setpriv and dbus-send run");
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// A polkit that answers as told, on the same bus.
struct Polkit {
    answer: Option<(bool, bool)>,
    asked: mpsc::Sender<(String, String, String, u32)>,
}

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    #[expect(clippy::too_many_arguments, reason = "polkit's own signature")]
    #[zbus(out_args("result"))]
    async fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action: String,
        _details: HashMap<String, String>,
        flags: u32,
        _cancellation: String,
    ) -> ((bool, bool, HashMap<String, String>),) {
        let name = <&str>::try_from(&subject.1["name"]).unwrap().to_owned();
        self.asked.try_send((subject.0, name, action, flags)).unwrap();
        match self.answer {
            Some((allowed, challenge)) => ((allowed, challenge, HashMap::new()),),
            None => std::future::pending().await,
        }
    }
}

async fn polkit(
    rig: &Rig,
    answer: Option<(bool, bool)>,
) -> (Connection, mpsc::Receiver<(String, String, String, u32)>) {
    let (asked, questions) = mpsc::channel(64);
    let connection = rig.bus.connect().await;
    let path = "/org/freedesktop/PolicyKit1/Authority";
    connection.object_server().at(path, Polkit { answer, asked }).await.unwrap();
    connection.request_name("org.freedesktop.PolicyKit1").await.unwrap();
    (connection, questions)
}

#[tokio::test]
async fn root_and_the_daemons_own_user_need_no_polkit() {
    let mut rig = rig().await;
    let (_, outcome) = rig.call_answered(RELOAD, &(), Ok(Done::Now)).await;
    outcome.unwrap();
}

#[tokio::test]
async fn another_user_changes_nothing_without_polkit() {
    let mut rig = rig().await;
    let Some(printed) = reload_as_nobody(&rig.bus.address).await else { return };
    assert!(printed.contains("org.inferd1.Error.NotAuthorized"), "{printed}");
    // In the bus's own words: nobody provides that name.
    assert!(
        printed.contains("polkit cannot be asked (") && printed.contains("PolicyKit1 was not provided"),
        "{printed}"
    );
    assert!(rig.owner.was_asked_nothing());
}

#[tokio::test]
async fn another_user_may_what_polkit_allows() {
    let mut rig = rig().await;
    let (_polkit, mut questions) = polkit(&rig, Some((true, false))).await;
    if !may_become_another_user() {
        return;
    }
    let (command, printed) = tokio::join!(rig.owner.answer(Ok(Done::Now)), reload_as_nobody(&rig.bus.address));
    let Some(printed) = printed else { return };
    assert!(matches!(command, Command::Reload) && printed.contains("method return"), "{printed}");
    let (kind, name, action, flags) = timeout(PATIENCE, questions.recv()).await.expect("polkit is asked").unwrap();
    assert_eq!((kind.as_str(), action.as_str(), flags), ("system-bus-name", "org.inferd1.reload", 0));
    assert!(name.starts_with(':'), "{name}");
}

#[tokio::test]
async fn an_older_version_takes_the_authority_to_downgrade_too() {
    if !may_become_another_user() {
        return;
    }
    for (version, actions) in [("1.1.0", vec!["activate"]), ("0.9.0", vec!["activate", "downgrade"])] {
        let mut rig = rig().await;
        let (_polkit, mut questions) = polkit(&rig, Some((true, false))).await;
        let call = call_as_nobody(&rig.bus.address, "Activate", version);
        let (command, printed) = tokio::join!(rig.owner.answer(Ok(Done::Now)), call);
        assert!(matches!(command, Command::Activate { .. }), "{printed}");
        let mut asked = Vec::new();
        while let Ok(question) = questions.try_recv() {
            asked.push(question.2.replace("org.inferd1.", ""));
        }
        assert_eq!(asked, actions, "{printed}");
    }
}

#[tokio::test]
async fn a_user_that_calls_too_often_is_busy_and_root_is_served() {
    if !may_become_another_user() {
        return;
    }
    let mut rig = rig().await;
    let (_polkit, _questions) = polkit(&rig, Some((false, false))).await;
    let script = format!(
        "for i in $(seq 60); do dbus-send --bus={} --print-reply --dest=org.inferd1 /org/inferd1 org.inferd1.Manager.Reload & done; wait",
        rig.bus.address
    );
    let output = Process::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "sh", "-c", &script])
        .output()
        .await
        .expect("setpriv and dbus-send run");
    let printed = String::from_utf8_lossy(&output.stderr);
    let (busy, refused) = (printed.matches("Error.Busy").count(), printed.matches("Error.NotAuthorized").count());
    assert!(busy > 0 && refused > 0 && busy + refused == 60, "{busy} busy, {refused} refused: {printed}");
    let (_, outcome) = rig.call_answered(RELOAD, &(), Ok(Done::Now)).await;
    outcome.unwrap();
    assert!(rig.owner.was_asked_nothing());
}

#[tokio::test]
async fn no_is_no_and_a_password_that_nobody_can_type_is_no() {
    for (answer, words) in [((false, false), "polkit says no"), ((false, true), "wants a password")] {
        let mut rig = rig().await;
        let (_polkit, _questions) = polkit(&rig, Some(answer)).await;
        let Some(printed) = reload_as_nobody(&rig.bus.address).await else { return };
        assert!(printed.contains("NotAuthorized") && printed.contains(words), "{printed}");
        assert!(rig.owner.was_asked_nothing());
    }
}

#[tokio::test]
async fn a_polkit_that_hangs_is_a_no_and_holds_up_nobody() {
    let mut rig = rig().await;
    let (_polkit, mut questions) = polkit(&rig, None).await;
    if !may_become_another_user() {
        return;
    }
    let begun = Instant::now();
    let meanwhile = async {
        timeout(PATIENCE, questions.recv()).await.expect("polkit is asked").unwrap();
        let (_, outcome) = tokio::join!(rig.owner.answer(Ok(Done::Now)), RELOAD.call(&rig.client, &()));
        outcome.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    };
    let (printed, ()) = tokio::join!(reload_as_nobody(&rig.bus.address), meanwhile);
    let printed = printed.unwrap();
    assert!(printed.contains("NotAuthorized") && printed.contains("in time"), "{printed}");
    assert!(rig.owner.was_asked_nothing());
}

/// What is installed for polkit is what is asked of it, in the same order.
#[test]
fn the_policy_knows_exactly_these_actions() {
    let policy = include_str!("../../../../config/org.inferd1.policy");
    let ids: Vec<&str> = policy.split("<action id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids, Action::ALL.map(Action::id));
}

#[tokio::test]
async fn installing_and_activating_takes_both_authorities() {
    if !may_become_another_user() {
        return;
    }
    for (options, actions) in [("false", vec!["install-model"]), ("true", vec!["install-model", "activate"])] {
        let mut rig = rig().await;
        let (_polkit, mut questions) = polkit(&rig, Some((true, false))).await;
        let install = call_as_nobody(&rig.bus.address, "InstallModel", options);
        let asked = async {
            let mut asked = Vec::new();
            for _ in &actions {
                let question = timeout(PATIENCE, questions.recv()).await.expect("polkit is asked").unwrap();
                asked.push(question.2.replace("org.inferd1.", ""));
            }
            asked
        };
        let (command, asked, printed) = tokio::join!(rig.owner.answer(Ok(Done::Now)), asked, install);
        assert!(matches!(command, Command::Install { .. }), "{printed}");
        assert_eq!(asked, actions, "{printed}");
        assert!(questions.try_recv().is_err());
    }
}

/// Set for the process that calls as nobody: the bus's address, the method, and its argument.
const CALLS_ON: &str = "INFERD_TEST_CALLS_ON";
const CALLS_METHOD: &str = "INFERD_TEST_CALLS_METHOD";
const CALLS_WITH: &str = "INFERD_TEST_CALLS_WITH";

/// A method that takes more than `dbus-send` can pass, as nobody; what was printed. This same test program calls it.
async fn call_as_nobody(address: &str, method: &str, argument: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Process::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(&program)
        .args(["--exact", "bus::tests::authority::calls_as_another_user", "--nocapture"])
        .env(CALLS_ON, address)
        .env(CALLS_METHOD, method)
        .env(CALLS_WITH, argument)
        .current_dir("/")
        .output()
        .await
        .expect("setpriv runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Started by [`call_as_nobody`].
#[tokio::test]
async fn calls_as_another_user() {
    let Ok(address) = std::env::var(CALLS_ON) else { return };
    let argument = std::env::var(CALLS_WITH).unwrap();
    let client = zbus::connection::Builder::address(address.as_str()).build().await.unwrap();
    if std::env::var(CALLS_METHOD).unwrap() == "Activate" {
        let body = (argument, HashMap::<&str, zbus::Variant<'_>>::new());
        Method("/org/inferd1/model/belt_2dinspect", "Model", "Activate").call(&client, &body).await.unwrap();
    } else {
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let body = (zbus::Fd::from(&file), HashMap::from([("activate", zbus::Variant::from(argument == "true"))]));
        Method("/org/inferd1", "Manager", "InstallModel").call(&client, &body).await.unwrap();
    }
}

#[test]
fn each_action_has_an_id_of_its_own() {
    let ids: std::collections::BTreeSet<_> = Action::ALL.iter().map(|action| action.id()).collect();
    assert_eq!(ids.len(), Action::ALL.len());
    assert!(ids.iter().all(|id| id.starts_with("org.inferd1.")));
}
