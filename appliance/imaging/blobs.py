"""Find where a frame differs from its template, and measure each place: bytes that say what kind of difference it is.

Candidates are many, so that no defect is missed; what counts is decided by who reads the measures. They speak of the
blob alone (size, thickness, sign) and of what it does to the template: an opened line is two pieces where one was, a
short one where two were, a pinhole is a new piece of ground inside.
"""

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.imaging.template import NEUTRAL, tolerant_difference

MEASURES = 48
"""Of a blob; 16 pixels of three bytes, since networks take nothing else."""
GEOMETRY = 8
"""So many of the first speak of the blob's sign, size and shape alone."""

# A pixel differs from this share of the template's contrast on.
LEAST_SHARE = 0.4
# Grey levels: a template of less contrast than this is all noise.
LEAST_CONTRAST = 20.0
FEWEST_PIXELS = 6
# Pixels of the square in which a blob is measured; larger ones are scaled down to it.
WINDOW_PX = 48
# Pieces of one defect lie up to this many pixels apart (2, 3), what only hangs together by edges is thinner than 3.
NEAR, FAR, THIN = 5, 7, 3
WIDER_PX = 1
"""So many more pixels of tolerance in the second look, for edges that are displaced all along."""
# What reaches further than this share of the shorter side is a chain of edges when it is joined over gaps, or when
# nearly all of it lies along the template's edges: a line printed or etched too wide, not a defect with a place.
LONGEST_CHAIN = 1 / 3
BESIDE_PX = 4
BESIDE_SHARE = 0.95

Bytes = NDArray[np.uint8]


class Contrast(Struct, frozen=True):
    """Hold what is dark and light in a template."""

    middle: int
    """Grey values over this are light; Otsu's (1979)."""
    least: float
    """Differences from neutral over this count."""


class Blob(Struct, frozen=True):
    """Hold one connected place where a frame differs from its template."""

    sign: int
    """1: brighter than it may be; -1: darker."""
    box: tuple[int, int, int, int]
    """(x1, y1, x2, y2) in frame pixels, x2 and y2 exclusive."""
    shape: Bytes
    """(rows, cols) uint8 of the box, 1 where it differs."""
    look: int
    """Which of the searches found it."""


