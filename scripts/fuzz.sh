#!/bin/sh
# Runs each parser's fuzz target in turn: scripts/fuzz.sh [SECONDS [TARGET ...]]; 60 s each by default.
# Needs cargo-fuzz (cargo install cargo-fuzz) and a nightly compiler (rustup toolchain install nightly).
# The committed seeds stay as they are: what is found goes to fuzz/corpus, what fails to fuzz/artifacts.
# To see a failure again: cargo +nightly fuzz run TARGET fuzz/artifacts/TARGET/FILE
# SANITIZER=none is faster and enough for code without unsafe; address is the default.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz" >&2; exit 2; }
sanitizer=${SANITIZER:-address}
[ $# -gt 0 ] || set -- $(cargo +nightly fuzz list)
cargo +nightly fuzz build --sanitizer "$sanitizer" >&2
for target in "$@"; do
    mkdir -p "fuzz/corpus/$target"
    echo "== $target, $seconds s"
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 2>&1 |
        grep -E 'ERROR|panicked|stat::number_of_executed|stat::peak_rss|DONE|SUMMARY|Test unit|artifact' || true
    if [ -n "$(ls -A "fuzz/artifacts/$target" 2>/dev/null)" ]; then
        echo "$target: see fuzz/artifacts/$target" >&2
        exit 1
    fi
done
