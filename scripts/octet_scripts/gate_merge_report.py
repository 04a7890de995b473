"""The merge gate's verdict over all that it found, as a Report."""

import json
import math
from datetime import datetime, timezone
from pathlib import Path

from octet_scripts import gate_thresholds as thresholds
from octet_scripts.gate_builds import git
from octet_scripts.gate_evidence import plan_text
from octet_scripts.gate_machine import tell
from octet_scripts.gate_report import Report, by_suite
from octet_scripts.gate_statistics import (
    OPEN, judge_look, median, median_interval, smallest_visible,
)  # fmt: skip
from octet_scripts.gate_verdict import FAIL, INCONCLUSIVE, PASS, GateError, worst
from octet_scripts.records import strict_json
from octet_scripts.table import Grid

FOLDER = "tests/thresholds"
SHOWN = 20  # problems, plans: of each


def percent(log_ratio):
    return f"{100 * math.expm1(log_ratio):+.2f} %"


def tell_look(plan):
    def on_look(outcome):
        look = plan.looks.index(outcome.pairs) + 1
        told = ", ".join(f"{len(outcome.named(v))} {v}" for v in (PASS, FAIL, OPEN))
        tell(f"look {look} of {len(plan.looks)}, {outcome.pairs} pairs: {told}")

    return on_look


def committed_floors(root, side):
    """All floors of a side's commit: {key: Floor}."""
    listed = git(root, "ls-tree", "--name-only", side.revision, f"{FOLDER}/").stdout.split("\n")
    floors = {}
    for path in sorted(p for p in listed if p.endswith(".json") and not p.endswith(".schema.json")):
        text = git(root, "show", f"{side.revision}:{path}").stdout
        try:
            found = thresholds.parse(text, f"{path} of {side.name}")
        except GateError as error:
            raise side.error(str(error)) from None
        floors.update({floor.key: floor for floor in found})
    return floors


def lowered_floors(base, head):
    texts = []
    for key, floor in base.items():
        if key not in head:
            texts.append(f"floor removed: {floor.device}: {floor.name}, was {floor.value:g}")
        elif head[key].value < floor.value:
            texts.append(f"floor lowered: {floor.device}: {floor.name}, from {floor.value:g} "
                         f"to {head[key].value:g}")  # fmt: skip
    return texts


def judge_floors(floors, run, alpha):
    """(verdict, texts) of the base's floors over head's figures, one a process, pooled."""
    verdicts, texts = [], []
    device = (run.device or {}).get("name")
    for floor in floors.values():
        if floor.device != device or floor.test not in run.common:
            continue
        values = run.evidence.figures.get((floor.test, f"{floor.metric} {floor.state}"))
        figure = None
        if values:
            low, high = median_interval(values, 1 - alpha) or (None, None)
            figure = thresholds.Figure(median(values), low, high)
        verdict, why = thresholds.judge(floor, figure)
        verdicts.append(verdict)
        if why:
            found = f"{figure.estimate:.3f} against {floor.value:.3f}, " if figure else ""
            texts.append(f"{verdict}: floor of {floor.name}: {found}{why}")
    return verdicts, texts


def series_table(run, outcome, options):
    """One row for each series that was compared, the worst first."""
    values, rows = run.evidence.values, []
    order = {FAIL: 0, OPEN: 1, PASS: 2, "-": 3}
    for name, all_of_them in values.items():
        used = all_of_them[: outcome.pairs] if outcome else all_of_them
        verdict = outcome.series[name] if outcome else "-"
        interval = median_interval(used, 1 - options.alpha)
        estimate = median(used)
        base_us = median([base for base, _ in run.evidence.medians[name]])
        shown = f"{percent(interval[0])} .. {percent(interval[1])}" if interval else "-"
        rows.append((order[verdict], -estimate,
                     [name, f"{base_us:,.2f}", percent(estimate), shown, verdict]))  # fmt: skip
    rows.sort(key=lambda row: row[:2])
    columns = [("case", "<"), ("base us", ">"), ("head", ">"),
               (f"interval ({100 * (1 - options.alpha):g} %)", ">"), ("verdict", "<")]  # fmt: skip
    return Grid(columns, [cells for _, _, cells in rows])


def visibility(run, plan, outcome):
    """What an INCONCLUSIVE gate could have seen, as a sentence."""
    seen = {name: smallest_visible(values[: outcome.pairs], plan)
            for name, values in run.evidence.values.items()}  # fmt: skip
    blind = [name for name, smallest in seen.items() if smallest is None]
    if blind:
        return f"so many series can not fail at {outcome.pairs} pairs: no regression could be seen"
    name = max(seen, key=seen.get)
    return (f"the smallest regression that could have been seen in every case is "
            f"{100 * seen[name]:.1f} % (in {name})")  # fmt: skip


def false_alarms(run, plan):
    """Of an A/A, for each look: [pairs, chances for a false alarm, false alarms]. Either side may
    be taken for head, so each series gives two chances."""
    values, rows = run.evidence.values, []
    exchanged = {name: [-r for r in found] for name, found in values.items()}
    for pairs in (p for p in plan.looks if p <= run.evidence.pairs):
        failed = sum(len(judge_look(v, pairs, plan).named(FAIL)) for v in (values, exchanged))
        rows.append([pairs, 2 * len(values), failed])
    return rows


