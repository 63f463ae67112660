//! The contract with commands that are small shell scripts: what they are asked and see, what each
//! end means, and that nothing of them stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::command::{RunError, Surroundings};
use super::contract::Operation;
use super::platform::{Commands, ExecPlatform};
use crate::base::clock::{Clock, Entropy};
use crate::base::ids::{DeploymentId, ReleaseName};
use crate::base::redact::{Redactor, Secret};
use crate::base::units::Weight;
use crate::providers::front::FrontDoor;
use crate::providers::http::HttpClient;
use crate::rollout::ports::{
    Arm, Lowering, Measures, Platform as _, PlatformError, Refused, StageOrder, Weights,
};

const SPLIT: &str = r#"{"state":{"base":{"deployment":"http://old"},"canary":{"deployment":"new"},"weight_bp":500,"epoch":3}}"#;
const WHOLE: &str = r#"{"state":{"base":{"deployment":"http://old"},"weight_bp":0,"epoch":3}}"#;

fn surroundings(folder: &Path) -> Surroundings {
    let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    Surroundings {
        folder: folder.to_owned(),
        variables: BTreeMap::from([path]),
        redactor: Redactor::new([Secret::new("hunter2-hunter2")]),
    }
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// A platform of shell scripts, and the lines it says.
fn platform(scripts: &[(Operation, &str)]) -> (ExecPlatform, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&said);
    let entropy = Entropy::seeded(1);
    let http = HttpClient::new(entropy.clone()).unwrap();
    let platform = ExecPlatform {
        commands: Commands {
            argv: scripts.iter().map(|(o, script)| (*o, shell(script))).collect(),
            deadline: Duration::from_secs(20),
            deploy_deadline: Duration::from_secs(20),
            weights: Weights::WholePercent,
            stickiness: "cookie".to_owned(),
            arm_header: None,
        },
        surroundings: surroundings(&std::env::temp_dir()),
        front: FrontDoor::new("http://front", http, entropy),
        environment: "production".to_owned(),
        clock: Clock::System,
        tell: Arc::new(move |line| own.lock().unwrap().push(line.to_owned())),
        made: std::sync::Mutex::default(),
    };
    (platform, said)
}

fn order(generation: u64, epoch: u64) -> StageOrder {
    StageOrder {
        canary: DeploymentId::new("new").unwrap(),
        commit: None,
        salt: ReleaseName::new("v1.0.0-rc.1").unwrap(),
        expect_generation: generation,
        epoch,
        weights: Vec::new(),
    }
}

#[tokio::test]
async fn what_serves_is_read_as_it_is_said() {
    let (platform, _) =
        platform(&[(Operation::Current, &format!("cat >/dev/null; echo '{SPLIT}'"))]);
    let seen = platform.look().await.unwrap();
    assert_eq!(
        (seen.base.as_str(), seen.weight.basis_points(), seen.epoch),
        ("http://old", 500, 3)
    );
    assert_eq!(seen.generation, platform.look().await.unwrap().generation, "the same split");
    assert_eq!(platform.door(Arm::Base).await.unwrap().url, "http://old");
    assert!(platform.door(Arm::Canary).await.is_err(), "'new' is no address");
    let capabilities = platform.capabilities();
    assert_eq!((capabilities.measures, capabilities.holds_grant), (Measures::Nothing, false));
}

#[tokio::test]
async fn an_answer_that_is_none_says_why() {
    for (script, part) in [
        ("echo '{\"state\": {\"base\": 1}}'", "no exec.answer"),
        ("echo '{}'", "answered no state"),
        ("true", "no exec.answer"),
        ("echo '{\"stat\": 1}'", "unknown field"),
        ("echo broken pipe of doom >&2; exit 1", "ended with 1: broken pipe of doom"),
        ("echo hunter2-hunter2 >&2; exit 4", "could not reach what it needs: [redacted]"),
        ("kill -9 $$", "was ended by a signal"),
    ] {
        let (platform, _) = platform(&[(Operation::Current, script)]);
        let error = platform.look().await.unwrap_err();
        assert!(matches!(error, PlatformError::Unavailable { .. }), "{script}: {error}");
        assert!(error.to_string().contains(part), "{script}: {error}");
    }
}

