"""Charts as inline SVG: text stays text, and black follows the page's colour, in the light and in the dark."""

import io
import re
from typing import Any, Literal

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

# Okabe and Ito's colours, which colour-blind readers tell apart, without black and yellow (unreadable on one of the two
# backgrounds): https://jfly.uni-koeln.de/color/
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY = "#8a8a8a"
HEAT = "viridis"

LARGEST, SMALLEST = 1.3, 0.7
"""How many times its own size a chart may have in the page: letters of 9 points become 12 or 6."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "figure.dpi": 72,
}


def new_chart(
    width: float = 6.4,
    height: float = 3.2,
    rows: int = 1,
    columns: int = 1,
    layout: Literal["constrained"] | None = "constrained",
) -> tuple[Canvas, list[Axes]]:
    """Return an empty figure of a size in inches and its axes, row by row."""
    with rc_context(_STYLE):
        canvas = Canvas(figsize=(width, height), layout=layout)
        axes = canvas.subplots(rows, columns, squeeze=False)
    axes_list: list[Axes] = list(axes.ravel())
    for number, axis in enumerate(axes_list):
        axis.set_prop_cycle(color=PALETTE)
        axis.set_label(f"axes {number}")
    return canvas, axes_list


def add_legend(axis: Axes) -> None:
    """Show the labels of an axis above it, where no curve runs, without a ground, which would be white in the dark."""
    if lines := axis.get_legend_handles_labels()[0]:  # a class without a pixel in the truth has no curve
        columns = min(len(lines), 5)
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=columns, frameon=False)


def as_svg(canvas: Canvas, name: str, description: str) -> Markup:
    """Return a figure as inline SVG.

    Args:
        canvas: Of ``new_chart``.
        name: Unique in the page; the ids in the SVG begin with it.
        description: Read by screen readers in place of the chart.
    """
    buffer, width = io.StringIO(), 72 * canvas.get_figwidth()
    with rc_context(_STYLE):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\b(id="|xlink:href="#|url\(#)', lambda match: f"{match[1]}{name}-", svg)
    svg = re.sub(r"#000000\b|\bblack\b", "currentColor", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px sans-serif", svg)
    # Text without a colour of its own is black, whatever the page's colour.
    # Enlarged where the page has room; on a phone it scrolls before its letters become too small to read.
    style = f"max-width: {LARGEST * width:.0f}pt; min-width: {SMALLEST * width:.0f}pt"
    opening = f'<svg role="img" aria-label="{escape(description)}" fill="currentColor" class="chart" style="{style}" '
    return Markup('<div class="scroll" tabindex="0">{}</div>').format(Markup(svg.replace("<svg ", opening, 1)))
