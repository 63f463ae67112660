#!/bin/sh
# What one request costs the generator: orca beside wrk (and oha, k6, hey where they are on PATH),
# in turns, against the same nginx on this machine. Ratios within one run count, not the figures.
# Usage: scripts/bench/load.sh [ORCA] [SECONDS]
set -eu

orca=${1:-target/quick/orca}
secs=${2:-10}
port=${PORT:-18080}
folder=$(mktemp -d)
nginx=
trap '[ -z "$nginx" ] || kill "$nginx"; rm -rf "$folder"' EXIT

for tool in nginx wrk; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install -y nginx wrk" >&2; exit 2; }
done
[ -x "$orca" ] || { echo "$orca is missing: cargo build --profile quick" >&2; exit 2; }

cat >"$folder/nginx.conf" <<CONF
daemon off; pid $folder/pid; error_log $folder/error.log; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000;
  client_body_temp_path $folder/b; proxy_temp_path $folder/p; fastcgi_temp_path $folder/f;
  uwsgi_temp_path $folder/u; scgi_temp_path $folder/s;
  server { listen 127.0.0.1:$port; location / { return 200 "ok"; } } }
CONF
nginx -c "$folder/nginx.conf" 2>/dev/null &
nginx=$!
url=http://127.0.0.1:$port/
tries=0
until curl -fs "$url" >/dev/null; do
    tries=$((tries + 1)); [ "$tries" -lt 100 ] || { echo "nginx does not answer" >&2; exit 1; }
    sleep 0.05
done

served() { grep -oE "$1" "$folder/out" | grep -oE '[0-9]+' | head -1; }

# Name, pattern of the number of requests, command: CPU seconds (and instructions) a request.
cost() {
    name=$1 pattern=$2; shift 2
    if perf stat -e instructions true >/dev/null 2>&1; then
        perf stat -x, -e instructions -o "$folder/perf" "$@" >"$folder/out" 2>&1
        instructions=$(awk -F, '/instructions/ {print $1}' "$folder/perf")
    else
        instructions=
    fi
    [ -n "$instructions" ] || : >"$folder/out"
    bash -c 'TIMEFORMAT="%U %S"; time "$@" >"$0" 2>&1' "$folder/out" "$@" 2>"$folder/time"
    requests=$(served "$pattern")
    awk -v name="$name" -v n="${requests:-0}" -v i="$instructions" \
        '{cpu=$1+$2; printf "%-12s %9d requests  %6.2f CPU s  %6.2f us/request  %s\n", name, n, cpu,
          (n ? cpu*1e6/n : 0), (i && n ? i/n " instructions" : "no counters")}' "$folder/time"
}

echo "closed loop, 64 connections, $secs s"
for round in 1 2; do
    cost orca '"requests":[0-9]+,"schema"' "$orca" load --closed --connections 64 --duration "${secs}s" --target "$url" --json
    cost wrk '[0-9]+ requests in' wrk -t2 -c64 -d"${secs}s" "$url"
    ! command -v oha >/dev/null || cost oha '\[200\] [0-9]+' oha --no-tui -z "${secs}s" -c 64 "$url"
    ! command -v hey >/dev/null || cost hey '\[200\][^0-9]*[0-9]+' hey -z "${secs}s" -c 64 "$url"
done

echo "resident memory at 5000/s, KiB: after 2 s, and before the end"
"$orca" load --rate 5000/s --connections 64 --duration "${secs}s" --target "$url" --json >"$folder/out" 2>/dev/null &
run=$!
sleep 2; awk '/VmRSS/ {print "  " $2}' "/proc/$run/status"
sleep "$((secs - 3))"; awk '/VmRSS/ {print "  " $2}' "/proc/$run/status"
wait "$run"
grep -oE '"(dropped|late_starts|rate_per_s)":[0-9]+' "$folder/out" | sort -u
