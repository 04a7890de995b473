"""What all plots share: what a figure is, the parts of a step, and figures as text.

A figure draws itself for a width and has its numbers as a table, which stands in for it where it
cannot be seen.
"""

from dataclasses import dataclass

from octet_scripts import table
from octet_scripts.report_data import product_of

PARTS = ("product", "dequantize", "transform", "quantize", "weights", "idle")
PART_NAMES = {
    "native": "16-bit product", "product": "8-bit product", "dequantize": "dequantize",
    "transform": "transform, outliers", "quantize": "quantize", "weights": "quantize weights",
    "idle": "idle",
}  # fmt: skip
ROWS_SHOWN = 120  # of a plot with a row for each case; its table has them all


@dataclass
class Figure:
    name: str
    title: str
    caption: str
    description: str  # what the plot shows, for who does not see it
    draw: object  # from a width to a Canvas
    columns: tuple = ()  # (heading, '<' or '>')
    rows: tuple = ()


UNITS = {"s": 1e-6, "ms": 1e-3, "us": 1}


def unit_of(us):
    return next(unit for unit, factor in UNITS.items() if us * factor >= 0.5 or unit == "us")


def duration(us, unit=None):
    """With three digits or so and its unit."""
    if us is None:
        return table.UNKNOWN
    unit = unit or unit_of(us)
    value = us * UNITS[unit]
    if value >= 100:
        return f"{value:,.0f} {unit}"
    return f"{value:.2f} {unit}" if value >= 10 else f"{value:.3f} {unit}"


def percent(share, decimals=1):
    return table.UNKNOWN if share is None else f"{100 * share:.{decimals}f} %"


def part_of(stage):
    operator = stage.get("operator") or ""
    if operator.startswith("quantize"):
        return "weights" if stage.get("weights") else "quantize"
    if operator.startswith("dequantize"):
        return "dequantize"
    return "product" if product_of(operator) else "transform"
