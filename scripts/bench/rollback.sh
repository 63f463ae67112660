#!/bin/sh
# How long going back takes on the router: from the command to traffic moved (watched from outside, by
# asking the front door all the time) and to verified; and how long promotion and a canary's first
# raise take with a remote. The median of RUNS runs each.
# ORCA names the binary; target/quick/orca unless set.
set -eu
cd "$(dirname "$0")/../.."
orca=$(realpath "${ORCA:-target/quick/orca}" 2>/dev/null || true)
[ -x "$orca" ] || { cargo build --quiet --profile quick; orca=$(realpath target/quick/orca); }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 - "$orca" "$folder" "${RUNS:-7}" <<'PY'
import http.client, json, os, re, statistics, subprocess, sys, threading, time

orca, folder, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
work = folder + "/work"
env = dict(os.environ, ORCA_ROUTER_TOKEN="bench", ORCA_ACTOR="bench", GIT_CONFIG_NOSYSTEM="1",
           GIT_CONFIG_GLOBAL=folder + "/gitconfig", CI="true")
open(folder + "/gitconfig", "w").write("[user]\nname=bench\nemail=bench@localhost\n[init]\ndefaultBranch=main\n")
children = []

def git(*args):
    return subprocess.run(["git", "-C", work, *args], env=env, check=True, capture_output=True, text=True).stdout.strip()

def run(*args, codes=(0,)):
    ended = subprocess.run([orca, *args], cwd=work, env=env, capture_output=True, text=True)
    if ended.returncode not in codes:
        sys.exit(f"orca {' '.join(args)}: {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended

def start(*args):
    child = subprocess.Popen([orca, *args], cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    children.append(child)
    return json.loads(child.stdout.readline())

def commit(text):
    open(work + "/app.txt", "a").write(text + "\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", text)
    git("push", "--quiet", "--follow-tags", "origin", "main")
    return git("rev-parse", "HEAD")

def service(sha):
    return start("sample-service", "--base-ms", "1", "--commit", sha, "--digest", "sha256:" + sha.zfill(64))["url"]

def who(front):
    """Which commit answers one user of the front door."""
    host = front.removeprefix("http://")
    line = http.client.HTTPConnection(host, timeout=5)
    line.request("GET", "/version", headers={"x-user-id": "u"})
    return json.loads(line.getresponse().read())["commit"]

os.makedirs(work)
git("init", "--quiet")
git("init", "--quiet", "--bare", "../origin.git")
git("remote", "add", "origin", "../origin.git")
base = commit("feat: start")
git("tag", "-a", "-m", "v1.0.0", "v1.0.0")
router = start("router", "--json", "--state", "../router.json", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
               "--base", service(base), "--base-commit", base)
open(work + "/.gitignore", "w").write(".orca/\n")
open(work + "/orca.yaml", "w").write(f"""version: 1
platform: {{kind: router, admin: "{router['admin']}", url: "{router['listen']}"}}
canary:
  error_increase_max: 50%
  p95_ratio_max_pct: 100000
  stages: [{{weight: 100%, bake: 3s, max_hold: 30s, decide_by: paired, paired_rate: 100/s}}]
""")
os.makedirs(work + "/slo")
open(work + "/slo/slo_manifest.yaml", "w").write("""version: 1
defaults: {min_samples: 1, objectives: ["p95 < 10s", "errors < 50%"]}
endpoints: [{name: trust, method: GET, path: /api/trust, weight: 1, safe: true}]
profiles: {baseline: {rate: 200/s, duration: 2s, connections: 8}}
""")
commit("chore: set up orca")
figures = {"moved": [], "said moved": [], "said verified": [], "whole command": [], "promote": [], "raise": []}
try:
    for number in range(runs):
        sha = commit(f"fix: number {number}")
        release = json.loads(run("release", "tag", "--rc", "--json").stdout)["release"]
        sha = git("rev-parse", "HEAD")
        url = service(sha)
        run("preflight")
        for _ in range(10):  # a busy machine that could not keep up decides nothing: again
            if run("load", "--rc", release, "--target", url, codes=(0, 3)).returncode == 0:
                break
        began = time.perf_counter()
        canary = subprocess.Popen([orca, "canary", "start", "--rc", release, "--deployment-url", url], cwd=work, env=env,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in canary.stderr:
            if "the new version gets" in line:
                figures["raise"].append(time.perf_counter() - began)
        if canary.wait() != 0:
            sys.exit(f"canary: {canary.returncode}")
        began = time.perf_counter()
        run("promote", "--rc", release)
        figures["promote"].append(time.perf_counter() - began)
        moved = []
        began = time.perf_counter()
        def watch():
            while who(router["listen"]) == sha:
                pass
            moved.append(time.perf_counter() - began)
        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.perf_counter()
        back = json.loads(run("rollback", "--json", "--reason", "bench").stdout)
        figures["whole command"].append(time.perf_counter() - began)
        watcher.join()
        figures["moved"].append(moved[0])
        figures["said moved"].append(back["moved_us"] / 1e6)
        figures["said verified"].append(back["verified_us"] / 1e6)
finally:
    for child in children:
        child.kill()
targets = {"moved": 50, "said verified": 2000, "promote": 1500, "raise": 1500}
labels = {"moved": "rollback: command to traffic moved", "said moved": "  as orca says it",
          "said verified": "rollback: command to verified", "whole command": "rollback: whole command, ledger shared",
          "promote": "promote, with a remote", "raise": "canary start to its first raise"}
for name, label in labels.items():
    target = f"   (target {targets[name]} ms)" if name in targets else ""
    print(f"{label:40} {statistics.median(figures[name]) * 1000:8.1f} ms{target}")
PY
