"""Show raw frames of any sizes as input images of one size, at one scale, and their masks as cells of these."""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.bundle import Preprocessing
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.augmentation import UNCHANGED, Change, change_frame
from appliance.training.labelled import Frame, Roi
from kernels.canvas import CanvasPreprocessor, scaled

MULTIPLE_PX = 16
"""Sides of the input image are multiples of it, so that the cells of all taps are whole."""
ROOM = 1.15
"""Where frames differ in size, later ones may be larger by so much than the largest that was learned from."""


class Canvas(Struct, frozen=True):
    """State how frames stand in the input image."""

    size: tuple[int, int]
    """(rows, cols) of the input image."""
    shrink: float
    roi: Roi | None = None

    def preprocessing(self, pixel_format: PixelFormat) -> Preprocessing:
        """Give what the bundle states."""
        return Preprocessing(pixel_format, *self.size, self.roi, keep_aspect=True, shrink=self.shrink)


def canvas_for(
    shapes: Iterable[tuple[int, int]], size: tuple[int, int] | None, shrink: float | None, most_px: int, roi: Roi | None
) -> Canvas:
    """Give the smallest canvas that holds frames of these (rows, cols), at least shrink and `most_px` at most.

    size, shrink: taken as given where they are. ConfigError when the given size is no canvas.
    """
    regions = [(shape[1], shape[0]) for shape in shapes] if roi is None else [roi[2:]]
    if size is not None and (min(size) < 2 * MULTIPLE_PX or any(side % MULTIPLE_PX for side in size)):
        raise ConfigError(f"training: input image of {size} (rows, cols); give multiples of {MULTIPLE_PX} from 32 on")
    room = ROOM if len(set(regions)) > 1 else 1.0
    wide, high = (math.ceil(room * max(sides)) for sides in zip(*regions, strict=True))
    if size is not None and shrink is None:
        shrink = max(1.0, high / size[0], wide / size[1])
    if shrink is None:
        shrink = max(1.0, math.sqrt(wide * high / most_px))
        while math.prod(_rounded_up((wide, high), shrink)) > most_px and shrink < max(wide, high):
            shrink *= 1.01
    return Canvas(size or _rounded_up((wide, high), shrink), shrink, roi)


def _rounded_up(region: tuple[int, int], shrink: float) -> tuple[int, int]:
    rows, cols = (max(2, -(-side // MULTIPLE_PX)) * MULTIPLE_PX for side in scaled(region, shrink))
    return rows, cols


class Pictures:
    """Give the input images of frames when they are asked for."""

    def __init__(self, task: str, frames: Sequence[Frame], pixel_format: PixelFormat, canvas: Canvas) -> None:
        """Take raw frames, read on access; task: for messages."""
        self._task, self._frames, self._format, self.canvas = task, frames, pixel_format, canvas
        self._preprocessors: dict[tuple[int, ...], CanvasPreprocessor] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def image(self, place: int, change: Change = UNCHANGED) -> NDArray[np.uint8]:
        """Give the input image of a frame, (rows, cols, 3) uint8; ConfigError names a frame that does not fit."""
        frame = self._frames[place]
        if change != UNCHANGED:
            frame = change_frame(frame, change, self._format)
        image = np.empty((*self.canvas.size, 3), np.uint8)
        try:
            self.placing((frame.shape[0], frame.shape[1])).run(frame, image)
        except ValueError as cause:
            raise ConfigError(f"{self._task} training: frame {place + 1}: {cause}") from cause
        return image

    def placing(self, shape: tuple[int, int]) -> CanvasPreprocessor:
        """Give what places frames of (rows, cols); ValueError when they are larger than the canvas."""
        if shape not in self._preprocessors:
            own = self.canvas
            made = CanvasPreprocessor(shape, self._format, own.roi, own.size, own.shrink)
            self._preprocessors[shape] = made
        return self._preprocessors[shape]

    def cells(self, mask: NDArray[np.uint8] | NDArray[np.bool_], cell_px: int) -> NDArray[np.float32]:
        """Give the share of each cell of the input image that a mask of a frame covers, exact by area.

        mask: (rows, cols) of the frame, 0 or 1. Gives (rows / cell_px, cols / cell_px) float32; beside the frame 0.
        """
        rows, cols = self.canvas.size
        placing = self.placing((mask.shape[0], mask.shape[1]))
        x, y, width, height = placing.roi
        size = scaled((width, height), self.canvas.shrink)
        own = mask[y : y + height, x : x + width].astype(np.float32)
        if size != own.shape:
            own = np.asarray(cv2.resize(own, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.float32)
        top, left = (rows - size[0]) // 2, (cols - size[1]) // 2
        whole = np.zeros((rows, cols), np.float32)
        whole[top : top + size[0], left : left + size[1]] = own
        shares: NDArray[np.float32] = whole.reshape(rows // cell_px, cell_px, cols // cell_px, cell_px).mean((1, 3))
        return shares
