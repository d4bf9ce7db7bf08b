"""Load what a sample shows and what is true of it: frames, class masks and things."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.datasets.header import PNG, read_header
from appliance.datasets.mask_pairs import IMAGE_AND_MASK
from appliance.datasets.pictures import as_frame, read_picture
from appliance.datasets.runs import box_of_mask, mask_of_rings, mask_of_runs
from appliance.datasets.sample import BACKGROUND, GOOD, DataSet, Sample, Thing
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

MARKED_OVER = 127
"""Ground truth masks mark a defect by values over this; those with no value over 1 mark it by 1."""
VOID = 255
"""Value of class masks for pixels that nobody judged, as Pascal VOC writes outlines; read as background."""
FEWEST_PX = 4
"""Components of a mask under this size are specks of its making, no things, unless there is nothing larger."""


class Things(NamedTuple):
    """Hold the objects of one picture."""

    kinds: NDArray[np.intp]
    """(things,) places in the data set's classes."""
    boxes: NDArray[np.float64]
    """(things, 4) x1, y1, x2, y2 in frame pixels, ends exclusive."""
    masks: tuple[NDArray[np.bool_], ...]
    """(rows, cols) each; none at all for detection, which needs no outlines."""


def load_frame(sample: Sample, pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """Give the raw frame, (rows, cols) or (rows, cols, 3) uint8; ConfigError names a file that cannot be decoded."""
    return as_frame(read_picture(sample.picture), pixel_format)


def class_mask(sample: Sample, data: DataSet) -> NDArray[np.uint8]:
    """Give the class of each pixel, (rows, cols) uint8; where things overlap, the smaller one is on top.

    0 is background or good, the others follow in the order of the data set's classes.
    """
    kinds = kinds_of(data)
    if sample.mask is not None and data.layout == IMAGE_AND_MASK:
        values = mask_values(sample.mask, len(kinds))
        return np.where(values == VOID, np.uint8(0), values)
    if sample.mask is not None:
        return marked(sample.mask) * np.uint8(1 + kinds.index(sample.label))
    header = read_header(sample.picture)
    classes = np.zeros((header.rows, header.cols), np.uint8)
    painted = [(outline(thing, classes.shape), 1 + kinds.index(thing.kind)) for thing in sample.things]
    for mask, place in sorted(painted, key=lambda pair: -int(pair[0].sum())):
        classes[mask] = place
    return classes


def things_of(sample: Sample, data: DataSet) -> Things:
    """Give the objects: those listed, else the connected components (8 neighbours) of the mask, class by class."""
    kinds = kinds_of(data)
    place = {name: data.classes.index(name) for name in kinds}
    outlined = data.task is not TaskName.DETECTION
    if sample.mask is None:
        header = read_header(sample.picture)
        boxes = [thing.box for thing in sample.things]
        shape = (header.rows, header.cols)
        masks = tuple(outline(thing, shape) for thing in sample.things) if outlined else ()
        return _things([place[thing.kind] for thing in sample.things], boxes, masks)
    classes = class_mask(sample, data)
    parts = [
        (place[kinds[value - 1]], part)
        for value in np.unique(classes[classes > 0])
        for part in _parts(classes == value)
    ]
    return _things(
        [kind for kind, _ in parts],
        [box_of_mask(part) for _, part in parts],
        tuple(part for _, part in parts) if outlined else (),
    )


def _things(
    kinds: list[int], boxes: list[tuple[float, float, float, float]], masks: tuple[NDArray[np.bool_], ...]
) -> Things:
    return Things(np.array(kinds, np.intp), np.array(boxes, np.float64).reshape(-1, 4), masks)


def kinds_of(data: DataSet) -> tuple[str, ...]:
    """Give the classes without `good` or `background`."""
    first = data.classes[:1]
    return data.classes[1:] if first in {(GOOD,), (BACKGROUND,)} else data.classes


def outline(thing: Thing, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Give the mask of a thing, (rows, cols) bool; that of its box when nothing finer is known."""
    if thing.counts:
        return mask_of_runs(thing.counts, shape)
    if thing.rings:
        return mask_of_rings(thing.rings, shape)
    x1, y1, x2, y2 = (max(0, round(value)) for value in thing.box)
    mask = np.zeros(shape, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def marked(path: Path) -> NDArray[np.bool_]:
    """Give the marked pixels of a ground truth mask, (rows, cols) bool."""
    values = mask_values(path)
    return values > (0 if values.max(initial=0) == 1 else MARKED_OVER)


def mask_values(path: Path, kinds: int | None = None) -> NDArray[np.uint8]:
    """Give a mask's values, (rows, cols) uint8; of a palette PNG the places in the palette.

    kinds: where 1, a mask of nothing but 0 and 255 says 1 by 255. ConfigError when it is a colour picture.
    """
    image = read_picture(path)
    if image.ndim == 3:
        image = _palette_places(path, image)
    if kinds == 1 and not ((image > 0) & (image < VOID)).any():
        image = image // VOID
    return image


def _palette_places(path: Path, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give each pixel's place in the palette of a PNG, which the decoder has replaced by its colour."""
    palette = _palette(path)
    if palette is None:
        if (image == image[:, :, :1]).all():
            return np.ascontiguousarray(image[:, :, 0])
        raise ConfigError(f"{path}: is a colour picture, a mask has one channel or a palette; write class numbers")
    weights = np.array([1 << 16, 1 << 8, 1])
    codes = palette.astype(np.int64) @ weights
    known, first = np.unique(codes, return_index=True)
    places: NDArray[np.uint8] = first[np.searchsorted(known, image.astype(np.int64) @ weights)].astype(np.uint8)
    return places


def _palette(path: Path) -> NDArray[np.uint8] | None:
    """Give the palette of a PNG, (colours, 3) uint8 RGB; None when it has none (PNG specification, 11.2.2)."""
    content = path.read_bytes()
    place = 8
    while content.startswith(PNG) and place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if kind == b"PLTE":
            return np.frombuffer(content[place + 8 : place + 8 + length // 3 * 3], np.uint8).reshape(-1, 3)
        if kind == b"IDAT":
            return None
        place += 12 + length
    return None


def _parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    fewest = min(FEWEST_PX, int(areas.max(initial=0)))
    return [labels == part for part in range(1, count) if areas[part - 1] >= fewest]
