#!/bin/sh
# What a long ledger costs: reading and folding it, and judging one gate with it, through the binary (process
# start and fsync and all), beside `git commit --allow-empty` on the same disk in the same run.
# ORCA names the binary; target/quick/orca unless set. ENTRIES sets how long the ledger is, ROUNDS how
# often each command runs.
set -eu
cd "$(dirname "$0")/../.."
orca=$(realpath "${ORCA:-target/quick/orca}" 2>/dev/null || true)
[ -x "$orca" ] || { cargo build --quiet --profile quick; orca=$(realpath target/quick/orca); }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
entries=${ENTRIES:-10000}
for kind in short packed loose; do
  git -C "$folder" init --quiet --initial-branch=main "$kind"
  git -C "$folder/$kind" -c user.name=bench -c user.email=bench@localhost commit --quiet --allow-empty -m "feat: start"
done
python3 scripts/bench/make-ledger.py "$folder/short" 10
python3 scripts/bench/make-ledger.py "$folder/packed" "$entries"
python3 scripts/bench/make-ledger.py "$folder/loose" "$entries" --loose
python3 - "$orca" "$folder" "$entries" <<'PY'
import os, resource, statistics, subprocess, sys, time

orca, folder, entries = sys.argv[1], sys.argv[2], sys.argv[3]
ROUNDS = int(os.environ.get("ROUNDS", "15"))


def once(args, place):
    """Wall clock and CPU time of one run, in milliseconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(args, cwd=os.path.join(folder, place), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = (time.perf_counter() - start) * 1000
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) * 1000


def best(args, place):
    """The fastest of some runs: what it costs when nobody disturbs it."""
    runs = [once(args, place) for _ in range(ROUNDS)]
    return min(wall for wall, _ in runs), statistics.median(cpu for _, cpu in runs)


read, write = [orca, "release", "status"], [orca, "preflight"]  # no entry, and one
commit = ["git", "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "--quiet",
          "--allow-empty", "-m", "chore: x"]
print(f"{'':34} {'wall':>9} {'cpu':>9}")
shown = {}
for name, args, place in [
    ("status, 10 entries", read, "short"),
    (f"status, {entries} entries, packed", read, "packed"),
    (f"status, {entries} entries, loose", read, "loose"),
    ("preflight, 10 entries", write, "short"),
    (f"preflight, {entries} entries, packed", write, "packed"),
    ("git commit --allow-empty", commit, "short"),
]:
    wall, cpu = shown[name] = best(args, place)
    print(f"{name:34} {wall:6.1f} ms {cpu:6.1f} ms")

def above(name, base):
    """What `name` costs on top of `base`: wall clock, and CPU time, which a busy machine disturbs least."""
    return tuple(shown[name][kind] - shown[base][kind] for kind in (0, 1))


_, packed = above(f"status, {entries} entries, packed", "status, 10 entries")
_, loose = above(f"status, {entries} entries, loose", "status, 10 entries")
wall, cpu = above("preflight, 10 entries", "status, 10 entries")
print(f"\none check and one append with fsync: {wall:.1f} ms, {cpu:.1f} ms of CPU")
print(f"folding {entries} entries that were read before: {packed:.0f} ms of CPU packed, {loose:.0f} ms loose")
PY
