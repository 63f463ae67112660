#!/usr/bin/env bash
# What load.sh measures, for machines whose perf has no counters and that never are quiet: orca, nginx and the
# peers that are on PATH in an emulated machine (qemu), which stands still when the host does.
# - Instructions a request, the kernel's included: three cores, nginx on two; a plugin counts those of the first.
#   With one core less nginx is what everybody waits for over TLS, and a tool is counted for its waiting: the
#   more, the cheaper it is. The cost of a request is what a longer run takes more, by what nginx answers more.
# - How well 5,000/s are kept: one core whose clock advances a nanosecond an instruction, so that nothing but the
#   programs themselves takes time. It is a slow core, and nginx shares it.
# Usage: scripts/bench/load-counted.sh [ORCA]          KERNEL=vmlinuz takes one that is there, ROUNDS=9 counts more
#   often than 3 times, ONLY=-tls counts that kind alone
#   apt-get install -y qemu-system-x86 busybox-static nginx wrk hey cpio; cargo install oha; cargo build --profile dist
set -euo pipefail

here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/emulated
orca=${1:-target/dist/orca}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for tool in qemu-system-x86_64 busybox nginx wrk openssl cc cpio python3; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install -y qemu-system-x86 busybox-static nginx wrk openssl gcc cpio" >&2; exit 2; }
done
[[ -x $orca ]] || { echo "$orca is missing: cargo build --profile dist" >&2; exit 2; }
if [[ -z ${KERNEL:-} ]]; then
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image\)/\1/p')
    (cd "$folder" && apt-get download -qq "$package" 2>/dev/null && dpkg -x ./*.deb kernel && rm ./*.deb)
    KERNEL=$(ls "$folder"/kernel/boot/vmlinuz-*)
fi
cc -O2 -shared -fPIC -o "$folder/count.so" "$here/count.c"

# The machine's files: the programs and the libraries they load.
root=$folder/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc,var/log/nginx,var/lib/nginx}
put() {
    local file; file=$(realpath "$(command -v "$1")")
    install -D "$file" "$root/bin/${2:-$1}"
    { ldd "$file" 2>/dev/null || true; } | sed -nE 's,^[^/]*(/[^ ]+) .*,\1,p' | while read -r library; do
        [[ -e $root$library ]] || install -D "$(realpath "$library")" "$root$library"
    done
}
put "$orca" orca
for tool in bash busybox nginx wrk hey oha vegeta k6 wrk2; do
    ! command -v "$tool" >/dev/null || put "$tool"
done
echo 'int main(void) { __asm__ volatile("nopl 0x6b72616d(%rax,%rax,1)"); return 0; }' |
    cc -O2 -static -o "$root/bin/mark" -x c -
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$root/etc/key.pem" -out "$root/etc/cert.pem" 2>/dev/null
printf 'root:x:0:0::/:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
printf 'http 80/tcp\nhttps 443/tcp\n' >"$root/etc/services"
cat >"$root/etc/nginx.conf" <<'CONF'
error_log /tmp/error.log; pid /tmp/nginx.pid; user root;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; ssl_certificate /etc/cert.pem; ssl_certificate_key /etc/key.pem;
  server { listen 127.0.0.1:80; listen 127.0.0.1:443 ssl http2; location / { return 200 "ok"; } }
  server { listen 127.0.0.1:81; location / { stub_status; } } }
CONF
cat >"$root/etc/k6.js" <<'JS'
import http from "k6/http";
export const options = { vus: 64, duration: `${__ENV.SECS}s`, discardResponseBodies: true, insecureSkipTLSVerify: true };
export default () => { http.get(__ENV.URL); };
JS
install -m 755 "$here/init" "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$folder/initrd"

# emulate OUTPUT WORD OPTION...: boots, runs and ends the machine.
emulate() {
    local output=$1 word=$2
    shift 2
    timeout 3000 qemu-system-x86_64 -M microvm,pit=on,pic=on,rtc=on -cpu max -m 3G -nographic -no-reboot -net none "$@" \
        -kernel "$KERNEL" -initrd "$folder/initrd" -append "console=ttyS0 mitigations=off quiet panic=-1 $word" \
        </dev/null >"$output" 2>"$output.marks" || { tail -5 "$output" "$output.marks" >&2; return 1; }
}

# A busy host interrupts what the kernel would learn the clock by.
khz=$(awk '/^cpu MHz/ {printf "%d", $4 * 1000; exit}' /proc/cpuinfo)
words="counted rounds=${ROUNDS:-3} only=${ONLY:-} tsc_early_khz=$khz no_timer_check"
emulate "$folder/counted" "$words" -smp 3 -accel tcg,thread=multi -plugin "$folder/count.so"
python3 - "$folder/counted" <<'PY'
import statistics, sys
marks = [tuple(map(int, line.split()[1:])) for line in open(sys.argv[1] + ".marks") if line.startswith("MARK")]
costs = {}
for line in open(sys.argv[1], errors="replace"):
    if not line.startswith("COST"):
        continue
    name, short, long = line.split()[1:]
    four, marks = marks[:4], marks[4:]
    more = int(long) - int(short)
    costs.setdefault(name, []).append([(four[3][i] - four[2][i] - four[1][i] + four[0][i]) / more for i in (0, 1)])
kind = lambda name: name[name.index("-"):] if "-" in name else ""
print("closed loop, 64 connections, instructions a request, medians of", min(map(len, costs.values())), "rounds")
print(f"{'tool':11} {'user':>8} {'kernel':>8} {'both':>8} {'low..high':>15} {'orca is':>8}")
both = {name: statistics.median(map(sum, runs)) for name, runs in costs.items()}
for name, runs in costs.items():
    user, kernel = (statistics.median(part) for part in zip(*runs))
    low, high = min(map(sum, runs)), max(map(sum, runs))
    print(f"{name:11} {user:8.0f} {kernel:8.0f} {both[name]:8.0f} {low:7.0f}..{high:.0f} {both['orca' + kind(name)] / both[name]:7.2f}x")
PY

[[ -z ${ONLY:-} ]] || exit 0
emulate "$folder/timed" timed -smp 1 -icount shift=0,sleep=off
python3 - "$folder/timed" <<'PY'
import json, re, sys
text = open(sys.argv[1], errors="replace").read().replace("\r", "")
print("5000/s for 12 s over 64 connections")
def show(name, *microseconds):
    print(f"  {name:23}", *(f"{p} {v:8.0f} us" for p, v in zip(("p50", "p99", "p99.9"), microseconds)))
for name, said in re.findall(r"BEGIN (\S+)\n(.*?)\nEND", text, re.S):
    if name == "orca":
        r = json.loads(said)
        for title, key in (("orca", "latency_us"), ("orca, sent to answered", "service_time_us")):
            show(title, *(r[key][p] for p in ("p50", "p99", "p999")))
        print(f"    rate error {100 * (r['rate_milli_per_s'] / r['asked_milli_per_s'] - 1):+.3f} %, {r['late_starts']} late,",
              f"{r['dropped']} never sent, timer {r['timer']}")
    elif name == "oha":
        show("oha, corrected", *(1e6 * json.loads(said)["latencyPercentiles"][p] for p in ("p50", "p99", "p99.9")))
    elif name == "vegeta":
        show(name, *(json.loads(said)["latencies"][p] / 1e3 for p in ("50th", "99th")))
    else:
        unit = {"us": 1, "ms": 1e3, "s": 1e6}
        at = {q: float(v) * unit[u] for q, v, u in re.findall(r"^ +(\d+\.\d+)% +([\d.]+)(us|ms|s)$", said, re.M)}
        show(name, at["50.000"], at["99.000"], at["99.900"])
PY
