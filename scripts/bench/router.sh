#!/usr/bin/env bash
# orca router against nginx split_clients, interleaved in one run on this machine.
#
# Prints instructions per request where the machine has counters (perf stat) and CPU time per
# request beside; the target is at most 1.67 times nginx's instructions. Without counters valgrind
# counts the instructions outside the kernel, in runs of their own. Needs nginx, wrk and python3.
# What is shipped is `cargo build --profile dist`. Usage: scripts/bench/router.sh [ORCA] [ROUNDS] [SECONDS]
set -euo pipefail

orca=${1:-target/quick/orca}
rounds=${2:-3}
seconds=${3:-4}
folder=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap cleanup EXIT

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
app_port=$(free_port); nginx_port=$(free_port); router_port=$(free_port); admin_port=$(free_port)

under=()
start_nginx() { # name, http block
  mkdir -p "$folder/$1"
  cat > "$folder/$1.conf" <<CONF
daemon off; master_process off; worker_processes 1; pid $folder/$1/pid; error_log $folder/$1/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path $folder/$1/a;
  proxy_temp_path $folder/$1/b; fastcgi_temp_path $folder/$1/c; uwsgi_temp_path $folder/$1/d; scgi_temp_path $folder/$1/e;
  $2
}
CONF
  "${under[@]}" nginx -p "$folder/$1" -c "$folder/$1.conf" & pids+=($!); started=$!
}

body=$(printf 'x%.0s' $(seq 76))
start_nginx app "server { listen 127.0.0.1:$app_port; location / { default_type text/plain; return 200 '$body'; } }"
start_proxies() {
  start_nginx split "
    upstream one { server 127.0.0.1:$app_port; keepalive 256; keepalive_requests 1000000000; }
    upstream two { server 127.0.0.1:$app_port; keepalive 256; keepalive_requests 1000000000; }
    split_clients \"v1:\$http_x_user_id\" \$arm { 10% two; * one; }
    server { listen 127.0.0.1:$nginx_port; location / {
      proxy_pass http://\$arm; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host \$host;
      proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto \$scheme;
      proxy_set_header X-Forwarded-Host \$host; } }"
  nginx_pid=$started

  export ORCA_ROUTER_TOKEN=benchmark
  "${under[@]}" "$orca" router --listen "127.0.0.1:$router_port" --admin "127.0.0.1:$admin_port" --workers 1 \
    --base "http://127.0.0.1:$app_port" --state "$folder/state.json" --health-path / & orca_pid=$!
  pids+=("$orca_pid")
  for port in "$app_port" "$nginx_port" "$router_port" "$admin_port"; do
    for _ in $(seq 300); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
  done
  admin() { curl -sf -H "authorization: Bearer $ORCA_ROUTER_TOKEN" "http://127.0.0.1:$admin_port/$1" -d "$2" > /dev/null; }
  admin stage "{\"canary\":{\"deployment\":\"two\",\"url\":\"http://127.0.0.1:$app_port\"},\"release\":\"v1\",\"expect_generation\":1,\"epoch\":1}"
  admin raise "{\"weight\":1000,\"grant_us\":3600000000,\"expect_generation\":2,\"epoch\":1}"
}
start_proxies

cat > "$folder/users.lua" <<'LUA'
local user = 0
request = function()
  user = user + 1
  return wrk.format("GET", "/", { ["x-user-id"] = "user-" .. user })
end
LUA

counters=no
if perf stat -x, -e instructions:u true 2>&1 | grep -qE '^[1-9][0-9]*,'; then counters=yes; fi
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }

measure() { # name, pid, port, connections
  local before after requests cpu_us instructions=-
  before=$(ticks "$2")
  if [ "$counters" = yes ]; then
    perf stat -x, -e instructions:u,instructions:k -p "$2" -o "$folder/perf" -- sleep "$seconds" & local perf_pid=$!
  fi
  wrk -t1 -c"$4" -d"${seconds}s" -s "$folder/users.lua" "http://127.0.0.1:$3/" > "$folder/wrk"
  after=$(ticks "$2")
  requests=$(awk '/requests in/ {print $1}' "$folder/wrk")
  grep -E 'Non-2xx|Socket errors' "$folder/wrk" || true
  if [ "$counters" = yes ]; then
    wait "$perf_pid"
    instructions=$(awk -F, -v n="$requests" '/instructions/ {sum += $1} END {printf "%.0f", sum / n}' "$folder/perf")
  fi
  cpu_us=$(awk -v t=$((after - before)) -v n="$requests" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%.2f", t * 1000000 / hz / n}')
  echo "$1 $4 $requests $cpu_us $instructions" | tee -a "$folder/rows"
}

echo "proxy connections requests cpu_us_per_request instructions_per_request (counters: $counters)"
for _ in $(seq "$rounds"); do
  for connections in 32 128; do
    measure nginx "$nginx_pid" "$nginx_port" "$connections"
    measure orca "$orca_pid" "$router_port" "$connections"
  done
done
awk '{cpu[$1] += $3 * $4; n[$1] += $3; ins[$1] += $3 * $5}
  END {printf "CPU per request: orca %.2f us, nginx %.2f us, ratio %.2f\n",
         cpu["orca"]/n["orca"], cpu["nginx"]/n["nginx"], cpu["orca"]/n["orca"]/(cpu["nginx"]/n["nginx"]);
       if (ins["nginx"] > 0) printf "instructions per request: orca %.0f, nginx %.0f, ratio %.2f (target 1.67)\n",
         ins["orca"]/n["orca"], ins["nginx"]/n["nginx"], ins["orca"]/n["orca"]/(ins["nginx"]/n["nginx"]);
       else print "instructions: this machine has no counters"}' "$folder/rows"

if [ "$counters" = yes ] || ! command -v valgrind > /dev/null; then exit 0; fi
kill "$nginx_pid" "$orca_pid"; wait "$nginx_pid" "$orca_pid" 2>/dev/null || true
rm -f "$folder/state.json"
under=(valgrind --quiet --tool=callgrind "--callgrind-out-file=$folder/callgrind.%p")
nginx_port=$(free_port); router_port=$(free_port); admin_port=$(free_port)
start_proxies
for pair in "nginx $nginx_pid $nginx_port" "orca $orca_pid $router_port"; do
  read -r name pid port <<<"$pair"
  wrk -t1 -c32 -d2s -s "$folder/users.lua" "http://127.0.0.1:$port/" > /dev/null
  callgrind_control -z "$pid" > /dev/null 2>&1
  wrk -t1 -c32 -d"${seconds}s" -s "$folder/users.lua" "http://127.0.0.1:$port/" > "$folder/wrk"
  callgrind_control -d "$pid" > /dev/null 2>&1
  sleep 2
  newest=$(ls -t "$folder/callgrind.$pid".* | head -1)
  awk -v name="$name" -v n="$(awk '/requests in/ {print $1}' "$folder/wrk")" \
    '/^(summary|totals):/ {printf "%s %.0f\n", name, $2 / n; exit}' "$newest" | tee -a "$folder/user"
done
awk '{n[$1] = $2} END {printf "instructions per request outside the kernel: orca %d, nginx %d, ratio %.2f\n",
  n["orca"], n["nginx"], n["orca"] / n["nginx"]}' "$folder/user"
