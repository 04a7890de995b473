"""The main job's table: what a person reads at a glance, from records of the training step.

First one row for each size and dtype: the 16-bit step (the faster of its variants), the int8 step
in both weight modes with ratios, the verdict. Where the step ran in fp8 as well, 16 bits, int8 and
fp8 side by side. Then, for each size and dtype, the six products and what each spends on quantize
and product, and on dequantize where that is not part of the product. At most 100 columns.
"""

import argparse
import os
import re
import signal
import sys
import textwrap
from dataclasses import dataclass

from octet_scripts import records
from octet_scripts.records import at
from octet_scripts.texts import clean, plain_name

WIDTH = 100
OPERATOR = "training_step"
PRODUCTS = ("fc1_fprop", "fc2_fprop", "fc2_dgrad", "fc1_dgrad", "fc2_wgrad", "fc1_wgrad")
NATIVE = ("native", "native_transposed")
EIGHT_BITS = ("int8", "fp8")
DTYPES = ("f16", "bf16")
UNKNOWN = "-"
LEAST_NAME_WIDTH = 10  # a product's name
TAIL_WIDTH = len(" bf16, us")


def shortened(text, width):
    kept = min(TAIL_WIDTH, width // 2)
    return text if len(text) <= width else f"{text[: width - kept - 1]}~{text[-kept:]}"


@dataclass
class Grid:
    """Columns (heading, '<' or '>') and rows of cells."""

    columns: list
    rows: list

    def text(self, whole_names=False):
        rows = [[heading for heading, _ in self.columns],
                *([clean(cell) for cell in row] for row in self.rows)]  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.columns))]
        gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else 1
        # A size's name may be of any user's making: what is too long is cut in its middle, but where
        # the caller needs all of it.
        excess = sum(widths) + gap * (len(widths) - 1) - WIDTH
        if excess > 0 and not whole_names:
            widths[0] = max(LEAST_NAME_WIDTH, widths[0] - excess)
            rows = [[shortened(row[0], widths[0]), *row[1:]] for row in rows]
        lines = []
        for row in rows:
            cells = (
                f"{cell:{align}{width}}"
                for cell, (_, align), width in zip(row, self.columns, widths)
            )
            lines.append((" " * gap).join(cells).rstrip())
        lines.insert(1, "-" * max(len(line) for line in lines))
        return lines

    def markdown(self):
        def line(cells):
            return "| " + " | ".join(cells) + " |"

        rule = ["--:" if align == ">" else ":--" for _, align in self.columns]
        rows = [[plain_name(cell.strip()) for cell in row] for row in self.rows]
        return [line([heading for heading, _ in self.columns]), line(rule), *map(line, rows)]


def number(value, decimals):
    return UNKNOWN if value is None else f"{value:,.{decimals}f}"


def ratio_text(value):
    return UNKNOWN if value is None else f"{value:.2f}x"


def known_sum(values):
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def quotient(numerator, denominator):
    return numerator / denominator if numerator is not None and denominator else None


def processes(ids):
    return f"process{'es' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"


def pad_marks(cells):
    """Where a cell of a column ends in a mark, gives the others a blank in its place."""
    if not any(cell[-1:] in "*!" for cell in cells if cell):
        return cells
    return [cell if cell[-1:] in "*!" else cell + " " for cell in cells]


KINDS = {"spmm": "outliers", "sort": "outliers"}


def kind_of(operator):
    """The column that a stage's time belongs to."""
    starts = ("quantize", "dequantize", "transform", "spmm", "sort")
    start = next((s for s in starts if operator.startswith(s)), "product")
    return KINDS.get(start, start)


