"""Read a folder of real photographs as the stream of parts: MVTec-style folders, any size, grey or colour.

`train/good` are the good images of day one; `test/<class>` are the parts on the line, with `ground_truth/<class>/
<name>_mask.png` as their truth. Where `groups.csv` (name,group) says which images show the same part, no part is in
both: a photograph of a test part never counts as a day-one image.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError
from appliance.sim.parts.labelled import labelled
from appliance.sim.parts.truth import GOOD, PartTruth, RenderedPart, part_seed

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MARGIN_LEVEL: Final = 128
"""Mid-grey around a photograph smaller than the frame."""
FRAME_STEP_PX: Final = 16
"""Frames are a multiple of this, as sensors' sizes are."""

_PNG_END: Final = b"IEND\xaeB`\x82"
_JPEG_END: Final = b"\xff\xd9"


class Photograph(Struct, frozen=True):
    """Name one photograph and the truth about its part."""

    path: str
    """Relative to the folder, with forward slashes."""
    defect: str | None
    mask_path: str | None
    """Relative to the folder; None for a good part, or when nobody drew one."""
    group: str | None
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """(x1, y1, x2, y2) of defects in px of the photograph, where there is no mask."""


class PhotographFolder(Struct, frozen=True):
    """State what a folder holds, after every image in it was decoded once."""

    root: Path
    training: tuple[Photograph, ...]
    test: tuple[Photograph, ...]
    size: tuple[int, int]
    """Frame (width, height) in px that holds every photograph unscaled."""
    colour: bool
    """False when every photograph is grey."""
    dropped_for_groups: int
    """Training photographs left out because the same part is in the test set."""
    unreadable: tuple[str, ...]
    """Photographs left out because they cannot be decoded; empty unless they were allowed."""


def open_photographs(root: Path, *, skip_unreadable: bool = False) -> PhotographFolder:
    """Read the folder's tree and decode each image once.

    Any other data set serves too (datasets/reading.py): what is not for training goes over the belt. Raises ConfigError
    when there is no test image, when training and test hold no good image, or at the first image
    that cannot be decoded; with `skip_unreadable` such images are left out and listed instead.
    """
    groups = _groups(root)
    training = _photographs(root, "train", groups, only=GOOD)
    test = _photographs(root, "test", groups)
    if not training and not test and root.is_dir():
        training, test = _of_data_set(root)
    if not test:
        raise ConfigError(
            f"image folder {root} has no images under test/<class>; lay it out as test/good, test/<defect>"
        )
    tested = {p.group for p in test if p.group is not None}
    kept = [p for p in training if p.group not in tested]
    dropped = len(training) - len(kept)
    shapes: dict[str, tuple[int, ...]] = {}
    unreadable: list[str] = []
    for photograph in (*kept, *test):
        try:
            shapes[photograph.path] = _read(root / photograph.path).shape
        except ConfigError:
            if not skip_unreadable:
                raise
            unreadable.append(photograph.path)
    if not shapes:
        raise ConfigError(f"image folder {root} has no readable image of {len(unreadable)}; replace them")
    width, height = (_round_up(max(shape[axis] for shape in shapes.values())) for axis in (1, 0))
    return PhotographFolder(
        root=root,
        training=tuple(p for p in kept if p.path in shapes),
        test=tuple(p for p in test if p.path in shapes),
        size=(width, height),
        colour=any(len(shape) == 3 for shape in shapes.values()),
        dropped_for_groups=dropped,
        unreadable=tuple(unreadable),
    )


