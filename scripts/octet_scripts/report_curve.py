"""The plots of trainings: losses of int8 runs beside the 16-bit runs of the same data."""

from statistics import mean

from octet_scripts.records import at
from octet_scripts.report_data import suite_and_problem
from octet_scripts.report_figures import Figure
from octet_scripts.report_svg import Canvas, Linear, Log, fit, spread

NATIVE = "native"
ROLES = ("product", "weights", "dequantize", "transform", "quantize")  # of what is not 16-bit
END_SHARE = 0.1  # of the steps whose mean loss is said
POINTS = 200  # of a drawn line, each the mean of its steps


def curves_of(run):
    """Records of a run that hold losses to draw."""
    return [r for r in run.cases if any(map(finite, at(r, "curve", "runs") or []))]


def finite(entry):
    """The losses of a run that can be drawn: up to the first that is not a number above 0."""
    losses = entry.get("loss") or []
    bad = next((i for i, loss in enumerate(losses) if loss is None or loss <= 0), len(losses))
    return losses[:bad]


def label_of(variant):
    return "16-bit" if variant == NATIVE else variant


def roles_of(variants):
    others = [v for v in variants if v != NATIVE]
    roles = {variant: ROLES[i % len(ROLES)] for i, variant in enumerate(others)}
    return {**roles, NATIVE: "half"}


def end_of(losses):
    count = max(1, round(END_SHARE * len(losses)))
    return mean(losses[-count:]) if losses else None


def thinned(losses):
    """[(step, loss)] of at most POINTS means."""
    size = -(-len(losses) // POINTS)
    return [(i + (len(losses[i:i + size]) - 1) / 2, mean(losses[i:i + size]))
            for i in range(0, len(losses), size)]  # fmt: skip


def draw_curves(runs, level, width):
    canvas = Canvas(width)
    variants = list(dict.fromkeys(entry.get("variant") or "?" for entry in runs))
    roles = roles_of(variants)
    drawn = [(entry.get("variant") or "?", entry.get("seed"), finite(entry)) for entry in runs]
    drawn = [entry for entry in drawn if entry[2]]
    top = canvas.key(12, [(roles[v], label_of(v)) for v in variants]) + 4
    left, right, height = 46, 0 if canvas.narrow else 190, 220 if canvas.narrow else 300
    losses = [loss for _, _, found in drawn for loss in found] + ([level] if level else [])
    across = Linear(0, max(len(found) for _, _, found in drawn) - 1, left, width - right - 6)
    up = Log(0.9 * min(losses), 1.1 * max(losses), top + height, top)
    for value, text in up.ticks(6):
        canvas.line(left, up(value), width - right, up(value))
        canvas.text(left - 6, up(value) + 4, text, "small f-muted", "end")
    for value, text in across.ticks(4 if canvas.narrow else 8):
        canvas.text(across(value), top + height + 16, text, "small f-muted",
                    "middle" if value else "start")  # fmt: skip
    canvas.text(width - right - 6, top + height + 32, "step", "small f-muted", "end")
    if level:
        canvas.line(left, up(level), width - right, up(level), "s-ink thin dash",
                    f"the teacher's own loss, {level:.3g}")  # fmt: skip
    # 16-bit runs are wide, for what is held against them is drawn over them.
    for variant, _, found in sorted(drawn, key=lambda entry: entry[0] != NATIVE):
        points = [(across(step), up(loss)) for step, loss in thinned(found)]
        weight = "thick" if variant == NATIVE else "thin"
        canvas.path(points, f"none s-{roles[variant]} {weight}")
    if not canvas.narrow:
        ends = {v: [end_of(f) for name, _, f in drawn if name == v] for v in variants}
        ends = {v: mean(found) for v, found in ends.items() if found}
        places = spread([up(end) for end in ends.values()], 16, top, top + height)
        for (variant, end), y in zip(ends.items(), places):
            text = fit(f"{label_of(variant)} {end:.4g}", right - 14, 11)
            canvas.rect(width - right + 2, y - 4, 8, 8, f"f-{roles[variant]}", radius=2)
            canvas.text(width - right + 14, y + 4, text, "small")
    canvas.height = top + height + 38
    return canvas


def curve_figures(runs):
    figures = []
    for number, run in enumerate(runs, 1):
        for position, record in enumerate(curves_of(run), 1):
            curve = record["curve"]
            entries = curve["runs"]
            natives = {e.get("seed"): end_of(finite(e)) for e in entries
                       if e.get("variant") == NATIVE}  # fmt: skip
            rows = []
            for entry in entries:
                losses, seed = finite(entry), entry.get("seed")
                whole = len(losses) == len(entry.get("loss") or [])
                end, native = end_of(losses), natives.get(seed)
                rows.append((
                    label_of(entry.get("variant") or "?"), str(seed),
                    f"{losses[0]:.4g}" if losses else "-",
                    f"{end:.4g}" if losses and whole else "diverged",
                    f"{end / native:.3f}x" if end and native and whole else "-",
                ))  # fmt: skip
            suite, problem = suite_and_problem(record["test"])
            bound = curve.get("bound")
            caption = (
                f"{at(record, 'data') or ''}: the loss of each step's fresh batch; a thin line is a "
                "seed, and every variant of it sees the same data. Dashed: the loss of the teacher "
                "itself, which nothing beats. On the right, and in the numbers, the mean of the "
                "last tenth."
            ) + (f" An int8 run must end within {bound:.3f} times the 16-bit run of its seed; one "
                 "that is drawn to show that it does not need not." if bound else "")  # fmt: skip
            said = "; ".join(f"{row[0]} seed {row[1]} from {row[2]} to {row[3]}" for row in rows)
            figures.append(Figure(
                f"curve_{number}_{position}",
                f"{record['backend']} {suite} {problem}, {run.label}", caption,
                f"Lines of losses over steps. {said}.",
                lambda width, e=entries, c=curve: draw_curves(e, c.get("level"), width),
                (("variant", "<"), ("seed", ">"), ("first loss", ">"), ("end", ">"),
                 ("beside 16-bit", ">")),
                rows,
            ))  # fmt: skip
    return figures
