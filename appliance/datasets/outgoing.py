"""Prepare samples for export: plain names, outlines in place of masks, and what cannot be carried over."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import cv2
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.datasets.header import read_header
from appliance.datasets.runs import runs_of_mask, write_counts
from appliance.datasets.sample import DataSet, Sample, Split, Thing
from appliance.datasets.truth import outline, things_of


class Outgoing(Struct, frozen=True):
    """Hold one picture on its way out."""

    sample: Sample
    name: str
    """Path under `images/` of the export, forward slashes."""
    rows: int
    cols: int
    channels: int
    things: tuple[Thing, ...]
    """Those of the sample, or the components of its mask as run lengths."""

    @property
    def split(self) -> Split:
        """Give the split as the data set states it."""
        return self.sample.split

    @property
    def label(self) -> str:
        """Give the label of the whole picture."""
        return self.sample.label

    @property
    def text(self) -> str | None:
        """Give the text to be read."""
        return self.sample.text


def outgoing(data: DataSet) -> Iterator[Outgoing]:
    """Yield every sample; its masks are read one by one."""
    for sample, name in zip(data.samples, plain_names(data.samples), strict=True):
        header = read_header(sample.picture)
        yield Outgoing(sample, name, header.rows, header.cols, header.channels, _things(sample, data))


def plain_names(samples: Sequence[Sample]) -> list[str]:
    """Give names without the folders that all of them or all of their split have in front: images, then the split."""
    parts = [PurePosixPath(sample.name).parts for sample in samples]
    if all(words[0] == "images" and len(words) > 1 for words in parts):
        parts = [words[1:] for words in parts]
    if all(sample.split and words[0] == sample.split.value for sample, words in zip(samples, parts, strict=True)):
        shorter = [words[1:] for words in parts]
        parts = shorter if all(shorter) and len(set(shorter)) == len(shorter) else parts
    # `images` has a meaning of its own in YOLO paths: labels replaces the last one.
    return ["/".join(word if word != "images" else "pictures" for word in words) for words in parts]


def as_rings(thing: Thing, shape: tuple[int, int]) -> Thing:
    """Give a thing with one outline in place of run lengths: that of its largest piece, without its holes.

    Of a piece one pixel wide it is the box.
    """
    if len(thing.rings) == 1 or not (thing.counts or thing.rings):
        return thing
    x1, y1, x2, y2 = thing.box
    ring = largest_ring(outline(thing, shape)) or (x1, y1, x2, y1, x2, y2, x1, y2)
    return replace(thing, counts=(), rings=(ring,))


def largest_ring(mask: NDArray[np.bool_]) -> tuple[float, ...]:
    """Give the outline of the largest piece of a (rows, cols) bool mask as x1, y1, x2, y2, ...; empty below 3 points.

    It runs through the centres of the border pixels, as the contours of OpenCV do.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(found, key=cv2.contourArea, default=np.empty((0, 1, 2)))
    return tuple(float(value) + 0.5 for value in largest.ravel()) if len(largest) >= 3 else ()


def _things(sample: Sample, data: DataSet) -> tuple[Thing, ...]:
    if sample.mask is None:
        return sample.things
    found = things_of(sample, data)
    boxes = [(float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in found.boxes]
    kinds = [data.classes[kind] for kind in found.kinds]
    counts = [write_counts(runs_of_mask(mask)) for mask in found.masks] or [""] * len(kinds)
    return tuple(Thing(k, b, (), c) for k, b, c in zip(kinds, boxes, counts, strict=True))
