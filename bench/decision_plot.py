"""Draw what was promised and what came of it, one row a family of plants."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from appliance.trainer.plots import BLUE, INK, RED, RULE, SOFT, STYLE

SIZE_IN = (11.0, 5.8)
TITLE: dict[str, Any] = {"fontsize": 9, "loc": "left", "pad": 16}
OFFSET = 0.16
"""Rows: half the distance between two marks of one family."""


def draw(told: dict[str, Any], target: Path, families: list[tuple[str, str]]) -> None:
    """Write the figure, as SVG or PNG by its name: broken promises, escapes per million, and the cost in good parts."""
    rows = [(title, told["families"][name]) for name, title in families if name in told["families"]]
    if not rows:
        return
    with mpl.rc_context(STYLE):
        figure = Figure(SIZE_IN, layout="constrained")
        broken, million, cost = figure.subplots(1, 3, sharey=True, width_ratios=(1.1, 1.1, 1.0))
        places = np.arange(len(rows))[::-1].astype(float)
        _broken(broken, places, [row for _, row in rows], told["asked"])
        _million(million, places, [row for _, row in rows])
        _cost(cost, places, [row for _, row in rows])
        broken.set_yticks(places, [title for title, _ in rows])
        for label, (_, row) in zip(broken.get_yticklabels(), rows, strict=True):
            label.set_color(INK if row["exchangeable"] else RED)
        first = next((place for place, (_, row) in zip(places, rows, strict=True) if not row["exchangeable"]), None)
        for axes in (broken, million, cost):
            axes.tick_params(axis="y", length=0)
            axes.set_axisbelow(True)
            if first is not None and first < places[0]:
                axes.axhline(first + 0.5, color=SOFT, linewidth=0.8)
        figure.savefig(target, dpi=110, metadata={"Date": None} if target.suffix == ".svg" else None)


def _broken(axes: Axes, places: Any, rows: list[dict[str, Any]], asked: dict[str, float]) -> None:
    allowed = 100 * (1 - asked["assurance"])
    axes.axvline(allowed, color=INK, linewidth=1)
    axes.text(allowed, places[0] + 0.62, f" {allowed:.0f} % allowed", fontsize=7, color=INK, va="bottom")
    for shift, key, colour, name in (
        (OFFSET, "escape_rate", RED, "limits kept to the end"),
        (-OFFSET, "escape_rate_with_expiry", BLUE, "with expiry once drift is noticed"),
    ):
        found = [row["promises"][key]["broken"] for row in rows]
        _marks(axes, places + shift, found, 100.0, colour, name)
    axes.set_title(f"promise broken: over {100 * asked['escape_rate']:g} % of defects escape", **TITLE)
    axes.set_xlabel(f"% of n = {rows[0]['worlds']} plants each, 95 % interval")
    axes.set_xlim(-2, 102)
    _legend(axes)


def _million(axes: Axes, places: Any, rows: list[dict[str, Any]]) -> None:
    promised = [row["promises"]["escapes_per_million"]["promised_at_most"] for row in rows]
    axes.plot(promised, places, linestyle="", marker="|", markersize=14, color=INK, label="promised at most")
    for shift, key, colour, name in (
        (OFFSET, "realised", RED, "realised"),
        (-OFFSET, "realised_with_expiry", BLUE, "with expiry"),
    ):
        found = [row["promises"]["escapes_per_million"][key] for row in rows]
        _marks(axes, places + shift, found, 1.0, colour, name)
    axes.set_title("escapes per million parts", **TITLE)
    axes.set_xscale("symlog", linthresh=10, linscale=0.5)
    axes.set_xlim(-0.5, None)
    axes.set_xlabel(f"n = {rows[0]['parts']:,} parts each, 95 % interval")
    _legend(axes)


def _cost(axes: Axes, places: Any, rows: list[dict[str, Any]]) -> None:
    axes.grid(visible=True, axis="x", color=RULE, linewidth=0.5)
    for shift, key, colour, name in (
        (OFFSET, "good_held", RED, "held back: mean, and 95 % of plants"),
        (-OFFSET, "good_held_with_expiry", BLUE, "with expiry"),
    ):
        found = [row["risk"][key] for row in rows]
        means = [100 * one["mean"] for one in found]
        axes.hlines(places + shift, means, [100 * one["p95"] for one in found], color=colour)
        axes.plot(means, places + shift, "o", color=colour, markersize=4, label=name)
    axes.set_title("what it costs in good parts", **TITLE)
    axes.set_xlabel("% of good parts")
    axes.set_xlim(left=0)
    _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(0, -0.13), borderpad=0)


def _marks(axes: Axes, places: Any, found: list[dict[str, Any]], scale: float, colour: str, name: str) -> None:
    axes.grid(visible=True, axis="x", color=RULE, linewidth=0.5)
    axes.hlines(places, [scale * one["low"] for one in found], [scale * one["high"] for one in found], color=colour)
    axes.plot([scale * one["value"] for one in found], places, "o", color=colour, markersize=4, label=name)
