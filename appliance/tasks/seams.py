"""Join findings that neighbouring tiles saw twice, or each in part."""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.ports.task import Window
from appliance.schema.finding import Box, Finding

SAME = 0.3
"""Two findings of one kind are one when what they cover of the band that both tiles saw overlaps by this share (IoU):
one network sees the same thing a little differently near the edge of a tile; neighbours hardly overlap at all."""

CANVAS_PX = 1024
"""Longest side of the canvas on which two outlines are joined; larger findings are drawn coarser."""


class Seen(Struct, frozen=True):
    """Name a finding with the tile that saw it."""

    finding: Finding
    tile: int


def merge(seen: Sequence[Seen], windows: Sequence[Window]) -> tuple[Finding, ...]:
    """Give each thing once, strongest first; windows: the tiles, in frame pixels.

    A joined finding has the strongest one's score and kind, the union of the outlines and its area.
    """
    groups = list(range(len(seen)))
    for one, other in itertools.combinations(range(len(seen)), 2):
        if _same(seen[one], seen[other], windows):
            old, new = groups[other], groups[one]
            groups = [new if group == old else group for group in groups]
    joined = [
        _join([seen[place].finding for place in range(len(seen)) if groups[place] == group])
        for group in sorted(set(groups))
    ]
    return tuple(sorted(joined, key=lambda finding: -finding.score))


def _same(one: Seen, other: Seen, windows: Sequence[Window]) -> bool:
    if one.tile == other.tile or one.finding.kind != other.finding.kind:
        return False
    first, second = one.finding.box, other.finding.box
    if first is None or second is None:
        return False
    band = _overlap(_box(windows[one.tile]), _box(windows[other.tile]))
    if band is None:
        return False
    a, b = _overlap(first, band), _overlap(second, band)
    if a is None or b is None or _overlap(a, b) is None:
        return False
    around = _around(a, b)
    masks = [_mask(seen.finding, around) & _filled(band, around) for seen in (one, other)]
    union = np.count_nonzero(masks[0] | masks[1])
    return bool(union and np.count_nonzero(masks[0] & masks[1]) >= SAME * union)


def _join(findings: Sequence[Finding]) -> Finding:
    strongest = max(findings, key=lambda finding: finding.score)
    boxes = [finding.box for finding in findings if finding.box is not None]
    if len(findings) == 1 or not boxes:
        return strongest
    around = boxes[0]
    for box in boxes[1:]:
        around = _around(around, box)
    scale = _scale(around)
    mask = np.zeros(_shape(around), np.bool_)
    for finding in findings:
        mask |= _mask(finding, around)
    area = float(np.count_nonzero(mask)) / scale**2
    if not any(finding.polygon for finding in findings):
        return replace(strongest, box=around, area_px=area)
    return replace(strongest, box=around, area_px=area, polygon=_outline(mask, around))


def _outline(mask: NDArray[np.bool_], around: Box) -> tuple[tuple[float, float], ...]:
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return ()
    scale = _scale(around)
    largest = max(contours, key=cv2.contourArea).reshape(-1, 2)
    return tuple((around.x_px + (x + 0.5) / scale, around.y_px + (y + 0.5) / scale) for x, y in largest.tolist())


def _mask(finding: Finding, around: Box) -> NDArray[np.bool_]:
    """Draw what a finding covers of `around`."""
    if not finding.polygon:
        return _filled(finding.box, around) if finding.box else np.zeros(_shape(around), np.bool_)
    scale = _scale(around)
    points = (np.array(finding.polygon) - (around.x_px, around.y_px)) * scale
    canvas = np.zeros(_shape(around), np.uint8)
    cv2.fillPoly(canvas, [np.rint(points - 0.5).astype(np.int32)], 1)
    return canvas.view(np.bool_)


def _filled(box: Box, around: Box) -> NDArray[np.bool_]:
    scale = _scale(around)
    canvas = np.zeros(_shape(around), np.bool_)
    left, top = (box.x_px - around.x_px) * scale, (box.y_px - around.y_px) * scale
    rows = slice(max(0, round(top)), max(0, round(top + box.height_px * scale)))
    canvas[rows, max(0, round(left)) : max(0, round(left + box.width_px * scale))] = True
    return canvas


def _scale(around: Box) -> float:
    return min(1.0, CANVAS_PX / max(around.width_px, around.height_px, 1.0))


def _shape(around: Box) -> tuple[int, int]:
    scale = _scale(around)
    return max(1, round(around.height_px * scale)), max(1, round(around.width_px * scale))


def _box(window: Window) -> Box:
    return Box(window.x_px, window.y_px, window.width_px, window.height_px)


def _overlap(one: Box, other: Box) -> Box | None:
    left, top = max(one.x_px, other.x_px), max(one.y_px, other.y_px)
    right = min(one.x_px + one.width_px, other.x_px + other.width_px)
    bottom = min(one.y_px + one.height_px, other.y_px + other.height_px)
    return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _around(one: Box, other: Box) -> Box:
    left, top = min(one.x_px, other.x_px), min(one.y_px, other.y_px)
    right = max(one.x_px + one.width_px, other.x_px + other.width_px)
    bottom = max(one.y_px + one.height_px, other.y_px + other.height_px)
    return Box(left, top, right - left, bottom - top)
