#!/bin/sh
# Eight processes append 1,000 entries in all through one bare remote, each in its own clone, and
# must end in one chain with every fact in it, once. The test `ledger_race` does it with fewer.
# ORCA names the binary; target/quick/orca unless set. WRITERS and EACH set the numbers.
set -eu
cd "$(dirname "$0")/.."
orca=$(realpath "${ORCA:-target/quick/orca}" 2>/dev/null || true)
[ -x "$orca" ] || { cargo build --quiet --profile quick; orca=$(realpath target/quick/orca); }
writers=${WRITERS:-8}
each=${EACH:-125}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
git init --quiet --bare --initial-branch=main origin.git
git clone --quiet origin.git first 2>/dev/null
git -C first -c user.name=race -c user.email=race@localhost commit --quiet --allow-empty -m "feat: start"
git -C first push --quiet origin HEAD:main
for number in $(seq "$writers"); do git clone --quiet origin.git "writer-$number"; done
started=$(date +%s)
for number in $(seq "$writers"); do
  (
    for _ in $(seq "$each"); do
      ORCA_ACTOR="writer-$number" "$orca" -C "writer-$number" preflight >/dev/null 2>>"errors-$number"
    done
  ) &
done
wait
raced=$(date +%s)
for round in 1 2; do
  for number in $(seq "$writers"); do "$orca" -C "writer-$number" ledger sync >/dev/null; done
done
python3 - "$orca" "$writers" "$each" "$((raced - started))" <<'PY'
import collections, json, subprocess, sys

orca, writers, each, seconds = sys.argv[1], *map(int, sys.argv[2:])
logs = []
for number in range(1, writers + 1):
    place = f"writer-{number}"
    subprocess.run([orca, "-C", place, "ledger", "verify"], check=True, stdout=subprocess.DEVNULL)
    out = subprocess.run([orca, "-C", place, "ledger", "log", "-n", "0", "--json"], check=True, capture_output=True)
    logs.append(json.loads(out.stdout)["entries"])
assert all(log == logs[0] for log in logs), "more than one history"
facts = collections.Counter(entry["who"] for entry in logs[0] if entry["kind"] == "ruled")
assert facts == {f"writer-{number}": each for number in range(1, writers + 1)}, facts
carried = sum(entry["carried_by"] is not None for entry in logs[0])
print(f"{writers * each} facts by {writers} processes in one chain, each once, in {seconds} s; "
      f"{carried} lost a race and were carried over")
PY