#[tokio::test]
async fn the_end_of_a_change_is_what_it_says() {
    use Operation::{Current, Rollback};
    let answers = |state: &str| format!("echo '{state}'");
    let (split, whole) = (answers(SPLIT), answers(WHOLE));
    for (current, rollback, expected) in [
        (&whole, "echo gone back >&2", "done"),
        (&whole, split.as_str(), "uncertain"),
        (&split, "true", "uncertain"),
        (&whole, "exit 1", "uncertain"),
        (&whole, "kill -9 $$", "uncertain"),
        (&whole, "exit 4", "unavailable"),
        (&whole, "exit 5", "refused"),
    ] {
        let (platform, said) = platform(&[(Current, current), (Rollback, rollback)]);
        let word = match platform.lower_to_base(None, Lowering::RolledBack).await {
            Ok(state) => {
                assert_eq!(state.weight, Weight::ZERO);
                assert_eq!(*said.lock().unwrap(), ["rollback: gone back"]);
                "done"
            }
            Err(PlatformError::Uncertain { .. }) => "uncertain",
            Err(PlatformError::Unavailable { .. }) => "unavailable",
            Err(PlatformError::Refused { .. }) => "refused",
            Err(PlatformError::InPart { .. }) => "in part",
        };
        assert_eq!(word, expected, "{rollback}");
    }
}

/// Each command that ran is in the record, told by what it was asked to do and not by its arguments.
#[tokio::test]
async fn commands_are_counted_by_whether_they_change_anything() {
    use Operation::{Current, Rollback};
    let whole = format!("echo '{WHOLE}'");
    let (platform, _) = platform(&[(Current, &whole), (Rollback, "exit 5")]);
    assert_eq!(platform.calls(), []);
    platform.look().await.unwrap();
    platform.lower_to_base(None, Lowering::RolledBack).await.unwrap_err();
    let told: Vec<_> =
        platform.calls().into_iter().map(|c| (c.is_change(), c.url, c.status)).collect();
    let of = |name: &str| format!("exec:{name}");
    assert_eq!(told, [(false, of("current"), Some(0)), (true, of("rollback"), Some(5))]);
}

/// Another state than the one that was judged, or a higher epoch, is found before the command runs.
#[tokio::test]
async fn a_raise_from_another_state_is_never_asked_for() {
    let current = format!("echo '{WHOLE}'");
    let scripts = [(Operation::Current, current.as_str()), (Operation::Deploy, "exit 1")];
    let (platform, _) = platform(&scripts);
    let generation = platform.look().await.unwrap().generation;
    for (order, expected) in [
        (order(generation + 1, 9), "generation"),
        (order(generation, 2), "epoch"),
        (order(generation, 9), "asked"),
    ] {
        let word = match platform.stage(&order).await.unwrap_err() {
            PlatformError::Refused { refused: Refused::StaleGeneration { .. }, .. } => "generation",
            PlatformError::Refused { refused: Refused::StaleEpoch { .. }, .. } => "epoch",
            _ => "asked",
        };
        assert_eq!(word, expected);
    }
}

#[tokio::test]
async fn a_change_is_told_what_it_counts_on_and_going_back_counts_on_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keep = |name: &str| format!("cat > {}/{name}; exit 4", folder.path().display());
    let (current, deploy, back) = (format!("echo '{WHOLE}'"), keep("deploy"), keep("rollback"));
    let scripts = [
        (Operation::Current, current.as_str()),
        (Operation::Deploy, &deploy),
        (Operation::Rollback, &back),
    ];
    let (platform, _) = platform(&scripts);
    let generation = platform.look().await.unwrap().generation;
    platform.stage(&order(generation, 7)).await.unwrap_err();
    platform.lower_to_base(None, Lowering::RolledBack).await.unwrap_err();
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(
        read("deploy"),
        serde_json::json!({
            "version": 1, "operation": "deploy", "environment": "production", "deployment": "new",
            "release": "v1.0.0-rc.1", "deadline_ms": 20_000,
            "expect": {
                "base": "http://old", "canary": null, "weight_bp": 0, "generation": null, "epoch": 7
            },
        })
    );
    assert_eq!(
        read("rollback"),
        serde_json::json!({
            "version": 1, "operation": "rollback", "environment": "production",
            "deadline_ms": 20_000,
        })
    );
}

