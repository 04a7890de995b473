"""The plots of several runs: two side by side, and each device's history. They gate nothing."""

from octet_scripts import table
from octet_scripts.records import at
from octet_scripts.report_data import VARIANT_NAMES, case_of, step_name, suite_and_problem
from octet_scripts.report_figures import ROWS_SHOWN, UNITS, Figure, duration, unit_of
from octet_scripts.report_svg import Canvas, Linear, Log, fit, spread

PAIRS_SHOWN = 4
SAME = 0.005  # a change that is not coloured
LINES = (("native", "16-bit", "half"), ("int8_every_step", "int8", "product"),
         ("int8_kept", "int8 kept", "weights"))  # fmt: skip


def times_of(record):
    """{(case, variant): time} of a record; of a step the faster 16-bit variant is "native"."""
    case = case_of(record)
    if record["operator"] != table.OPERATOR:
        return {(case, ""): at(record, "time")} if at(record, "time", "median_us") else {}
    step = table.Step(record)
    names = {"native": step.native, "int8_every_step": "int8_every_step", "int8_kept": "int8_kept"}
    return {(case, key): step.variants[name]["time"] for key, name in names.items()
            if name and step.median(name)}  # fmt: skip


def name_of(record, variant):
    if record["operator"] != table.OPERATOR:
        return " ".join(filter(None, suite_and_problem(record["test"])))
    return f"step {step_name(table.Step(record))} {VARIANT_NAMES.get(variant, '16-bit')}"


def times(run):
    """{(case, variant): (name, time)}, steps first."""
    cases = sorted(run.cases, key=lambda r: r["operator"] != table.OPERATOR)
    return {key: (name_of(r, key[1]), time) for r in cases for key, time in times_of(r).items()}


def pairs_of(runs):
    """Runs that are worth a comparison: of each device the last with the one before, and the last
    of each device with that of the first. A pair has cases in common."""
    latest, pairs = {}, []
    for run in runs:
        latest.setdefault((run.device, run.backend), []).append(run)
    for of_device in latest.values():
        for i in reversed(range(1, len(of_device))):
            after = of_device[i]
            before = next((b for b in reversed(of_device[:i]) if times(b).keys() & times(after)),
                          None)  # fmt: skip
            if before:
                pairs.append((before, after))
                break
    lasts = [of_device[-1] for of_device in latest.values()]
    pairs += [(lasts[0], other) for other in lasts[1:] if times(lasts[0]).keys() & times(other)]
    return pairs[:PAIRS_SHOWN]


def changes(before, after):
    """(name, before, after, ratio, low, high) of the cases in common; ratio: how many times as
    much work in the same time."""
    old, found = times(before), []
    for key, (name, new) in times(after).items():
        if key not in old:
            continue
        was = old[key][1]
        ratio = was["median_us"] / new["median_us"]
        low, high = ratio, ratio
        if was.get("low_us") and new.get("high_us"):
            low = was["low_us"] / new["high_us"]
        if was.get("high_us") and new.get("low_us"):
            high = was["high_us"] / new["low_us"]
        found.append((name, was["median_us"], new["median_us"], ratio,
                      min(low, ratio), max(high, ratio)))  # fmt: skip
    return found


def change_text(ratio):
    return f"{ratio:.2f}x" if ratio >= 2 or ratio <= 0.5 else f"{100 * (ratio - 1):+.1f} %"


