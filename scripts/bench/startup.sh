#!/bin/sh
# How long `orca --version` takes, beside `git --version`: the median of 21 runs each.
# ORCA names the binary; target/quick/orca unless set.
set -eu
cd "$(dirname "$0")/../.."
orca=${ORCA:-target/quick/orca}
[ -x "$orca" ] || cargo build --quiet --profile quick
python3 - "$orca" <<'PY'
import statistics, subprocess, sys, time

def median_ms(args):
    times = []
    for _ in range(21):
        start = time.perf_counter()
        subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)

orca, git = median_ms([sys.argv[1], "--version"]), median_ms(["git", "--version"])
print(f"orca --version  {orca:6.2f} ms   (target 10 ms)")
print(f"git --version   {git:6.2f} ms")
print(f"ratio           {orca / git:6.2f}")
PY
