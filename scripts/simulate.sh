#!/usr/bin/env bash
# simulate.sh [COUNT] [FIRST SEED]: COUNT simulated schedules (one million unless given), optimised.
# Without a first seed they are new ones; the first is printed, so that a run can be repeated.
# A schedule that breaks a rule is shrunk, told, and ends this with the command that replays it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=${1:-1000000}
from=${2:-$(date +%s)000000}
echo "$count schedules from seed $from"
ORCA_SCHEDULES=$count ORCA_SEED_FROM=$from \
    cargo test --locked --profile quick --lib simulation::tests::no_schedule -- --nocapture
