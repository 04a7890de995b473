"""The plots of single operators: a roofline, and how near its roof each comes."""

from dataclasses import dataclass
from statistics import median

from octet_scripts import table
from octet_scripts.records import at
from octet_scripts.report_data import is_int8, suite_and_problem
from octet_scripts.report_figures import Figure, part_of, percent
from octet_scripts.report_svg import Canvas, Linear, Log, fit, spread, width_of

SHAPES = ("circle", "square", "diamond", "triangle")


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
            text = f"copy {memory:.2f} TB/s"
            canvas.text((x1 + x2) / 2 - 8, (y1 + y2) / 2 - 8, text, "halo", "end")
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
