#!/usr/bin/env bash
# Times orca db shadow cold and warm on a project of 25 files, and the replay of 90 files against one
# psql a file and one psql session, in turns on one machine. Prints medians and ratios.
# PG_BIN is the folder of Postgres's programs; as root the comparison runs as the user postgres.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
rounds=${ROUNDS:-5} profile=${PROFILE:-release} project=${PROJECT:-}
pg=${PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)}
[ -x "$pg/initdb" ] || { echo "no Postgres: set PG_BIN"; exit 2; }
cargo build --quiet --locked --profile "$profile"
folder=$profile
[ "$profile" = dev ] && folder=debug
orca=$PWD/${CARGO_TARGET_DIR:-target}/$folder/orca
root=$PWD
work=$(mktemp -d)
chmod 755 "$work"
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
fi
mkdir "$work/server"
[ "$(id -u)" != 0 ] || chown postgres "$work/server"
end() {
    as "$pg/pg_ctl" -D "$work/server/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap end EXIT

files() { # files FOLDER COUNT: migrations as projects have them
    mkdir -p "$1/supabase/migrations"
    for n in $(seq "$2"); do
        cat >"$1/supabase/migrations/$((20260101000000 + n))_t.sql" <<SQL
create table public.t$n (id uuid primary key default gen_random_uuid(), owner uuid not null, name text);
alter table public.t$n enable row level security;
create policy own on public.t$n for all to authenticated using ((select auth.uid()) = owner);
create index t${n}_owner on public.t$n (owner);
create function public.f$n(a int) returns int language sql stable set search_path = '' as \$\$ select a \$\$;
grant select on public.t$n to authenticated;
SQL
    done
}
ms() { # ms COMMAND...: milliseconds of one run
    local start
    start=$(date +%s%N)
    "$@" >"$work/out" 2>&1 || { code=$?; [ "$code" -le 3 ] || { cat "$work/out"; exit 1; }; }
    echo $((($(date +%s%N) - start) / 1000000))
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }

if [ -n "$project" ]; then ln -s "$(cd "$project" && pwd)" "$work/small"; else files "$work/small" 25; fi
files "$work/large" 90
export XDG_CACHE_HOME="$work/cache"
shadow() { "$orca" -C "$1" db shadow --json; }
for _ in $(seq "$rounds"); do
    rm -rf "$work/cache"
    ms shadow "$work/small" >>"$work/cold"
    ms shadow "$work/small" >>"$work/warm"
done
echo "files $(ls "$work/small/supabase/migrations" | wc -l), rounds $rounds"
echo "cold   median $(median <"$work/cold") ms (at most 5000)"
echo "warm   median $(median <"$work/warm") ms (at most 1500)"

# The replay alone: orca's own clock of its files against psql on a server with the same settings.
as "$pg/initdb" -D "$work/server/data" -U postgres -A trust --no-sync -E UTF8 --locale=C >/dev/null
as "$pg/pg_ctl" -D "$work/server/data" -w -l "$work/server/log" -o "-k $work/server -c listen_addresses= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off" start >/dev/null
export PGHOST=$work/server PGUSER=postgres
psql() { "$pg/psql" -Xq -v ON_ERROR_STOP=1 "$@"; }
fresh() {
    psql -d postgres -c 'drop database if exists shop' -c 'create database shop' 2>/dev/null
    psql -d shop -1 -f "$root/src/db/shadow/bootstrap.sql" 2>/dev/null
}
each() { for file in "$work"/large/supabase/migrations/*.sql; do psql -d shop -1 -f "$file"; done; }
session() {
    for file in "$work"/large/supabase/migrations/*.sql; do
        printf 'begin;\n\\i %s\ncommit;\n' "$file"
    done | psql -d shop
}
for _ in $(seq "$rounds"); do
    shadow "$work/large" >"$work/json" 2>/dev/null || true
    python3 -c 'import json,sys; print(sum(f["duration_us"] for f in json.load(open(sys.argv[1]))["files"]) // 1000)' \
        "$work/json" >>"$work/replay"
    fresh
    ms each >>"$work/each"
    fresh
    ms session >>"$work/session"
done
r=$(median <"$work/replay") e=$(median <"$work/each") s=$(median <"$work/session")
echo "replay of 90 files: orca $r ms, psql a file $e ms, one psql session $s ms"
echo "ratio  $(ratio "$e" "$r") (psql a file / orca; at least 4.00)"
echo "ratio  $(ratio "$r" "$s") (orca / one session; at most 1.30)"
