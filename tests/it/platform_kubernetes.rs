//! The Kubernetes example of `platform: exec` against a `kubectl` that keeps one route, refuses a
//! patch for another version of it, and writes down every call.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::trouble::script;
use crate::support::{Fleet, Run, traffic};

const FIRST: &str =
    "{weight: 2.5%, bake: 2s, max_hold: 40s, decide_by: paired, paired_rate: 100/s}";
const ALL: &str = "{weight: 100%, bake: 2s, max_hold: 40s, decide_by: paired, paired_rate: 100/s}";

/// `get` and `patch` of one route. The gateway takes a change at the second look. A file `meddle`
/// beside the route is somebody who edits it right before the next patch.
const KUBECTL: &str = r#"#!/usr/bin/env python3
import json, os, sys
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
args = sys.argv[1:]
open(here + "calls", "a").write(json.dumps(args) + "\n")
route = json.load(open(here + "route"))
def save():
    json.dump(route, open(here + "route", "w"))
def changed(spec):
    route["metadata"]["resourceVersion"] = str(int(route["metadata"]["resourceVersion"]) + 1)
    route["metadata"]["generation"] += spec
assert args[1:5] == ["httproute", "shop", "-n", "prod"], args
if args[0] == "get":
    print(json.dumps(route))
    route["status"]["parents"][0]["conditions"][0]["observedGeneration"] = route["metadata"]["generation"]
    save()
elif args[0] == "patch":
    if os.path.exists(here + "meddle"):
        os.remove(here + "meddle")
        changed(1)
        save()
    for op in json.loads(args[args.index("-p") + 1]):
        at, path = route, op["path"].strip("/").split("/")
        for part in path[:-1]:
            at = at[int(part)] if isinstance(at, list) else at[part]
        if op["op"] == "test" and at[path[-1]] != op["value"]:
            sys.exit("error: the server rejected our request: testing path " + op["path"] + " failed")
        if op["op"] != "test":
            changed(int(path[0] == "spec" and at.get(path[-1]) != op["value"]))
            at[path[-1]] = op["value"]
    save()
    print(json.dumps(route))
else:
    sys.exit("no verb " + args[0])
"#;

struct Cluster {
    folder: PathBuf,
}

impl Cluster {
    fn start(fleet: &Fleet, commit: &str) -> Self {
        let folder = fleet.world.folder().join("../kubernetes");
        std::fs::create_dir_all(&folder).expect("a folder of the world");
        script(&folder.join("kubectl"), KUBECTL);
        let port = port(&fleet.base);
        let base = json!({"deployment": fleet.base, "commit": commit}).to_string();
        let route = json!({
            "metadata": {
                "name": "shop", "resourceVersion": "41", "generation": 3,
                "annotations": {"orca.dev/base": base, "team": "shop"},
            },
            "spec": {"rules": [{"backendRefs": [{"name": "127", "port": port, "weight": 1}]}]},
            "status": {"parents": [{"conditions": [
                {"type": "Accepted", "status": "True", "observedGeneration": 3}
            ]}]},
        });
        std::fs::write(folder.join("route"), route.to_string()).expect("a new file");
        Self { folder }
    }

    fn command(&self, fleet: &Fleet, args: &[&str]) -> Command {
        let mut command = fleet.command(args);
        let path = std::env::var("PATH").expect("there is one");
        command.env("PATH", format!("{}:{path}", self.folder.display()));
        command
    }

    fn orca(&self, fleet: &Fleet, args: &[&str]) -> Run {
        Run::of(self.command(fleet, args))
    }

    /// Ports and weights of the route, as it is now.
    fn weights(&self) -> Vec<(u64, u64)> {
        let text = std::fs::read_to_string(self.folder.join("route")).expect("it is there");
        let route: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(route["metadata"]["annotations"]["team"], "shop", "others' notes stay");
        let refs = route["spec"]["rules"][0]["backendRefs"].as_array().expect("a list").clone();
        let number = |value: &Value| value.as_u64().expect("a number");
        refs.iter().map(|r| (number(&r["port"]), number(&r["weight"]))).collect()
    }

    /// The weights of every patch so far, in order.
    fn patched(&self) -> Vec<Vec<u64>> {
        let calls = std::fs::read_to_string(self.folder.join("calls")).expect("it is there");
        let of = |line: &str| -> Option<Vec<u64>> {
            let args: Vec<String> = serde_json::from_str(line).expect("a list");
            let at = args.iter().position(|arg| arg == "-p")? + 1;
            let patch: Value = serde_json::from_str(&args[at]).expect("a patch");
            assert_eq!(patch[0]["path"], "/metadata/resourceVersion", "each holds for one version");
            let refs = patch[1]["value"].as_array().expect("a list");
            Some(refs.iter().map(|r| r["weight"].as_u64().expect("a weight")).collect())
        };
        calls.lines().filter_map(of).collect()
    }
}

fn port(url: &str) -> u64 {
    let end = url.rsplit(':').next().expect("a last part");
    end.trim_matches('/').parse().expect("a port")
}

#[test]
fn platform_kubernetes_moves_the_weights_of_a_route() {
    let _quiet = traffic();
    let mut cluster = None;
    let mut fleet = Fleet::on_platform(&[FIRST, ALL], |fleet, commit| {
        cluster = Some(Cluster::start(fleet, commit));
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kubernetes/canary.py");
        // No gateway runs here: users are read back at the base, where a rollback leaves them.
        let platform = format!(
            "platform:\n  kind: exec\n  url: {}\n  exec:\n    command: [python3, {example}, \
             prod/shop]\n    weights: any\n",
            fleet.base
        );
        (fleet.base.clone(), platform)
    });
    let cluster = cluster.expect("it was started");
    let (base, candidate) = (port(&fleet.base), fleet.candidate());
    let canary = port(&candidate.url);

    let ended = cluster.orca(&fleet, &Fleet::canary(&candidate)).expect_code(0).json();
    assert_eq!(ended["end"], "complete", "{ended}");
    assert_eq!(cluster.patched(), [vec![10_000, 0], vec![9_750, 250], vec![0, 10_000]]);
    assert_eq!(cluster.weights(), [(base, 0), (canary, 10_000)]);

    // Somebody edits the route right before the way back: it is read again, and goes on.
    std::fs::write(cluster.folder.join("meddle"), "").expect("a new file");
    let abort = ["canary", "abort", "--json", "--reason", "changed my mind"];
    cluster.orca(&fleet, &abort).expect_code(0);
    assert_eq!(cluster.weights(), [(base, 10_000), (canary, 0)]);
    assert_eq!(cluster.patched().len(), 5, "one was refused");

    // The same before a raise: nothing is overwritten, and nothing was raised.
    std::fs::write(cluster.folder.join("meddle"), "").expect("a new file");
    let again = cluster.orca(&fleet, &Fleet::canary(&candidate));
    assert_ne!(again.code, Some(0), "{again:#?}");
    assert!(again.stderr.contains("somebody changed the route"), "{}", again.stderr);
    assert_eq!(cluster.weights(), [(base, 10_000), (canary, 0)]);
}
