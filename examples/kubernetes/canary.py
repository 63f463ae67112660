#!/usr/bin/env python3
"""A Gateway API HTTPRoute as a platform of orca, by orca's exec contract.

    canary.py NAMESPACE/ROUTE OPERATION < request > answer

A deployment is the URL of a Service, such as http://shop-v2.shop.svc:8080. The first rule of the
route splits between base and canary by weight, in steps of 0.01 %. What the route itself cannot say
stands in its annotations. Every change is one patch that holds only for the version of the route
that was read, so two writers never mix; a rollback that meets one reads again and goes on.
"""

import json
import subprocess
import sys
import time
import urllib.parse

DONE, REFUSED, UNAVAILABLE, UNSUPPORTED = 0, 3, 4, 5
PREFIX = "orca.dev/"
CONFLICTS_MAX = 5
IN_FORCE_SECS = 20


class Conflict(Exception):
    """Somebody changed the route since it was read."""


def stop(code, text):
    print(text, file=sys.stderr)
    sys.exit(code)


def kubectl(*args):
    return subprocess.run(["kubectl", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def read(namespace, name):
    got = kubectl("get", "httproute", name, "-n", namespace, "-o", "json")
    if got.returncode != 0:
        stop(UNAVAILABLE, got.stderr.strip())
    return json.loads(got.stdout)


def backend(deployment, weight):
    url = urllib.parse.urlsplit(deployment)
    if not url.hostname:
        stop(UNSUPPORTED, f"{deployment} is not the URL of a Service")
    return {"name": url.hostname.split(".")[0], "port": url.port or 80, "weight": weight}


def state_of(route, going_back=False):
    """What serves, as far as orca's annotations agree with what the route really says. On the way
    back it does not matter what it says."""
    notes = route["metadata"].get("annotations", {})
    note = lambda key: json.loads(notes.get(PREFIX + key, "null"))
    base, canary = note("base"), note("canary")
    if base is None:
        stop(UNSUPPORTED, f"the route has no annotation {PREFIX}base: see docs/guides/platforms.md")
    refs = route["spec"]["rules"][0]["backendRefs"]
    found = {(ref["name"], ref.get("port", 80)): ref.get("weight", 1) for ref in refs}
    total = sum(found.values())
    known = lambda version: tuple(list(backend(version["deployment"], 0).values())[:2])
    share = found.get(known(canary), 0) * 10000 // total if canary and total else 0
    if not going_back and found.get(known(base), 0) != total - (found.get(known(canary), 0) if canary else 0):
        stop(1, f"the route sends users elsewhere: {json.dumps(refs)}")
    return {
        "base": base,
        "canary": canary,
        "previous": note("previous"),
        "weight_bp": share,
        "generation": route["metadata"]["generation"],
        "epoch": note("epoch") or 0,
        "went_back": bool(note("went_back")),
        "lowered_by": None,
    }


def write(namespace, name, route, state):
    refs = [backend(state["base"]["deployment"], 10000 - state["weight_bp"])]
    if state["canary"]:
        refs.append(backend(state["canary"]["deployment"], state["weight_bp"]))
    kept = ("base", "canary", "previous", "epoch", "went_back")
    notes = dict(route["metadata"].get("annotations", {}))
    notes.update({PREFIX + key: json.dumps(state[key]) for key in kept})
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": route["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/spec/rules/0/backendRefs", "value": refs},
        {"op": "add", "path": "/metadata/annotations", "value": notes},
    ]
    args = ("patch", "httproute", name, "-n", namespace, "--type=json", "-p", json.dumps(patch), "-o", "json")
    done = kubectl(*args)
    if done.returncode == 0:
        return json.loads(done.stdout)
    if "test" in done.stderr or "conflict" in done.stderr.lower():
        raise Conflict(done.stderr.strip())
    # It may have arrived: nobody knows.
    stop(1, done.stderr.strip())


def wait_until_in_force(namespace, name, generation):
    """Until the gateway has taken the route. That its proxies have it, orca reads from traffic."""
    deadline = time.monotonic() + IN_FORCE_SECS
    while time.monotonic() < deadline:
        parents = read(namespace, name).get("status", {}).get("parents", [])
        accepted = [c for p in parents for c in p.get("conditions", []) if c["type"] == "Accepted"]
        if accepted and all(c.get("observedGeneration", 0) >= generation for c in accepted):
            refused = [c for c in accepted if c["status"] != "True"]
            if refused:
                stop(1, f"the gateway refuses the route: {refused[0].get('message', '')}")
            return
        time.sleep(0.2)
    stop(1, f"no gateway took the route within {IN_FORCE_SECS} s")


def agree(state, expect):
    """A raise by somebody who saw another state, or whose time is over, changes nothing."""
    if expect["epoch"] < state["epoch"]:
        stop(REFUSED, f"epoch {state['epoch']} is in force, not {expect['epoch']}")
    for key in ("generation", "weight_bp"):
        if expect[key] != state[key]:
            stop(REFUSED, f"{key} is {state[key]}, not {expect[key]}")
    state["epoch"] = expect["epoch"]


def deploy(state, request):
    agree(state, request["expect"])
    state["canary"] = {"deployment": request["deployment"], "commit": request.get("commit")}
    state["weight_bp"], state["went_back"] = 0, False


def weight(state, request):
    agree(state, request["expect"])
    state["weight_bp"] = request["weight_bp"]


def promote(state, request):
    agree(state, request["expect"])
    state["previous"], state["base"], state["canary"] = state["base"], state["canary"], None
    state["weight_bp"] = 0


def rollback(state, request):
    state["weight_bp"], state["went_back"] = 0, True
    state["epoch"] += 1
    if request.get("deployment") and request["deployment"] != state["base"]["deployment"]:
        state["base"] = {"deployment": request["deployment"], "commit": request.get("commit")}
        state["canary"] = state["previous"] = None


CHANGES = {"deploy": deploy, "weight": weight, "promote": promote, "rollback": rollback}


def change(namespace, name, operation, request):
    for _ in range(CONFLICTS_MAX):
        route = read(namespace, name)
        state = state_of(route, going_back=operation == "rollback")
        CHANGES[operation](state, request)
        try:
            return write(namespace, name, route, state)
        except Conflict as conflict:
            if operation != "rollback":
                stop(REFUSED, f"somebody changed the route: {conflict}")
    stop(1, f"the route changed {CONFLICTS_MAX} times meanwhile")


def main():
    namespace, name = sys.argv[1].split("/", 1)
    operation = sys.argv[2]
    request = json.load(sys.stdin)
    if operation in CHANGES:
        route = change(namespace, name, operation, request)
        wait_until_in_force(namespace, name, route["metadata"]["generation"])
    elif operation == "current":
        route = read(namespace, name)
    else:
        stop(UNSUPPORTED, f"no operation {operation}")
    json.dump({"state": state_of(route)}, sys.stdout)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
