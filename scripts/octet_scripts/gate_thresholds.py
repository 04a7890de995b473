"""Floors: tests/thresholds/DEVICE.json (thresholds.schema.json), and how a figure is held
against one.

A floor is missed where the interval's upper bound lies under it, however wide the interval is. It
is kept only where the interval's half-width is at most 1 % of the estimate; a wider one is
INCONCLUSIVE. tests/harness/floors.cpp judges a case by itself in the same way.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from octet_scripts.gate_verdict import FAIL, INCONCLUSIVE, PASS, GateError
from octet_scripts.records import RecordError, at, strict_json

SCHEMA_VERSION = 1
WIDEST_HALF_WIDTH = 0.01
STATES = ("burst", "steady", "none")
METRIC = re.compile(r"ratio|roofline_fraction|variant_ratio:[a-z0-9_]+")
TEST = re.compile(r"[A-Za-z]+/[A-Za-z0-9_]+\.Timing/[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Floor:
    device: str
    test: str
    metric: str
    state: str
    value: float

    @property
    def key(self):
        return self.device, self.test, self.metric, self.state

    @property
    def name(self):
        return f"{self.test} {self.metric} ({self.state})"


@dataclass(frozen=True)
class Figure:
    """What was measured: an estimate and, where there are enough samples, its interval."""

    estimate: float
    low: float = None
    high: float = None


def file_name(device):
    """NVIDIA H200 -> NVIDIA_H200.json. A device's name makes no path."""
    return re.sub("[ /]", "_", device) + ".json"


def parse(text, where):
    """The floors in a file's text. Throws GateError that names the file and the mistake."""

    def stop(problem):
        raise GateError(f"{where}: {problem}")

    try:
        content = strict_json(text)
    except RecordError as error:
        stop(str(error))
    if not isinstance(content, dict):
        stop("not a JSON object")
    if content.get("schema") != SCHEMA_VERSION:
        stop(f"the schema version is {content.get('schema', 'missing')}, "
             f"but this reads {SCHEMA_VERSION}")  # fmt: skip
    if set(content) != {"schema", "device", "floors"}:
        stop("the keys must be schema, device and floors")
    device, entries = content["device"], content["floors"]
    if not isinstance(device, str) or not device or not isinstance(entries, list):
        stop("device must be a name and floors a list")
    floors = {}
    for number, entry in enumerate(entries, 1):
        place = f"floor {number}"
        if not isinstance(entry, dict) or set(entry) != {"test", "metric", "floor", "state"}:
            stop(f"{place}: the keys must be test, metric, floor and state")
        value = entry["floor"]
        if not isinstance(entry["test"], str) or not TEST.fullmatch(entry["test"]):
            stop(f"{place}: the test is {entry['test']!r}, but must be a Timing case's full name")
        if not isinstance(entry["metric"], str) or not METRIC.fullmatch(entry["metric"]):
            stop(f"{place}: the metric is {entry['metric']!r}, but must be ratio, "
                 "roofline_fraction or variant_ratio:NAME")  # fmt: skip
        if entry["state"] not in STATES:
            stop(f"{place}: the state is {entry['state']!r}, but must be one of "
                 f"{', '.join(STATES)}")  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            stop(f"{place}: the floor is {value!r}, but must be a number above 0")
        floor = Floor(device, entry["test"], entry["metric"], entry["state"], float(value))
        if floor.key in floors:
            stop(f"{place}: a second floor for {floor.name}")
        floors[floor.key] = floor
    return list(floors.values())


def read(folder, device):
    """The floors of a device; None where there is no file for it."""
    path = Path(folder) / file_name(device)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise GateError(f"cannot read {path}: {error}") from None
    return parse(text, path)


def read_folder(folder):
    """The floors of every device. A file's name must be its device's: floors that nobody would find
    judge nothing."""
    floors = []
    if not Path(folder).is_dir():
        raise GateError(f"{folder} is no folder of thresholds")
    for path in sorted(Path(folder).glob("*.json")):
        if path.name.endswith(".schema.json"):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GateError(f"cannot read {path}: {error}") from None
        floors += parse(text, path)
        device = strict_json(text)["device"]
        if path.name != file_name(device):
            raise GateError(f"{path}: holds floors of '{device}', which belong in "
                            f"{file_name(device)}")  # fmt: skip
    return floors


def _figure(estimate, low, high):
    for value in (estimate, low, high):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"{value!r} is no number")
    return None if estimate is None else Figure(estimate, low, high)


def _ratio(value):
    return _figure(*(at(value, key) for key in ("estimate", "low", "high")))


def _roofline(record):
    """With its own interval, else with time's: a fraction goes as one over time, so time's lower
    bound is the fraction's upper."""
    if interval := at(record, "rate", "roofline"):
        return _ratio(interval)
    fraction, median_us = at(record, "rate", "roofline_fraction"), at(record, "time", "median_us")
    if fraction is None or not median_us:
        return None
    low_us = at(record, "time", "low_us") or median_us
    high_us = at(record, "time", "high_us") or median_us
    return _figure(fraction, fraction * median_us / high_us, fraction * median_us / low_us)


def figures(record):
    """{(metric, state): Figure} of what a record measured. GateError for what is no figure."""
    found = {}
    state = at(record, "time", "state")
    try:
        if state:
            found["ratio", state] = _ratio(at(record, "ratio"))
            found["roofline_fraction", state] = _roofline(record)
        for variant in at(record, "variants") or []:
            metric = f"variant_ratio:{at(variant, 'name')}"
            found[metric, at(variant, "time", "state")] = _ratio(at(variant, "ratio"))
    except (TypeError, ValueError) as error:
        raise GateError(f"the record of {at(record, 'test')} is malformed: {error}") from None
    return {key: figure for key, figure in found.items() if figure is not None}


def judge(floor, figure):
    """(verdict, why) of a figure, None where nothing was measured, against a floor."""
    if figure is None:
        return INCONCLUSIVE, "not measured"
    if figure.low is None or figure.high is None:
        return INCONCLUSIVE, "no interval: too few samples"
    if not figure.estimate > 0:
        return FAIL, f"the estimate is {figure.estimate}"
    if figure.high < floor.value:
        return FAIL, f"{100 * (1 - figure.high / floor.value):.2f} % under the floor"
    half_width = (figure.high - figure.low) / 2 / figure.estimate
    if half_width > WIDEST_HALF_WIDTH:
        return INCONCLUSIVE, f"+/- {100 * half_width:.1f} % is too wide"
    return PASS, ""
