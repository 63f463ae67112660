#!/usr/bin/env python3
"""Gives the repository in FOLDER a ledger of COUNT entries, as a team's releases leave it behind.

    make-ledger.py FOLDER COUNT [--loose]

Written by `git fast-import`, so that 10,000 entries take a second and not a quarter of an hour.
Without --loose the objects stand in one pack, as in a clone or after `git gc`; with it each stands
in a file of its own, as orca writes them.
"""

import hashlib
import json
import subprocess
import sys

START_US = 1_767_603_600_000_000
COMMIT = "4" * 40


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def ruling(number):
    """A ruling and its exhibit. Twenty releases have two hundred commits between them."""
    exhibit = canonical({"check": "release.commits", "seen": {"commits": number}, "padding": "x" * 400})
    digest = sha256(exhibit)
    commit = hashlib.sha1(str(number // 50).encode()).hexdigest()
    judgement = {
        "verdict": "pass", "cause": None, "headline": f"{number} commits follow the convention",
        "measures": [], "findings": [], "decided_by": "every commit follows type(scope)!: description",
        "next": [],
    }
    check = {
        "check": "release.commits", "counted": "pass", "exhibit": digest, "judgement": judgement,
        "max_age_us": 86_400_000_000, "observed_at": START_US + number * 1_000_000,
        "policy": sha256(b"policy"), "required": True, "rule": "release.commits", "rule_version": 1,
        "waivers": [],
    }
    record = {
        "subject": {"commit": commit, "digest": None, "environment": "production"},
        "gate": f"gate-{number % 7}", "mode": "enforce", "verdict": "pass", "cause": None,
        "headline": judgement["headline"], "checks": [check],
    }
    says = {"phase": "preflight", "ruling": record}
    name = hashlib.sha256(exhibit).hexdigest() + ".json"
    reference = {"name": name, "sha256": digest, "size": len(exhibit), "stored": "blob"}
    return "ruled", says, [(reference, exhibit)]


def stage(number):
    says = {
        "rollout": "ro_bench", "stage": 1, "weight": 100, "verdict": "pass", "next": "raise",
        "headline": "p95 212 ms, errors 0.3 %: within the limits on both arms", "base_requests": 90_000,
        "base_errors": 4, "canary_requests": 10_000, "canary_errors": 1,
    }
    return "stage_decided", says, []


def step(number):
    says = {
        "step": f"st_{number}", "name": "push",
        "detail": {"release": f"v1.{number // 50}.0-rc.1", "what": "push main and the tag to origin"},
    }
    return "step_intended", says, []


def ended(number):
    return "step_ended", {"step": f"st_{number - 1}", "outcome": "done", "detail": "they are on origin"}, []


KINDS = [step, ended, ruling, stage, ruling]


def main():
    folder, count = sys.argv[1], int(sys.argv[2])
    limit = "1000000000" if "--loose" in sys.argv else "1"
    args = ["git", "-C", folder, "-c", f"fastimport.unpackLimit={limit}", "fast-import", "--quiet", "--force"]
    git = subprocess.Popen(args, stdin=subprocess.PIPE)
    out, before = git.stdin, None

    def data(content):
        out.write(b"data %d\n" % len(content) + content + b"\n")

    for number in range(1, count + 1):
        kind, says, exhibits = KINDS[number % len(KINDS)](number)
        entry = canonical({
            "schema": "orca.entry/v1", "id": f"en_{number:016}", "prev_sha256": before,
            "at": START_US + number * 1_000_000, "actor": {"name": "ci", "role": None}, "orca": "0.1.0",
            "environment": "production", "epoch": None, "body": {"kind": kind, "says": says},
            "exhibits": [reference for reference, _ in exhibits],
        })
        before = sha256(entry)
        out.write(b"commit refs/orca/ledger\n")
        out.write(b"committer orca <orca@localhost> %d +0000\n" % (START_US // 1_000_000 + number))
        data(f"orca: {kind} en_{number:016}\n".encode())
        out.write(b"deleteall\n" + b"M 100644 inline entry.json\n")
        data(entry)
        for reference, exhibit in exhibits:
            out.write(f"M 100644 inline {reference['name']}\n".encode())
            data(exhibit)
    out.close()
    return git.wait()


if __name__ == "__main__":
    sys.exit(main())
