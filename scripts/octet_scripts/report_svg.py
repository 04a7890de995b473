"""SVG by hand: shapes, text, scales and the palette that plots and page share.

Whatever reaches a canvas as text is escaped here, and characters that XML forbids or that no reader
sees are replaced, so that a record's texts can hold anything. Shapes name roles of the palette by
their class ("f-product" fills, "s-product" strokes); style() gives the roles their colours, in
light and dark. Plots are drawn for a width, WIDE or NARROW, so that text keeps its size.
"""

import html
import math

from octet_scripts.texts import clean

WIDE, NARROW = 920, 360
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
CHARACTER = 0.56  # mean width of one, in font sizes

# Role: (in light, in dark). Hues that colour-blind readers tell apart, by lightness as well.
PALETTE = {
    "page": ("#f4f5f7", "#0e1218"),
    "surface": ("#ffffff", "#161b23"),
    "ink": ("#1a2130", "#e9ecf1"),
    "muted": ("#5a6373", "#9ea8b8"),
    "grid": ("#e4e7ec", "#29303d"),
    "line": ("#8d96a5", "#667184"),
    "product": ("#2a69ad", "#5a9ce2"),
    "native": ("#a3bfde", "#3f608a"),
    "half": ("#647a96", "#93a9c6"),
    "quantize": ("#f0b44c", "#f2bb5c"),
    "weights": ("#cf7416", "#d2812f"),
    "transform": ("#c5699a", "#d488b2"),
    "dequantize": ("#4fae97", "#5dbfa6"),
    "idle": ("#d3d7de", "#3a4250"),
    "bad": ("#b8321b", "#ff8266"),
    "on-product": ("#ffffff", "#08131f"),
    "on-native": ("#10243c", "#f0f5fb"),
    "on-quantize": ("#2a1a00", "#2a1a00"),
    "on-weights": ("#1c0f00", "#1c0f00"),
    "on-transform": ("#26091a", "#26091a"),
    "on-dequantize": ("#04211a", "#04211a"),
    "on-idle": ("#1a2130", "#e9ecf1"),
}

# What looks the same in light and dark, and what does not.
RULES = (
    ("text", f"font: 12px {FONT}; font-variant-numeric: tabular-nums;"),
    (".small", "font-size: 11px;"),
    (".tiny", "font-size: 10px;"),
    (".bold", "font-weight: 650;"),
    (".halo", "paint-order: stroke; stroke-width: 3px; stroke-linejoin: round;"),
    (".edge", "stroke-width: 1;"),
    (".thin", "stroke-width: 1;"),
    (".thick", "stroke-width: 2;"),
    (".dash", "stroke-dasharray: 4 3;"),
    (".none", "fill: none;"),
)
COLOURED = (
    ("text", "fill: {ink};"),
    (".halo", "stroke: {surface};"),
    (".edge", "stroke: {surface};"),
)


def escape(text):
    return html.escape(clean(text), quote=True)


def style(prefix=""):
    """CSS of the plots; `prefix` selects them, as in ".plot "."""

    def coloured(shade):
        colours = {role: shades[shade] for role, shades in PALETTE.items()}
        lines = [f"{prefix}{name} {{ {rule.format(**colours)} }}" for name, rule in COLOURED]
        for role, colour in colours.items():
            lines.append(f"{prefix}.f-{role} {{ fill: {colour}; }}")
            lines.append(f"{prefix}.s-{role} {{ stroke: {colour}; }}")
        return lines

    fixed = [f"{prefix}{name} {{ {rule} }}" for name, rule in RULES]
    dark = ["@media (prefers-color-scheme: dark) {", *coloured(1), "}"]
    return "\n".join([*fixed, *coloured(0), *dark]) + "\n"


def width_of(text, size=12):
    return len(text) * size * CHARACTER


def fit(text, width, size=12):
    """The text, shortened to a width."""
    text = clean(text)
    room = max(1, int(width / (size * CHARACTER)))
    return text if len(text) <= room else text[: room - 1].rstrip() + "\u2026"


def place(value):
    """A coordinate as text, the same for 0 and -0."""
    return f"{value + 0.0:.1f}".replace("-0.0", "0.0")


