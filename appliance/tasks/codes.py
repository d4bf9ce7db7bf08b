"""Read bar codes and two-dimensional codes in a region of a raw frame, with the ZXing-C++ library."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from appliance.decision.symbology import IDENTIFIERS, plain_name
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.finding import Box, Finding

KIND = "code"
TO_GREY = {"Mono8": None, "RGB8": cv2.COLOR_RGB2GRAY, "BayerRG8": cv2.COLOR_BayerRGGB2GRAY}
# Names of the library for ours, which are those of the rules.
LIBRARY_NAMES = {"gs1128": "code128", "gs1databar": "databar", "gs1datamatrix": "datamatrix", "gs1qrcode": "qrcode"}


class CodeReader:
    """Look for codes of some symbologies in one region; one thread at a time."""

    def __init__(self, symbologies: Sequence[str], region: Box | None, pixel_format: str) -> None:
        """Take symbologies such as `DataMatrix`, `Code128` or `EAN-13`, all where none is named, and the region.

        region: in frame pixels with the codes' quiet zones; None: the whole frame. ConfigError on an unknown symbology,
        RuntimeFault on a pixel format that is not taken.
        """
        if pixel_format not in TO_GREY:
            raise RuntimeFault(f"codes: pixel format {pixel_format} is not one of {', '.join(TO_GREY)}; set the camera")
        names = [plain_name(name) for name in symbologies]
        unknown = [given for given, name in zip(symbologies, names, strict=True) if name not in IDENTIFIERS]
        if unknown:
            raise ConfigError(
                f"codes: symbology {unknown[0]} is not one of {', '.join(IDENTIFIERS)}; name one of these"
            )
        wanted = ",".join(LIBRARY_NAMES.get(name, name) for name in names)
        self._formats = zxingcpp.barcode_formats_from_str(wanted) if wanted else zxingcpp.BarcodeFormat.AllReadable
        self._region, self._to_grey = region, TO_GREY[pixel_format]
        self._step = 2 if pixel_format == "BayerRG8" else 1
        self._grey: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def read(self, pixels: NDArray[np.uint8]) -> tuple[Finding, ...]:
        r"""Give the codes of a raw frame, from top to bottom; blocks for milliseconds per megapixel.

        pixels: (rows, cols[, 3]) uint8, borrowed for the call, never written. Each finding's text is the AIM identifier
        and the data, separators between GS1 elements as \x1d (decision/symbology.py); a code that is found but fails
        its own check or cannot be decoded has no text and score 0.
        """
        left, top, right, bottom = self._bounds(pixels.shape)
        if right <= left or bottom <= top:
            return ()
        part = pixels[top:bottom, left:right]
        if self._to_grey is not None:
            if self._grey.shape != part.shape[:2]:  # frames of a camera are of one shape, so once
                self._grey = np.zeros(part.shape[:2], np.uint8)
            part = cv2.cvtColor(part, self._to_grey, dst=self._grey)
        codes = zxingcpp.read_barcodes(
            part, formats=self._formats, text_mode=zxingcpp.TextMode.Plain, return_errors=True
        )
        found = (_finding(code, left, top) for code in codes)
        return tuple(sorted(found, key=lambda finding: (finding.polygon[0][1], finding.polygon[0][0])))

    def _bounds(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Give (left, top, right, bottom) of the region inside the frame, beginning with a whole colour filter quad."""
        rows, cols = shape[:2]
        if self._region is None:
            return 0, 0, cols, rows
        region, step = self._region, self._step
        left = max(0, math.floor(region.x_px) // step * step)
        top = max(0, math.floor(region.y_px) // step * step)
        right = min(cols, math.ceil(region.x_px + region.width_px))
        bottom = min(rows, math.ceil(region.y_px + region.height_px))
        return left, top, right, bottom


def _finding(code: zxingcpp.Barcode, left: int, top: int) -> Finding:
    place = code.position
    corners = tuple(
        (float(left + point.x), float(top + point.y))
        for point in (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
    )
    xs, ys = zip(*corners, strict=True)
    twice = sum(x * ys[(i + 1) % 4] - xs[(i + 1) % 4] * y for i, (x, y) in enumerate(corners))
    return Finding(
        kind=KIND,
        score=1.0 if code.valid else 0.0,
        confidence=None,
        box=Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)),
        area_px=abs(twice) / 2,
        polygon=corners,
        text=code.symbology_identifier + code.text if code.valid and code.text else "",
    )
