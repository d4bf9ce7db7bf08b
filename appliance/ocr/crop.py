"""Cut lines of text out of a raw frame, upright and at native resolution; nothing of the frame's size is made."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.ocr.lines import Line
from appliance.ports.task import Window
from appliance.schema.errors import RuntimeFault

# Grey between the ends of the networks' scale: what a line narrower than the input is followed by.
PADDING = 127
# Frame pixels beside a line that interpolation and the colour filter's neighbours need.
MARGIN_PX = 4
BAYER = "BayerRG8"
CHANNELS = {"Mono8": 1, "RGB8": 3, BAYER: 1}


class LineCutter:
    """Hold scratch memory for the largest region; one line is cut at a time."""

    def __init__(self, frame_shape: tuple[int, int], pixel_format: str, largest_px: tuple[int, int]) -> None:
        """Take the frame's (rows, cols) and pixel format, and the (rows, cols) of the largest part that is cut."""
        if pixel_format not in CHANNELS:
            raise RuntimeFault(f"OCR: pixel format {pixel_format} is not one of {', '.join(CHANNELS)}; set the camera")
        self._frame_shape, self._format = frame_shape, pixel_format
        self._channels = 1 if pixel_format == "Mono8" else 3
        pixels = (largest_px[0] + 2 * MARGIN_PX + 2) * (largest_px[1] + 2 * MARGIN_PX + 2)
        self._colour = np.zeros(pixels * 3 if pixel_format == BAYER else 0, np.uint8)
        self._shrunk = np.zeros(pixels * self._channels // 4, np.uint8)
        self._image: NDArray[np.uint8] = np.zeros((1, 1), np.uint8)
        self._grey: dict[tuple[int, int], NDArray[np.uint8]] = {}
        self._line = Line(0, 0, 1, 1, 0)
        self._origin, self._shrink = (0.0, 0.0), (1.0, 1.0)

    def take(self, pixels: NDArray[np.uint8], line: Line, rows: int) -> None:
        """Borrow the part of a raw frame under a line that is to be drawn `rows` high, until the next take."""
        box = line.box()
        x, y, right, bottom = self._bounds(box.x_px, box.y_px, box.width_px, box.height_px)
        part = pixels[y:bottom, x:right]
        if self._format == BAYER:
            part = cv2.cvtColor(part, cv2.COLOR_BayerRGGB2RGB, dst=_view(self._colour, (*part.shape, 3)))
        # Beyond a shrink of two, interpolation between four neighbours would skip pixels.
        factor = int(line.height_px / rows)
        self._shrink = (1.0, 1.0)
        if factor >= 2:
            size = (max(1, part.shape[0] // factor), max(1, part.shape[1] // factor))
            self._shrink = (part.shape[1] / size[1], part.shape[0] / size[0])
            shape = (*size, 3) if self._channels == 3 else size
            part = cv2.resize(part, size[::-1], dst=_view(self._shrunk, shape), interpolation=cv2.INTER_AREA)
        self._image, self._line, self._origin = part, line, (x, y)

    def draw(self, out: NDArray[np.uint8], *, turned: bool = False) -> None:
        """Draw the line taken into (1, rows, cols, 3) uint8 RGB from its left; squeezed if it is longer; rest grey.

        turned: read from the other end.
        """
        rows, cols = out.shape[1:3]
        line = self._line.turned() if turned else self._line
        used = min(cols, math.ceil(rows * line.length_px / line.height_px))
        # Three corners of the line, as middles of pixels of the image borrowed, and where they go.
        start, end, _, below = line.corners()
        source = [
            ((x - self._origin[0]) / self._shrink[0] - 0.5, (y - self._origin[1]) / self._shrink[1] - 0.5)
            for x, y in (start, end, below)
        ]
        target = [(-0.5, -0.5), (used - 0.5, -0.5), (-0.5, rows - 0.5)]
        matrix = cv2.getAffineTransform(np.array(target, np.float32), np.array(source, np.float32))
        grows = self._line.height_px < rows * self._shrink[1]
        flags = (cv2.INTER_CUBIC if grows else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        drawn = out[0] if self._channels == 3 else self._grey.setdefault((rows, cols), np.zeros((rows, cols), np.uint8))
        cv2.warpAffine(self._image, matrix, (cols, rows), dst=drawn, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        if self._channels == 1:
            out[0] = drawn[:, :, None]
        out[0, :, used:] = PADDING

    def _bounds(self, x: float, y: float, width: float, height: float) -> tuple[int, int, int, int]:
        """Give (left, top, right, bottom) of the part to cut: whole colour filter quads inside the frame."""
        rows, cols = (length & ~1 if self._format == BAYER else length for length in self._frame_shape)
        even = ~1 if self._format == BAYER else ~0
        left = max(0, min(math.floor(x) - MARGIN_PX, cols - 2)) & even
        top = max(0, min(math.floor(y) - MARGIN_PX, rows - 2)) & even
        right = min(cols, max(math.ceil(x + width) + MARGIN_PX + 1, left + 2) & even)
        bottom = min(rows, max(math.ceil(y + height) + MARGIN_PX + 1, top + 2) & even)
        return left, top, right, bottom


def largest_part(windows: tuple[Window, ...], frame_shape: tuple[int, int]) -> tuple[int, int]:
    """Give (rows, cols) in which every line that is found in these windows lies, as far as the frame shows it."""
    # A box grows beyond its core by less than its height, which no side of the window exceeds twice.
    grown = [2 * min(window.width_px, window.height_px) for window in windows]
    rows = max(math.ceil(window.height_px + more) for window, more in zip(windows, grown, strict=True))
    cols = max(math.ceil(window.width_px + more) for window, more in zip(windows, grown, strict=True))
    return min(frame_shape[0], rows), min(frame_shape[1], cols)


def _view(memory: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Give scratch memory in a shape; None, so that OpenCV makes its own, where it is too small."""
    needed = math.prod(shape)
    return memory[:needed].reshape(shape) if needed <= memory.size else None