def training_images(
    folder: PhotographFolder, chosen: Sequence[Photograph], size: tuple[int, int] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield photographs of training as frames, (rows, cols, 3) uint8 RGB, in their order."""
    for photograph in chosen:
        yield place(_read(folder.root / photograph.path), size or folder.size)


def choose(folder: PhotographFolder, n: int, seed: int) -> tuple[Photograph, ...]:
    """Choose up to `n` good photographs of training, of as many parts as there are, in an order set by the seed.

    Several photographs of one part tell less than one of several: limits set from them promise too much.
    """
    rng = np.random.default_rng((seed, len(folder.training)))
    shuffled = [folder.training[place] for place in rng.permutation(len(folder.training))]
    rounds: dict[str, int] = {}
    ranked = []
    for photograph in shuffled:
        part = photograph.group or photograph.path
        rounds[part] = rounds.get(part, 0) + 1
        ranked.append((rounds[part], photograph))
    ranked.sort(key=lambda item: item[0])
    return tuple(photograph for _, photograph in ranked[:n])


def stream(folder: PhotographFolder, n: int, seed: int) -> Iterator[PartTruth]:
    """Yield `n` parts: the test photographs shuffled by the seed, and shuffled anew each time all were shown."""
    rng = np.random.default_rng((seed, len(folder.test)))
    order: list[int] = []
    for number in range(1, n + 1):
        if not order:
            order = rng.permutation(len(folder.test)).tolist()
        photograph = folder.test[order.pop()]
        yield PartTruth(number, photograph.defect, part_seed(seed, number), photograph.path)


def show(
    folder: PhotographFolder, truth: PartTruth, size: tuple[int, int] | None = None, *, mirrored: bool = False
) -> RenderedPart:
    """Give the frame of a part of the stream with its truth mask; a missing mask is all False.

    mirrored: what lies beside a photograph smaller than the frame is its mirror image, not grey.
    """
    frame = size or folder.size
    photograph = next(p for p in folder.test if p.path == truth.source)
    mask = np.zeros(frame[::-1], np.bool_)
    if photograph.mask_path is not None:
        drawn = _read(folder.root / photograph.mask_path)
        drawn = drawn if drawn.ndim == 2 else drawn.max(2)
        mask = place(drawn, frame, margin=0, exact=True)[..., 0] > 127
    picture = _read(folder.root / photograph.path)
    if photograph.boxes:
        drawn = np.zeros(picture.shape[:2], np.uint8)
        for x1, y1, x2, y2 in photograph.boxes:
            drawn[max(0, int(y1)) : math.ceil(y2), max(0, int(x1)) : math.ceil(x2)] = 255
        mask = place(drawn, frame, margin=0, exact=True)[..., 0] > 127
    return RenderedPart(place(picture, frame, margin=None if mirrored else MARGIN_LEVEL), mask, truth)


def place(
    image: NDArray[np.uint8], size: tuple[int, int], margin: int | None = MARGIN_LEVEL, *, exact: bool = False
) -> NDArray[np.uint8]:
    """Centre an image in a frame of (width, height) px: (rows, cols, 3) uint8 RGB.

    `image`: (rows, cols) or (rows, cols, 3) uint8. It is scaled only when it is larger than the frame; `exact` then
    picks pixels instead of averaging them, for masks. margin: the level around it; None: its mirror image.
    """
    width, height = size
    rows, cols = image.shape[:2]
    shrink = min(1.0, width / cols, height / rows)
    if shrink < 1.0:
        rows, cols = max(1, int(rows * shrink)), max(1, int(cols * shrink))
        image = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_NEAREST if exact else cv2.INTER_AREA)
    top, left = (height - rows) // 2, (width - cols) // 2
    if margin is None:
        sides = (top, height - rows - top, left, width - cols - left)
        wide: NDArray[np.uint8] = cv2.copyMakeBorder(image, *sides, cv2.BORDER_REFLECT_101)
        return wide if wide.ndim == 3 else np.repeat(wide[..., None], 3, axis=2)
    frame = np.full((height, width, 3), margin, np.uint8)
    frame[top : top + rows, left : left + cols] = image if image.ndim == 3 else image[..., None]
    return frame


def _photographs(root: Path, split: str, groups: dict[str, str], only: str | None = None) -> list[Photograph]:
    found = []
    for folder in sorted(p for p in (root / split).glob("*") if p.is_dir() and only in (None, p.name)):
        for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
            path = file.relative_to(root).as_posix()
            defect = None if folder.name == GOOD else folder.name
            mask = _mask_path(root, folder.name, file) if defect else None
            found.append(Photograph(path, defect, mask, groups.get(path, groups.get(file.name))))
    return found


def _of_data_set(root: Path) -> tuple[list[Photograph], list[Photograph]]:
    """Give (training, test) of a data set in another layout; training needs good ones alone."""
    try:
        found = labelled(root)
    except ConfigError:
        return [], []  # the caller names the layout that it wants
    shown = {
        one.path: Photograph(one.path, one.defect, None, one.group, one.boxes) for one in found if not one.training
    }
    good = [Photograph(one.path, None, None, one.group) for one in found if one.training and one.defect is None]
    return good, list(shown.values())


def _mask_path(root: Path, kind: str, file: Path) -> str | None:
    for name in (f"{file.stem}_mask.png", f"{file.stem}.png"):
        if (root / "ground_truth" / kind / name).is_file():
            return f"ground_truth/{kind}/{name}"
    return None


def _groups(root: Path) -> dict[str, str]:
    """Read which images show one part; names are file names or paths inside the folder."""
    table = root / "groups.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"name", "group"} <= set(rows.fieldnames or ()):
            raise ConfigError(f"{table} has columns {rows.fieldnames}; its first line must be name,group")
        return {row["name"]: row["group"] for row in rows}


def _read(path: Path) -> NDArray[np.uint8]:
    """Decode an image as (rows, cols) or (rows, cols, 3) uint8 RGB; raises ConfigError naming the file."""
    try:
        coded = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"image {path} cannot be read: {error.strerror}; replace or remove it") from error
    # Decoders fill what is missing of a cut file with grey and say nothing.
    end = {".png": _PNG_END, ".jpg": _JPEG_END, ".jpeg": _JPEG_END}.get(path.suffix.lower(), b"")
    if end not in coded[-1024:] or not coded:
        raise ConfigError(f"image {path} of {len(coded)} bytes is cut short or no picture; replace or remove it")
    image: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ConfigError(f"image {path} of {len(coded)} bytes cannot be decoded; replace or remove it")
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ConfigError(f"image {path} has {image.dtype} pixels, not 8 or 16 bit; convert it")
    if image.ndim == 2 or image.shape[2] == 1:
        return image.reshape(image.shape[:2])
    return np.ascontiguousarray(image[..., 2::-1])


def _round_up(px: int) -> int:
    return -(-px // FRAME_STEP_PX) * FRAME_STEP_PX