def draw_changes(rows, width):
    canvas = Canvas(width)
    left, right = (0, 0) if canvas.narrow else (285, 200)
    low, high = min(r[4] for r in rows), max(r[5] for r in rows)
    reach = max(high, 1 / low, 1.02) ** 1.08
    scale = Log(1 / reach, reach, left + 6, width - right - 6)
    y, pitch = 40, 36 if canvas.narrow else 18
    bottom = y + pitch * len(rows)
    canvas.text(scale(1) - 12, 12, "\u2190 slower", "f-muted small", "end")
    canvas.text(scale(1) + 12, 12, "faster \u2192", "f-muted small")
    for value, _ in scale.ticks(3 if canvas.narrow else 6):
        canvas.line(scale(value), y - 4, scale(value), bottom)
        if abs(value - 1) > 1e-9:
            canvas.text(scale(value), y - 9, change_text(value), "small f-muted", "middle")
    canvas.line(scale(1), y - 22, scale(1), bottom, "s-ink thin")
    for name, was, now, ratio, low, high in rows:
        at_y = y + (pitch - 9 if canvas.narrow else pitch / 2)
        slower = ratio < 1 - SAME
        role = "line" if abs(ratio - 1) <= SAME else ("bad" if slower else "product")
        unit = unit_of(min(was, now))
        text = f"{duration(was, unit).split()[0]} \u2192 {duration(now, unit)}"
        if canvas.narrow:
            canvas.text(0, y + 14, fit(name, width - 165, 11), "small halo")
            canvas.text(width, y + 14, f"{text}  {change_text(ratio)}", "small halo f-muted", "end")
        else:
            canvas.text(left - 10, at_y + 4, fit(name, left - 14, 11), "small", "end")
            canvas.text(width - 62, at_y + 4, text, "small f-muted", "end")
            canvas.text(width, at_y + 4, change_text(ratio), "small bold", "end")
        span = sorted((scale(1), scale(ratio)))
        tip = f"{name}: {text}, {change_text(ratio)}"
        canvas.rect(span[0], at_y - 3, span[1] - span[0], 6, f"f-{role}", tip)
        canvas.line(scale(low), at_y, scale(high), at_y, f"s-{role} thick")
        canvas.mark(scale(ratio), at_y, role, "diamond" if slower else "circle", tip, 4)
        y += pitch
    canvas.height = y + 4
    return canvas


def comparison_figures(runs):
    figures = []
    for number, (before, after) in enumerate(pairs_of(runs), 1):
        rows = changes(before, after)
        shown = rows
        if len(rows) > ROWS_SHOWN:
            largest = sorted(rows, key=lambda r: -abs(r[3] - 1))[:ROWS_SHOWN]
            shown = [row for row in rows if row in largest]
        same_device = before.device == after.device
        caption = (
            f"{after.label} beside {before.label}: how much more work in the same time, with the "
            "interval of both medians."
        )
        if same_device:
            caption += (" Runs of different processes, perhaps of different days: scripts/gate "
                        "merge is what judges.")  # fmt: skip
        if len(shown) < len(rows):
            caption += f" The {len(shown)} largest differences; the table has all."
        low, high = min(rows, key=lambda r: r[3]), max(rows, key=lambda r: r[3])
        figures.append(Figure(
            f"compared_{number}", f"{before.label} \u2192 {after.label}", caption,
            f"{len(rows)} cases in common, from {change_text(low[3])} ({low[0]}) to "
            f"{change_text(high[3])} ({high[0]}).",
            lambda width, r=shown: draw_changes(r, width),
            (("case", "<"), (before.label, ">"), (after.label, ">"), ("speed", ">"), ("low", ">"),
             ("high", ">")),
            [(name, duration(was), duration(now), f"{ratio:.3f}x", f"{low:.3f}", f"{high:.3f}")
             for name, was, now, ratio, low, high in rows],
        ))  # fmt: skip
    return figures


# ---- history ----


def histories(runs):
    """{(device, backend): {(case, variant): (name, [(time_utc, run, us)])}}, by time, of all
    records; what was measured once has no history."""
    found = {}
    for run in runs:
        for record in run.all:
            for key, time in times_of(record).items():
                device = found.setdefault((run.device, run.backend), {})
                entry = device.setdefault(key, (name_of(record, key[1]), []))
                entry[1].append((record["time_utc"], run, time["median_us"]))
    kept = {}
    for device, entries in found.items():
        several = {
            key: (name, sorted(points, key=lambda p: p[0]))
            for key, (name, points) in entries.items()
            if len(points) > 1
        }
        if several:
            kept[device] = several
    return kept


def panels_of(entries):
    """[(step's name, [(label, role, points)])] of the steps among a device's histories."""
    panels = {}
    for (case, variant), (name, points) in entries.items():
        for key, label, role in LINES:
            if variant == key:
                step = name[len("step ") :].rsplit(f" {VARIANT_NAMES.get(key, '16-bit')}", 1)[0]
                panels.setdefault((case, step), []).append((label, role, points))
    return [(step, lines) for (_, step), lines in panels.items()]


