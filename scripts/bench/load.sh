#!/usr/bin/env bash
# What a request costs the generator, and how truly it keeps time: orca beside wrk, oha, hey, vegeta, k6
# and wrk2 (each where it is on PATH), in turns, against the same nginx on this machine; tool and nginx on
# a core of their own. Counts instructions where perf has counters; where it has none, valgrind counts those
# of the programs themselves (load-counted.sh counts the kernel's as well). CPU time wavers by a factor of two
# on shared machines: only the ratio of medians over many rounds means something.
# Usage: scripts/bench/load.sh [ORCA] [SECONDS] [ROUNDS]
#   apt-get install -y nginx wrk hey valgrind; cargo install oha; cargo build --profile dist
set -euo pipefail

orca=${1:-target/dist/orca}
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
[[ -x $orca ]] || { echo "$orca is missing: cargo build --profile dist" >&2; exit 2; }
orca=$(realpath "$orca")

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
cat >"$folder/nginx.conf" <<CONF
daemon off; pid $folder/pid; error_log $folder/error.log; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; ssl_certificate $folder/cert.pem; ssl_certificate_key $folder/key.pem;
  client_body_temp_path $folder/b; proxy_temp_path $folder/p; fastcgi_temp_path $folder/f;
  uwsgi_temp_path $folder/u; scgi_temp_path $folder/s;
  server { listen 127.0.0.1:$port; listen 127.0.0.1:$((port + 1)) ssl http2; location / { return 200 "ok"; } } }
CONF
taskset -c 1 nginx -c "$folder/nginx.conf" 2>/dev/null &
nginx=$!
plain=http://127.0.0.1:$port/ tls=https://localhost:$((port + 1))/
for _ in $(seq 100); do curl -fs "$plain" >/dev/null && break; sleep 0.05; done
curl -fs "$plain" >/dev/null || { echo "nginx does not answer" >&2; exit 1; }

cat >"$folder/k6.js" <<'JS'
import http from "k6/http";
export const options = { vus: 64, duration: `${__ENV.SECS}s`, discardResponseBodies: true, insecureSkipTLSVerify: true };
export default () => { http.get(__ENV.URL); };
JS

counters=
[[ $(perf stat -x, -e instructions:u true 2>&1) =~ ^[0-9] ]] && counters=1
[[ -n $counters ]] || echo "perf has no counters on this machine: CPU time, and valgrind for the programs' own instructions"

# Where each tool says how many requests it made.
requests() {
    case $1 in
        orca*) python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["requests"])' "$folder/out" 2>/dev/null ;;
        wrk*) grep -oE '[0-9]+ requests in' "$folder/out" ;;
        oha*) grep -oE '\[200\] [0-9]+' "$folder/out" | sed 's/\[200\]//' ;;
        hey*) grep -oE '\[200\][^0-9]*[0-9]+' "$folder/out" | sed 's/\[200\]//' ;;
        vegeta*) grep -oE '200:[0-9]+' "$folder/out" | sed 's/200://' ;;
        k6*) grep -oE 'http_reqs[^0-9]*[0-9]+' "$folder/out" | sed 's/http_reqs//' ;;
    esac | grep -oE '[0-9]+' | head -1
}

# The command of a tool for a number of seconds, in `run`.
command_of() {
    local load=("$orca" load --json --closed --connections 64 --duration "$2s")
    local oha=(oha --no-tui --no-color --insecure -z "$2s" -c 64)
    local attack="vegeta attack -insecure -rate 0 -max-workers 64 -duration ${2}s"
    local k6=(env URL="$plain" SECS="$2" k6 run --quiet --no-usage-report "$folder/k6.js")
    case $1 in
        orca) run=("${load[@]}" --target "$plain") ;;
        orca-tls) run=("${load[@]}" --target "$tls" --insecure) ;;
        orca-h2) run=("${load[@]}" --target "$tls" --insecure --http2) ;;
        wrk) run=(wrk -t1 -c64 "-d${2}s" "$plain") ;;
        wrk-tls) run=(wrk -t1 -c64 "-d${2}s" "$tls") ;;
        oha) run=("${oha[@]}" "$plain") ;;
        oha-tls) run=("${oha[@]}" "$tls") ;;
        oha-h2) run=("${oha[@]}" --http2 -p 1 "$tls") ;;
        hey) run=(hey -z "${2}s" -c 64 "$plain") ;;
        vegeta) run=(sh -c "echo GET $plain | $attack | vegeta report") ;;
        vegeta-tls) run=(sh -c "echo GET $tls | $attack -http2=false | vegeta report") ;;
        vegeta-h2) run=(sh -c "echo GET $tls | $attack | vegeta report") ;;
        k6) run=("${k6[@]}") ;;
        k6-h2) run=("${k6[@]/"$plain"/$tls}") ;;
    esac
}

