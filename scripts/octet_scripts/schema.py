"""Holds records against tests/harness/record.schema.json with the standard library alone, and against
themselves: a record that was edited by hand is no evidence.

The part of JSON Schema that the published schema uses; a keyword that is not among them is an
error of the schema's, so that none is passed over.
"""

import functools
import json
import re
from pathlib import Path

SCHEMA = Path(__file__).resolve().parents[2] / "tests" / "harness" / "record.schema.json"
_SILENT = {"$schema", "$defs", "title", "description", "else"}
_TYPES = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
    "boolean": bool, "null": type(None),
}  # fmt: skip


@functools.lru_cache(maxsize=None)
def load(path=SCHEMA):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def shown(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is(value, name):
    if isinstance(value, bool) and name != "boolean":
        return False
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _same(a, b):
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def mistakes(value, schema, root=None, place=""):
    """Yields one text for each mistake: the place, the value, what it must be."""
    root = root or schema
    at = place or "the record"
    # What follows from another key comes after what is wrong with that key.
    for keyword, wanted in sorted(schema.items(), key=lambda item: item[0] == "if"):
        if keyword in _SILENT:
            continue
        if keyword == "type":
            names = wanted if isinstance(wanted, list) else [wanted]
            if not any(_is(value, name) for name in names):
                yield f"{at} is {shown(value)}, but must be of type {' or '.join(names)}"
                return
        elif keyword == "$ref":
            target = root
            for part in wanted.removeprefix("#/").split("/"):
                target = target[part]
            yield from mistakes(value, target, root, place)
        elif keyword == "const":
            if not _same(value, wanted):
                yield f"{at} is {shown(value)}, but must be {shown(wanted)}"
        elif keyword == "enum":
            if not any(_same(value, one) for one in wanted):
                yield f"{at} is {shown(value)}, but must be one of {', '.join(map(shown, wanted))}"
        elif keyword == "anyOf":
            found = [list(mistakes(value, one, root, place)) for one in wanted]
            if all(found):
                # Of "something or null" the something says more.
                yield from found[0]
        elif keyword == "if":
            if any(mistakes(value, wanted, root, place)):
                yield from mistakes(value, schema.get("else", {}), root, place)
        elif keyword in ("minimum", "maximum"):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                if (value < wanted) if keyword == "minimum" else (value > wanted):
                    bound = "at least" if keyword == "minimum" else "at most"
                    yield f"{at} is {shown(value)}, but must be {bound} {wanted}"
        elif keyword == "minLength":
            if isinstance(value, str) and len(value) < wanted:
                yield f"{at} is empty"
        elif keyword == "pattern":
            if isinstance(value, str) and not re.search(wanted, value):
                yield f"{at} is {shown(value)}, which does not look like one"
        elif keyword == "items":
            for number, item in enumerate(value if isinstance(value, list) else []):
                yield from mistakes(item, wanted, root, f"{place}[{number}]")
        elif keyword == "required":
            if isinstance(value, dict):
                for key in wanted:
                    if key not in value:
                        yield f"{at} lacks the key '{key}'"
        elif keyword == "properties":
            if isinstance(value, dict):
                for key, inner in wanted.items():
                    if key in value:
                        path = f"{place}.{key}" if place else key
                        yield from mistakes(value[key], inner, root, path)
        elif keyword == "additionalProperties":
            if isinstance(value, dict) and wanted is False:
                for key in value:
                    if key not in schema.get("properties", {}):
                        yield f"{at} has the unknown key '{key}'"
        else:
            raise ValueError(f"the schema uses '{keyword}', which this does not know")


def _times(record):
    """(place, time) of every statistics of samples in a record."""
    yield "time", record["time"]
    for variant in record["variants"]:
        yield f"{variant['name']}'s time", variant["time"]
        yield f"{variant['name']}'s steady time", variant["steady"]


def contradictions(record):
    """Yields what a record that keeps to the schema says against itself."""
    status, check = record["status"], record["check"]
    if status == "PASSED":
        if record["reason"] is not None:
            yield f"the status is PASSED, but the reason is {shown(record['reason'])}"
        if check is not None and check["mismatches"]:
            yield f"the status is PASSED, but check.mismatches is {check['mismatches']}"
        for floor in record["floors"]:
            if floor["verdict"] == "FAILED":
                yield f"the status is PASSED, but the floor of {floor['metric']} is FAILED"
    if status == "SKIPPED" and (check is not None or record["time"] is not None):
        yield "the status is SKIPPED, but it was checked or timed"
    for place, time in _times(record):
        if time is None:
            continue
        keys = ("min_us", "q1_us", "median_us", "q3_us", "max_us")
        for keys in (keys, ("low_us", "median_us", "high_us")):
            for a, b in zip(keys, keys[1:]):
                if time[a] > time[b]:
                    yield f"{place}: {a} is {time[a]:g}, over its {b} of {time[b]:g}"
    for floor in record["floors"]:
        high, least = floor["high"], floor["floor"]
        if high is not None and (high < least) != (floor["verdict"] == "FAILED"):
            yield (f"the floor of {floor['metric']} is {least:g} and its upper bound {high:g}, "
                   f"but the verdict is {floor['verdict']}")  # fmt: skip


def problems(record):
    """All that is wrong with a record, one text each."""
    found = list(mistakes(record, load()))
    return found or list(contradictions(record))
