"""Draw regions on a frame, in its pixels, with undo and redo; pure.

A drawing is a row of marks on one view. Every step (a mark added, a point moved, a mark taken away) can be undone and
redone. What is under the finger is `open` until it is finished; it is no step before. Points are (x, y) in frame
pixels, origin at the corner of the first pixel, kept inside the frame.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from appliance.schema.finding import Box
from appliance.schema.label import Region
from hmi.labelling.outlines import bounds, simplified
from hmi.labelling.strokes import Stroke, painted_runs, runs_box

Point = tuple[float, float]

LEAST_PX, THINNEST_PX = 3.0, 1.0
"""A box or outline smaller than the first both ways, or than the second one way, is a tap that missed, no region."""


class Tool(StrEnum):
    """Name what the finger draws."""

    BOX = "box"
    POLYGON = "polygon"
    """Corner by corner: each lift of the finger sets one."""
    OUTLINE = "outline"
    """In one go; simplified when the finger is lifted."""
    BRUSH = "brush"
    ERASER = "eraser"


class Mark(Struct, frozen=True):
    """Hold one region as it was drawn."""

    tool: Tool
    kind: str
    points: tuple[Point, ...] = ()
    """Two opposite corners of a box, or the corners of an outline in order."""
    runs: tuple[int, ...] = ()
    """Mask of a brush (COCO, column by column); empty for the others."""


class Open(Struct, frozen=True):
    """Hold what is under the finger."""

    tool: Tool
    kind: str
    points: tuple[Point, ...]
    radius_px: float = 0.0
    """Of brush and eraser."""


class Drawing(Struct, frozen=True):
    """Hold the marks on one view and the way to and fro."""

    camera: str
    size: tuple[int, int]
    """(rows, cols) of the frame."""
    marks: tuple[Mark, ...] = ()
    open: Open | None = None
    past: tuple[tuple[Mark, ...], ...] = ()
    future: tuple[tuple[Mark, ...], ...] = ()

    @classmethod
    def of(cls, camera: str, size: tuple[int, int], regions: Sequence[Region]) -> Self:
        """Give a drawing of the regions that a label has in this view, to go on from."""
        return cls(camera, size, tuple(_mark(region) for region in regions if region.camera == camera))


def begin(drawing: Drawing, tool: Tool, kind: str, at: Point, radius_px: float = 0.0) -> Drawing:
    """Put the finger down. An open polygon of the same class goes on; any other open thing is dropped."""
    point = _inside(drawing, at)
    going = drawing.open
    if going and tool is going.tool is Tool.POLYGON and kind == going.kind:
        return replace(drawing, open=replace(going, points=(*going.points, point)))
    points = (point,) if tool in (Tool.POLYGON, Tool.OUTLINE) else (point, point)
    return replace(drawing, open=Open(tool, kind, points, radius_px))


def extend(drawing: Drawing, to: Point) -> Drawing:
    """Move the finger: a box's or polygon's last corner follows, a stroke grows."""
    going = drawing.open
    if going is None:
        return drawing
    point = _inside(drawing, to)
    if going.tool in (Tool.BOX, Tool.POLYGON):
        return replace(drawing, open=replace(going, points=(*going.points[:-1], point)))
    return replace(drawing, open=replace(going, points=(*going.points, point)))


def lift(drawing: Drawing, tolerance_px: float = 1.0) -> Drawing:
    """Lift the finger: the mark is done, but for a polygon, which waits for its next corner or `close`."""
    going = drawing.open
    if going is None or going.tool is Tool.POLYGON:
        return drawing
    if going.tool in (Tool.BRUSH, Tool.ERASER):
        return _paint(drawing, going)
    points = simplified(going.points, tolerance_px) if going.tool is Tool.OUTLINE else going.points
    return _add(drawing, going, points, 3 if going.tool is Tool.OUTLINE else 2)


def close(drawing: Drawing) -> Drawing:
    """End an open polygon; one with fewer than three corners is dropped."""
    going = drawing.open
    if going is None or going.tool is not Tool.POLYGON:
        return drawing
    return _add(drawing, going, going.points, 3)


def drop(drawing: Drawing) -> Drawing:
    """Forget what is under the finger, as when the touch is taken away by a second finger."""
    return replace(drawing, open=None)


def grabbed(drawing: Drawing, at: Point, reach_px: float) -> tuple[int, int] | None:
    """Find the corner nearest to a touch, as (mark, corner); None when none is within reach. Newer marks go first."""
    best: tuple[float, int, int] | None = None
    for number in reversed(range(len(drawing.marks))):
        for corner, (x, y) in enumerate(handles(drawing.marks[number])):
            distance = ((x - at[0]) ** 2 + (y - at[1]) ** 2) ** 0.5
            if distance <= reach_px and (best is None or distance < best[0]):
                best = (distance, number, corner)
    return best[1:] if best else None


def handles(mark: Mark) -> tuple[Point, ...]:
    """Give the corners that a finger can move; a brush's mask has none."""
    if mark.tool is Tool.BOX:
        (x1, y1), (x2, y2) = mark.points
        return ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    return mark.points


