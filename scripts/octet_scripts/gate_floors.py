"""scripts/gate floors: judges a whole run against the floors of its device."""

import sys
from collections import Counter

from octet_scripts import gate_thresholds as thresholds
from octet_scripts import records
from octet_scripts.gate_report import Report, by_suite
from octet_scripts.gate_verdict import (
    EXIT_STATUS, FAIL, INCONCLUSIVE, PASS, GateError, worst,
)  # fmt: skip
from octet_scripts.records import at
from octet_scripts.table import Grid

def read_records(paths):
    """All records; a line that is none is an error: a verdict over half a run is no verdict."""
    found = []
    for path in paths:
        try:
            good, problems = records.read(path, strict=True)
        except OSError as error:
            raise GateError(f"cannot read {path}: {error.strerror}") from None
        if problems:
            more = f" (and {len(problems) - 1} more such lines)" if len(problems) > 1 else ""
            raise GateError(problems[0] + more)
        found += good
    if not found:
        raise GateError(f"no record in {', '.join(map(str, paths))}")
    if all(record["status"] == "SKIPPED" for record in found):
        raise GateError("every case was skipped, so there is nothing to judge")
    return found


def judge_floor(floor, case_records):
    """(verdict, why, figure) over all records of the floor's case: the worst counts, so that
    running again until it passes helps nobody."""
    judged = []
    for record in case_records:
        if record["status"] == "SKIPPED":
            judged.append((INCONCLUSIVE, "skipped", None))
        elif figure := thresholds.figures(record).get((floor.metric, floor.state)):
            judged.append((*thresholds.judge(floor, figure), figure))
    verdict = worst(v for v, _, _ in judged) if judged else INCONCLUSIVE
    of_that = [j for j in judged if j[0] == verdict]
    if not of_that:
        return *thresholds.judge(floor, None), None
    return min(of_that, key=lambda j: j[2].estimate if j[2] else 0)


def figure_cells(figure):
    if figure is None:
        return ["-", "-"]
    known = figure.low is not None and figure.high is not None
    interval = f"{figure.low:.3f} .. {figure.high:.3f}" if known else "-"
    return [f"{figure.estimate:.3f}", interval]


def judge(found, folder, partial=False):
    """(verdict, Report) of records against the thresholds in a folder."""
    thresholds.read_folder(folder)
    by_test = {}
    for record in found:
        by_test.setdefault(record["test"], []).append(record)
    devices = sorted({at(r, "device", "name") for r in found} - {None})
    floors, report, without_file = [], Report("scripts/gate floors"), []
    for device in devices:
        known = thresholds.read(folder, device)
        if known is None:
            without_file.append(device)
        floors += known or []
    unknown = [floor for floor in floors if floor.test not in by_test]
    if unknown and not partial:
        more = f", and {len(unknown) - 1} more floors" if len(unknown) > 1 else ""
        raise GateError(
            f"no record of {unknown[0].test}, for which {unknown[0].device} has a floor{more}; "
            "--partial judges a part of a run"
        )

    verdicts, rows = [], []
    for floor in (f for f in floors if f.test in by_test):
        mine = [r for r in by_test[floor.test]
                if at(r, "device", "name") in (floor.device, None)]  # fmt: skip
        verdict, why, figure = judge_floor(floor, mine)
        verdicts.append(verdict)
        rows.append((verdict, floor, why, figure))
    broken = [r for r in found if r["status"] not in ("PASSED", "SKIPPED")]
    verdicts += [FAIL] * len(broken)

    on = ", ".join(devices) or "no device"
    report.line(f"{len(found)} records of {len(by_test)} cases on {on}")
    if rows:
        order = (FAIL, INCONCLUSIVE, PASS)
        rows.sort(key=lambda row: order.index(row[0]))
        columns = [("case", "<"), ("metric", "<"), ("floor", ">"), ("found", ">"),
                   ("interval", ">"), ("verdict", "<")]  # fmt: skip
        cells = [
            [floor.test, short_metric(floor), f"{floor.value:.3f}", *figure_cells(figure), verdict]
            for verdict, floor, _, figure in rows
        ]
        report.grid(Grid(columns, cells))
        report.paragraphs(
            [f"{verdict}: {floor.name}: {why}" for verdict, floor, why, _ in rows if why]
        )
    report.paragraphs(
        [f"FAIL: {r['test']} was {r['status']}: {r.get('reason') or 'no reason recorded'}"
         for r in broken]
    )  # fmt: skip
    for device in without_file:
        report.line(f"No floors for {device}: {thresholds.file_name(device)} does not exist.")
    report.names("! The GPU was busy with another process during", by_suite(sorted(
        {r["test"] for r in found if at(r, "device", "busy")})))  # fmt: skip
    skipped = sorted(t for t, rs in by_test.items() if any(r["status"] == "SKIPPED" for r in rs))
    floored = {floor.test for floor in floors}
    bare = sorted(t for t, rs in by_test.items()
                  if t not in floored and t not in skipped
                  and any(r.get("time") for r in rs))  # fmt: skip
    report.names("Skipped", by_suite(skipped))
    report.names("Timed, without a floor", by_suite(bare))
    if unknown:
        report.paragraphs([f"{len(unknown)} floors name cases without a record (--partial)."])
    counts = Counter(verdict for verdict, _, _, _ in rows)
    verdict = worst(verdicts)
    told = ", ".join(f"{counts[v]} {v}" for v in (PASS, FAIL, INCONCLUSIVE) if counts[v])
    report.verdict(verdict, f"{len(rows)} floors{': ' + told if told else ''}; "
                            f"{len(broken)} records not PASSED")  # fmt: skip
    return verdict, report


def short_metric(floor):
    name = floor.metric.removeprefix("variant_ratio:").replace("roofline_fraction", "roofline")
    return name + ("" if floor.state == "burst" else f" {floor.state}")


def main(options):
    verdict, report = judge(read_records(options.records), options.thresholds, options.partial)
    report.print(sys.stdout)
    report.append_markdown(options.markdown)
    return EXIT_STATUS[verdict]
