"""The plots of a training step: where its time goes, and the error of each product."""

from dataclasses import dataclass

from octet_scripts import table
from octet_scripts.records import at
from octet_scripts.report_data import step_name
from octet_scripts.report_figures import (
    PART_NAMES, PARTS, Figure, duration, part_of, percent, unit_of,
)  # fmt: skip
from octet_scripts.report_svg import Canvas, Linear, fit, width_of


@dataclass
class Bar:
    label: str
    whole_us: float
    parts: dict  # of PARTS or "native", us; idle may be negative: stages that overlap
    ratio: float = None
    mark: str = ""


def parts_of(step, variant, name):
    """Of a whole: what its stages took, and the rest as idle."""
    parts = {}
    for stage in at(step.record, "stages") or []:
        us = stage.get("median_us")
        kept = name.endswith("_kept") and stage.get("weights")
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
        ("fp8", "fp8", "fp8_every_step"),
        ("fp8, weights kept", "fp8", "fp8_kept"),
    ):
        whole = step.median(name) if name else None
        if whole:
            ratio = None if variant == "native" else step.ratio(name)
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
        if overlap >= 0.0005:
            notes.append(f"Parts are timed one by one and add up to as much as {percent(overlap)} "
                         "more than the whole, in which some run side by side; they are drawn "
                         "shortened to it.")  # fmt: skip
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
