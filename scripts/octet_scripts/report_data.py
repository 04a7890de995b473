"""What a report is made from: records, put together as runs.

A run is what one device measured at one commit, in one file of records or in several whose cases
differ. Of a case that a run holds more than once with the same options the last record counts; a
history shows all.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from octet_scripts import records, table
from octet_scripts.gate_thresholds import STATES, figures, judge
from octet_scripts.gate_thresholds import read as read_floors
from octet_scripts.records import at
from octet_scripts.texts import clean

SCHEMA = Path(__file__).resolve().parents[2] / "tests" / "harness" / "record.schema.json"
NEEDED = ("run", "status", "test", "backend", "operator", "time_utc")
LARGEST = 1e100  # beyond any figure, and far from where ratios of figures overflow
UNKNOWN = "unknown device"
RUNS_SHOWN = 3  # of each plot that there is one of for each run
TYPES = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,),
    "null": (type(None),), "number": (int, float), "integer": (int, float),
}  # fmt: skip


class ReportError(Exception):
    """Why there is no report, in one sentence."""


def _misfit(value, schema, definitions, place):
    """Where and why a value is not what the schema says of types and signs; None where it is.
    Keys that are missing or unknown are fine, for the records of other commits are read too."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        misfits = [_misfit(value, option, definitions, place) for option in schema["anyOf"]]
        return None if None in misfits else misfits[0]
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    known = sum((TYPES[name] for name in names), ())
    if known and (not isinstance(value, known) or (isinstance(value, bool) and bool not in known)):
        return f"{place} is no {' or '.join(names)}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value and not 1 / LARGEST <= abs(value) <= LARGEST:
            return f"{place} is out of range"
        if value < schema.get("minimum", -LARGEST):
            return f"{place} is {value}, but must be at least {schema['minimum']}"
    if isinstance(value, dict):
        for key, part in schema.get("properties", {}).items():
            found = key in value and _misfit(value[key], part, definitions, f"{place}.{key}")
            if found:
                return found
    if isinstance(value, list) and "items" in schema:
        for i, entry in enumerate(value):
            if found := _misfit(entry, schema["items"], definitions, f"{place}[{i}]"):
                return found
    return None


def _check(record, schema):
    for key in NEEDED:
        if not isinstance(record.get(key), str):
            raise ReportError(f"no record: it has no {key}")
    try:
        misfit = _misfit(record, schema, schema["$defs"], "record")
    except OverflowError:
        misfit = "a number is out of range"
    if misfit:
        raise ReportError(f"no record: {misfit.replace('record.', '', 1)}")


