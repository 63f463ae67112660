#!/usr/bin/env bash
# Lints 1,000 files with orca and with the command line of squawk, in turns on one machine, and
# prints the ratio of the medians. SQUAWK names the binary (cargo install squawk@2.68.0).
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
files=${FILES:-1000} rounds=${ROUNDS:-7} profile=${PROFILE:-release}
squawk=${SQUAWK:-$(command -v squawk || true)}
[ -n "$squawk" ] || { echo "squawk is missing: cargo install squawk@2.68.0, or set SQUAWK"; exit 2; }
cargo build --quiet --locked --profile "$profile"
folder=$profile
[ "$profile" = dev ] && folder=debug
orca=${CARGO_TARGET_DIR:-target}/$folder/orca
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 - "$work" "$files" <<'PY'
import random, sys
random.seed(7)
folder, count = sys.argv[1], int(sys.argv[2])
makes = [
    lambda n: f"create table if not exists t{n} (id bigint generated always as identity primary key, name text);",
    lambda n: f"alter table t{n} add column note varchar(20) default 'x';",
    lambda n: f"create index t{n}_name on t{n} (name);",
    lambda n: f"alter table t{n} add constraint c{n} check (length(name) > {n % 9});",
    lambda n: f"alter table t{n} drop column note;",
    lambda n: f"create policy p{n} on t{n} for select using (owner = (select auth.uid()));",
    lambda n: f"create or replace function f{n}(a int) returns int language plpgsql as $$ begin return a + {n}; end $$;",
    lambda n: f"update t{n} set name = 'y' where id = {n};",
]
for n in range(count):
    text = "\n".join(random.choice(makes)(n) for _ in range(9)) + "\n"
    open(f"{folder}/{20260101000000 + n}_m.sql", "w").write(text)
PY

times() { # times COMMAND...: milliseconds of one run; findings are no failure here
    local start end
    start=$(date +%s%N)
    "$@" >/dev/null 2>&1 || true
    end=$(date +%s%N)
    echo $(((end - start) / 1000000))
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

for _ in $(seq "$rounds"); do
    times "$orca" db lint --json "$work"/*.sql >>"$work/orca.ms"
    times "$squawk" --reporter json "$work"/*.sql >>"$work/squawk.ms"
done
o=$(median <"$work/orca.ms") s=$(median <"$work/squawk.ms")
echo "files $files, bytes $(cat "$work"/*.sql | wc -c), rounds $rounds"
echo "orca   median $o ms"
echo "squawk median $s ms"
awk -v o="$o" -v s="$s" 'BEGIN {printf "ratio  %.2f (orca / squawk; at most 1.00)\n", o / s}'
