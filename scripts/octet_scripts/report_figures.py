"""The plots of one run: its steps, its roofline, its errors, its ratios against the floors.

A figure draws itself for a width and has its numbers as a table, which stands in for it where it
cannot be seen.
"""

from dataclasses import dataclass
from statistics import median

from octet_scripts import table
from octet_scripts.gate_verdict import FAIL, PASS
from octet_scripts.records import at
from octet_scripts.report_data import (
    is_int8, measured, product_of, step_name, suite_and_problem,
)  # fmt: skip
from octet_scripts.report_svg import Canvas, Linear, Log, fit, spread, width_of

PARTS = ("product", "dequantize", "transform", "quantize", "weights", "idle")
PART_NAMES = {
    "native": "16-bit product", "product": "int8 product", "dequantize": "dequantize",
    "transform": "transform, outliers", "quantize": "quantize", "weights": "quantize weights",
    "idle": "idle",
}  # fmt: skip
SHAPES = ("circle", "square", "diamond", "triangle")
ROWS_SHOWN = 120  # of ratios; the table has them all


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


# ---- the step ----


@dataclass
class Bar:
    label: str
    whole_us: float
    parts: dict  # of PARTS or "native", us; idle may be negative: stages that overlap
    ratio: float = None
    mark: str = ""


def part_of(stage):
    operator = stage.get("operator") or ""
    if operator.startswith("quantize"):
        return "weights" if stage.get("weights") else "quantize"
    if operator.startswith("dequantize"):
        return "dequantize"
    return "product" if product_of(operator) else "transform"


def parts_of(step, variant, name):
    """Of a whole: what its stages took, and the rest as idle."""
    parts = {}
    for stage in at(step.record, "stages") or []:
        us = stage.get("median_us")
        kept = name == "int8_kept" and stage.get("weights")
        if stage.get("variant") == variant and us is not None and not kept:
            part = "native" if variant == "native" else part_of(stage)
            parts[part] = parts.get(part, 0) + us
    if parts:
        parts["idle"] = step.median(name) - sum(parts.values())
    return parts


def bars_of(step):
    bars = []
    for label, variant, name in (
        ("16-bit", "native", step.native),
        ("int8", "int8", "int8_every_step"),
        ("int8, weights kept", "int8", "int8_kept"),
    ):
        whole = step.median(name) if name else None
        if whole:
            ratio = step.ratio(name) if variant == "int8" else None
            bars.append(Bar(label, whole, parts_of(step, variant, name), ratio, step.mark(name)))
    return bars


def draw_bar(canvas, bar, unit, x, y, width, height):
    """Segments as long as their share; stages that overlap are shortened to fit the whole."""
    parts = {part: us for part, us in bar.parts.items() if us > 0}
    if not parts:
        parts = {"native" if bar.label == "16-bit" else "idle": bar.whole_us}
        tip = f"{bar.label}: {duration(bar.whole_us)}, not split"
        canvas.rect(x, y, width, height, f"f-{next(iter(parts))}", tip)
        return
    total = sum(parts.values())
    for part in ("native", *PARTS):
        if part not in parts:
            continue
        length = width * parts[part] / total
        tip = (f"{bar.label}: {PART_NAMES[part]} {duration(parts[part])}, "
               f"{percent(parts[part] / bar.whole_us)} of the step")  # fmt: skip
        canvas.rect(x, y, length - (1 if length > 3 else 0), height, f"f-{part}", tip)
        us = duration(parts[part], unit).split()[0]
        for text in (f"{PART_NAMES[part]} {us}", us):
            if width_of(text, 11) + 10 <= length:
                canvas.text(x + 5, y + height / 2 + 4, text, f"small f-on-{part}")
                break
        x += length


