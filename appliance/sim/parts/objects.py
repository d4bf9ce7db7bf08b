"""Render parts with the truth that detectors learn from: masks, boxes and kinds of defects and of drilled holes."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.sim.parts.dayone import code_bayer_rg8
from appliance.sim.parts.product import SINK_MM, hole_centres
from appliance.sim.parts.renderer import Renderer, draw_look, part_generator
from appliance.sim.parts.truth import DEFECTS, PartTruth, part_seed

HOLE = "hole"
KINDS = (HOLE, *DEFECTS)
"""Classes of the taxonomy; the first is a feature of the part that rules count."""
PURPOSE = 7  # seeds of these parts meet neither those of the line nor those of day one


class TruePart(NamedTuple):
    """Hold one rendered part and what is true of it."""

    image: NDArray[np.uint8]
    """(rows, cols, 3) uint8 RGB."""
    raw: NDArray[np.uint8]
    """(rows, cols) uint8 BayerRG8 of the same."""
    kinds: NDArray[np.intp]
    """(instances,) places in KINDS."""
    boxes: NDArray[np.float64]
    """(instances, 4) x1 y1 x2 y2 in frame pixels."""
    masks: NDArray[np.bool_]
    """(instances, rows, cols) True where the instance shows."""
    defect: str | None


def true_parts(numbers: Iterable[int], size: tuple[int, int], seed: int = 3, good: int = 7) -> Iterator[TruePart]:
    """Yield the parts of these numbers for frames of (width, height) px; every `good`-th is free of defects."""
    renderer = Renderer(size)
    for number in numbers:
        kind = None if number % good == 0 else DEFECTS[(number - number // good) % len(DEFECTS)]
        yield true_part(renderer, PartTruth(number, kind, part_seed(seed, number, PURPOSE)), size)


def true_part(renderer: Renderer, truth: PartTruth, size: tuple[int, int]) -> TruePart:
    """Render one part and list its instances: the holes first, then the defect."""
    part = renderer.render(truth, part_generator(truth))
    masks = [mask for mask in _holes(renderer, truth, size) if not _undrilled(truth, mask, part.mask)]
    kinds = [KINDS.index(HOLE)] * len(masks)
    if truth.defect is not None and part.mask.any():
        masks.append(part.mask)
        kinds.append(KINDS.index(truth.defect))
    boxes = np.array([_box(mask) for mask in masks], np.float64).reshape(-1, 4)
    stacked = np.array(masks, np.bool_).reshape(-1, *part.mask.shape)
    return TruePart(part.image, code_bayer_rg8(part.image), np.array(kinds, np.intp), boxes, stacked, truth.defect)


def _holes(renderer: Renderer, truth: PartTruth, size: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Draw where the six countersinks lie: the pose is the first thing that a part's generator gives."""
    look, scale = draw_look(part_generator(truth)), renderer.px_per_mm
    turn = np.deg2rad(look.rotation_deg)
    masks = []
    for x, y in hole_centres():
        # As cv2.getRotationMatrix2D: positive angles turn against the clock, y is down.
        col = (size[0] - 1) / 2 + scale * (np.cos(turn) * x + np.sin(turn) * y + look.shift_mm[0])
        row = (size[1] - 1) / 2 + scale * (-np.sin(turn) * x + np.cos(turn) * y + look.shift_mm[1])
        disc = np.zeros((size[1], size[0]), np.uint8)
        centre = (round(float(col) * 16), round(float(row) * 16))
        cv2.circle(disc, centre, round(SINK_MM * scale * 16), 1, -1, cv2.LINE_8, 4)
        masks.append(disc.astype(np.bool_))
    return masks


def _undrilled(truth: PartTruth, hole: NDArray[np.bool_], defect: NDArray[np.bool_]) -> bool:
    return truth.defect == "missing_hole" and bool((hole & defect).sum() > 0.2 * hole.sum())


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1
