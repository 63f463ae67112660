#!/bin/sh
# How long one ledger append takes in a repository whose ledger has 1,000 and more entries, through
# the binary (process start, fold, fsync and all), beside `git commit --allow-empty`.
# ORCA names the binary; target/quick/orca unless set. ENTRIES sets how many entries are made first.
set -eu
cd "$(dirname "$0")/../.."
orca=$(realpath "${ORCA:-target/quick/orca}" 2>/dev/null || true)
[ -x "$orca" ] || { cargo build --quiet --profile quick; orca=$(realpath target/quick/orca); }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git -C "$folder" init --quiet --initial-branch=main
git -C "$folder" -c user.name=bench -c user.email=bench@localhost commit --quiet --allow-empty -m "feat: start"
python3 - "$orca" "$folder" "${ENTRIES:-1000}" <<'PY'
import statistics, subprocess, sys, time

orca, folder, entries = sys.argv[1], sys.argv[2], int(sys.argv[3])

def run(args):
    start = time.perf_counter()
    subprocess.run(args, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1000

append = [orca, "preflight"]  # one ruling, one entry
for _ in range(entries):
    run(append)
commit = ["git", "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "--quiet", "--allow-empty", "-m", "x"]
ours = statistics.median(run(append) for _ in range(21))
git = statistics.median(run(commit) for _ in range(21))
print(f"orca preflight (one entry on {entries})  {ours:7.2f} ms")
print(f"git commit --allow-empty               {git:7.2f} ms")
print(f"ratio                                  {ours / git:7.2f}")
PY