def draw_steps(steps, width):
    canvas = Canvas(width)
    left, right = (0, 0) if canvas.narrow else (140, 150)
    groups = [(step, bars_of(step)) for step in steps]
    wholes = [bars[0].whole_us for _, bars in groups]
    unit = unit_of(min(wholes))
    longest = max(bar.whole_us / whole for (_, bars), whole in zip(groups, wholes) for bar in bars)
    scale = Linear(0, longest * 1.001, left, width - right)
    used = {part for _, bars in groups for bar in bars for part, us in bar.parts.items() if us > 0}
    y = canvas.key(12, [(p, PART_NAMES[p]) for p in ("native", *PARTS) if p in used]) + 6
    height, pitch = (20, 40) if canvas.narrow else (22, 26)
    for (step, bars), whole in zip(groups, wholes):
        y += 14
        shape = at(step.record, "problem") or {}
        what = ", ".join(f"{shape[key]:,} {name}" for key, name in
                         (("model", "wide"), ("hidden", "hidden")) if shape.get(key))  # fmt: skip
        name = fit(step_name(step), width - 8, 13)
        canvas.text(0, y, name, "bold")
        if width_of(name) + width_of(what) + 20 < width:
            canvas.text(width_of(name) + 14, y, what, "f-muted")
        y += 8
        for bar in bars:
            if bars[0].label == "16-bit":
                top = y + 13 if canvas.narrow else y - 4
                canvas.line(scale(1), top, scale(1), y + pitch - 1, "s-ink thin dash")
            length = scale(bar.whole_us / whole) - left
            value = duration(bar.whole_us, unit) + bar.mark
            ratio = table.ratio_text(bar.ratio) if bar.ratio else ""
            if canvas.narrow:
                canvas.text(0, y + 11, bar.label, "halo f-muted")
                canvas.text(width, y + 11, f"{value}  {ratio}".strip(), "halo", "end")
                draw_bar(canvas, bar, unit, left, y + 16, length, height)
            else:
                canvas.text(left - 10, y + 15, bar.label, "", "end")
                draw_bar(canvas, bar, unit, left, y, length, height)
                canvas.text(width - 62, y + 15, value, "f-muted", "end")
                canvas.text(width, y + 15, ratio, "bold", "end")
            y += pitch
        y += 10
    canvas.height = y
    return canvas


def step_figures(runs):
    figures = []
    for number, run in enumerate(runs, 1):
        steps = [step for step in run.steps if bars_of(step)]
        if not steps:
            continue
        used = [p for p in ("native", *PARTS) if any(p in b.parts for s in steps
                                                     for b in bars_of(s))]  # fmt: skip
        rows, overlap = [], 0
        for step in steps:
            bars = bars_of(step)
            unit = unit_of(min(bar.whole_us for bar in bars))
            for bar in bars:
                cells = [duration(bar.parts.get(p), unit) for p in used]
                overlap = max(overlap, -bar.parts.get("idle", 0) / bar.whole_us)
                rows.append((step_name(step), bar.label, duration(bar.whole_us, unit) + bar.mark,
                             table.ratio_text(bar.ratio), *cells))  # fmt: skip
        notes = []
        if overlap > 0:
            notes.append(f"Timed one by one, parts add up to as much as {percent(overlap)} more "
                         "than the whole; they are drawn shortened to it.")  # fmt: skip
        if any(row[2].endswith("*") for row in rows):
            notes.append("* the sum of its parts, not timed as a whole.")
        if any(row[2].endswith("!") for row in rows):
            notes.append("! the clock was throttled.")
        said = "; ".join(f"{row[0]} {row[1]} {row[2]}" + (f", {row[3]}" if row[3] != "-" else "")
                         for row in rows)  # fmt: skip
        figures.append(Figure(
            f"step_{number}", f"The step on {run.label}", " ".join(notes), f"Stacked bars. {said}.",
            lambda width, steps=steps: draw_steps(steps, width),
            (("step", "<"), ("variant", "<"), ("whole", ">"), ("ratio", ">"),
             *((PART_NAMES[p], ">") for p in used)),
            rows,
        ))  # fmt: skip
    return figures


# ---- the roofline ----


