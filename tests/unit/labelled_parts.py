"""Render parts with a label and a class mask, and read bundles fitted from them the way the line does."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from appliance.ports.runtime import Runtime, Session
from appliance.ports.task import FrameReader
from appliance.sim.parts.dayone import code_bayer_rg8
from appliance.sim.parts.renderer import Renderer, part_generator
from appliance.sim.parts.truth import DEFECTS, GOOD, PartTruth, part_seed
from appliance.storage import bundle as bundles
from appliance.tasks.opening import Parts, open_reader
from appliance.training.package import FittedBundle

SIZE = (640, 512)
"""Width and height of the frames in px."""
ROI = (64, 0, 512, 512)
CLASSES = (GOOD, *DEFECTS)
CREATED = "2026-11-21T12:00:00Z"
PURPOSE = 11  # seeds of these parts meet neither those of the line nor those of day one


class LabelledPart(NamedTuple):
    """Hold one raw frame and what is true of it."""

    raw: NDArray[np.uint8]
    """(rows, cols) uint8, BayerRG8."""
    label: str
    mask: NDArray[np.uint8]
    """(rows, cols) uint8, place in CLASSES."""


@cache
def renderer() -> Renderer:
    """Give the renderer for these frames, which takes a second to make."""
    return Renderer(SIZE)


def labelled_parts(good: int, of_each: int, seed: int, defects: tuple[str, ...] = DEFECTS) -> list[LabelledPart]:
    """Give `good` good parts and `of_each` parts of each defect."""
    kinds = [None] * good + [kind for kind in defects for _ in range(of_each)]
    return [_labelled(PartTruth(n, kind, part_seed(seed, n, PURPOSE))) for n, kind in enumerate(kinds, 1)]


def stored(fitted: FittedBundle, folder: Path) -> bundles.Bundle:
    """Write a fitted bundle to disk and read it back, every file verified."""
    bundles.write(folder, fitted.manifest, fitted.files)
    return bundles.read(folder)


def reader(bundle: bundles.Bundle, runtime: Runtime, precision: str) -> FrameReader:
    """Open a stored bundle in a runtime and precision, its own or another."""
    sessions: dict[str, Session] = {
        model.name: runtime.load(bundle.files[model.file], precision, 1) for model in bundle.manifest.models
    }
    parts = Parts(bundle.manifest, bundle.files, lambda path: bundles.arrays(bundle, path), sessions)
    return open_reader(parts, (SIZE[1], SIZE[0]))


def raws(parts: Iterable[LabelledPart]) -> list[NDArray[np.uint8]]:
    """Give the frames alone."""
    return [part.raw for part in parts]


def _labelled(truth: PartTruth) -> LabelledPart:
    part = renderer().render(truth, part_generator(truth))
    label = truth.defect or GOOD
    mask = part.mask.astype(np.uint8) * np.uint8(CLASSES.index(label))
    return LabelledPart(code_bayer_rg8(part.image), label, mask)
