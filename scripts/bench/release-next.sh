#!/usr/bin/env bash
# orca release next on 50,000 commits and 200 tags, beside the git commands that read the same.
#
# The last stable tag lies 250 commits back. Prints the median of ROUNDS runs in milliseconds; the
# target is below 100. Usage: scripts/bench/release-next.sh [ORCA] [ROUNDS] [COMMITS]
set -euo pipefail

orca=$(realpath "${1:-target/quick/orca}")
rounds=${2:-11}
commits=${3:-50000}
tags=200
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

git init --quiet --bare "$folder/repository"
cd "$folder/repository"
git symbolic-ref HEAD refs/heads/main
awk -v commits="$commits" -v tags="$tags" 'BEGIN {
  split("feat fix docs chore perf refactor", kinds, " ")
  every = int(commits / tags)
  for (i = 1; i <= commits; i++) {
    message = kinds[i % 6 + 1] "(part" i % 17 "): change number " i "\n\nWhy it was made, in a line of ordinary length.\n"
    at = 1600000000 + i * 600
    print "commit refs/heads/main"
    print "mark :" i
    print "author Ada <ada@example.com> " at " +0000"
    print "committer Ada <ada@example.com> " at " +0000"
    print "data " length(message); printf "%s\n", message
    printf "M 100644 inline src/file%d.txt\ndata %d\n%d\n", i % 100, length(i) + 1, i
    if (i % every == 0 && i < commits) {
      print "tag v1." i / every ".0"
      print "from :" i
      print "tagger Ada <ada@example.com> " at " +0000"
      print "data 8\nrelease\n"
    }
  }
}' | git fast-import --quiet
last=$(git describe --tags --abbrev=0)

median() { # command ...
  for _ in $(seq "$rounds"); do
    local start end
    start=$(date +%s%N); "$@" > /dev/null; end=$(date +%s%N)
    echo $(((end - start) / 1000))
  done | sort -n | awk '{row[NR] = $1} END {printf "%.1f", row[int((NR + 1) / 2)] / 1000}'
}

echo "$commits commits, $(git tag | wc -l) tags, last $last, $(git rev-list --count "$last..HEAD") commits since"
echo "orca release next: $(median "$orca" release next --json --offline) ms (target 100)"
echo "git describe --tags: $(median git describe --tags) ms"
echo "git log $last..HEAD: $(median git log --format='%H %an %ae %at %B' "$last..HEAD") ms"
