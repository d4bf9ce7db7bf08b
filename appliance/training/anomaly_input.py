"""Turn frames of good parts into input images, whole, with their aspect kept, or in tiles, as the line will do it."""

import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.anomaly_map import MapView, view_of
from appliance.imaging.tiling import tile_grid
from appliance.schema.bundle import DataSnapshot, Preprocessing
from appliance.schema.errors import ConfigError
from appliance.training.anomaly_graph import CELL_PX
from appliance.training.anomaly_paint import CLEAN, DEFECT, UNCLEAR, painted
from kernels.canvas import CanvasPreprocessor, scaled
from kernels.preprocess import Preprocessor
from kernels.tiles import TileGatherer

STRIDE = 16
"""Sides of input images are multiples of it."""
# The frame's border lies at least this far inside the input image, so that the network sees the mirror image beyond it
# and not its own padding.
MARGIN_PX = 8
# A memory of fewer says little of what good parts look like; limits need more (decision/calibration.py).
FEWEST_FRAMES = 10

Frame = NDArray[np.uint8]
Image = NDArray[np.uint8]


class Picture(Struct, frozen=True):
    """Hold one input image of a frame and the part of its map that shows what is looked at."""

    image: Image
    """(rows, cols, 3) uint8."""
    view: MapView
    window: tuple[float, float, float, float]
    """(x, y, width, height) that the image shows, in frame pixels."""
    inner: tuple[int, int, int, int]
    """(top, left, rows, cols) of the image that is not mirrored."""


class Frames(Struct, frozen=True):
    """Hold what a first look at all frames showed; the frames stay where they are."""

    frames: Sequence[Frame]
    first: Frame
    shapes: tuple[tuple[int, int], ...]
    """(rows, cols) of each."""
    data: DataSnapshot
    firsts: tuple[int, ...]
    """Of each shape the first frame that has it."""