def contrast_of(picture: Bytes) -> Contrast:
    """Give what is dark and light in the template of a composed picture, (rows, cols, 3) uint8."""
    template = np.ascontiguousarray(picture[:, :, 1])
    middle, _ = cv2.threshold(template, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light = template > middle
    both = 0 < light.sum() < light.size
    contrast = float(template[light].mean() - template[~light].mean()) if both else 0.0
    return Contrast(int(middle), LEAST_SHARE * max(contrast, LEAST_CONTRAST) / 2)


def find_blobs(picture: Bytes, tolerance_px: int, contrast: Contrast) -> list[Blob]:
    """Give the places where a composed picture, (rows, cols, 3) uint8, differs; a defect may be found several times."""
    frame, template = np.ascontiguousarray(picture[:, :, 0]), np.ascontiguousarray(picture[:, :, 1])
    near = picture[:, :, 2].astype(np.int16) - NEUTRAL
    wide = tolerant_difference(frame, template, tolerance_px + WIDER_PX).astype(np.int16) - NEUTRAL
    wide[near == 0] = 0  # beyond the template
    found: dict[tuple[int, tuple[int, int, int, int], int], Blob] = {}
    searches = [(sign, *_masks(near * sign, wide * sign, contrast)) for sign in (1, -1)]
    # What no search joins is searched apart: connected components cost by the pixel, and little differs.
    anything = cv2.dilate(cv2.max(searches[0][1], searches[1][1]), np.ones((FAR, FAR), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(anything, connectivity=8)
    longest = int(LONGEST_CHAIN * min(near.shape))
    beside = _beside_edges(template, contrast)
    for region in range(1, count):
        x, y, width, height, _ = stats[region].tolist()
        part = np.s_[y : y + height, x : x + width]
        here = (labels[part] == region).astype(np.uint8)
        for sign, mask, core, late in searches:
            for look, (seen, join) in enumerate(((mask, 1), (mask, NEAR), (core, FAR), (late, 1), (late, FAR))):
                for (left, top, right, bottom), shape in _pieces(seen[part] * here, join):
                    box = (x + left, y + top, x + right, y + bottom)
                    if max(right - left, bottom - top) > longest and (join > 1 or _lies_in(beside, box, shape)):
                        continue
                    found.setdefault((sign, box, int(shape.sum())), Blob(sign, box, shape, look))
    return list(found.values())


def measure(picture: Bytes, blob: Blob, contrast: Contrast) -> Bytes:
    """Give the measures of a blob of a composed picture, (`MEASURES`,) uint8."""
    x1, y1, x2, y2 = blob.box
    width, height, area = x2 - x1, y2 - y1, int(blob.shape.sum())
    side = max(float(WINDOW_PX), 1.6 * max(width, height))
    frame, template, difference, own = _window(picture, blob, side)
    grown = cv2.dilate(own, np.ones((3, 3), np.uint8))  # the tolerance has taken a rim
    before = (template > contrast.middle).astype(np.uint8)
    shown = (frame > contrast.middle).astype(np.uint8)
    with_blob = np.where(grown > 0, np.uint8(blob.sign > 0), before)
    around = np.where(cv2.dilate(own, np.ones((7, 7), np.uint8)) > 0, shown, before)
    counts = [_count(one) for dark_light in (before, with_blob, around) for one in (1 - dark_light, dark_light)]
    change = [after - counts[index % 2] for index, after in enumerate(counts[2:])]
    inside = own > 0
    depth = cv2.distanceTransform(own, cv2.DIST_L2, 3)
    edges = cv2.morphologyEx(before, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    away = np.minimum(cv2.distanceTransform(1 - edges, cv2.DIST_L2, 3), WINDOW_PX)[inside]
    ring = (cv2.dilate(grown, np.ones((5, 5), np.uint8)) > 0) & (grown == 0)
    light_arcs, dark_arcs = (
        _count((ring & (before > 0)).astype(np.uint8)),
        _count((ring & (before == 0)).astype(np.uint8)),
    )
    by = np.abs(difference.astype(np.int16) - NEUTRAL)
    values = [
        255 * (blob.sign > 0),
        36 * np.log(width),
        36 * np.log(height),
        20 * np.log(area),
        13 * max(width, height) / min(width, height),
        4 * min(width, height),
        255 * area / (width * height),
        80 * np.log(side / WINDOW_PX),
        *(8 * count for count in counts),
        *(128 + 16 * one for one in change),
        *(128 + 127 * np.sign(one) for one in change),
        16 * depth.max(),
        32 * depth[inside].mean(),
        *(5 * away.max(), 10 * away.mean(), 10 * away.min()),
        *(255 * _mean(one, ring) for one in (before, shown)),
        *(30 * arcs for arcs in (light_arcs, dark_arcs)),
        *(255 * (arcs > 1) for arcs in (light_arcs, dark_arcs)),
        *(255 * (arcs == 0) for arcs in (light_arcs, dark_arcs)),
        2 * by[inside].max(),
        2 * by[inside].mean(),
        255 * float((by > contrast.least).mean()),
        *(255 * float(one.mean()) for one in (before, shown)),
        *(255 * _mean(one, inside) for one in (before, edges)),
        *(255 * (blob.look == look) for look in range(5)),
    ]
    measures = np.zeros(MEASURES, np.uint8)
    measures[: len(values)] = np.clip(np.rint(values), 0, 255)
    return measures


def _masks(near: NDArray[np.int16], wide: NDArray[np.int16], contrast: Contrast) -> tuple[Bytes, Bytes, Bytes]:
    """Give where it differs, where by more than a thin line, and where at the wider tolerance too."""
    mask, late = ((one > contrast.least).astype(np.uint8) for one in (near, wide))
    return mask, np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((THIN, THIN), np.uint8))), late


def _beside_edges(template: Bytes, contrast: Contrast) -> Bytes:
    """Give 1 where an edge of the template is within `BESIDE_PX`."""
    light = (template > contrast.middle).astype(np.uint8)
    edges = cv2.morphologyEx(light, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.dilate(edges, np.ones((2 * BESIDE_PX - 1, 2 * BESIDE_PX - 1), np.uint8)), np.uint8)


def _lies_in(mask: Bytes, box: tuple[int, int, int, int], shape: Bytes) -> bool:
    x1, y1, x2, y2 = box
    return float(mask[y1:y2, x1:x2][shape > 0].mean()) >= BESIDE_SHARE


def _pieces(seen: Bytes, join: int) -> list[tuple[tuple[int, int, int, int], Bytes]]:
    """Give box and shape of each piece; pixels closer than `join` are one."""
    if not seen.any():
        return []
    joined = cv2.dilate(seen, np.ones((join, join), np.uint8)) if join > 1 else seen
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    pieces = []
    for piece in range(1, count):
        x, y, width, height, area = stats[piece].tolist()
        if area < FEWEST_PIXELS:
            continue
        part = np.s_[y : y + height, x : x + width]
        own = ((labels[part] == piece) & (seen[part] > 0)).astype(np.uint8)
        if int(own.sum()) < FEWEST_PIXELS:
            continue
        rows, cols = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
        pieces.append(((x + left, y + top, x + right, y + bottom), own[top:bottom, left:right].copy()))
    return pieces


def _window(picture: Bytes, blob: Blob, side: float) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Give frame, template, difference and the blob itself in a square about it, `WINDOW_PX` a side."""
    x1, y1, x2, y2 = blob.box
    reach = int(np.ceil(side / 2)) + 2
    left, top = max(0, (x1 + x2) // 2 - reach), max(0, (y1 + y2) // 2 - reach)
    part = picture[top : (y1 + y2) // 2 + reach + 1, left : (x1 + x2) // 2 + reach + 1]
    own = np.zeros(part.shape[:2], np.uint8)
    own[y1 - top : y2 - top, x1 - left : x2 - left] = 255 * blob.shape
    scale = WINDOW_PX / side
    place = ((x1 + x2) / 2 - left - side / 2, (y1 + y2) / 2 - top - side / 2)
    matrix = np.array([[scale, 0, (scale - 1) / 2 - scale * place[0]], [0, scale, (scale - 1) / 2 - scale * place[1]]])
    size, how = (WINDOW_PX, WINDOW_PX), cv2.INTER_LINEAR
    shown = cv2.warpAffine(part, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    small = (cv2.warpAffine(own, matrix, size, flags=how) > 127).astype(np.uint8)
    if not small.any():
        small[WINDOW_PX // 2, WINDOW_PX // 2] = 1
    frame, template, difference = (np.ascontiguousarray(shown[:, :, channel]) for channel in range(3))
    return frame, template, difference, small


def _count(mask: Bytes) -> int:
    return int(cv2.connectedComponents(mask, connectivity=8)[0]) - 1


def _mean(mask: Bytes, where: NDArray[np.bool_]) -> float:
    return float(mask[where].mean()) if where.any() else 0.5