class Step:
    """What the table says of one record."""

    def __init__(self, record):
        self.record = record
        self.size = at(record, "problem", "size") or UNKNOWN
        self.dtype = at(record, "dtype") or UNKNOWN
        self.status = at(record, "status") or UNKNOWN
        self.reason = at(record, "reason")
        self.variants = {v.get("name"): v for v in at(record, "variants") or []}
        timed = [name for name in NATIVE if self.median(name) is not None]
        self.native = min(timed, key=self.median, default=None)

    def median(self, variant):
        return at(self.variants.get(variant), "time", "median_us")

    def state(self):
        states = [at(v, "time", "state") for v in self.variants.values()]
        return next((s for s in [*states, at(self.record, "time", "state")] if s), None)

    def ratio(self, variant):
        """Of the faster 16-bit variant's time to this one's: the record's estimate, if any."""
        estimate = at(self.variants.get(variant), "ratio", "estimate")
        if estimate is not None:
            return estimate
        return quotient(self.median(self.native), self.median(variant))

    def mark(self, variant):
        if at(self.variants.get(variant), "time", "throttled"):
            return "!"
        return "*" if at(self.variants.get(variant), "derived") else ""

    def stage_us(self, variant, product, kind, weights=None):
        """What the stages of some kinds add up to; None where there is none."""

        return known_sum(
            stage.get("median_us")
            for stage in at(self.record, "stages") or []
            if stage.get("variant") == variant
            and stage.get("product") == product
            and kind_of(stage.get("operator") or "") in kind
            and (weights is None or bool(stage.get("weights")) == weights)
        )

    def has_stages(self, kind):
        stages = at(self.record, "stages") or []
        return any(kind_of(stage.get("operator") or "") == kind for stage in stages)

    def options(self):
        """What is not as it is by default, in words."""
        record = self.record
        layout, threshold = at(record, "layout"), at(record, "step", "threshold")
        texts = [layout] if layout not in (None, "row") else []
        if threshold is not None:
            texts.append(f"threshold {threshold:g} by {at(record, 'step', 'outlier_mode')}")
        texts += ["bias"] if at(record, "step", "bias") else []
        overlap = at(record, "step", "overlap")
        texts += [f"overlap of {overlap}"] if overlap not in (None, "branches") else []
        if at(record, "step", "gradient_rounding") == "stochastic":
            texts.append("gradients rounded stochastically")
        texts += [record["data"]] if record.get("data") not in (None, "gaussian") else []
        return tuple(texts)

    def commit(self):
        build = at(self.record, "build") or {}
        return str(build.get("git") or "unknown")[:12] + (" (dirty)" if build.get("dirty") else "")

    def commit_lines(self, first):
        """Where it is not the commit of the group's first step, which the heading names."""
        own = self.commit()
        return [] if own == first.commit() else [f"{self.size} {self.dtype}: commit {own}"]

    def outlier_lines(self):
        found = [
            f"{entry['tensor']} {entry['count']:,} ({100 * entry['share']:.3f} %)"
            for entry in at(self.record, "step", "outliers") or []
        ]
        return [f"{self.size} {self.dtype} outliers: {', '.join(found)}"] if found else []

    def tensor_lines(self):
        """What a step on tensors of its user's ran on."""
        tensors = at(self.record, "tensors")
        if tensors is None:
            return []
        text = f"{self.size} {self.dtype}: tensors of {tensors['file']}"
        for stored in sorted({tensors["types"][name] for name in tensors["converted"]}):
            names = [n for n in tensors["converted"] if tensors["types"][n] == stored]
            text += f", converted from {stored}: {', '.join(names)}"
        return textwrap.wrap(text, WIDTH, subsequent_indent="  ")

    def kinds(self):
        """Of eight bits, that the record has steps in."""
        return [kind for kind in EIGHT_BITS if f"{kind}_every_step" in self.variants]

    def relative_error(self, product, kind="int8"):
        """Of the int8 step's result, or the fp8 step's where the record has that beside it."""
        for entry in at(self.record, "products") or []:
            if entry.get("product") == product:
                beside = kind == "fp8" and "int8" in self.kinds()
                return at(entry, "fp8", "rel_frobenius") if beside else entry.get("rel_frobenius")
        return None

    def verdict_lines(self):
        texts = []
        if self.status != "PASSED" or self.reason:
            texts.append(f" {self.status}: {self.reason or 'no reason recorded'}")
        if busy := at(self.record, "device", "busy"):
            texts.append(f": the GPU was busy with {processes(busy)} as well")
        texts += [f": {name} was not stationary in the steady state: it drifted by {drift:+.1%}"
                  for name, drift in self.drifting()]  # fmt: skip
        return [line for text in texts
                for line in textwrap.wrap(f"{self.size} {self.dtype}{text}", WIDTH,
                                          subsequent_indent="  ")]  # fmt: skip

    def drifting(self):
        """(variant, drift) of those that did not come to rest."""
        for name, variant in self.variants.items():
            if at(variant, "steady", "stationary") is False:
                yield name, at(variant, "steady", "drift") or 0

    def sort_key(self):
        dtype = DTYPES.index(self.dtype) if self.dtype in DTYPES else len(DTYPES)
        return (at(self.record, "problem", "model") or 0, dtype)


