#!/usr/bin/env bash
# How long going back takes on Vercel, against the tests' fake with 50 ms for each call of the API: from
# the command to traffic moved, and to verified by real requests; and from the verdict about a canary
# to the call that ends it. RUNS runs (5), each told, then the median. Unoptimised, as the tests are:
# orca's own share is the smaller part.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo test --quiet --locked --test it --no-run
for run in $(seq "${RUNS:-5}"); do
    cargo test --quiet --locked --test it -- --nocapture \
        vercel_trouble::a_rollback_is_one_changing_call >"$folder/$run"
    cargo test --quiet --locked --test it -- --nocapture \
        vercel_canary::a_breach_in_the_middle >>"$folder/$run"
    grep -hE '^(traffic moved after|platform calls|from verdict)' "$folder/$run" | paste -sd ';'
done
python3 - "$folder" <<'PY'
import pathlib, re, statistics, sys

def millis(text):
    value, unit = re.match(r"([0-9.]+) (us|ms|s)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]

texts = [file.read_text() for file in pathlib.Path(sys.argv[1]).iterdir()]
for name, pattern in (("moved", r"traffic moved after ([0-9.]+ \w+)"), ("verified", r"verified after ([0-9.]+ \w+)"),
                      ("verdict to call", r"from verdict to call: ([0-9.]+ \w+)")):
    seen = [millis(found) for text in texts for found in re.findall(pattern, text)[:2]]
    print(f"{name}: median {statistics.median(seen):.0f} ms of {len(seen)} runs")
PY
