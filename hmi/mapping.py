"""Map frame pixels to pixels of the item that shows them; pure, for the picture and everything drawn over it."""

from msgspec import Struct

FIT = 0.0
"""Zoom that shows the whole frame."""

LARGEST = 16.0


class Mapping(Struct, frozen=True):
    """State where frame pixels lie on an item: item = frame x scale + (x, y)."""

    scale: float
    """Item pixels per frame pixel."""
    x: float
    """Item position of the frame's left edge; whole, so that 1:1 is pixel for pixel."""
    y: float
    pan_x: float
    """Frame pixel at the middle of the item, after clamping."""
    pan_y: float


def fit(
    width: float, height: float, rows: int, columns: int, zoom: float = FIT, pan: tuple[float, float] | None = None
) -> Mapping:
    """Place a frame of `rows` x `columns` on an item of `width` x `height`.

    zoom: item pixels per frame pixel; FIT shows the whole frame, and no zoom is less than
    that, 1:1 apart. pan: frame
    pixel (x, y) wanted at the middle; it gives way so that no ground shows where the frame could be.
    """
    if rows < 1 or columns < 1 or width < 1 or height < 1:
        return Mapping(1.0, 0.0, 0.0, 0.0, 0.0)
    whole = min(width / columns, height / rows)
    scale = min(max(zoom, min(whole, 1.0)), LARGEST) if zoom > 0 else whole
    wanted = pan if pan is not None else (columns / 2, rows / 2)
    middle_x = _clamped(wanted[0], columns, width / scale)
    middle_y = _clamped(wanted[1], rows, height / scale)
    x, y = round(width / 2 - middle_x * scale), round(height / 2 - middle_y * scale)
    return Mapping(scale, float(x), float(y), middle_x, middle_y)


def to_item(mapping: Mapping, x: float, y: float) -> tuple[float, float]:
    """Carry a frame position to the item."""
    return x * mapping.scale + mapping.x, y * mapping.scale + mapping.y


def to_frame(mapping: Mapping, x: float, y: float) -> tuple[float, float]:
    """Carry an item position to the frame."""
    return (x - mapping.x) / mapping.scale, (y - mapping.y) / mapping.scale


def _clamped(wanted: float, length: float, shown: float) -> float:
    if shown >= length:
        return length / 2
    return min(max(wanted, shown / 2), length - shown / 2)