def read(path):
    """The records of a file, all of them good. ReportError names the first that is not."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    try:
        found, problems = records.read(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReportError(f"cannot read {path}: {reason}") from None
    except RecursionError:
        raise ReportError(f"{path}: holds a line that is nested too deeply") from None
    if problems:
        more = f" (and {len(problems) - 1} more such lines)" if len(problems) > 1 else ""
        raise ReportError(problems[0] + more)
    if not found:
        raise ReportError(f"{path}: holds no record")
    for number, record in enumerate(found, 1):
        try:
            _check(record, schema)
        except ReportError as error:
            raise ReportError(f"{path}:{number}: {error}") from None
    return found


def case_of(record):
    """What makes two records measurements of the same."""
    return (
        record["test"],
        at(record, "data"),
        json.dumps(at(record, "policy"), sort_keys=True),
        at(record, "time", "mode"),
        at(record, "time", "state"),
        table.Step(record).options(),
    )


def suite_and_problem(test):
    """Cuda/Gemm_s8.Timing/4k_fc1_fprop -> (Gemm_s8, 4k fc1_fprop)."""
    found = re.fullmatch(r"[^/]+/([^./]+)\.[^./]+/(.+)", test)
    if not found:
        return test, ""
    # A batch's b3_ is no size.
    parts = r"^(?!b\d+_)(.+?)_(fc[12]_|\d+x\d+|scores_|context_)"
    return found[1], re.sub(parts, r"\1 \2", found[2])


def product_of(operator):
    return "gemm" in operator and "spmm" not in operator


def is_int8(operator):
    return product_of(operator) and not operator.startswith(("gemm_f", "gemm_bf"))


@dataclass
class Run:
    device: str
    backend: str
    commit: str
    dirty: bool
    all: list = field(default_factory=list)  # records as they were written
    label: str = ""

    def __post_init__(self):
        self.label = self.label or self.name

    @property
    def name(self):
        return f"{self.device}, {self.commit[:7]}{' (dirty)' if self.dirty else ''}"

    @property
    def cases(self):
        """The last record of each case."""
        return list({case_of(record): record for record in self.all}.values())

    @property
    def start(self):
        return min(record["time_utc"] for record in self.all)

    @property
    def steps(self):
        found = [table.Step(r) for r in self.cases if r["operator"] == table.OPERATOR]
        return sorted((step for step in found if step.variants), key=table.Step.sort_key)

    @property
    def operators(self):
        """Timed records of single operators."""
        return [r for r in self.cases if r["operator"] != table.OPERATOR and at(r, "time")]


def key_of(record):
    build = at(record, "build") or {}
    device = at(record, "device", "name") or UNKNOWN
    return device, record["backend"], build.get("git") or "unknown", bool(build.get("dirty"))


def runs_of(files):
    """Runs, the oldest first, of lists of records."""
    parts = []
    for found in files:
        by_key = {}
        for record in found:
            by_key.setdefault(key_of(record), []).append(record)
        # What did not run names neither device nor build: it belongs to what did.
        unknown = [key for key in by_key if key[0] == UNKNOWN and key[2] == "unknown"]
        known = next((key for key in by_key if key not in unknown), None)
        for key in unknown if known else ():
            by_key[known] += by_key.pop(key)
        parts += [Run(*key, part) for key, part in by_key.items()]
    parts.sort(key=lambda run: run.start)
    runs = []
    for part in parts:
        held = {case_of(record) for record in part.all}
        for run in runs:
            same = key_of(run.all[0]) == key_of(part.all[0])
            if same and held.isdisjoint(case_of(record) for record in run.all):
                run.all += part.all
                break
        else:
            runs.append(part)
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            run.label = f"{run.name}, {run.start[:16].replace('T', ' ')}"
    labels = [run.label for run in runs]
    for number, run in enumerate(runs, 1):
        if labels.count(run.label) > 1:
            run.label += f", run {number}"
    return runs


def newest(runs, wanted):
    """The runs that a plot shows: the last ones that have what it needs, the newest first; and
    how many there are beside them."""
    having = [run for run in reversed(runs) if wanted(run)]
    return having[:RUNS_SHOWN], max(0, len(having) - RUNS_SHOWN)


def step_name(step):
    """12k f16, and what is unusual about it."""
    text = " ".join((step.size, step.dtype, *step.options()))
    policy = at(step.record, "policy") or {}
    native = [name for name in ("fprop", "dgrad", "wgrad") if policy.get(name) == "native"]
    return text + (f", 16-bit {' '.join(native)}" if native else "")


@dataclass
class Measured:
    """A ratio or a roofline fraction, and how it stands to its floor."""

    suite: str
    problem: str
    metric: str
    figure: object  # gate_thresholds.Figure
    floor: float = None
    verdict: str = None  # of a figure with a floor
    why: str = ""

    @property
    def name(self):
        variant = self.metric.partition(":")[2]
        return " ".join(filter(None, (self.problem, VARIANT_NAMES.get(variant, variant))))


VARIANT_NAMES = {"int8_every_step": "int8", "int8_kept": "int8 kept",
                 "fp8_every_step": "fp8", "fp8_kept": "fp8 kept"}  # fmt: skip


def measured(run, folder):
    """Every ratio of a run, and every roofline fraction that has a floor."""
    # A name that makes no file's name has no floors.
    named = clean(run.device) == run.device and len(run.device.encode()) < 200
    floors = read_floors(folder, run.device) if named else None
    floors = {(f.test, f.metric, f.state): f for f in floors or []}
    found = []
    for record in run.cases:
        for (metric, state), figure in figures(record).items():
            floor = floors.get((record["test"], metric, state))
            native = metric.startswith("variant_ratio:native")
            if state not in STATES or (floor is None and (native or metric == "roofline_fraction")):
                continue
            verdict = (None, "") if floor is None else judge(floor, figure)
            suite, problem = suite_and_problem(record["test"])
            found.append(Measured(suite, problem, metric, figure,
                                  floor and floor.value, *verdict))  # fmt: skip
    return found
