"""The statistics of the merge gate: pure functions that judge simulation and reality alike.

The unit of evidence is a pair of processes, base and head back to back. A series is what is
compared: a case, or a variant of a case; of each pair it has r = ln(median_head / median_base).

Why a sign test. Exchanging base and head turns r into -r, so where head truly is `margin` slower,
r lies above and below ln(1 + margin) equally often, whatever the shape of the noise. Drift and
ramps move pairs of either order (ABBA) in opposite directions, which makes the count vary less
than a binomial: the test errs on the safe side. A tie counts for neither side.

Error budget. There are L planned looks and m series. FAIL at alpha / (L m): the sum over looks
and series, alpha, bounds the chance that a merge in which no series is slower than the margin
fails (Bonferroni; no independence of looks or series is assumed). PASS at alpha / L: a merge
passes only where all series pass at one look, so one series that is slower than the margin must
pass as well, and its own chance over L looks is at most alpha; nothing is owed for the others.
At each look all pairs so far are judged anew. A series can neither pass nor fail at looks too short
for its level: 2^-n > alpha / (L m).
"""

import functools
import math
from dataclasses import dataclass

from octet_scripts.gate_verdict import FAIL, INCONCLUSIVE, PASS

OPEN = "OPEN"  # neither passed nor failed at this look


@functools.cache
def sign_tail(successes, pairs):
    """P(X >= successes) of X ~ Binomial(pairs, 1/2), exact but for the last rounding."""
    count = sum(math.comb(pairs, k) for k in range(max(successes, 0), pairs + 1))
    return count / 2**pairs


@functools.cache
def least_successes(pairs, level):
    """The smallest count whose tail is at most `level`; None where no count is."""
    tail, needed = 0, None
    for k in range(pairs, -1, -1):
        tail += math.comb(pairs, k)
        if tail / 2**pairs > level:
            break
        needed = k
    return needed


@dataclass(frozen=True)
class Plan:
    """What was decided before the first pair."""

    series: int  # m
    margin: float = 0.02
    alpha: float = 0.01
    looks: tuple = (18, 36, 54)  # pairs

    @property
    def log_margin(self):
        return math.log1p(self.margin)

    def pairs_to_fail(self, pairs):
        """How many of so many pairs must lie above the margin; None where none suffice."""
        return least_successes(pairs, self.alpha / (len(self.looks) * self.series))

    def pairs_to_pass(self, pairs):
        """How many must lie below it."""
        return least_successes(pairs, self.alpha / len(self.looks))


def judge_series(values, plan):
    """FAIL, PASS or OPEN of one series after len(values) pairs."""
    log_margin = plan.log_margin
    to_fail, to_pass = plan.pairs_to_fail(len(values)), plan.pairs_to_pass(len(values))
    if to_fail is not None and sum(1 for r in values if r > log_margin) >= to_fail:
        return FAIL
    if to_pass is not None and sum(1 for r in values if r < log_margin) >= to_pass:
        return PASS
    return OPEN


@dataclass
class Outcome:
    """Where the gate stands after a look."""

    verdict: str  # PASS, FAIL, or INCONCLUSIVE while a look is left as well as after the last
    pairs: int
    series: dict  # name -> FAIL, PASS or OPEN

    def named(self, verdict):
        return [name for name, found in self.series.items() if found == verdict]


def judge_look(values_by_series, pairs, plan):
    """Judges the first `pairs` pairs of every series."""
    series = {name: judge_series(values[:pairs], plan) for name, values in values_by_series.items()}
    found = set(series.values())
    verdict = FAIL if FAIL in found else PASS if found <= {PASS} else INCONCLUSIVE
    return Outcome(verdict, pairs, series)


def conduct(plan, measure, on_look=None):
    """Goes from look to look until one decides. `measure(n)` returns {series: values} of at least
    n pairs; returns the last look's Outcome."""
    outcome = None
    for pairs in plan.looks:
        outcome = judge_look(measure(pairs), pairs, plan)
        if on_look:
            on_look(outcome)
        if outcome.verdict != INCONCLUSIVE:
            break
    return outcome


def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def median_interval(values, confidence):
    """Two order statistics that cover the median with at least `confidence`; None where the values
    are too few. Free of distribution: the counts on either side are binomial."""
    above = least_successes(len(values), (1 - confidence) / 2)
    if above is None:
        return None
    ordered = sorted(values)
    return ordered[len(ordered) - above], ordered[above - 1]


def smallest_visible(values, plan):
    """The smallest regression that would have failed this series with the scatter that it had: so
    much that as many pairs as FAIL takes come to lie above the margin. None where none would."""
    to_fail = plan.pairs_to_fail(len(values))
    if to_fail is None:
        return None
    scatter = sorted((r - median(values) for r in values), reverse=True)
    return math.expm1(plan.log_margin - scatter[to_fail - 1])
