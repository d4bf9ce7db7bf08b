"""Draw findings on a picture so that a person sees at once what was found and where."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.schema.finding import Box, Finding

DEFECT = (226, 75, 56)
FEATURE = (44, 160, 120)
READ = (30, 120, 205)
"""RGB; the three differ in lightness too, so that colour-blind eyes tell them apart."""

FILL = 0.22
CHIP_TEXT = (255, 255, 255)
FONT, WEIGHT = "sans", 500
"""OpenCV's own, so that what was read in any script can be written."""


def draw(
    picture: NDArray[np.uint8], findings: Sequence[Finding], features: frozenset[str], headline: str = ""
) -> NDArray[np.uint8]:
    """Give a copy with outlines, boxes and labels; a headline adds rows above.

    picture: (rows, cols, 3) uint8 RGB. features: kinds that are no defect.
    """
    canvas = picture.copy()
    unit = max(1.0, min(canvas.shape[:2]) / 480)
    for finding in reversed(findings):  # the strongest is drawn last, on top
        _shape(canvas, finding, _colour(finding, features), unit)
    taken: list[tuple[int, int, int, int]] = []
    for finding in findings:
        if finding.box is not None:
            _chip(canvas, _label(finding), finding.box, _colour(finding, features), unit, taken)
    return _with_headline(canvas, headline, unit) if headline else canvas


def _colour(finding: Finding, features: frozenset[str]) -> tuple[int, int, int]:
    if finding.kind in {"text", "code"}:
        return READ
    return FEATURE if finding.kind in features else DEFECT


def _label(finding: Finding) -> str:
    if finding.kind in {"text", "code"}:
        return finding.text or f"{finding.kind}: unreadable"
    size = f"  {finding.extent.width_mm:.1f} x {finding.extent.height_mm:.1f} mm" if finding.extent else ""
    return f"{finding.kind} {finding.score:.2f}{size}"


def _shape(canvas: NDArray[np.uint8], finding: Finding, colour: tuple[int, int, int], unit: float) -> None:
    line = max(1, round(1.5 * unit))
    if finding.polygon:
        points = [np.rint(np.array(finding.polygon)).astype(np.int32)]
        filled = canvas.copy()
        cv2.fillPoly(filled, points, colour)
        cv2.addWeighted(filled, FILL, canvas, 1 - FILL, 0, dst=canvas)
        cv2.polylines(canvas, points, isClosed=True, color=colour, thickness=line, lineType=cv2.LINE_AA)
    elif finding.box is not None:
        left, top, right, bottom = _corners(finding.box)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, line, cv2.LINE_AA)


def _chip(
    canvas: NDArray[np.uint8],
    text: str,
    box: Box,
    colour: tuple[int, int, int],
    unit: float,
    taken: list[tuple[int, int, int, int]],
) -> None:
    size, pad = round(13 * unit), round(4 * unit)
    wide, high = _width(text, size) + 2 * pad, size + 2 * pad
    left, top, _, bottom = _corners(box)
    left = int(np.clip(left, 0, max(0, canvas.shape[1] - wide)))
    for place in (top - high - 1, bottom + 2, top - 2 * high - 2, bottom + high + 3):
        y = int(np.clip(place, 0, max(0, canvas.shape[0] - high)))
        if not any(_touch((left, y, wide, high), other) for other in taken):
            break
    taken.append((left, y, wide, high))
    cv2.rectangle(canvas, (left, y), (left + wide, y + high), colour, cv2.FILLED)
    _write(canvas, text, (left + pad, y + pad + round(0.84 * size)), size)


def _touch(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def _with_headline(canvas: NDArray[np.uint8], text: str, unit: float) -> NDArray[np.uint8]:
    bar = np.full((round(28 * unit), canvas.shape[1], 3), 32, np.uint8)
    room = canvas.shape[1] - 16 * unit
    size = round(15 * unit * min(1.0, room / max(1, _width(text, round(15 * unit)))))
    _write(bar, text, (round(8 * unit), round(19 * unit)), max(6, size))
    return np.concatenate([bar, canvas])


def _write(canvas: NDArray[np.uint8], text: str, place: tuple[int, int], size: int) -> None:
    cv2.putText(canvas, text, place, CHIP_TEXT, cv2.FontFace(FONT), size, WEIGHT)


def _width(text: str, size: int) -> int:
    # Against a wide empty canvas, since the text would else be wrapped at the edge.
    return int(cv2.getTextSize((1 << 14, 64), text, (0, 32), cv2.FontFace(FONT), size, WEIGHT)[2])


def _corners(box: Box) -> tuple[int, int, int, int]:
    return (
        round(box.x_px),
        round(box.y_px),
        round(box.x_px + box.width_px),
        round(box.y_px + box.height_px),
    )
