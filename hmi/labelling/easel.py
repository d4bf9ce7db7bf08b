"""Say what a finger on the picture does: take a corner that is within reach, else draw with the tool chosen; pure."""

from msgspec import Struct
from msgspec.structs import replace

from hmi.labelling import drawing as d
from hmi.labelling.drawing import Drawing, Point, Tool

MOVABLE = frozenset({Tool.BOX, Tool.POLYGON, Tool.OUTLINE})
"""Tools under which a corner within reach is moved; brush and eraser go over corners."""

BRUSH_STEP = 1.6
THINNEST_PX, THICKEST_PX = 1.0, 400.0


class Easel(Struct, frozen=True):
    """Hold the drawing of one view, the tool, and what the finger holds."""

    drawing: Drawing
    tool: Tool | None = None
    """None: the finger moves the picture instead."""
    radius_px: float = 12.0
    """Of brush and eraser."""
    before: Drawing | None = None
    """Drawing before a corner was taken; moving it is one step from here."""
    grip: tuple[int, int] | None = None
    """Corner that the finger holds."""
    at: Point | None = None
    """Where the finger is, frame px; None: it is up."""


def press(easel: Easel, kind: str, at: Point, reach_px: float) -> Easel:
    """Put the finger down. kind: class of what it draws; reach_px: half of a target's size on the screen."""
    if easel.tool is None:
        return easel
    grip = d.grabbed(easel.drawing, at, reach_px) if easel.tool in MOVABLE and easel.drawing.open is None else None
    if grip is not None:
        return replace(easel, before=easel.drawing, grip=grip, at=at)
    return replace(easel, drawing=d.begin(easel.drawing, easel.tool, kind, at, easel.radius_px), grip=None, at=at)


def move(easel: Easel, to: Point) -> Easel:
    """Move the finger."""
    if easel.at is None:
        return easel
    if easel.grip is not None and easel.before is not None:
        return replace(easel, drawing=d.moved(easel.before, easel.grip, to), at=to)
    return replace(easel, drawing=d.extend(easel.drawing, to), at=to)


def lift(easel: Easel, tolerance_px: float) -> Easel:
    """Lift the finger; tolerance_px: how far an outline may be smoothed."""
    if easel.at is None:
        return easel
    drawing = easel.drawing if easel.grip is not None else d.lift(easel.drawing, tolerance_px)
    return replace(easel, drawing=drawing, before=None, grip=None, at=None)


def cancel(easel: Easel) -> Easel:
    """Take the touch away, as when a second finger comes: nothing was drawn by it."""
    drawing = easel.before if easel.before is not None else easel.drawing
    kept = drawing if drawing.open is not None and drawing.open.tool is Tool.POLYGON else d.drop(drawing)
    return replace(easel, drawing=kept, before=None, grip=None, at=None)


def choose(easel: Easel, tool: Tool | None) -> Easel:
    """Take another tool; a polygon under way is closed first."""
    return replace(easel, drawing=d.drop(d.close(easel.drawing)), tool=tool, before=None, grip=None, at=None)


def wider(easel: Easel, *, up: bool) -> Easel:
    """Make the brush thicker or thinner."""
    factor = BRUSH_STEP if up else 1 / BRUSH_STEP
    return replace(easel, radius_px=min(max(easel.radius_px * factor, THINNEST_PX), THICKEST_PX))