class _Spool(Sequence[Frame]):
    """Keep frames that come only once in a file, so that they can be read again; memory holds none."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: list[tuple[int, tuple[int, ...]]] = []

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        place, shape = self._places[index]
        self._file.seek(place)
        return np.frombuffer(self._file.read(int(np.prod(shape))), np.uint8).reshape(shape)

    def append(self, frame: Frame) -> None:
        """Keep one more."""
        self._places.append((self._file.seek(0, io.SEEK_END), frame.shape))
        self._file.write(np.ascontiguousarray(frame).data)


@contextmanager
def looked_at(frames: Iterable[Frame], fewest: int = FEWEST_FRAMES) -> Iterator[Frames]:
    """Read all frames once and give what they showed, valid inside the block. ConfigError for fewer than `fewest`.

    frames: a sequence is read from again later, anything else is copied to a temporary file.
    """
    with tempfile.TemporaryFile() as file:
        spool = _Spool(file)
        digest = hashlib.sha256()
        shapes: list[tuple[int, int]] = []
        firsts: dict[tuple[int, ...], int] = {}
        first = np.empty(0, np.uint8)
        for frame in frames:
            first = first if shapes else frame.copy()
            firsts.setdefault(frame.shape, len(shapes))
            digest.update(repr(frame.shape).encode())
            digest.update(np.ascontiguousarray(frame).data)
            shapes.append((frame.shape[0], frame.shape[1]))
            if not isinstance(frames, Sequence):
                spool.append(frame)
        if len(shapes) < fewest:
            raise ConfigError(
                f"anomaly training: {len(shapes)} good images, at least {fewest} are needed, "
                "30 to 60 are better; take more of parts known to be good"
            )
        source = frames if isinstance(frames, Sequence) else spool
        data = DataSnapshot(len(shapes), digest.hexdigest())
        yield Frames(source, first, tuple(shapes), data, tuple(firsts.values()))


def canvas_of(
    shapes: Iterable[tuple[int, int]], roi: tuple[int, int, int, int] | None, shrink: float
) -> tuple[int, int]:
    """Give the (rows, cols) of an input image that holds every region over `shrink` with a margin around it."""
    sizes = [scaled(roi[2:] if roi else (shape[1], shape[0]), shrink) for shape in set(shapes)]
    rows, cols = (max(size[axis] for size in sizes) + 2 * MARGIN_PX for axis in (0, 1))
    return -(-rows // STRIDE) * STRIDE, -(-cols // STRIDE) * STRIDE


class Cutter:
    """Make the input images of frames; holds what each shape of frame needs; one thread."""

    def __init__(self, how: Preprocessing) -> None:
        """Take what the manifest will say of preprocessing."""
        self._how = how
        self._cells = (how.rows // CELL_PX, how.columns // CELL_PX)
        self._makers: dict[tuple[int, int], _Whole | _Tiles] = {}

    def check(self, seen: Frames) -> None:
        """Raise ConfigError, naming the frame, when one of these frames cannot be read."""
        for index in seen.firsts:
            next(iter(self.pictures(seen.frames[index], index)))

    def pictures(self, frame: Frame, number: int) -> Iterator[Picture]:
        """Yield the input images of a frame, each valid for good; ConfigError names the frame when it does not fit.

        number: of the frame in its series, for messages.
        """
        shape = (frame.shape[0], frame.shape[1])
        try:
            if shape not in self._makers:
                self._makers[shape] = (_Whole if self._how.tiling is None else _Tiles)(self._how, shape, self._cells)
            yield from self._makers[shape].pictures(frame)
        except ValueError as cause:
            raise ConfigError(f"anomaly training: frame {number + 1}: {cause}") from cause


class _Whole:
    def __init__(self, how: Preprocessing, shape: tuple[int, int], cells: tuple[int, int]) -> None:
        size = (how.rows, how.columns)
        self._size = size
        self._maker: Preprocessor | CanvasPreprocessor
        if how.keep_aspect:
            canvas = CanvasPreprocessor(shape, how.pixel_format, how.roi, size, how.shrink)
            self._maker, self._window, self._inner = canvas, canvas.window, canvas.inner
        else:
            self._maker = Preprocessor(shape, how.pixel_format, how.roi, size)
            x, y, width, height = self._maker.roi
            self._window, self._inner = (float(x), float(y), float(width), float(height)), (0, 0, *size)
        self._view = view_of(cells, self._window, self._maker.roi)

    def pictures(self, frame: Frame) -> Iterator[Picture]:
        image = np.empty((*self._size, 3), np.uint8)
        self._maker.run(frame, image)
        yield Picture(image, self._view, self._window, self._inner)


class _Tiles:
    def __init__(self, how: Preprocessing, shape: tuple[int, int], cells: tuple[int, int]) -> None:
        grid = tile_grid(how, shape)
        self._size = (how.rows, how.columns)
        places = np.array(grid.origins, np.int32)
        self._gatherer = TileGatherer(shape, how.pixel_format, places, grid.tile_px, self._size)
        region = how.roi or (0, 0, shape[1], shape[0])
        wide, high = map(float, grid.tile_px)
        self._windows = [(float(x), float(y), wide, high) for x, y in self._gatherer.places.tolist()]
        self._views = [view_of(cells, window, region) for window in self._windows]

    def pictures(self, frame: Frame) -> Iterator[Picture]:
        for index, (view, window) in enumerate(zip(self._views, self._windows, strict=True)):
            image = np.empty((1, *self._size, 3), np.uint8)
            self._gatherer.run(frame, image, index, 1)
            yield Picture(image[0], view, window, (0, 0, *self._size))


class Defect(Struct, frozen=True):
    """Hold a frame that shows a defect, and where."""

    frame: Frame
    mask: NDArray[np.bool_]
    """(rows, cols) of the frame."""


def repainted(picture: Picture, random: np.random.Generator) -> tuple[Image, Image]:
    """Give the image with painted defects, mirrored anew, and its marks, (rows, cols) uint8."""
    top, left, rows, cols = picture.inner
    image, marks = painted(np.ascontiguousarray(picture.image[top : top + rows, left : left + cols]), random)
    borders = (top, picture.image.shape[0] - top - rows, left, picture.image.shape[1] - left - cols)
    wide, wide_marks = (cv2.copyMakeBorder(one, *borders, cv2.BORDER_REFLECT_101) for one in (image, marks))
    return wide.astype(np.uint8, copy=False), wide_marks.astype(np.uint8, copy=False)


def marked_pictures(cutter: Cutter, defect: Defect, number: int) -> Iterator[tuple[Picture, Image]]:
    """Yield the input images of a labelled defect with their marks; ConfigError when mask and frame differ in size."""
    if defect.mask.shape != defect.frame.shape[:2]:
        raise ConfigError(
            f"anomaly training: defect {number + 1}: its mask has {defect.mask.shape} (rows, cols), its frame "
            f"{defect.frame.shape[:2]}; give a mask in frame pixels"
        )
    for picture in cutter.pictures(defect.frame, number):
        rows, cols = picture.image.shape[:2]
        x, y, width, height = picture.window
        across, down = width / cols, height / rows
        # Centre of pixel (col, row) of the input image, in frame pixels.
        place = np.array([[across, 0, x + across / 2 - 0.5], [0, down, y + down / 2 - 0.5]], np.float64)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # Spread first, so that thin defects do not fall between the samples.
        wide = cv2.blur(defect.mask.astype(np.float32), (max(1, round(across)), max(1, round(down))))
        shown = cv2.warpAffine(wide, place, (cols, rows), flags=flags)
        marks = np.where(shown >= 0.25, DEFECT, CLEAN).astype(np.uint8)
        near = cv2.dilate(marks, np.ones((9, 9), np.uint8)) > 0
        marks[near & (marks == CLEAN)] = UNCLEAR
        yield picture, marks
