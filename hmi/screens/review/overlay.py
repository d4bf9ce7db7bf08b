"""Lay out what is drawn over the part's picture: what the model saw, where it may be shown."""

from typing import Any

from PySide6.QtGui import QImage

from appliance.schema.finding import ViewResult
from hmi.screens.review.saying import Speaker, kind_text
from hmi.screens.run import layers, marks

Overlay = tuple[list[dict[str, Any]], dict[str, Any], QImage]
"""Outlines, where the heat map lies, and its cells."""


def overlay_of(view: ViewResult | None, words: Speaker) -> Overlay:
    """Give the overlay of a view; of none, an empty one."""
    drawn = marks.marks_of(view, frozenset(), words.number)
    named = [{**mark, "text": mark["text"] or kind_text(mark["kind"], words)} for mark in drawn]
    heat, cells = marks.cells_of(view)
    if heat is None or cells is None:
        return named, {"shown": False}, QImage()
    place = heat.window
    where = {"x": place.x_px, "y": place.y_px, "width": place.width_px, "height": place.height_px}
    return named, {"shown": True, **where}, layers.coverage(cells)
