"""Take the finger's strokes on the picture and the drawing keys; what they draw is decided in `hmi.labelling.easel`."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import Property, QObject, Signal, Slot

from appliance.schema.finding import Box
from appliance.schema.label import GOOD
from hmi.labelling import drawing as d
from hmi.labelling import easel as e
from hmi.labelling.drawing import Drawing, Tool
from hmi.labelling.easel import Easel
from hmi.screens.review import saying


class DrawingBoard(QObject):
    """Hold the easel of the view that is shown; all places are in frame pixels."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.easel: Easel | None = None
        self.kind = ""
        """Class that a stroke is of; while none is chosen, marks wait for theirs."""

    def show(self, easel: Easel | None) -> None:
        """Take another view's drawing; tool and brush stay as they are."""
        old = self.easel
        if old is not None and easel is not None:
            easel = replace(easel, tool=old.tool, radius_px=old.radius_px)
        self.easel = easel
        self.changed.emit()

    def largest(self) -> Box | None:
        """Give the box of the largest region drawn in this view; None: nothing is drawn."""
        boxes = [region.box for region in d.regions(self.easel.drawing)] if self.easel is not None else []
        return max(boxes, key=lambda box: box.width_px * box.height_px, default=None)

    def finish(self) -> None:
        """Close an outline that is under way, so that it is part of what is saved."""
        self._take(lambda easel: e.choose(easel, easel.tool))

    @Slot(str)
    def choose(self, tool: str) -> None:
        """Take a tool; the one in hand, or none, lays it down."""
        wanted = Tool(tool) if tool else None
        self._take(lambda easel: e.choose(easel, None if wanted is easel.tool else wanted))

    @Slot(float, float, float)
    def press(self, x: float, y: float, reach: float) -> None:
        """Put the finger down; reach: frame pixels within which it takes a corner."""
        kind = "" if self.kind == GOOD else self.kind
        self._take(lambda easel: e.press(easel, kind, (x, y), reach))

    @Slot(float, float)
    def move(self, x: float, y: float) -> None:
        """Move the finger."""
        self._take(lambda easel: e.move(easel, (x, y)))

    @Slot(float)
    def lift(self, tolerance: float) -> None:
        """Lift the finger; tolerance: frame pixels by which an outline may be smoothed."""
        self._take(lambda easel: e.lift(easel, tolerance))

    @Slot()
    def cancel(self) -> None:
        """Forget the touch."""
        self._take(e.cancel)

    @Slot()
    def close(self) -> None:
        """End a polygon."""
        self._draw(d.close)

    @Slot()
    def undo(self) -> None:
        """Take the last step back."""
        self._draw(d.undo)

    @Slot()
    def redo(self) -> None:
        """Take it again."""
        self._draw(d.redo)

    @Slot()
    def remove(self) -> None:
        """Take the newest mark away."""
        self._draw(lambda drawing: d.removed(drawing, len(drawing.marks) - 1) if drawing.marks else drawing)

    @Slot()
    def whole(self) -> None:
        """Mark the whole picture, for a defect that is everywhere."""
        self._draw(lambda drawing: d.whole(drawing, "" if self.kind == GOOD else self.kind))

    @Slot(bool)
    def widen(self, up: bool) -> None:  # noqa: FBT001  called by QML
        """Make the brush thicker or thinner."""
        self._take(lambda easel: e.wider(easel, up=up))

    def _draw(self, step: Callable[[Drawing], Drawing]) -> None:
        self._take(lambda easel: replace(easel, drawing=step(easel.drawing)))

    def _take(self, step: Callable[[Easel], Easel]) -> None:
        if self.easel is None:
            return
        after = step(self.easel)
        if after != self.easel:
            self.easel = after
            self.changed.emit()

    def _drawing(self) -> Any:
        return self.easel.drawing if self.easel is not None else None

    def _finger(self) -> list[float]:
        return list(self.easel.at) if self.easel is not None and self.easel.at is not None else []

    drawing = Property("QVariant", _drawing, notify=changed)  # type: ignore[arg-type]
    tools = Property("QVariantMap", lambda self: saying.tools(self.easel), notify=changed)  # type: ignore[arg-type]
    finger = Property("QVariantList", _finger, notify=changed)  # type: ignore[arg-type]