def read_history(history):
    """(A/A, chances, false alarms) that a file tells of; nothing where there is none."""
    try:
        told = [strict_json(text) for text in Path(history).read_text().splitlines()]
        rows = [row for entry in told for row in entry["looks"]]
        return len(told), sum(row[1] for row in rows), sum(row[2] for row in rows)
    except FileNotFoundError:
        return 0, 0, 0
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise GateError(f"cannot use {history} as history: {error}") from None


def add_false_alarms(report, run, plan, history):
    """Tells the observed rate, of this A/A and of all in the history file, to which it is added."""
    rows = false_alarms(run, plan)
    report.paragraphs([
        f"look at {pairs} pairs: {failed} false alarms in {chances} chances (each series, both "
        f"sides taken for head): {100 * failed / chances:.2f} %" for pairs, chances, failed in rows
    ])  # fmt: skip
    if history is None:
        return
    line = {"time_utc": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}", "base": run.base.label,
            "device": run.device, "backend": run.backend, "looks": rows}  # fmt: skip
    try:
        if run.measured:  # an answer given again is no new evidence
            with open(history, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise GateError(f"cannot use {history} as history: {error}") from None
    told, chances, failed = read_history(history)
    report.line(f"all {told} A/A in {history}: {failed} false alarms in {chances} chances: "
                f"{100 * failed / max(chances, 1):.3f} %")  # fmt: skip


def add_notes(report, run):
    """What people should know, verdict aside."""
    evidence = run.evidence
    for kept, what in ((evidence.plans, "plan differs"), (evidence.how, "timed otherwise")):
        differing = evidence.differing(kept)
        texts = []
        for case, of_base, of_head in differing[:SHOWN]:
            if kept is evidence.how:
                of_base, of_head = ({("", how) for how in s} for s in (of_base, of_head))
            texts.append(f"{case}: base {plan_text(of_base, of_head)}; "
                         f"head {plan_text(of_head, of_base)}")  # fmt: skip
        more = f", the first {SHOWN}" if len(differing) > SHOWN else ""
        report.names(f"{len(differing)} cases whose {what}{more}", texts)
    by_reason = {}
    for name, why in evidence.left_out.items():
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        report.names(f"Not compared: {why}", by_suite(sorted(names)))
    report.names("New on head, checked but held against nothing", by_suite(run.new))
    if evidence.busy:
        report.line(f"! the GPU was busy with another process in {evidence.busy} of "
                    f"{evidence.pairs} pairs")  # fmt: skip
    if evidence.throttled:
        report.line(f"! the clock was throttled in {evidence.throttled} measurements of a case")


def conclude(options, root, base, head, run, plan, outcome, problems):
    """(verdict, Report)."""
    report = Report(f"scripts/gate {options.command}")
    device = (run.device or {}).get("name") or "an unknown device"
    report.line(f"base {base.label}, head {head.label}, {run.backend} on {device}, "
                f"{run.evidence.pairs} pairs, margin {100 * options.margin:g} %, "
                f"alpha {100 * options.alpha:g} %")  # fmt: skip
    if options.command == "aa":
        same = "one build folder runs as both" if base.build == head.build else "a build for each"
        report.line(f"A/A: base against base, {same}: {base.build}"
                    + ("" if base.build == head.build else f" and {head.build}"))  # fmt: skip
    if run.stored and not run.measured:
        report.line(f"Nothing was measured: {run.state.folder} holds all pairs already.")
    if run.evidence.values:
        report.grid(series_table(run, outcome, options))
    report.paragraphs([f"FAIL: {problem}" for problem in problems[:SHOWN]])
    if len(problems) > SHOWN:
        report.line(f"and {len(problems) - SHOWN} more")

    verdicts, floor_texts, changed = [], [], []
    if base.revision and head.revision:
        floors = committed_floors(root, base)
        changed = lowered_floors(floors, committed_floors(root, head))
        if outcome:
            verdicts, floor_texts = judge_floors(floors, run, options.alpha)
    else:
        report.line("Floors were not judged: base or head is a build folder without a commit.")
    report.paragraphs(floor_texts)
    report.names("Floors that head lowers or removes (base's were judged)", changed)
    add_notes(report, run)
    if options.command == "aa" and outcome:
        add_false_alarms(report, run, plan, options.history)

    if problems:
        verdict, text = FAIL, f"{len(problems)} problems of the head"
    else:
        verdict = worst([outcome.verdict, *verdicts])
        text = ending(run, plan, outcome, verdict, verdicts)
    report.verdict(verdict, text)
    return verdict, report


def ending(run, plan, outcome, verdict, floor_verdicts):
    count = len(outcome.series)
    failed, still_open = outcome.named(FAIL), outcome.named(OPEN)
    parts = []
    if outcome.verdict == PASS:
        parts.append(f"none of {count} series is {100 * plan.margin:g} % slower")
    if failed:
        parts.append(f"{len(failed)} of {count} series more than {100 * plan.margin:g} % slower: "
                     + ", ".join(failed[:5]) + (", ..." if len(failed) > 5 else ""))  # fmt: skip
    if outcome.verdict == INCONCLUSIVE:
        parts.append(f"{len(still_open)} of {count} series undecided after {outcome.pairs} pairs; "
                     + visibility(run, plan, outcome))  # fmt: skip
    if floor_verdicts:
        told = [v for v in (PASS, FAIL, INCONCLUSIVE) if v in floor_verdicts]
        parts.append(", ".join(f"{floor_verdicts.count(v)} floors {v}" for v in told))
    return "; ".join(parts)
