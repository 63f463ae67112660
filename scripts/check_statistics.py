#!/usr/bin/env python3
"""Compares orca's statistics with scipy on random cases, through the binary.

    pip install scipy && scripts/check_statistics.py target/debug/orca [CASES] [SEED]

Ratio intervals against binomtest(...).proportion_ci("exact"), percentile ranks against the binomial,
Mann-Whitney with ties against mannwhitneyu(method="asymptotic"), the Hodges-Lehmann estimate and its
interval against the sorted list of all differences, Fisher against fisher_exact, and the increase of
errors against the interval made of both exact intervals (Zou and Donner). orca rounds outward to
whole ppm: that much may differ.
"""

import collections
import copy
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

from scipy import stats

PPM = 1_000_000


def orca(binary, arguments, text=None):
    run = subprocess.run([binary, *arguments, "--json"], input=text, capture_output=True, text=True)
    if run.returncode not in (0, 1, 3):
        sys.exit(f"orca {arguments}: exit {run.returncode}: {run.stderr}")
    return json.loads(run.stdout)


def judge(binary, question):
    return orca(binary, ["slo", "judge", "--stdin"], json.dumps(question))


def near(name, case, seen, wanted):
    if abs(seen - wanted) > 1:
        sys.exit(f"{name} {case}: orca {seen}, scipy {wanted}")


def ratio(binary, dice):
    n = int(10 ** dice.uniform(0, 6))
    errors = min(n, int(n * dice.random() ** 4))
    confidence = dice.choice([9_000, 9_500, 9_900])
    seen = judge(binary, {"kind": "ratio", "n": n, "errors": errors, "limit_bp": 100,
                          "confidence_bp": confidence})
    exact = stats.binomtest(errors, n).proportion_ci(confidence / 10_000, "exact")
    near("ratio lower", (n, errors), seen["lower_ppm"], exact.low * PPM)
    near("ratio upper", (n, errors), seen["upper_ppm"], exact.high * PPM)


def quantile(binary, dice):
    n, q_bp = dice.randint(1, 5_000), dice.choice([5_000, 9_000, 9_500, 9_900])
    samples = [dice.randint(1, 1_000) for _ in range(n)]
    seen = judge(binary, {"kind": "quantile", "q_bp": q_bp, "samples_us": samples,
                          "limit_us": 500, "confidence_bp": 9_500})
    # The smallest u with P(X >= u) <= alpha; the largest l with P(X <= l-1) <= alpha.
    binomial = stats.binom(n, q_bp / 10_000)
    upper = next((u for u in range(1, n + 1) if binomial.sf(u - 1) <= 0.025), None)
    lower = next((r for r in range(n, 0, -1) if binomial.cdf(r - 1) <= 0.025), None)
    if (seen["rank_lower"], seen["rank_upper"]) != (lower, upper):
        sys.exit(f"quantile {n} {q_bp}: orca {seen}, scipy {lower} {upper}")


def mann_whitney(binary, dice, folder):
    spread = dice.choice([5, 50, 100_000])
    arms = [[dice.randint(1, spread) for _ in range(dice.randint(8, 200))] for _ in range(2)]
    shift = dice.choice([0, spread // 10])
    base, canary = arms[0], [value + shift for value in arms[1]]
    files = []
    for name, arm in (("base", base), ("canary", canary)):
        files.append(str(folder / name))
        pathlib.Path(files[-1]).write_text(json.dumps(arm))
    seen = orca(binary, ["canary", "judge", *files])
    for side, key in (("greater", "p_greater_ppm"), ("two-sided", "p_two_sided_ppm")):
        wanted = stats.mannwhitneyu(canary, base, alternative=side, method="asymptotic")
        near(f"mann-whitney {side}", (len(base), len(canary), spread),
             seen["mann_whitney"][key], wanted.pvalue * PPM)
    effect = wanted.statistic / (len(base) * len(canary))
    near("effect", (len(base), len(canary)), seen["mann_whitney"]["effect_ppm"], effect * PPM)
    differences = sorted(c - b for c in canary for b in base)
    median = statistics.median(differences)
    near("shift", (len(base), len(canary)), seen["shift_us"]["estimate"], math.floor(median))
    rank = max(1, math.ceil(len(differences) / 2 - reach(base, canary)))
    rank = min(rank, (len(differences) + 1) // 2)
    ends = (differences[rank - 1], differences[-rank])
    if (seen["shift_us"]["lower"], seen["shift_us"]["upper"]) != ends:
        sys.exit(f"interval of the shift {base} {canary}: orca {seen['shift_us']}, sorted {ends}")


def reach(base, canary):
    """Half the width of the interval in ranks, at 95 %: ties inside an arm narrow it."""
    m, n = len(canary), len(base)
    total = m + n
    ties = sum(t ** 3 - t for arm in (base, canary) for t in collections.Counter(arm).values())
    sigma = math.sqrt(m * n / 12 * (total + 1 - ties / (total * (total - 1))))
    return stats.norm.isf(0.025) * sigma + 0.5


def template(binary, folder):
    """A result of orca's own, whose counts the cases then replace."""
    service = subprocess.Popen([binary, "sample-service", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(service.stdout.readline())["url"]
        file = folder / "template.json"
        orca(binary, ["load", "--target", url, "--closed", "--connections", "1", "--duration", "200ms",
                      "--out", str(file)])
        return json.loads(file.read_text())
    finally:
        service.terminate()


def errors(binary, dice, folder, result):
    arms = []
    for _ in range(2):
        n = int(10 ** dice.uniform(1, 5))
        arms.append((min(n, int(n * dice.random() ** 3)), n))
    files = []
    for name, (failed, n) in zip(("base", "canary"), arms):
        arm = copy.deepcopy(result)
        arm["requests"], arm["errors"], arm["dropped"] = n, failed, 0
        files.append(str(folder / name))
        pathlib.Path(files[-1]).write_text(json.dumps(arm))
    seen = orca(binary, ["canary", "judge", *files, "--min-samples", "1"])
    (k, n), (j, m) = arms[1], arms[0]
    exact = stats.fisher_exact([[k, n - k], [j, m - j]], alternative="greater").pvalue
    near("fisher", arms, seen["fisher_ppm"], exact * PPM)
    canary, base = (stats.binomtest(*arm).proportion_ci(0.95, "exact") for arm in ((k, n), (j, m)))
    increase = k / n - j / m
    low = increase - math.hypot(k / n - canary.low, base.high - j / m)
    high = increase + math.hypot(canary.high - k / n, j / m - base.low)
    measure = next(x for x in seen["judgement"]["measures"] if x["asked"] == "increase of errors")
    # Both exact intervals are rounded outward before they are joined.
    for name, wanted, limit in (("seen", increase, 1), ("lower", low, 3), ("upper", high, 3)):
        if abs(measure[name] - wanted * PPM) > limit:
            sys.exit(f"increase of errors, {name} {arms}: orca {measure[name]}, scipy {wanted * PPM}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary, cases = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    dice = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        result = template(binary, folder)
        for _ in range(cases):
            ratio(binary, dice)
            quantile(binary, dice)
            mann_whitney(binary, dice, folder)
            errors(binary, dice, folder, result)
    print(f"{cases} ratios, percentiles, comparisons of latencies and of errors each agree with scipy")


if __name__ == "__main__":
    main()