def draw_panel(canvas, x, y, width, height, step, lines):
    times_utc = sorted({p[0] for _, _, points in lines for p in points})
    values = [p[2] for _, _, points in lines for p in points]
    unit = unit_of(max(values))
    factor = UNITS[unit]
    pad = 0.12 * (max(values) - min(values)) or 0.05 * max(values)
    top, bottom, left, right = y + 28, y + height - 24, x + 44, x + width - 66
    across = Linear(0, max(len(times_utc) - 1, 1), left, right)
    along = Linear((min(values) - pad) * factor, (max(values) + pad) * factor, bottom, top)
    canvas.text(x, y + 12, fit(f"{step}, {unit}", width, 12), "bold")
    for value, text in along.ticks(6):
        canvas.line(left, along(value), right, along(value))
        canvas.text(left - 6, along(value) + 4, text, "small f-muted", "end")
    ends = [along(points[-1][2] * factor) for _, _, points in lines]
    labels = spread(ends, 14, top + 4, bottom)
    for (label, role, points), label_y in zip(lines, labels):
        places = [(across(times_utc.index(p[0])), along(p[2] * factor)) for p in points]
        canvas.path(places, f"s-{role} thick none")
        for (px, py), (when, run, us) in zip(places, points):
            tip = f"{step} {label}: {duration(us)}, {run.name}, {when}"
            canvas.mark(px, py, role, "circle", tip, 3.5 if len(points) <= 40 else 2)
        canvas.text(right + 8, label_y + 4, label, "small")
    dates = [times_utc[0][:10], times_utc[-1][:10]]
    canvas.text(left, bottom + 16, dates[0], "small f-muted")
    if dates[1] != dates[0]:
        canvas.text(right, bottom + 16, dates[1], "small f-muted", "end")


def draw_history(panels, width):
    canvas = Canvas(width)
    columns = 1 if canvas.narrow else min(3, len(panels))
    gap, height = 24, 210
    each = (width - gap * (columns - 1)) / columns
    for i, (step, lines) in enumerate(panels):
        column, row = i % columns, i // columns
        draw_panel(canvas, column * (each + gap), row * (height + 18), each, height, step, lines)
    canvas.height = (height + 18) * (-(-len(panels) // columns)) - 18
    return canvas


def sparkline(points):
    """A small line of a case's history, for a row of a table."""
    canvas = Canvas(120)
    canvas.height = 24
    values = [us for _, _, us in points]
    low, high = min(values), max(values)
    room = max(high - low, 0.02 * high)  # so that noise does not look like an event
    middle = (low + high) / 2
    across = Linear(0, len(values) - 1, 5, 115)
    along = Linear(middle - room / 2, middle + room / 2, 20, 4)
    places = [(across(i), along(v)) for i, v in enumerate(values)]
    canvas.path(places, "s-line thick none")
    canvas.mark(*places[-1], "product", size=3.5)
    return canvas


def history_rows(entries):
    """(name, points, cells) of each case of a device."""
    rows = []
    for name, points in entries.values():
        first, last = points[0], points[-1]
        best = min(us for _, _, us in points)
        rows.append((name, points, (
            str(len(points)), first[1].commit[:7], duration(first[2]), last[1].commit[:7],
            duration(last[2]), duration(best), change_text(first[2] / last[2]),
        )))  # fmt: skip
    return rows


HISTORY_COLUMNS = (
    ("runs", ">"), ("first", "<"), ("took", ">"), ("last", "<"), ("took", ">"), ("least", ">"),
    ("speed", ">"),
)  # fmt: skip


def history_figures(runs):
    figures = []
    for number, ((device, _), entries) in enumerate(histories(runs).items(), 1):
        panels = panels_of(entries)
        if not panels:
            continue
        said = "; ".join(
            f"{step} {label} {duration(points[0][2])} to {duration(points[-1][2])} over "
            f"{len(points)} runs"
            for step, lines in panels
            for label, _, points in lines
        )
        figures.append(Figure(
            f"history_{number}", f"History of the step on {device}",
            "Medians of every run, the oldest on the left, evenly spaced; the axis does not start "
            "at 0. Absolute times follow the machine's state as well as the code, so nothing is "
            "judged by them.", f"{said}.",
            lambda width, p=panels: draw_history(p, width),
        ))  # fmt: skip
    return figures