@dataclass
class Group:
    """The cases of one operator and type."""

    name: str
    role: str
    shape: str
    points: list  # (operations a byte, TOPS, share of the roof, problem)


def groups_of(run):
    by_name = {}
    for record in run.operators:
        operator, dtype = record["operator"], at(record, "dtype") or ""
        name = operator if operator.endswith(dtype) else f"{operator} {dtype}"
        by_name.setdefault(name, []).append(record)
    groups, of_role = [], {}
    for name, recorded in by_name.items():
        operator = recorded[0]["operator"]
        role = part_of({"operator": operator})
        if role == "product" and not is_int8(operator):
            role = "half"
        shape = SHAPES[of_role.get(role, 0) % len(SHAPES)]
        points = []
        for record in recorded:
            cost, rate = at(record, "cost") or {}, at(record, "rate") or {}
            bytes_, operations, tops = cost.get("bytes"), cost.get("operations"), rate.get("tops")
            intensity = operations / bytes_ if bytes_ and operations else None
            points.append((intensity, tops or None, rate.get("roofline_fraction"),
                           suite_and_problem(record["test"])[1]))  # fmt: skip
        if any(p[2] is not None or (p[0] and p[1]) for p in points):
            of_role[role] = of_role.get(role, 0) + 1
            groups.append(Group(name, role, shape, points))
    return groups


def roofs_of(run):
    """(memory, TB/s; [(name, TOPS) of the tensor cores]): the highest that the run measured."""
    copies, peaks = [], {}
    for record in run.cases:
        copy, peak = at(record, "rate", "copy_gb_per_s"), at(record, "rate", "peak_tops")
        if copy:
            copies.append(copy / 1e3)
        if peak:
            int8 = is_int8(record["operator"]) or record["operator"] == table.OPERATOR
            peaks.setdefault("int8" if int8 else "16-bit", []).append(peak)
    return max(copies, default=None), [(name, max(peaks[name])) for name in sorted(peaks)][::-1]


def draw_roofline(groups, memory, peaks, width):
    canvas = Canvas(width)
    left, right, top = 46, 14, 30
    if canvas.narrow:
        top = mark_key(canvas, groups) + 20
    bottom = top + (280 if canvas.narrow else 400)
    canvas.height = bottom + 44
    points = [(x, y) for group in groups for x, y, _, _ in group.points if x and y]
    highest = max([y for _, y in points] + [peak for _, peak in peaks])
    x_low, x_high = min(x for x, _ in points) / 2.5, max(x for x, _ in points) * 2.5
    if memory and peaks:
        x_high = max(x_high, 3 * max(peak for _, peak in peaks) / memory)
    roof_end = x_high
    if not canvas.narrow:
        x_high *= 6  # room for the names beside the marks
    y_low = min(y for _, y in points) / 2.5
    x = Log(x_low, x_high, left, width - right)
    y = Log(y_low, highest * 1.9, bottom, top)
    for value, text in x.ticks(6):
        canvas.line(x(value), top, x(value), bottom)
        canvas.text(x(value), bottom + 17, text, "small f-muted", "middle")
    for value, text in y.ticks(6):
        canvas.line(left, y(value), width - right, y(value))
        canvas.text(left - 7, y(value) + 4, text, "small f-muted", "end")
    canvas.text(0, top - 16, "TOPS", "f-muted small")
    canvas.text(width - right, bottom + 36, "operations a byte", "f-muted small", "end")
    if memory:
        ceiling = max((peak for _, peak in peaks), default=y.high)
        start = max(x_low, y_low / memory)
        end = min(roof_end, ceiling / memory)
        if start < end:
            ends = [(x(v), y(v * memory)) for v in (start, end)]
            canvas.path(ends, "s-ink thick none")
            (x1, y1), (x2, y2) = ends
            canvas.text((x1 + x2) / 2 - 8, (y1 + y2) / 2 - 8, f"copy {memory:.2f} TB/s", "halo", "end")
    for i, (name, peak) in enumerate(peaks):
        start = max(x_low, peak / memory) if memory else x_low
        canvas.line(x(start), y(peak), x(roof_end), y(peak), "s-ink thick")
        # To the left of where it begins, above the roof of the memory, nothing lies.
        free = x(start) - 8 if memory else width - right
        height = spread([y(other) for _, other in peaks], 15, top, bottom)[i]
        canvas.text(free, height + (4 if memory else -6),
                    f"{name} tensor cores {peak:,.0f} TOPS", "halo", "end")  # fmt: skip
    for group in groups:
        for intensity, tops, share, problem in group.points:
            if intensity and tops:
                tip = (f"{group.name} {problem}: {tops:,.4g} TOPS at {intensity:,.3g} operations a "
                       f"byte, {percent(share)} of its roof")  # fmt: skip
                canvas.mark(x(intensity), y(tops), group.role, group.shape, tip)
    if not canvas.narrow:
        label_groups(canvas, groups, x, y, x(roof_end), (top + 8, bottom - 6))
    return canvas