def summary(steps):
    """One row for each size and dtype."""
    names = ("int8_every_step", "int8_kept")
    times = [step.median(name) for step in steps for name in (step.native, *names)]
    largest = max((t for t in times if t is not None), default=0)
    unit, factor, decimals = ("s", 1e-6, 2) if largest >= 1e6 else ("ms", 1e-3, 3)

    def time_cell(step, name):
        us = step.median(name)
        return number(None if us is None else us * factor, decimals) + step.mark(name)

    columns = [("size", "<"), ("dtype", "<"), (f"16-bit {unit}", ">"), ("variant", "<")]
    cells = [
        [step.size for step in steps],
        [step.dtype for step in steps],
        pad_marks([time_cell(step, step.native) for step in steps]),
        [step.native or UNKNOWN for step in steps],
    ]
    for heading, name in zip(("int8", "int8 kept"), names):
        columns += [(f"{heading} {unit}", ">"), ("ratio", ">")]
        cells.append(pad_marks([time_cell(step, name) for step in steps]))
        cells.append([ratio_text(step.ratio(name)) for step in steps])
    columns.append(("verdict", "<"))
    cells.append([step.status for step in steps])
    return Grid(columns, [list(row) for row in zip(*cells)])


def steady(steps):
    """Time and energy of a step once the card is at its power cap; None where it was not taken."""
    columns = [("steady", "<"), ("dtype", "<")]
    for heading in ("16-bit", "int8", "int8 kept"):
        columns += [(f"{heading} ms", ">"), ("joules", ">")]
        columns += [("ratio", ">")] if heading != "16-bit" else []
    rows = []
    for step in steps:
        taken = {name: at(v, "steady") for name, v in step.variants.items() if at(v, "steady")}
        native = min(
            (taken[name] for name in NATIVE if name in taken),
            key=lambda time: time["median_us"],
            default=None,
        )
        if native is None:
            continue
        row = [step.size, step.dtype]
        for time in (native, taken.get("int8_every_step"), taken.get("int8_kept")):
            us = at(time, "median_us")
            row += [number(None if us is None else us * 1e-3, 3), number(at(time, "joules"), 3)]
            row += [ratio_text(quotient(native["median_us"], us))] if time is not native else []
        rows.append(row)
    return Grid(columns, rows) if rows else None


def beside(steps):
    """16 bits, int8 and fp8 side by side; None where no record has a step in fp8."""
    columns = [("size", "<"), ("dtype", "<"), ("in", "<")]
    for weights in ("", "kept "):
        columns += [(f"{weights}ms", ">"), ("ratio", ">"), ("steady", ">"), ("joules", ">")]
    columns.append(("rel error", ">"))
    rows = []
    for step in steps:
        if "fp8" not in step.kinds():
            continue
        for kind in ("16-bit", *step.kinds()):
            names = [f"{kind}_every_step", f"{kind}_kept"]
            row = [step.size, step.dtype, kind]
            for name in [step.native] if kind == "16-bit" else names:
                us, steadily = step.median(name), at(step.variants.get(name), "steady")
                steady_us = at(steadily, "median_us")
                row += [
                    number(None if us is None else us * 1e-3, 3),
                    UNKNOWN if kind == "16-bit" else ratio_text(step.ratio(name)),
                    number(None if steady_us is None else steady_us * 1e-3, 3),
                    number(at(steadily, "joules"), 3),
                ]
            errors = [step.relative_error(product, kind) for product in PRODUCTS]
            known = [error for error in errors if error is not None] if kind != "16-bit" else []
            row += [UNKNOWN] * (len(columns) - 1 - len(row))
            row.append(f"{100 * max(known):.3f} %" if known else UNKNOWN)
            rows.append(row)
    return Grid(columns, rows) if rows else None


