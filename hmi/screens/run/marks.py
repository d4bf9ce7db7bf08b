"""Lay out what is drawn over a picture: outlines, boxes, texts and the heat map of one view. No Qt."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.imaging.heat import values
from appliance.schema.finding import Box, Finding, HeatMap, ViewResult

READ = ("text", "code")
"""Kinds of findings that are read."""


def marks_of(
    view: ViewResult | None, features: frozenset[str], number: Callable[[float, int], str]
) -> list[dict[str, Any]]:
    """Give one entry per finding that has a place, in frame pixels; number: writes one with so many decimals."""
    if view is None:
        return []
    return [_mark(one, one.box, features, number) for one in view.findings if one.box is not None]


def _mark(one: Finding, box: Box, features: frozenset[str], number: Callable[[float, int], str]) -> dict[str, Any]:
    read = one.kind in READ
    return {
        "x": box.x_px,
        "y": box.y_px,
        "width": box.width_px,
        "height": box.height_px,
        "points": [place for corner in one.polygon for place in corner],
        "kind": one.kind.replace("_", " "),
        "read": read,
        "defect": not read and one.kind not in features,
        "text": one.text,
        "confidence": "" if one.confidence is None else number(one.confidence, 2),
    }


def cells_of(view: ViewResult | None) -> tuple[HeatMap | None, NDArray[np.uint8] | None]:
    """Give the heat map of a view and its (rows, columns) uint8 cells; neither where none was made or it is damaged."""
    heat = view.heat if view is not None else None
    if heat is None:
        return None, None
    try:
        return heat, values(heat)
    except ValueError:
        return None, None