#[tokio::test]
async fn users_are_counted_from_cumulative_buckets() {
    let answer = |buckets: &str| {
        let arm = format!(
            r#"{{"requests":10,"errors":{{"status_5xx":1}},"latency":[{buckets}],"sticky_keys":4,
                "visits":[[1,2],[4,2]]}}"#
        );
        format!(r#"echo '{{"samples":{{"base":{arm},"canary":{arm}}}}}'"#)
    };
    let good = answer(r#"{"le_us":1000,"count":4},{"le_us":5000,"count":9}"#);
    let (counting, _) = platform(&[(Operation::Samples, &good)]);
    assert_eq!(counting.capabilities().measures, Measures::Users);
    let users = counting.samples().await.unwrap().canary.users;
    assert_eq!((users.requests, users.sticky_keys, users.latency.count()), (10, 4, 9));
    assert_eq!(users.visits.map(|visits| visits.keys()), Some(4));
    assert!(users.latency.quantile_us(10_000) >= 5_000);
    let bad = answer(r#"{"le_us":1000,"count":4},{"le_us":5000,"count":3}"#);
    let (falling, _) = platform(&[(Operation::Samples, &bad)]);
    let error = falling.samples().await.unwrap_err().to_string();
    assert!(error.contains("does not ascend"), "{error}");
}

#[tokio::test]
async fn commands_see_named_variables_only() {
    let here = surroundings(&std::env::temp_dir());
    let argv = shell("env | cut -d= -f1 | sort");
    let ran = here.run(&argv, Vec::new(), Duration::from_secs(20)).await.unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let names: Vec<&str> =
        text.lines().filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)).collect();
    assert_eq!(names, ["PATH"]);
}

/// The command and what it started are gone when its time is over.
#[tokio::test]
async fn a_deadline_ends_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo waiting >&2; sleep 300 & echo $! > child; wait";
    let here = surroundings(folder.path());
    let ended = here.run(&shell(script), Vec::new(), Duration::from_secs(2)).await;
    let Err(RunError::Deadline { stderr, .. }) = &ended else { panic!("{ended:?}") };
    assert!(stderr.contains("waiting"), "{stderr}");
    let child = std::fs::read_to_string(folder.path().join("child")).unwrap();
    let id = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
    let mut gone = false;
    for _ in 0..200 {
        gone =
            rustix::process::test_kill_process(id).is_err() || is_zombie(id.as_raw_nonzero().get());
        if gone {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gone, "{child} lives on");
}

/// Killed, and not yet collected by whoever inherited it.
fn is_zombie(id: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_keep_orca_waiting() {
    let here = surroundings(&std::env::temp_dir());
    let script = "sleep 30 & echo done";
    let ran = here.run(&shell(script), Vec::new(), Duration::from_secs(20)).await.unwrap();
    assert_eq!((ran.code, ran.stdout.as_slice()), (Some(0), b"done\n".as_slice()));
    let flood =
        here.run(&shell("yes | head -c 2000000"), Vec::new(), Duration::from_secs(20)).await;
    assert!(matches!(flood, Err(RunError::TooMuch { .. })), "{flood:?}");
    let missing =
        here.run(&["./nothing-here".to_owned()], Vec::new(), Duration::from_secs(20)).await;
    assert!(matches!(missing, Err(RunError::Start { .. })), "{missing:?}");
}