def mark_key(canvas, groups):
    """Each group's mark and name, where there is no room beside the marks; the next free y."""
    x, y = 6, 10
    for group in groups:
        width = 32 + width_of(group.name)
        if x > 6 and x + width > canvas.width:
            x, y = 6, y + 19
        canvas.mark(x, y - 4, group.role, group.shape)
        canvas.text(x + 10, y, group.name, "f-muted")
        x += width
    return y + 19


def label_groups(canvas, groups, x, y, roof_end, along):
    """Each group's name to the right of it and its neighbours, with a line to its nearest mark."""
    left = []  # [(group, marks)] from left to right, in clusters
    for group in groups:
        marks = [(x(i), y(t)) for i, t, _, _ in group.points if i and t]
        left.append((min(m[0] for m in marks), group, marks))
    left.sort(key=lambda entry: entry[0])
    while left:
        edge, cluster = left[0][0], []
        while left and left[0][0] <= edge + 150:
            _, group, marks = left.pop(0)
            cluster.append((group, marks))
            edge = max([edge, *(m[0] for m in marks)])
        at_x = edge + 28 if edge + 150 < roof_end else max(edge + 28, roof_end + 8)
        centres = [sum(m[1] for m in marks) / len(marks) for _, marks in cluster]
        for (group, marks), height in zip(cluster, spread(centres, 17, *along)):
            near = min(marks, key=lambda m: abs(m[0] - at_x) + abs(m[1] - height))
            canvas.line(near[0] + 7, near[1], at_x - 4, height, "s-line thin")
            canvas.text(at_x, height + 4, group.name, "halo")


