"""What the pairs say: the series to be judged, what cannot be compared, and what is wrong with the
head whatever its times."""

import math

from octet_scripts.gate_pairs import BAD
from octet_scripts.gate_verdict import GateError


class Evidence:
    def __init__(self, cases, head_program_of):
        self.cases = list(cases)
        self.head_program_of = head_program_of
        self.values = {}  # series -> r of each pair
        self.medians = {}  # series -> base's and head's medians of each pair, microseconds
        self.left_out = {}  # series or case -> why it is not compared
        self.problems = []  # sentences about the head
        self.plans = {"base": {}, "head": {}}  # case -> set of plans
        self.how = {"base": {}, "head": {}}  # case -> set of cache modes and states
        self.figures = {}  # (test, "metric state") -> head's figure in each pair
        self.throttled = 0  # processes' cases
        self.busy = 0
        self.pairs = 0

    def add(self, pair):
        """Takes in the pair that follows."""
        first = self.pairs == 0
        self.pairs += 1
        try:
            for case in self.cases:
                self._add_case(case, pair, first)
            self._add_ends(pair)
            seen = [entry.get("busy") for name in ("base", "head") for entry in pair[name].values()]
            self.busy += bool(pair.get("busy") or any(seen))
        except (KeyError, TypeError, AttributeError) as error:
            raise GateError(
                f"pair {pair.get('pair')} of the state cannot be read ({error!r}); "
                "name another folder with --state"
            ) from None

    def _add_case(self, case, pair, first):
        base, head = pair["base"].get(case), pair["head"].get(case)
        if why := self._head_problem(case, base, head, pair):
            self.problems.append(f"{case}: {why}")
            return
        if base is None or base["status"] != "PASSED":
            ends = "; ".join(pair["ends"]["base"].values())
            status = (f"was {base['status']}" if base else
                      f"left no record{f' ({ends})' if ends else ''}")  # fmt: skip
            skipped = "skipped on both" if head["status"] == "SKIPPED" else None
            self._leave_out(case, skipped or f"base {status} in pair {pair['pair'] + 1}")
            return
        for name, entry in (("base", base), ("head", head)):
            self.plans[name].setdefault(case, set()).update(entry["plans"].items())
            self.how[name].setdefault(case, set()).add(entry["how"])
            self.throttled += entry["throttled"]
        for key, estimate in head["figures"].items():
            self.figures.setdefault((case, key), []).append(estimate)
        for suffix in {**base["series"], **head["series"]}:
            self._add_series(case + suffix, base["series"].get(suffix), head["series"].get(suffix),
                             first)  # fmt: skip
        if first and not base["series"] and not head["series"]:
            self._leave_out(case, "not timed")

    def _head_problem(self, case, base, head, pair):
        if head is None:
            end = pair["ends"]["head"].get(self.head_program_of.get(case))
            return f"left no record on head{', ' + end if end else ''}"
        if head["status"] in BAD:
            also = " (and on base)" if base and base["status"] in BAD else ""
            return (f"{head['status']} on head{also}: {head['reason'] or 'no reason recorded'}; "
                    f"again: {head['rerun']}")  # fmt: skip
        if head["status"] == "SKIPPED" and base and base["status"] != "SKIPPED":
            return f"newly SKIPPED on head: {head['reason'] or 'no reason recorded'}"
        return None

    def _add_series(self, series, base_us, head_us, first):
        if head_us is None:
            self.problems.append(f"{series}: timed on base, but not on head")
        elif base_us is None:
            self._leave_out(series, "base does not time it")
        elif not (base_us > 0 and head_us > 0):
            self._leave_out(series, "too short to be timed")
        elif first or series in self.values:
            self.values.setdefault(series, []).append(math.log(head_us / base_us))
            self.medians.setdefault(series, []).append((base_us, head_us))
        else:
            self._leave_out(series, "not timed in the first pair")

    def _leave_out(self, name, why):
        self.left_out.setdefault(name, why)
        for series in [s for s in self.values if s == name or s.startswith(f"{name}:")]:
            del self.values[series], self.medians[series]

    def _add_ends(self, pair):
        for program, end in pair["ends"]["head"].items():
            mine = [c for c in self.cases if self.head_program_of.get(c) == program]
            entries = [pair["head"].get(c) for c in mine]
            if all(e and e["status"] in ("PASSED", "SKIPPED") for e in entries):
                self.problems.append(f"{program}: {end} on head, though its cases were PASSED")

    def differing(self, kept):
        """[(case, base's, head's)] where two sets of `plans` or `how` differ."""
        found = []
        for case in self.cases:
            base, head = kept["base"].get(case), kept["head"].get(case)
            if base is not None and head is not None and base != head:
                found.append((case, base, head))
        return found


def plan_text(plans, others):
    """The plans that the other side did not choose."""
    own = sorted(plans - others)
    return " | ".join(f"{key}: {plan}" if key else plan for key, plan in own) or "none of its own"