def split_scale(largest_us, columns):
    """Unit, its factor and decimals: where there are more columns, fewer digits in each."""
    if columns < 6:
        return "us", 1, 1 if largest_us < 1e5 else 0
    unit, factor = ("ms", 1e-3) if largest_us >= 1e6 else ("us", 1)
    return unit, factor, 1 if largest_us * factor < 1e4 else 0


def split(step, kind="int8"):
    """One row for each product, and their sum."""
    extra = [kind for kind in ("transform", "outliers") if step.has_stages(kind)]
    # In the order of the pipeline; weights are quantized and transformed.
    parts = [("quantize", ["quantize"], False), ("weights", ["quantize", "transform"], True)]
    parts += [("transform", ["transform"], False)] if "transform" in extra else []
    parts += [("product", ["product"], None)]
    parts += [("dequantize", ["dequantize"], None)] if step.has_stages("dequantize") else []
    parts += [("outliers", ["outliers"], None)] if "outliers" in extra else []
    rows = []
    for product in PRODUCTS:
        times = [step.stage_us(kind, product, kinds, weights) for _, kinds, weights in parts]
        native = step.stage_us("native", product, ["product"])
        rows.append([*times, known_sum(times), native])
    rows.append([known_sum(column) for column in zip(*rows)])
    largest = max((v for row in rows for v in row if v is not None), default=0)
    unit, factor, decimals = split_scale(largest, len(rows[0]) - 1)
    errors = [step.relative_error(product, kind) for product in PRODUCTS] + [None]
    headings = [*(heading for heading, _, _ in parts), kind, "16-bit", "ratio", "rel error"]
    what = step.size if kind == "int8" else f"{step.size} {kind}"
    return Grid(
        [(f"{what} {step.dtype}, {unit}", "<")] + [(heading, ">") for heading in headings],
        [
            [
                name,
                *(number(None if us is None else us * factor, decimals) for us in row),
                ratio_text(quotient(row[-1], row[-2])),
                UNKNOWN if error is None else f"{100 * error:.3f} %",
            ]
            for name, row, error in zip((*PRODUCTS, "sum"), rows, errors)
        ],
    )


def driver_text(version):
    return f"{version // 1000}.{version % 1000 // 10}" if version else None


def heading(steps):
    """Two texts about where and when a group of steps ran."""
    record = steps[0].record
    device = at(record, "device", "name") or "an unknown device"
    what = f"Training step, {at(record, 'backend')} on {device}"
    if steps[0].state() not in (None, "none"):
        what += f", {steps[0].state()}"
    what += "".join(f", {text}" for text in steps[0].options())
    build = at(record, "build") or {}
    facts = [f"commit {steps[0].commit()}"] + [
        f"{name} {value}"
        for name, value in (
            ("CUDA", build.get("cuda")),
            ("cuBLASLt", build.get("cublaslt")),
            ("driver for CUDA", driver_text(at(record, "device", "driver"))),
        )
        if value
    ]
    return what, ", ".join([*facts, str(at(record, "time_utc") or "at an unknown time")])


def legend(steps):
    lines = [
        "Medians. ratio: 16-bit time / int8 time. 16-bit: the faster of native (operands as they lie)",
        "and native_transposed (transposed beforehand). int8: weights quantized in every step; int8",
        "kept: weights kept quantized.",
    ]
    marks = {step.mark(name) for step in steps for name in step.variants}
    if "*" in marks:
        lines.append("* the sum of its stages, not timed as a whole")
    if "!" in marks:
        lines.append("! the clock was throttled while this was timed")
    return lines


SPLIT_LEGEND = [
    "Each stage where it stands in the step, in us. quantize: activations and gradients, charged to",
    "the first product that reads them; weights: likewise, and nothing when they are kept. rel error:",
    "relative Frobenius error of the int8 step's result against the 16-bit step's.",
]


BESIDE_LEGEND = [
    "fp8: e4m3 with a scale for each row, through cuBLASLt. kept: weights kept quantized. steady,",
    "joules: ms and energy of a step in the steady state. rel error: the largest of the products'.",
]