class Canvas:
    def __init__(self, width):
        self.width, self.height, self.parts = width, 0, []

    @property
    def narrow(self):
        return self.width < 600

    def _add(self, tag, attributes, css, content=None, tip=None):
        text = "".join(
            f' {name}="{place(v) if isinstance(v, (int, float)) else escape(v)}"'
            for name, v in attributes.items()
        )
        # A narrow screen has no pointer to hover with.
        tip = f"<title>{escape(tip)}</title>" if tip and not self.narrow else ""
        inside = tip + (content or "")
        css = f' class="{css}"' if css else ""
        self.parts.append(f"<{tag}{css}{text}>{inside}</{tag}>" if inside
                          else f"<{tag}{css}{text}/>")  # fmt: skip

    def text(self, x, y, text, css="", anchor="start"):
        attributes = {"x": x, "y": y}
        if anchor != "start":
            attributes["text-anchor"] = anchor
        self._add("text", attributes, css, escape(text))

    def rect(self, x, y, width, height, css, tip=None, radius=0):
        attributes = {"x": x, "y": y, "width": max(width, 0), "height": height}
        if radius:
            attributes["rx"] = radius
        self._add("rect", attributes, css, tip=tip)

    def line(self, x1, y1, x2, y2, css="s-grid thin", tip=None):
        self._add("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, css, tip=tip)

    def path(self, points, css):
        steps = " L".join(f"{place(x)} {place(y)}" for x, y in points)
        self._add("path", {"d": f"M{steps}"}, css)

    def mark(self, x, y, role, shape="circle", tip=None, size=4.8, css="edge"):
        css = f"f-{role} {css}"
        if shape == "circle":
            self._add("circle", {"cx": x, "cy": y, "r": size}, css, tip=tip)
            return
        r = size * {"square": 0.9, "diamond": 1.25, "triangle": 1.15, "cross": 1.1}[shape]
        corners = {
            "square": ((-r, -r), (r, -r), (r, r), (-r, r)),
            "diamond": ((0, -r), (r, 0), (0, r), (-r, 0)),
            "triangle": ((0, -r), (r, 0.8 * r), (-r, 0.8 * r)),
            "cross": [(dx * r / 3 * 1.3, dy * r / 3 * 1.3) for dx, dy in (
                (0, -1), (2, -3), (3, -2), (1, 0), (3, 2), (2, 3), (0, 1), (-2, 3), (-3, 2),
                (-1, 0), (-3, -2), (-2, -3))],
        }[shape]  # fmt: skip
        steps = " L".join(f"{place(x + dx)} {place(y + dy)}" for dx, dy in corners)
        self._add("path", {"d": f"M{steps}Z"}, css, tip=tip)

    def key(self, y, entries, x=0):
        """One line, or more, of (role, text), each a coloured square and its name; returns the
        next free y."""
        start = x
        for role, text in entries:
            width = 20 + width_of(text) + 10
            if x > start and x + width > self.width:
                x, y = start, y + 20
            self.rect(x, y - 10, 12, 12, f"f-{role}", radius=2)
            self.text(x + 17, y, text, "f-muted")
            x += width
        return y + 20

    def svg(self, name, title, description):
        """The element, to stand in a page."""
        return (
            f'<svg class="plot" viewBox="0 0 {place(self.width)} {place(self.height)}" role="img"'
            f' aria-labelledby="{name}-t {name}-d" xmlns="http://www.w3.org/2000/svg">'
            f'<title id="{name}-t">{escape(title)}</title>'
            f'<desc id="{name}-d">{escape(description)}</desc>' + "\n".join(self.parts) + "</svg>"
        )

    def file(self, name, title, description):
        """A file of its own: with its title in sight, its style and something to stand on."""
        margin, head = 20, 34
        width, height = place(self.width + 2 * margin), place(self.height + 2 * margin + head)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-t {name}-d">\n'
            f'<title id="{name}-t">{escape(title)}</title>\n'
            f'<desc id="{name}-d">{escape(description)}</desc>\n<style>\n{style()}</style>\n'
            f'<rect class="f-surface" width="{width}" height="{height}"/>\n'
            f'<text class="bold" style="font-size: 15px" x="{margin}" y="{margin + 12}">'
            f'{escape(fit(title, self.width, 15))}</text>\n'
            f'<g transform="translate({margin} {margin + head})">\n'
            + "\n".join(self.parts) + "\n</g>\n</svg>\n"
        )  # fmt: skip


class Linear:
    def __init__(self, low, high, start, end):
        self.low, self.high = low, high if high > low else low + 1
        self.start, self.end = start, end

    def __call__(self, value):
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count):
        rough = (self.high - self.low) / max(count, 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(i * step, f"{i * step + 0.0:,.{decimals}f}") for i in range(first, last + 1)]


class Log:
    """Of values above 0."""

    def __init__(self, low, high, start, end):
        self.low, self.high = low, high if high > low else 10 * low
        self.start, self.end = start, end

    def __call__(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count):
        decades = math.log10(self.high / self.low)
        if decades < 0.7:
            return Linear(self.low, self.high, self.start, self.end).ticks(count)
        digits = (1, 2, 5) if decades * 3 <= count else (1,)
        every = max(1, math.ceil(decades / max(count, 1)))
        found = []
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            if power % every == 0:
                found += [digit * 10.0**power for digit in digits]
        return [(v, f"{v:,.0f}" if v >= 1 else f"{v:g}") for v in found
                if self.low * 0.999 <= v <= self.high * 1.001]  # fmt: skip


def spread(wanted, distance, low, high):
    """Places near those wanted, in their order, at least a distance apart, within bounds where
    there is room."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    placed = []
    for i in order:
        placed.append(max(wanted[i], low, placed[-1] + distance if placed else low))
    limit = high
    for j in reversed(range(len(placed))):
        placed[j] = min(placed[j], limit)
        limit = placed[j] - distance
    result = [0.0] * len(wanted)
    for i, at in zip(order, placed):
        result[i] = at
    return result
