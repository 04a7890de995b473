"""Simulated merge gates: noise by model, judged by the functions that judge reality.

  python3 -m octet_scripts.gate_simulation [GATES]     prints rates for each model

A process's medians, in logarithms: launches within a process are skewed (gamma, sd 0.6 %), a
process has an offset, and what drifts is the same for all cases of a process.
  mild    offset sd 0.3 %; drift: a random walk of 0.1 % a process
  harsh   offset sd 0.4 %; in 6 % of processes a slow mode of +2.5 %; a thermal ramp of 3 % that
          settles over 12 processes
Offsets and slow modes are each case's own (most chances for one case to fail) or, `shared`, one
for all cases of a process (most cases fail together).

What it shows, with margin 2 %, alpha 1 % and looks at 18, 36 and 54 pairs:
  - 18 cases, 2,000 gates: no A/A fails and all pass (mild after 18 pairs, harsh after 29 on
    average); a 3 % loss of one case is found in 100 % (mild) and 99.9 % (harsh).
  - 300 cases: every A/A passes; a 3 % loss is found in 100 % and 98.9 %.
  - At the margin itself, where errors are likeliest: with all 18 cases there 0.6 % fail at most,
    with one there 0.45 % pass at most; alpha allows 1 %.
  - Between: 2.5 % is found in 97 % and 55 %, else INCONCLUSIVE; 1.5 % passes in 99.8 % and 85 %,
    else INCONCLUSIVE, and never fails. What is slower by less than the margin is no finding.
"""

import math
import random
import sys
from dataclasses import dataclass

from octet_scripts.gate_statistics import Plan, conduct, median
from octet_scripts.gate_verdict import FAIL, PASS

TABLE = 1 << 14  # process medians drawn once and then resampled
GAMMA_SHAPE = 2.0


@dataclass(frozen=True)
class Noise:
    name: str
    offset: float
    launch: float = 0.006
    launches: int = 20
    walk: float = 0.0
    slow_share: float = 0.0
    slow: float = 0.0
    ramp: float = 0.0
    ramp_processes: float = 12.0
    shared: bool = False


MILD = Noise("mild", offset=0.003, walk=0.001)
HARSH = Noise("harsh", offset=0.004, slow_share=0.06, slow=0.025, ramp=0.03)


class Machine:
    """Draws pairs of one noise model."""

    def __init__(self, noise, seed):
        self.noise, self.random = noise, random.Random(f"{seed} {noise}")
        self.launch_medians = [self._launch_median() for _ in range(TABLE)]
        self.own = self.launch_medians
        if not noise.shared:
            self.own = [value + self._offset() for value in self.launch_medians]

    def _launch_median(self):
        scale = self.noise.launch / math.sqrt(GAMMA_SHAPE)
        return median(
            [self.random.gammavariate(GAMMA_SHAPE, scale) for _ in range(self.noise.launches)]
        )

    def _offset(self):
        slow = self.noise.slow if self.random.random() < self.noise.slow_share else 0.0
        return self.random.gauss(0, self.noise.offset) + slow

    def gate(self, plan, effects):
        """One gate; effects[i] is the true ln(head / base) of case i. Returns its Outcome."""
        noise, chance = self.noise, self.random
        cases = len(effects)
        values = {i: [] for i in range(cases)}
        level, process = 0.0, 0

        def common():
            nonlocal level, process
            level += chance.gauss(0, noise.walk) if noise.walk else 0.0
            ramp = noise.ramp * (1 - math.exp(-process / noise.ramp_processes))
            process += 1
            return level + ramp + (self._offset() if noise.shared else 0.0)

        def measure(pairs):
            while len(values[0]) < pairs:
                first, second = common(), common()
                # ABBA: base goes first in even pairs.
                shift = second - first if len(values[0]) % 2 == 0 else first - second
                head = chance.choices(self.own, k=cases)
                base = chance.choices(self.own, k=cases)
                for series, h, b, effect in zip(values.values(), head, base, effects):
                    series.append(h - b + shift + effect)
            return values

        return conduct(plan, measure)


def run(noise, gates, cases, effects=(), seed=1, **plan):
    """Simulates gates whose first cases have the given true slowdowns (0.03: 3 %), and counts."""
    plan = Plan(series=cases, **plan)
    machine = Machine(noise, seed)
    true = [math.log1p(e) for e in effects] + [0.0] * (cases - len(effects))
    counts = {"PASS": 0, "FAIL": 0, "INCONCLUSIVE": 0, "found": 0, "blamed": 0, "pairs": 0}
    for _ in range(gates):
        outcome = machine.gate(plan, true)
        counts[outcome.verdict] += 1
        failed = outcome.named(FAIL)
        counts["found"] += any(i < len(effects) for i in failed)
        counts["blamed"] += any(i >= len(effects) for i in failed)  # without being slower
        counts["pairs"] += outcome.pairs
    return {key: count / gates for key, count in counts.items()}


def main():
    gates = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rows = [
        (f"{label}, {cases} cases", cases, effects)
        for cases in (18, 300)
        for label, effects in (
            ("A/A", ()),
            ("one case 3 % slower", (0.03,)),
            ("one case 5 % slower", (0.05,)),
            ("one case at the margin", (0.02,)),
            ("all cases at the margin", (0.02,) * cases),
        )
    ]
    print(f"{gates} gates each (a tenth with 300 cases)")
    for noise in (MILD, HARSH, Noise(**{**vars(MILD), "shared": True}),
                  Noise(**{**vars(HARSH), "shared": True})):  # fmt: skip
        print(f"\n{noise.name}{', offsets shared by the cases' if noise.shared else ''}")
        for label, cases, effects in rows:
            rates = run(noise, gates if cases < 100 else gates // 10, cases, effects)
            shown = "  ".join(f"{name} {100 * rates[name]:6.2f} %"
                              for name in (PASS, FAIL, "INCONCLUSIVE", "found", "blamed"))
            print(f"  {label:36} {shown}  pairs {rates['pairs']:.1f}", flush=True)


if __name__ == "__main__":
    main()