def split_legend(steps):
    lines = list(SPLIT_LEGEND)
    if beside(steps):
        lines += BESIDE_LEGEND
    if any(", ms" in grid.columns[0][0] for grid in map(split, steps)):
        lines[0] = lines[0].replace("in us", "in us or ms")
    if any(step.has_stages("transform") for step in steps):
        lines.append("transform: activations and gradients into tiles; that of weights is in weights.")
    if any(step.has_stages("outliers") for step in steps):
        lines.append("outliers: their 16-bit part, sorted where that is needed, and added.")
    if any(at(step.record, "step", "bias") for step in steps):
        lines.append("product: in weight gradients with the sum that is the bias' gradient.")
    return lines


def groups(steps):
    """Steps that may stand in one table: of one backend, device, power state, and with like options."""
    by_key = {}
    for step in steps:
        record = step.record
        key = (at(record, "backend"), at(record, "device", "name"), step.state(), step.options())
        by_key.setdefault(key, []).append(step)
    return [sorted(group, key=Step.sort_key) for group in by_key.values()]


def render(recorded, markdown=False):
    """The table as text, of all training steps among the records; empty where there is none."""
    steps = [Step(record) for record in recorded if at(record, "operator") == OPERATOR]
    lines = []
    for group in groups(steps):
        what, facts = heading(group)
        verdicts = [line for step in group
                    for line in (*step.commit_lines(group[0]), *step.tensor_lines(),
                                 *step.outlier_lines(), *step.verdict_lines())]  # fmt: skip
        if not markdown:
            verdicts = [clean(line) for line in verdicts]
        grids = [
            split(step, kind)
            for step in group
            for kind in step.kinds() or ["int8"]
            if at(step.record, "stages")
        ]
        grids = [grid for grid in (steady(group), beside(group), *grids) if grid]
        if markdown:
            lines += [f"**{plain_name(what)}** ({plain_name(facts)})", "", *summary(group).markdown(), ""]
            lines += [line for text in verdicts for line in (plain_name(text), "")]
            lines += [" ".join(legend(group)), ""]
            for grid in grids:
                lines += [*grid.markdown(), ""]
            lines += [" ".join(split_legend(group)), ""] if grids else []
        else:
            for text in (what, facts):
                lines += textwrap.wrap(clean(text), WIDTH)
            lines += ["", *summary(group).text(), *verdicts, "", *legend(group), ""]
            for grid in grids:
                lines += [*grid.text(), ""]
            lines += [*split_legend(group), ""] if grids else []
    return "\n".join(lines)


COLOURS = {"PASSED": "32", "FAILED": "31", "MISTRUSTED": "31", "INVALID": "31", "SKIPPED": "33"}


def takes_colour(stream):
    """A terminal does, unless its user says otherwise (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text):
    """The verdicts in colour: at the ends of rows, and before the reason where one is told."""
    return re.sub(
        rf"\b({'|'.join(COLOURS)})(?=$|: )",
        lambda found: f"\x1b[{COLOURS[found[1]]}m{found[1]}\x1b[0m",
        text,
        flags=re.MULTILINE,
    )


def main(arguments=None):
    """Exit status: 0 printed, 2 nothing to print, or some lines are no records; what is one is
    printed nonetheless."""
    parser = argparse.ArgumentParser(
        prog="scripts/table", description="Prints the main job's table from records."
    )
    parser.add_argument("--markdown", action="store_true", help="as Markdown tables")
    parser.add_argument("records", nargs="+", metavar="RECORDS", help="a file of JSON Lines")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that stops reading is no error
    recorded, problems = [], []
    for path in options.records:
        try:
            found, wrong = records.read(path, strict=True)
        except OSError as error:
            print(f"scripts/table: cannot read {path}: {error.strerror}", file=sys.stderr)
            return 2
        recorded += found
        problems += wrong
    for problem in problems:
        print(f"scripts/table: left out {problem}", file=sys.stderr)
    text = render(recorded, options.markdown)
    if not text:
        print(
            f"scripts/table: no training step among {len(recorded)} records", file=sys.stderr
        )
        return 2
    in_colour = takes_colour(sys.stdout) and not options.markdown
    print(painted(text) if in_colour else text, end="")
    return 2 if problems else 0