def moved(drawing: Drawing, grip: tuple[int, int], to: Point) -> Drawing:
    """Put one corner elsewhere, as one step."""
    number, corner = grip
    mark, point = drawing.marks[number], _inside(drawing, to)
    if mark.tool is Tool.BOX:
        points: tuple[Point, ...] = (handles(mark)[(corner + 2) % 4], point)
    else:
        points = (*mark.points[:corner], point, *mark.points[corner + 1 :])
    if not _large(points):
        return drawing
    return _step(drawing, (*drawing.marks[:number], replace(mark, points=points), *drawing.marks[number + 1 :]))


def removed(drawing: Drawing, number: int) -> Drawing:
    """Take a mark away, as one step."""
    return _step(drawing, (*drawing.marks[:number], *drawing.marks[number + 1 :]))


def whole(drawing: Drawing, kind: str) -> Drawing:
    """Mark the whole frame, as one step: a defect that is everywhere has no better place."""
    rows, cols = drawing.size
    return _step(drawing, (*drawing.marks, Mark(Tool.BOX, kind, ((0.0, 0.0), (float(cols), float(rows))))))


def named(drawing: Drawing, kind: str) -> Drawing:
    """Give every mark the class that was chosen; no step of its own."""
    return replace(drawing, marks=tuple(replace(mark, kind=kind) for mark in drawing.marks))


def undo(drawing: Drawing) -> Drawing:
    """Take the last step back: an open polygon's last corner first."""
    going = drawing.open
    if going and going.tool is Tool.POLYGON and len(going.points) > 1:
        return replace(drawing, open=replace(going, points=going.points[:-1]))
    if going:
        return replace(drawing, open=None)
    if not drawing.past:
        return drawing
    return replace(
        drawing, marks=drawing.past[-1], past=drawing.past[:-1], future=(drawing.marks, *drawing.future), open=None
    )


def redo(drawing: Drawing) -> Drawing:
    """Take a step again that was undone."""
    if not drawing.future:
        return drawing
    return replace(
        drawing, marks=drawing.future[0], past=(*drawing.past, drawing.marks), future=drawing.future[1:], open=None
    )


def regions(drawing: Drawing) -> tuple[Region, ...]:
    """Give what was drawn as a label's regions; what is still open is left out."""
    return tuple(_region(drawing, mark) for mark in drawing.marks)


def _paint(drawing: Drawing, going: Open) -> Drawing:
    """Add a stroke to the newest mask of its class, or take it from every mask it crosses."""
    stroke = Stroke(going.points, going.radius_px)
    if going.tool is Tool.ERASER:
        marks = [
            replace(mark, runs=painted_runs(mark.runs, drawing.size, stroke, erase=True)) if mark.runs else mark
            for mark in drawing.marks
        ]
        return _step(drawing, tuple(mark for mark in marks if not mark.runs or len(mark.runs) > 1))
    masks = [n for n, mark in enumerate(drawing.marks) if mark.runs and mark.kind == going.kind]
    if not masks:
        runs = painted_runs((), drawing.size, stroke)
        return _step(drawing, (*drawing.marks, Mark(Tool.BRUSH, going.kind, runs=runs)) if len(runs) > 1 else None)
    number = masks[-1]
    mask = replace(drawing.marks[number], runs=painted_runs(drawing.marks[number].runs, drawing.size, stroke))
    return _step(drawing, (*drawing.marks[:number], mask, *drawing.marks[number + 1 :]))


def _add(drawing: Drawing, going: Open, points: Sequence[Point], least: int) -> Drawing:
    if len(points) < least or not _large(points):
        return replace(drawing, open=None)
    tool = Tool.BOX if going.tool is Tool.BOX else Tool.POLYGON
    return _step(drawing, (*drawing.marks, Mark(tool, going.kind, tuple(points))))


def _step(drawing: Drawing, marks: tuple[Mark, ...] | None) -> Drawing:
    if marks is None or marks == drawing.marks:
        return replace(drawing, open=None)
    return replace(drawing, marks=marks, past=(*drawing.past, drawing.marks), future=(), open=None)


def _region(drawing: Drawing, mark: Mark) -> Region:
    if mark.runs:
        return Region(drawing.camera, mark.kind, runs_box(mark.runs, drawing.size), runs=mark.runs, size=drawing.size)
    outline = mark.points if mark.tool is Tool.POLYGON else ()
    return Region(drawing.camera, mark.kind, bounds(mark.points), outline)


def _mark(region: Region) -> Mark:
    if region.runs:
        return Mark(Tool.BRUSH, region.kind, runs=region.runs)
    if region.polygon:
        return Mark(Tool.POLYGON, region.kind, region.polygon)
    box: Box = region.box
    corners = ((box.x_px, box.y_px), (box.x_px + box.width_px, box.y_px + box.height_px))
    return Mark(Tool.BOX, region.kind, corners)


def _inside(drawing: Drawing, at: Point) -> Point:
    """Keep a point in the frame, at a 1/16 px: finer than a finger, and exact in any float."""
    rows, cols = drawing.size
    return (round(min(max(at[0], 0.0), cols) * 16) / 16, round(min(max(at[1], 0.0), rows) * 16) / 16)


def _large(points: Sequence[Point]) -> bool:
    box = bounds(points)
    sides = sorted((box.width_px, box.height_px))
    return sides[0] >= THINNEST_PX and sides[1] >= LEAST_PX