def draw_shares(groups, width):
    """How much of its roof each case reaches: a row for each operator, a mark for each case."""
    canvas = Canvas(width)
    left, right = (0, 0) if canvas.narrow else (170, 150)
    shares = [share for group in groups for _, _, share, _ in group.points if share is not None]
    scale = Linear(0, max(1.05, 1.03 * max(shares)), left + 6, width - right - 6)
    pitch = 44 if canvas.narrow else 28
    top, y = 22, 22
    rows = [(group, [p for p in group.points if p[2] is not None]) for group in groups]
    rows = [(group, points) for group, points in rows if points]
    bottom = top + pitch * len(rows)
    for value, text in scale.ticks(5):
        css = "s-ink thin" if abs(value - 1) < 1e-9 else "s-grid thin"
        canvas.line(scale(value), top - 4, scale(value), bottom, css)
        text = f"{100 * value:.0f} %"
        canvas.text(scale(value), top - 9, text, "small f-muted", "middle")
    for group, points in rows:
        middle = sorted(p[2] for p in points)[len(points) // 2]
        low, high = min(p[2] for p in points), max(p[2] for p in points)
        said = f"{100 * low:.0f}" + (f" \u2013 {100 * high:.0f} %" if high > low else " %")
        at_y = y + (32 if canvas.narrow else 14)
        if canvas.narrow:
            canvas.text(0, y + 18, group.name, "halo")
            canvas.text(width, y + 18, said, "halo f-muted", "end")
        else:
            canvas.text(left - 12, at_y + 4, fit(group.name, left - 16), "", "end")
            canvas.text(width, at_y + 4, said, "f-muted", "end")
        canvas.line(scale(low), at_y, scale(high), at_y, "s-line thin")
        for _, _, share, problem in points:
            tip = f"{group.name} {problem}: {percent(share)} of its roof"
            canvas.mark(scale(share), at_y, group.role, group.shape, tip,
                        5.5 if share == middle else 4)  # fmt: skip
        y += pitch
    canvas.height = bottom + 6
    return canvas


def roofline_figures(runs):
    figures = []
    for number, run in enumerate(runs, 1):
        groups, (memory, peaks) = groups_of(run), roofs_of(run)
        plotted = [g for g in groups if any(p[0] and p[1] for p in g.points)]
        columns = (("operator", "<"), ("case", "<"), ("operations a byte", ">"), ("TOPS", ">"),
                   ("of its roof", ">"))  # fmt: skip
        rows = [
            (group.name, problem, table.UNKNOWN if i is None else f"{i:,.3g}",
             table.UNKNOWN if t is None else f"{t:,.4g}", percent(share))
            for group in groups for i, t, share, problem in group.points
        ]  # fmt: skip
        if plotted:
            roofs = [f"copy {memory:.2f} TB/s"] if memory else []
            roofs += [f"{name} tensor cores {peak:,.0f} TOPS" for name, peak in peaks]
            caption = "Every timed operator, a mark for each case. " + (
                f"Roofs are the highest of the same run: {', '.join(roofs)}; a case is held "
                "against what was measured beside it, at its own clock." if roofs
                else "The run measured no roof."
            )  # fmt: skip
            figures.append(Figure(
                f"roofline_{number}", f"Roofline of {run.label}", caption,
                "Log-log plot of TOPS over operations a byte for "
                + ", ".join(g.name for g in plotted) + f". {caption}",
                lambda width, g=plotted, m=memory, p=peaks: draw_roofline(g, m, p, width),
                columns, rows,
            ))  # fmt: skip
        reached = [g for g in groups if any(p[2] is not None for p in g.points)]
        if reached:
            said = "; ".join(
                f"{g.name} {percent(median(p[2] for p in g.points if p[2] is not None), 0)}"
                for g in reached
            )
            figures.append(Figure(
                f"roof_{number}", f"How near its roof, {run.label}",
                "Time that the nearer roof allows / time taken, a mark for each case, a larger one "
                "for the middle of an operator's cases. Over 100 %: faster than the copy that it "
                "was timed beside.", f"Medians: {said}.",
                lambda width, g=reached: draw_shares(g, width),
            ))  # fmt: skip
    return figures


# ---- errors ----


def draw_errors(products, width):
    canvas = Canvas(width)
    left, right = (0, 0) if canvas.narrow else (110, 190)
    worst = max(w for entries in products.values() for _, _, w, _ in entries)
    scale = Linear(0, 1.04 * worst if worst > 0 else 1, left + 2, width - right - 6)
    top, y = 22, 22
    pitch = 13
    height = {name: max(26, pitch * len(e) + 12) + (22 if canvas.narrow else 0)
              for name, e in products.items()}  # fmt: skip
    bottom = top + sum(height.values())
    ticks = scale.ticks(5)
    for value, _ in ticks:
        canvas.line(scale(value), top - 4, scale(value), bottom)
        canvas.text(scale(value), top - 9, f"{100 * value:g} %" if value else "0",
                    "small f-muted", "middle" if value else "start")  # fmt: skip
    for name, entries in products.items():
        low, high = min(e[1] for e in entries), max(e[1] for e in entries)
        said = f"{100 * low:.2f}" + (f" \u2013 {100 * high:.2f} %" if high > low else " %")
        said += f", worst line {100 * max(e[2] for e in entries):.2f} %"
        head = 22 if canvas.narrow else 0
        middle = y + head + (height[name] - head) / 2
        if canvas.narrow:
            canvas.text(0, y + 15, name, "halo")
            canvas.text(width, y + 15, said, "halo f-muted small", "end")
        else:
            canvas.text(left - 12, middle + 4, name, "", "end")
            canvas.text(width, middle + 4, said, "f-muted", "end")
        for i, (case, error, line, role) in enumerate(entries):
            at_y = middle + pitch * (i - (len(entries) - 1) / 2)
            tip = f"{name}, {case}: {percent(error, 3)}, worst line {percent(line, 3)}"
            canvas.line(scale(error), at_y, scale(line), at_y, f"s-{role} thick", tip)
            canvas.mark(scale(error), at_y, role, "circle", tip, 4)
            if scale(error) - scale(0) > width_of(case, 10) + 12:
                canvas.text(scale(error) - 8, at_y + 3.5, case, "tiny f-muted halo", "end")
            else:
                canvas.text(scale(line) + 8, at_y + 3.5, case, "tiny f-muted halo")
        y += height[name]
        canvas.line(0, y, width, y)
    canvas.height = y + 4
    return canvas


def error_figures(runs):
    figures = []
    for number, run in enumerate(runs, 1):
        products, rows = {}, []
        for step in run.steps:
            role = {"f16": "product", "bf16": "weights"}.get(step.dtype, "dequantize")
            for entry in at(step.record, "products") or []:
                error, name = entry.get("rel_frobenius"), entry.get("product") or "?"
                lines = [v for v in (entry.get("worst_row"), entry.get("worst_col")) if v]
                if error is None:
                    continue
                products.setdefault(name, []).append(
                    (step_name(step), error, max([error, *lines]), role)
                )
                rows.append((step_name(step), name, percent(error, 3),
                             percent(entry.get("worst_row"), 3),
                             percent(entry.get("worst_col"), 3),
                             table.UNKNOWN if entry.get("cosine") is None
                             else f"{entry['cosine']:.6f}"))  # fmt: skip
        if not rows:
            continue
        said = "; ".join(
            f"{name} {percent(min(e[1] for e in entries), 2)} to "
            f"{percent(max(e[1] for e in entries), 2)}"
            for name, entries in products.items()
        )
        caption = (
            "Relative Frobenius error of the int8 step's results against the 16-bit step's; the "
            "tail of a mark reaches to the worst row or column."
        )
        figures.append(Figure(
            f"error_{number}", f"Error of each product, {run.label}", caption,
            f"Relative errors. {said}.",
            lambda width, p=products: draw_errors(p, width),
            (("step", "<"), ("product", "<"), ("relative error", ">"), ("worst row", ">"),
             ("worst column", ">"), ("cosine", ">")),
            rows,
        ))  # fmt: skip
    return figures


# ---- ratios against floors ----


def margin(entry):
    """How far above its floor; what has none comes last."""
    return entry.figure.estimate / entry.floor if entry.floor else float("inf")


def draw_floors(entries, width):
    canvas = Canvas(width)
    left, right = (0, 0) if canvas.narrow else (215, 150)
    highs = [v for e in entries for v in (e.figure.estimate, e.figure.high, e.floor) if v]
    scale = Linear(0, 1.04 * max([*highs, 1.0]), left + 4, width - right - 8)
    y, pitch = 24, 34 if canvas.narrow else 17
    suites = {}
    for entry in entries:
        fraction = entry.metric == "roofline_fraction"
        name = f"{entry.suite}, of its roof" if fraction else entry.suite
        suites.setdefault(name, []).append(entry)
    bottom = y + sum(26 + pitch * len(found) for found in suites.values())
    for value, text in scale.ticks(4 if canvas.narrow else 8):
        canvas.line(scale(value), y - 4, scale(value), bottom)
        canvas.text(scale(value), y - 9, text, "small f-muted", "middle" if value else "start")
    canvas.line(scale(1), y - 4, scale(1), bottom, "s-line thin")
    for suite, found in suites.items():
        y += 20
        canvas.text(0, y, fit(suite, width, 12), "bold halo")
        y += 6
        for entry in found:
            at_y = y + (pitch - 8 if canvas.narrow else pitch / 2)
            figure, bad = entry.figure, entry.verdict == FAIL
            value = f"{figure.estimate:.3f}" + (f"  \u2265 {entry.floor:.3f}" if entry.floor else "")
            value = {FAIL: "missed  ", PASS: "", None: ""}.get(entry.verdict, "unclear  ") + value
            css = "f-bad bold" if bad else "f-muted"
            if canvas.narrow:
                canvas.text(0, y + 14, fit(entry.name, width - 150), "halo")
                canvas.text(width, y + 14, value, f"small halo {css}", "end")
            else:
                canvas.text(left - 12, at_y + 4, fit(entry.name, left - 16), "small", "end")
                canvas.text(width, at_y + 4, value, f"small {css}", "end")
            tip = f"{suite} {entry.name}: {value} {entry.why}".strip()
            role = "bad" if bad else ("product" if entry.verdict == PASS else "line")
            if entry.floor:
                span = sorted((scale(entry.floor), scale(figure.estimate)))
                canvas.rect(span[0], at_y - 2.5, span[1] - span[0], 5,
                            "f-bad" if bad else "f-native")  # fmt: skip
                canvas.rect(scale(entry.floor) - 1, at_y - 6, 2, 12, "f-ink", tip)
            if figure.low is not None and figure.high is not None:
                canvas.line(scale(figure.low), at_y, scale(figure.high), at_y, f"s-{role} thick")
            canvas.mark(scale(figure.estimate), at_y, role, "cross" if bad else "circle", tip, 4.2)
            y += pitch
    canvas.height = y + 4
    return canvas


def floor_figures(runs, folder):
    figures = []
    for number, run in enumerate(runs, 1):
        entries = measured(run, folder)
        if not entries:
            continue
        floored = [e for e in entries if e.floor]
        missed = [e for e in floored if e.verdict == FAIL]
        shown = sorted(entries, key=margin)[:ROWS_SHOWN]
        chosen = {id(entry) for entry in shown}
        shown = [entry for entry in entries if id(entry) in chosen]
        caption = "Time of the baseline of the same run / time taken, with its interval. " + (
            "The bar reaches from the floor (upright line) to what was measured."
            if floored else "There is no floor for any of these cases on this device."
        )  # fmt: skip
        if len(shown) < len(entries):
            caption += f" The {len(shown)} nearest to their floors; the table has all."
        if floored:
            unclear = sum(e.verdict not in (PASS, FAIL) for e in floored)
            caption += (f" {len(floored) - len(missed) - unclear} floors kept, {len(missed)} "
                        f"missed, {unclear} inconclusive.")  # fmt: skip
        said = f"{len(entries)} ratios, {len(floored)} with a floor, {len(missed)} under it" + (
            ": " + ", ".join(f"{e.suite} {e.name}" for e in missed) if missed else ""
        )
        number_text = lambda value: table.UNKNOWN if value is None else f"{value:.4f}"  # noqa: E731
        rows = [
            (e.suite, e.name, e.metric.partition(":")[0], *map(number_text, (
                e.figure.estimate, e.figure.low, e.figure.high, e.floor)),
             {None: "no floor"}.get(e.verdict, f"{e.verdict}{': ' if e.why else ''}{e.why}"))
            for e in entries
        ]  # fmt: skip
        figures.append(Figure(
            f"floors_{number}", f"Ratios against their floors, {run.label}", caption, said + ".",
            lambda width, e=shown: draw_floors(e, width),
            (("suite", "<"), ("case", "<"), ("metric", "<"), ("estimate", ">"), ("low", ">"),
             ("high", ">"), ("floor", ">"), ("verdict", "<")),
            rows,
        ))  # fmt: skip
    return figures