# One run of a tool: a line "name microseconds-of-CPU instructions" a request goes to the folder.
once() {
    local name=$1 run
    has "${name%%-*}" || [[ $name == orca* ]] || return 0
    command_of "$name" "$secs"
    run=(taskset -c 0 "${run[@]}")
    [[ -z $counters ]] || run=(perf stat -x, -e instructions:u,instructions:k -o "$folder/perf" "${run[@]}")
    TIMEFORMAT="%U %S"
    { time "${run[@]}" >"$folder/out" 2>/dev/null; } 2>"$folder/time" || true
    local count; count=$(requests "$name") || count=0
    local instructions=0
    [[ -z $counters ]] || instructions=$(awk -F, '/instructions/ {n += $1} END {print n}' "$folder/perf")
    awk -v name="$name" -v n="${count:-0}" -v i="$instructions" \
        'n {printf "%s %.3f %.0f\n", name, ($1 + $2) * 1e6 / n, i / n}' "$folder/time" >>"$folder/costs"
}

# The program's own instructions a request: what a longer run takes more, by the requests it makes more.
counted() {
    local name=$1 cores=${2:-0} run count before="0 0"
    has "${name%%-*}" || [[ $name == orca* ]] || return 0
    for s in 2 8; do
        command_of "$name" "$s"
        taskset -c "$cores" valgrind --tool=callgrind --callgrind-out-file=/dev/null "${run[@]}" \
            >"$folder/out" 2>"$folder/valgrind" || true
        count=$(requests "$name") || return 0
        before="$before $(sed -n 's/.*Collected : //p' "$folder/valgrind") $count"
    done
    echo "$before" | awk -v name="$name" -v cores="$cores" '$6 > $4 {printf "%s %s %.0f\n", name, cores, ($5 - $3) / ($6 - $4)}'
}

tools=(orca wrk oha hey vegeta k6 orca-tls wrk-tls oha-tls vegeta-tls orca-h2 oha-h2 vegeta-h2 k6-h2)
for _ in $(seq "$rounds"); do
    for tool in "${tools[@]}"; do once "$tool"; done
done
if [[ -z $counters ]] && has valgrind; then
    for tool in orca wrk oha orca-tls wrk-tls oha-tls orca-h2 oha-h2; do counted "$tool"; done >"$folder/counted"
    counted orca 0,1 >>"$folder/counted"
fi
touch "$folder/counted"
echo "closed loop, 64 connections, $rounds rounds of $secs s, medians"
python3 - "$folder/costs" "$folder/counted" <<'PY'
import statistics, sys
costs, own = {}, {}
for line in open(sys.argv[1]):
    name, cpu, instructions = line.split()
    costs.setdefault(name, []).append((float(cpu), float(instructions)))
for line in open(sys.argv[2]):
    name, cores, instructions = line.split()
    own[name, cores] = float(instructions)
print(f"{'tool':11} {'rounds':>6} {'CPU us/request':>15} {'low..high':>15} {'orca is':>9} {'instructions':>13} {'orca is':>9}")
kind = lambda name: name[name.index("-"):] if "-" in name else ""
for name in sorted(costs, key=lambda name: ["", "-tls", "-h2"].index(kind(name))):
    ours = "orca" + kind(name)
    if ours not in costs:
        continue
    (cpu, counted), (our_cpu, our_counted) = ([statistics.median(c) for c in zip(*costs[n])] for n in (name, ours))
    counted, our_counted = counted or own.get((name, "0"), 0), our_counted or own.get((ours, "0"), 0)
    lows = [c for c, _ in costs[name]]
    told = f"{counted:13.0f} {our_counted / counted:8.2f}x" if counted else ""
    print(f"{name:11} {len(lows):6} {cpu:15.2f} {min(lows):7.2f}..{max(lows):.2f} {our_cpu / cpu:8.2f}x {told}")
one, two = own.get(("orca", "0")), own.get(("orca", "0,1"))
if one and two:
    print(f"orca with two workers: {two:.0f} instructions a request, {two / one:.2f}x one worker")
PY

