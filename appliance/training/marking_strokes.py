"""Draw characters with lines: a typeface, OpenCV's single strokes, stencils with bridges, seven segments."""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

BUILT_IN = "sans"
"""Typeface inside OpenCV; a path of a TrueType file names the site's own."""
HERSHEY_UNITS = 21
"""Height of capitals in OpenCV's stroke fonts."""
CLOSED = "04689ABDOPQR"
"""Characters with an inside, which a stencil needs bridges for."""
# Segments a to g as lines on a cell of width 1 and height 2: top, upper right, lower right, bottom, lower left, ...
_SEGMENTS = {
    "a": ((0, 0), (1, 0)),
    "b": ((1, 0), (1, 1)),
    "c": ((1, 1), (1, 2)),
    "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)),
    "f": ((0, 0), (0, 1)),
    "g": ((0, 1), (1, 1)),
}
_LIT = dict(
    zip(
        "0123456789-",
        ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg", "g"),
        strict=True,
    )
)


class Drawn(Struct, frozen=True):
    """Hold a line of text drawn flat."""

    cover: NDArray[np.uint8]
    """(rows, cols) uint8: 0 bare to 255 marked; one capital's height of space around."""
    cells: tuple[tuple[float, float, float, float], ...]
    """(left, top, right, bottom) of each character in pixels, blanks too."""


def typeset(text: str, height_px: int, face: str = BUILT_IN, weight: int = 400, gap: float = 0.0) -> Drawn:
    """Draw with a typeface; weight: 300 light to 800 black; gap: more space, as a share of the height."""
    font = cv2.FontFace(face)
    # Capitals are 0.7 of the nominal size in the built-in face and nearly so in most.
    size = round(height_px / 0.7)
    probe = np.zeros((4, 4), np.uint8)
    ends = [cv2.putText(probe, character, (0, 0), 255, font, size, weight)[0][0] for character in text]
    widths = [(end or height_px // 2) + gap * height_px for end in ends]
    cover, cells = _canvas(widths, height_px)
    for character, (left, _, _, bottom) in zip(text, cells, strict=True):
        cv2.putText(cover, character, (round(left), round(bottom)), 255, font, size, weight)
    return Drawn(cover, cells)


def stroked(text: str, height_px: int, thickness_px: int, gap: float = 0.0, *, double: bool = False) -> Drawn:
    """Draw with single strokes, or with OpenCV's double ones."""
    face = cv2.FONT_HERSHEY_DUPLEX if double else cv2.FONT_HERSHEY_SIMPLEX
    scale = height_px / HERSHEY_UNITS
    widths = [cv2.getTextSize(character, face, scale, 1)[0][0] + gap * height_px for character in text]
    cover, cells = _canvas(widths, height_px)
    for character, (left, _, _, bottom) in zip(text, cells, strict=True):
        cv2.putText(cover, character, (round(left), round(bottom)), face, scale, 255, thickness_px, cv2.LINE_AA)
    return Drawn(cover, cells)


def stencilled(text: str, height_px: int, weight: int = 700) -> Drawn:
    """Draw with a typeface and leave bridges in characters that have an inside."""
    drawn = typeset(text, height_px, weight=weight, gap=0.06)
    bridge = max(2, round(height_px * 0.07))
    for character, (left, top, right, bottom) in zip(text, drawn.cells, strict=True):
        if character in CLOSED:
            middle = round((left + right - 0.06 * height_px) / 2) - bridge // 2
            drawn.cover[round(top) - 4 : round(bottom) + 4, middle : middle + bridge] = 0
    return drawn


def segmented(text: str, height_px: int) -> Drawn:
    """Draw digits and signs as seven segments; ValueError on a letter."""
    letters = sorted(set(text) - set(_LIT) - set(" .:/"))
    if letters:
        raise ValueError(f"seven segments: characters {letters[:5]} have none; use digits")
    wide = height_px * 0.5
    cover, cells = _canvas([wide * (0.5 if character in ".:" else 1.55) for character in text], height_px)
    thick = max(2, round(height_px * 0.11))
    for character, (left, top, _, bottom) in zip(text, cells, strict=True):
        for name in _LIT.get(character, ""):
            ends = np.array(_SEGMENTS[name], np.float32)
            inward = (ends.mean(axis=0) - ends) * 0.2  # segments do not touch
            (x0, y0), (x1, y1) = (ends + inward) * (wide, height_px / 2) + (left, top)
            cv2.line(cover, (round(x0), round(y0)), (round(x1), round(y1)), 255, thick, cv2.LINE_AA)
        spots = {".": (1.0,), ":": (0.3, 0.7)}.get(character, ())
        for share in spots:
            cv2.circle(cover, (round(left + wide * 0.15), round(top + share * height_px)), thick // 2, 255, -1)
        if character == "/":
            cv2.line(cover, (round(left), round(bottom)), (round(left + wide), round(top)), 255, thick, cv2.LINE_AA)
    return Drawn(cover, cells)


def _canvas(
    widths: Sequence[float], height_px: int
) -> tuple[NDArray[np.uint8], tuple[tuple[float, float, float, float], ...]]:
    """Give an empty surface for characters of these widths, and their cells."""
    lefts = np.cumsum([height_px, *widths])
    cover = np.zeros((3 * height_px, int(lefts[-1]) + height_px), np.uint8)
    cells = tuple((float(a), float(height_px), float(b), 2.0 * height_px) for a, b in pairwise(lefts))
    return cover, cells
