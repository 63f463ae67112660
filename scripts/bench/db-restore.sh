#!/usr/bin/env bash
# Backs up and restores a table of one million rows, and prints what the checksum costs: at most 2 s
# for a million rows. Needs Postgres (scripts/setup-tests.sh). ROWS, ROUNDS and PROFILE change it.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
rows=${ROWS:-1000000} rounds=${ROUNDS:-3} profile=${PROFILE:-release}
cargo build --quiet --locked --profile "$profile"
folder=$profile
[ "$profile" = dev ] && folder=debug
orca=$PWD/${CARGO_TARGET_DIR:-target}/$folder/orca
bin=${ORCA_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)}
work=$(mktemp -d /tmp/orca-bench.XXXXXX)
as=()
if [ "$(id -u)" = 0 ]; then
    chown postgres "$work"
    as=(runuser -u postgres --)
fi
trap '"${as[@]}" "$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
(
    cd "$work"
    "${as[@]}" "$bin/initdb" -D "$work/data" -U postgres -A trust --no-sync -E UTF8 --locale=C >/dev/null
    "${as[@]}" "$bin/pg_ctl" -D "$work/data" -w -l "$work/log" start \
        -o "-k $work -c listen_addresses= -c fsync=off -c shared_buffers=128MB" >/dev/null
)
sql() { "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -h "$work" -U postgres -c "$1"; }
sql "create table big (id bigint primary key, owner uuid, total numeric(10,2), note text, at timestamptz)"
sql "insert into big select n, gen_random_uuid(), n / 7.0, md5(n::text) || md5((n + 1)::text), now()
     from generate_series(1, $rows) n"
sql "vacuum analyze big"
echo "rows $rows, $(sql "select pg_size_pretty(pg_total_relation_size('big'))"), $("$bin/postgres" --version)"

export ORCA_TARGET_URL="postgres://postgres@${work//\//%2F}/postgres" ORCA_PG_BIN="$bin"
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
for _ in $(seq "$rounds"); do
    start=$(date +%s%N)
    sql "select count(*), sum(hashtextextended(t::text, 0)) from only big t" >/dev/null
    echo $((($(date +%s%N) - start) / 1000000)) >>"$work/sum.ms"
    rm -rf "$work/backups"
    "$orca" db backup --json --out "$work/backups" 2>/dev/null |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["duration_us"] // 1000)' >>"$work/backup.ms"
    "$orca" db restore-check --json --from "$work/backups" 2>/dev/null |
        python3 -c '
import json, sys
seen = json.load(sys.stdin)
assert seen["verdict"] == "pass", seen["headline"]
steps = {s["step"]: s["duration_us"] // 1000 for s in seen["steps"]}
print(steps["compare"], file=open(sys.argv[1], "a"))
print(seen["rto_us"] // 1000, file=open(sys.argv[2], "a"))' "$work/compare.ms" "$work/rto.ms"
done
s=$(median <"$work/sum.ms") c=$(median <"$work/compare.ms")
echo "checksum in one session     median $s ms"
echo "backup with checksum        median $(median <"$work/backup.ms") ms"
echo "restore (RTO)               median $(median <"$work/rto.ms") ms"
echo "compare what came back      median $c ms"
awk -v c="$c" -v r="$rows" 'BEGIN {printf "seconds per million rows    %.2f (at most 2.00)\n", c * 1000 / r}'
