#!/usr/bin/env python3
"""Compares orca's statistics with scipy on random cases, through the binary.

    pip install scipy && scripts/check_statistics.py target/debug/orca [CASES] [SEED]

Ratio intervals against binomtest(...).proportion_ci("exact"), percentile ranks against the binomial,
Mann-Whitney with ties against mannwhitneyu(method="asymptotic"), and the Hodges-Lehmann estimate
against the median of all differences. orca rounds outward to whole ppm: that much may differ.
"""

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
    median = statistics.median(c - b for c in canary for b in base)
    near("shift", (len(base), len(canary)), seen["shift_us"]["estimate"], math.floor(median))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary, cases = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    dice = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(cases):
            ratio(binary, dice)
            quantile(binary, dice)
            mann_whitney(binary, dice, pathlib.Path(folder))
    print(f"{cases} ratios, {cases} percentiles and {cases} comparisons agree with scipy")


if __name__ == "__main__":
    main()