# wrk2 shows nothing of its first ten seconds.
echo "5000/s for 12 s over 64 connections, medians of 5 rounds in turns"
rate=("$orca" load --rate 5000/s --connections 64 --target "$plain" --json)
for round in $(seq 5); do
    taskset -c 0 "${rate[@]}" --duration 12s >"$folder/orca.$round" 2>/dev/null || true
    ! has oha || taskset -c 0 oha --no-tui -z 12s -c 64 -q 5000 --latency-correction --output-format json "$plain" \
        >"$folder/oha.$round" 2>/dev/null
    ! has vegeta || echo "GET $plain" | taskset -c 0 vegeta attack -rate 5000 -max-workers 64 -duration 12s |
        vegeta report -type json >"$folder/vegeta.$round"
    ! has wrk2 || taskset -c 0 wrk2 -t1 -c64 -d12s -R5000 -L "$plain" >"$folder/wrk2.$round"
done
python3 - "$folder" <<'PY'
import glob, json, re, statistics, sys
rows = {}
def add(name, *values):
    rows.setdefault(name, []).append(values)
texts = lambda name: [open(path).read() for path in glob.glob(f"{sys.argv[1]}/{name}.*")]
for text in texts("orca"):
    r = json.loads(text)
    l, s = r["latency_us"], r["service_time_us"]
    add("orca", l["p50"], l["p99"], l["p999"])
    add("orca, sent to answered", s["p50"], s["p99"], s["p999"])
    print(f"  orca: rate error {100 * (r['rate_milli_per_s'] / r['asked_milli_per_s'] - 1):+.3f} %, {r['dropped']} never sent,",
          f"{r['late_starts']} late, {r['cpu_us'] / r['requests']:.1f} CPU us/request, timer {r['timer']}")
for text in texts("oha"):
    p = json.loads(text)["latencyPercentiles"]
    add("oha, corrected", *(p[q] * 1e6 for q in ("p50", "p99", "p99.9")))
for text in texts("vegeta"):
    p = json.loads(text)["latencies"]
    add("vegeta", p["50th"] / 1e3, p["99th"] / 1e3)
for text in texts("wrk2"):
    unit = {"us": 1, "ms": 1e3, "s": 1e6}
    at = {q: float(v) * unit[u] for q, v, u in re.findall(r"^ +(\d+\.\d+)% +([\d.]+)(us|ms|s)$", text, re.M)}
    add("wrk2", at["50.000"], at["99.000"], at["99.900"])
for name, seen in rows.items():
    medians = [statistics.median(column) for column in zip(*seen)]
    print(f"  {name:23}", *(f"{p} {v:8.0f} us" for p, v in zip(("p50", "p99", "p99.9"), medians)))
PY

echo "1000/s for 20 s, nginx stopped for two seconds: what users wait is 2 s - (1 - q) * 20 s"
"$orca" load --rate 1000/s --connections 64 --duration 20s --target "$plain" --json >"$folder/out" 2>/dev/null &
run=$!
sleep 12; worker=$(pgrep -P "$nginx"); kill -STOP "$worker"; sleep 2; kill -CONT "$worker"
wait "$run" || true
python3 - "$folder/out" <<'PY'
import json, sys
l = json.load(open(sys.argv[1]))["latency_us"]
print(f"  p50 {l['p50'] / 1e3:.2f} ms", *(f"{p} {l[p] / 1e3:.0f} ms ({(l[p] / 1e3 / truth - 1) * 100:+.1f} %)"
      for p, truth in (("p95", 1000), ("p99", 1800), ("p999", 1980))))
PY

echo "resident memory at 5000/s, KiB"
"${rate[@]}" --duration 62s >/dev/null 2>&1 &
run=$!
for at in 2 10 30 58; do
    sleep $((at - ${before:-0})); before=$at
    awk -v at="$at" '/VmRSS/ {printf "  after %2d s: %d\n", at, $2}' "/proc/$run/status"
done
wait "$run" || true

echo "merging 100 shards"
at=$(date -u -d '+15 seconds' +%Y-%m-%dT%H:%M:%SZ)
for i in $(seq 100); do
    "$orca" load --rate 5000/s --connections 1 --duration 3s --target "$plain" --shard "$i/100" --start-at "$at" \
        --out "$folder/s$i.json" >/dev/null 2>&1 &
    shards[i]=$!
done
for pid in "${shards[@]}"; do wait "$pid" || true; done
TIMEFORMAT="  %R s"
{ time "$orca" load merge "$folder"/s*.json --json >"$folder/out" 2>/dev/null || true; } 2>&1
python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print(" ", r["requests"], "requests")' "$folder/out"
