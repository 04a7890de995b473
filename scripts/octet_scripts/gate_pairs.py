"""Runs a pair of processes and reduces their records to what the gate compares."""

import datetime
import os
import subprocess
import tempfile

from octet_scripts import gate_thresholds, records
from octet_scripts.bench import ENDS, count_lines, describe_exit, die_with_parent
from octet_scripts.gate_verdict import GateError
from octet_scripts.records import at

FILTER_BYTES = 100_000  # of one argument, of which Linux takes 128 KiB
BAD = ("FAILED", "MISTRUSTED", "INVALID")
OWN_ENDS = (0, 1, 2)  # of a process that came to its last case, or began none
OWN_VARIANTS = ("int8_kept",)  # time is int8_every_step's, and the native ones are baselines


def chunks(cases):
    """Cases in their order, as few processes as their names leave room for."""
    chunk, size = [], 0
    for case in cases:
        if chunk and size + len(case) > FILTER_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(case)
        size += len(case) + 1
    if chunk:
        yield chunk


def run_program(side, program, cases, records_file, timeout_s):
    """Runs cases in one process, which appends its records; where a case ends its process, those
    that follow it in another. Returns why one ended badly, or None."""
    # The gate judges skips and floors by itself: base's floors, over all processes together. The
    # folder of the records holds no thresholds.
    environment = dict(os.environ, OCTET_RECORDS=str(records_file),
                       OCTET_THRESHOLDS=str(records_file.parent))  # fmt: skip
    for name in ("OCTET_REQUIRE", "OCTET_PROFILE"):
        environment.pop(name, None)
    environment.setdefault("OCTET_STEADY", "0")  # pairs compare times of the burst state
    bad_end = None
    for chunk in chunks(cases):
        while chunk:
            skip = count_lines(records_file)
            status, end = run_once(side, program, chunk, environment, timeout_s)
            bad_end = end or bad_end
            if status in OWN_ENDS:
                break
            found = records.read(records_file, skip)[0] if records_file.exists() else []
            recorded = {record.get("test") for record in found}
            left = [case for case in chunk if case not in recorded]
            # Unless the case that ended it has a record, it is the first that has none.
            chunk = left if status in ENDS and len(left) < len(chunk) else left[1:]
    return bad_end


def run_once(side, program, cases, environment, timeout_s):
    """(exit status, why that is bad or None) of one process."""
    command = [str(side.programs[program]), "--gtest_filter=" + ":".join(cases)]
    try:
        with tempfile.TemporaryFile() as output, subprocess.Popen(
            command, env=environment, cwd=side.build, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
        ) as process:  # fmt: skip
            try:
                status = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                return None, f"ended by the gate after {timeout_s} s"
            except BaseException:
                process.kill()
                raise
            if status == 0:
                return status, None
            output.seek(0)
            last = output.read().decode(errors="replace").strip().splitlines()[-1:]
            return status, ": ".join([describe_exit(status), *last])
    except OSError as error:
        raise GateError(f"cannot run {command[0]}: {error.strerror}") from None


def reduce_case(case_records):
    """What the gate keeps of one case's records in one process."""
    timed = [r for r in case_records if at(r, "time", "median_us") is not None]
    burst = [r for r in timed if at(r, "time", "state") != "steady"]
    record = (burst or timed or case_records)[0]
    status_of = next((r for r in case_records if r.get("status") in BAD), record)
    series = {}
    if timed:
        series[""] = at(record, "time", "median_us")
    for variant in record.get("variants") or []:
        if variant.get("name") in OWN_VARIANTS and not variant.get("derived"):
            series[":" + variant["name"]] = at(variant, "time", "median_us")
    plans = {"": record["plan"]} if record.get("plan") else {}
    for stage in record.get("stages") or []:
        if stage.get("plan"):
            key = f"{stage.get('variant')} {stage.get('product')} {stage.get('operator')}"
            plans[key] = stage["plan"]
    figures = {}
    for one in case_records:
        for (metric, state), figure in gate_thresholds.figures(one).items():
            figures.setdefault(f"{metric} {state}", figure.estimate)
    return {
        "status": status_of.get("status"), "reason": status_of.get("reason"),
        "rerun": status_of.get("rerun"), "series": series, "plans": plans, "figures": figures,
        "how": f"{at(record, 'time', 'mode')}, {at(record, 'time', 'state')}",
        "throttled": bool(at(record, "time", "throttled")),
        "busy": sorted({process for r in case_records for process in at(r, "device", "busy") or []}),
    }  # fmt: skip


def read_cases(path, cases):
    """({case: what is kept}, device) of a process's records."""
    by_case, device = {}, None
    found, problems = records.read(path) if path.exists() else ([], [])
    if problems:
        raise GateError(f"what a test program wrote is no record: {problems[0]}")
    for record in found:
        if record.get("test") in cases:
            by_case.setdefault(record["test"], []).append(record)
            if record.get("device"):
                device = {k: record["device"].get(k) for k in ("name", "uuid", "driver")}
    return {case: reduce_case(found) for case, found in by_case.items()}, device


def remove_records(path):
    """Of a run that was interrupted."""
    for leftover in path.parent.glob(path.name + "*"):
        leftover.unlink()


def run_side(side, cases_by_program, path, timeout_s):
    """One side alone: ({case: what is kept}, {program: bad end})."""
    remove_records(path)
    ends = {program: run_program(side, program, cases, path, timeout_s)
            for program, cases in cases_by_program.items()}  # fmt: skip
    wanted = {case for cases in cases_by_program.values() for case in cases}
    return read_cases(path, wanted)[0], {program: end for program, end in ends.items() if end}


def run_pair(number, base, head, groups, folder, timeout_s):
    """Base and head back to back for each of the groups ((base's program, head's program), cases):
    base first in even pairs, head in odd ones, so that a sequence of pairs is ABBA."""
    order = (base, head) if number % 2 == 0 else (head, base)
    paths = {side.name: folder / f"{number:04d}-{side.name}.jsonl" for side in order}
    for path in paths.values():
        remove_records(path)
    ends = {side.name: {} for side in order}
    for (base_program, head_program), cases in groups:
        for side in order:
            program = base_program if side is base else head_program
            end = run_program(side, program, cases, paths[side.name], timeout_s)
            if end:
                ends[side.name][program] = end
    wanted = {case for _, cases in groups for case in cases}
    pair = {
        "pair": number, "order": [side.name for side in order], "ends": ends,
        "time_utc": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip
    devices = []
    for side in order:
        pair[side.name], device = read_cases(paths[side.name], wanted)
        devices.append(device)
    pair["devices"] = [device for device in devices if device]
    return pair
