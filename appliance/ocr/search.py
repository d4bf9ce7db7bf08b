"""Look for lines of text in a region of a raw frame, with a detection network."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.ocr.crop import BAYER, PADDING
from appliance.ocr.decoding import Grammar
from appliance.ocr.lines import Line, LineFinder
from appliance.ports.runtime import Session
from appliance.ports.task import Window
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box
from kernels.preprocess import Preprocessor

# A region is searched with a margin, so that a line at its border is seen whole: half its height up to 24 px, or
# a twentieth.
MARGIN_PX = 24
MARGIN_SHARES = (0.5, 0.05)


class LineSearch:
    """Look for lines in one region; writes into its detection session's input."""

    def __init__(
        self,
        region: Box,
        finders: Mapping[str, LineFinder],
        sessions: Mapping[str, Session],
        frame_shape: tuple[int, int],
        pixel_format: str,
        asked: Sequence[Grammar] = (),
        *,
        exact: bool,
    ) -> None:
        """Take the region, what finds lines in the maps of detection sessions, by name, and what its rules ask.

        exact: look at the region alone, without a margin. ValueError when the region is outside the frame.
        """
        self.grammars = asked
        x, y, width, height = _window(region, 0.0 if exact else _margin(region), frame_shape, pixel_format)
        self.window = Window(x, y, width, height)
        self._region = region
        scales = {
            name: min(s.input.shape[2] / width, s.input.shape[1] / height)
            for name, s in sessions.items()
            if name in finders
        }
        # Larger than life shows nothing new; among equals the smallest input is the cheapest.
        name = min(scales, key=lambda known: (-min(scales[known], 1.0), sessions[known].input.size))
        self._session, self._finder = sessions[name], finders[name]
        self._shape = self._session.input.shape[1:3]
        rows = max(1, min(self._shape[0], round(height * scales[name])))
        cols = max(1, min(self._shape[1], round(width * scales[name])))
        self._used = (rows, cols)
        self._preprocessor = Preprocessor(frame_shape, pixel_format, (x, y, width, height), self._used)
        self._image = np.zeros((rows, cols, 3), np.uint8)

    def prepare(self, pixels: NDArray[np.uint8]) -> None:
        """Write the region into the upper left of the input, grey beside it; RuntimeFault on another kind of frame."""
        rows, cols = self._used
        image = self._session.input[0]
        lies_together = cols == self._shape[1]  # whole rows of the input
        try:
            self._preprocessor.run(pixels, image[:rows] if lies_together else self._image)
        except ValueError as cause:
            raise RuntimeFault(f"preprocessing: {cause}") from cause
        if not lies_together:
            image[:rows, :cols] = self._image
        image[rows:] = PADDING
        image[:rows, cols:] = PADDING

    def lines(self) -> list[Line]:
        """Give the lines whose middle is in the region, largest first."""
        found = output_of(self._session.run(), "text", (1, *self._shape))[0]
        region = self._region
        inside = [
            line
            for line in self._finder.find(found, self.window, self._used)
            if region.x_px <= line.x_px <= region.x_px + region.width_px
            and region.y_px <= line.y_px <= region.y_px + region.height_px
        ]
        return sorted(inside, key=lambda line: -line.length_px * line.height_px)


def _margin(region: Box) -> float:
    shortest = min(region.width_px, region.height_px)
    return max(min(MARGIN_SHARES[0] * shortest, MARGIN_PX), MARGIN_SHARES[1] * shortest)


def _window(region: Box, margin: float, frame_shape: tuple[int, int], pixel_format: str) -> tuple[int, int, int, int]:
    """Give (x, y, width, height) around a region with a margin, inside the frame, on whole colour filter quads."""
    step = 2 if pixel_format == BAYER else 1
    left = max(0, math.floor((region.x_px - margin) / step) * step)
    top = max(0, math.floor((region.y_px - margin) / step) * step)
    right = min(frame_shape[1] // step * step, math.ceil((region.x_px + region.width_px + margin) / step) * step)
    bottom = min(frame_shape[0] // step * step, math.ceil((region.y_px + region.height_px + margin) / step) * step)
    if right - left < 2 or bottom - top < 2:
        raise ValueError(
            f"OCR: region of {region.width_px:g} x {region.height_px:g} px at {region.x_px:g}, {region.y_px:g} is "
            f"outside the frame of {frame_shape[1]} x {frame_shape[0]} px; move it inside"
        )
    return left, top, right - left, bottom - top


def output_of(outputs: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Give one output; RuntimeFault when it is missing, of another shape, or no number."""
    found = outputs.get(name)
    if found is None or found.shape != shape:
        raise RuntimeFault(
            f"OCR: outputs {sorted(outputs)} hold no `{name}` of shape {shape}; use a bundle of task ocr"
        )
    if not np.isfinite(found).all():
        raise RuntimeFault(f"OCR: output `{name}` has values that are no numbers; load the bundle again")
    return found
