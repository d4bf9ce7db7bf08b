"""Draw the figures of a data sheet as SVG, in the colours of its page; no figure without its counts."""

import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, RULE, RED, BLUE = "#23272b", "#565d64", "#c9cdd1", "#b3261e", "#2b5c8a"
SIZE_IN = (5.2, 3.0)
BINS = 40
LABEL_ROOM = 0.75
"""Share of the axis behind which no label fits to the right of its line."""
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "firstshift",  # the same figure gives the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def learning_curve(points: Sequence[tuple[int, float, float | None, float | None]], metric: str) -> str:
    """Draw a metric against the number of images learned from; points: (images, value, low, high), ends may be None."""
    with mpl.rc_context(STYLE):
        figure, axes = _canvas("images learned from", metric)
        images = [point[0] for point in points]
        values = np.array([point[1:] for point in points], np.float64)  # None becomes nan, which draws no band
        axes.fill_between(images, values[:, 1], values[:, 2], color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(images, values[:, 0], color=BLUE, marker="o", markersize=4)
        axes.set_xscale("log")
        axes.set_xticks(images, [str(count) for count in images])
        axes.minorticks_off()
        axes.set_ylim(max(0.0, np.nanmin(values) - 0.05), min(1.02, np.nanmax(values) + 0.05))
        return _svg(figure)


def scores(
    good: Sequence[float], defective: Sequence[float], accept_below: float | None, reject_above: float | None
) -> str:
    """Draw how image scores of good and defective pictures lie to the limits."""
    with mpl.rc_context(STYLE):
        figure, axes = _canvas("image score", "share of pictures")
        every = np.array([*good, *defective, *([reject_above] if reject_above is not None else [])])
        edges = np.linspace(every.min(), np.quantile(every, 0.995) if len(every) > 200 else every.max(), BINS + 1)
        for values, colour, name in ((good, SOFT, "good"), (defective, RED, "defective")):
            if len(values):
                kept = np.clip(values, edges[0], edges[-1])
                weights = np.full(len(kept), 1 / len(kept))
                axes.hist(
                    kept, edges.tolist(), weights=weights, color=colour, alpha=0.55, label=f"{name}, n={len(values)}"
                )
        top = axes.get_ylim()[1]
        left, right = axes.get_xlim()
        for limit, name, side, line in (
            (accept_below, "accepted up to", "right", "-"),
            (reject_above, "rejected over", "left", "--"),
        ):
            if limit is not None:
                axes.axvline(limit, color=INK, linewidth=1, linestyle=line)
                near_end = (limit - left) / (right - left) > LABEL_ROOM
                own_side = "right" if near_end else side
                # Both labels may stand left of their lines: the second one higher.
                rise = 1.06 if near_end and side == "left" else 1.0
                axes.text(limit, top * rise, f" {name} {limit:.3g} ", fontsize=7, color=INK, va="bottom", ha=own_side)
        axes.legend(frameon=False, loc="best")
        return _svg(figure)


def reliability(bins: Sequence[tuple[float, float, float, float, int]]) -> str:
    """Draw observed shares against confidences; bins: (confidence, share, low, high, count)."""
    with mpl.rc_context(STYLE):
        figure, axes = _canvas("confidence", "share that was right")
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1)
        for confidence, share, low, high, count in bins:
            axes.plot([confidence, confidence], [low, high], color=BLUE, linewidth=1)
            axes.plot([confidence], [share], color=BLUE, marker="o", markersize=4)
            axes.annotate(str(count), (confidence, share), (4, -9), textcoords="offset points", fontsize=7, color=SOFT)
        axes.set_xlim(-0.02, 1.04)
        axes.set_ylim(-0.02, 1.04)
        return _svg(figure)


def _canvas(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(SIZE_IN, layout="constrained")
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(visible=True, axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Give the figure alone, without the XML head, ready to stand in a page; its size follows the page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
