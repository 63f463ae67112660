#!/usr/bin/env bash
# What one request costs the generator: orca beside wrk (and oha, hey, vegeta, k6 where they are on
# PATH), in turns, against the same nginx on this machine; tool and nginx on a core of their own.
# Counts instructions where perf has counters; shows CPU time beside them. CPU time alone wavers by
# a factor of two on shared machines: then only the ratio of medians over many rounds means something.
# Usage: scripts/bench/load.sh [ORCA] [SECONDS] [ROUNDS]
#   apt-get install -y nginx wrk hey; cargo install oha; cargo build --profile quick
set -euo pipefail

orca=${1:-target/quick/orca}
secs=${2:-4}
rounds=${3:-9}
port=${PORT:-18080}
folder=$(mktemp -d)
nginx=
trap '[[ -z $nginx ]] || kill "$nginx"; rm -rf "$folder"' EXIT

has() { command -v "$1" >/dev/null; }
for tool in nginx wrk openssl taskset python3; do
    has "$tool" || { echo "$tool is missing: apt-get install -y nginx wrk openssl util-linux python3" >&2; exit 2; }
done
[[ -x $orca ]] || { echo "$orca is missing: cargo build --profile quick" >&2; exit 2; }
orca=$(realpath "$orca")

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
cat >"$folder/nginx.conf" <<CONF
daemon off; pid $folder/pid; error_log $folder/error.log; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; ssl_certificate $folder/cert.pem; ssl_certificate_key $folder/key.pem;
  http2_max_requests 1000000000;
  client_body_temp_path $folder/b; proxy_temp_path $folder/p; fastcgi_temp_path $folder/f;
  uwsgi_temp_path $folder/u; scgi_temp_path $folder/s;
  server { listen 127.0.0.1:$port; listen 127.0.0.1:$((port + 1)) ssl http2; location / { return 200 "ok"; } } }
CONF
taskset -c 1 nginx -c "$folder/nginx.conf" 2>/dev/null &
nginx=$!
plain=http://127.0.0.1:$port/ tls=https://localhost:$((port + 1))/
for _ in $(seq 100); do curl -fs "$plain" >/dev/null && break; sleep 0.05; done
curl -fs "$plain" >/dev/null || { echo "nginx does not answer" >&2; exit 1; }

counters=
[[ $(perf stat -x, -e instructions:u true 2>&1) =~ ^[0-9] ]] && counters=1
[[ -n $counters ]] || echo "perf has no counters on this machine: CPU time only"

# Where each tool says how many requests it made.
requests() {
    case $1 in
        orca*) python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["requests"])' "$folder/out" 2>/dev/null ;;
        wrk*) grep -oE '[0-9]+ requests in' "$folder/out" ;;
        oha*) grep -oE '\[200\] [0-9]+' "$folder/out" | sed 's/\[200\]//' ;;
        hey*) grep -oE '\[200\][^0-9]*[0-9]+' "$folder/out" | sed 's/\[200\]//' ;;
        vegeta*) grep -oE '200:[0-9]+' "$folder/out" | sed 's/200://' ;;
        k6*) grep -oE 'http_reqs[^0-9]*[0-9]+' "$folder/out" ;;
    esac | grep -oE '[0-9]+' | head -1
}

# One run of a tool: a line "name microseconds-of-CPU instructions" a request goes to the folder.
once() {
    local name=$1; shift
    local run=(taskset -c 0 "$@")
    [[ -z $counters ]] || run=(perf stat -x, -e instructions:u,instructions:k -o "$folder/perf" "${run[@]}")
    TIMEFORMAT="%U %S"
    { time "${run[@]}" >"$folder/out" 2>/dev/null; } 2>"$folder/time" || true
    local count; count=$(requests "$name") || count=0
    local instructions=0
    [[ -z $counters ]] || instructions=$(awk -F, '/instructions/ {n += $1} END {print n}' "$folder/perf")
    awk -v name="$name" -v n="${count:-0}" -v i="$instructions" \
        'n {printf "%s %.3f %.0f\n", name, ($1 + $2) * 1e6 / n, i / n}' "$folder/time" >>"$folder/costs"
}

load() { once "$1" "$orca" load --json --closed --connections 64 --duration "${secs}s" "${@:2}"; }
for _ in $(seq "$rounds"); do
    load orca --target "$plain"
    once wrk wrk -t1 -c64 -d"${secs}s" "$plain"
    ! has oha || once oha oha --no-tui -z "${secs}s" -c 64 "$plain"
    ! has hey || once hey hey -z "${secs}s" -c 64 "$plain"
    ! has vegeta || once vegeta sh -c "echo GET $plain | vegeta attack -rate 0 -max-workers 64 -duration ${secs}s | vegeta report"
    load orca-tls --target "$tls" --insecure
    once wrk-tls wrk -t1 -c64 -d"${secs}s" "$tls"
    load orca-h2 --target "$tls" --insecure --http2
    ! has oha || once oha-h2 oha --no-tui --insecure --http2 -p 1 -z "${secs}s" -c 64 "$tls"
done
echo "closed loop, 64 connections, $rounds rounds of $secs s, medians"
python3 - "$folder/costs" <<'PY'
import statistics, sys
costs = {}
for line in open(sys.argv[1]):
    name, cpu, instructions = line.split()
    costs.setdefault(name, []).append((float(cpu), float(instructions)))
median = {n: [statistics.median(c) for c in zip(*rows)] for n, rows in costs.items()}
peers = {"": "orca", "-tls": "orca-tls", "-h2": "orca-h2"}
print(f"{'tool':10} {'rounds':>6} {'CPU us/request':>15} {'low..high':>15} {'instructions':>13} {'orca is':>9}")
for name, (cpu, instructions) in median.items():
    own = median.get(peers[name[name.index('-'):] if '-' in name else ""])
    if own is None:
        continue
    ratio = own[1] / instructions if instructions else own[0] / cpu
    lows = [c for c, _ in costs[name]]
    print(f"{name:10} {len(lows):6} {cpu:15.2f} {min(lows):7.2f}..{max(lows):.2f} {instructions or 0:13.0f} {ratio:8.2f}x")
PY

echo "5000/s for 10 s over 64 connections"
taskset -c 0 "$orca" load --rate 5000/s --connections 64 --duration 10s --target "$plain" --json >"$folder/out" 2>/dev/null || true
python3 - "$folder/out" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
l, s = r["latency_us"], r["service_time_us"]
print(f"  rate error {100 * (r['rate_milli_per_s'] / r['asked_milli_per_s'] - 1):+.3f} %, {r['dropped']} never sent, {r['late_starts']} late,",
      f"{r['cpu_us'] / r['requests']:.1f} CPU us/request, timer {r['timer']}")
print("  latency p50 {p50} p95 {p95} p99 {p99} p99.9 {p999} us;".format(**l), "service time p50 {p50} p99 {p99} us".format(**s))
PY

echo "resident memory at 5000/s, KiB"
"$orca" load --rate 5000/s --connections 64 --duration 62s --target "$plain" --json >/dev/null 2>&1 &
run=$!
for at in 2 10 30 58; do
    sleep $((at - ${before:-0})); before=$at
    awk -v at="$at" '/VmRSS/ {printf "  after %2d s: %d\n", at, $2}' "/proc/$run/status"
done
wait "$run" || true
