"""Treat a line after it is cut out and before it is read, so that dots join and light evens out."""

from enum import StrEnum

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

CONTRAST = 45.0
"""Grey levels that one standard deviation becomes."""
NEIGHBOURHOOD = 20.0
"""Pixels of the line's input, which is 48 high: what a place's light and contrast are measured over."""
QUIETEST = 2.0
"""Grey levels: less contrast than this is noise and is not raised further."""


class Kind(StrEnum):
    """Name what is done to a line."""

    NONE = "none"
    BLUR = "blur"
    JOIN = "join"
    EVEN = "even"


class Treatment(Struct, frozen=True):
    """Say how a line is treated; sizes are in pixels of the recognition input, which is 48 high."""

    kind: Kind = Kind.NONE
    size_px: float = 0.0
    """blur: sigma. join: diameter that gaps between dots are filled with. even: sigma of a blur before, 0 for none."""


def treat(image: NDArray[np.uint8], how: Treatment) -> None:
    """Treat a line in place: (rows, cols, 3) uint8."""
    match how.kind:
        case Kind.BLUR:
            cv2.GaussianBlur(image, (0, 0), how.size_px, dst=image)
        case Kind.JOIN:
            size = 2 * round((how.size_px - 1) / 2) + 1
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
            # Dark dots grow together by an opening of the bright ground, bright ones by a closing.
            operation = cv2.MORPH_OPEN if _is_dark_on_light(image) else cv2.MORPH_CLOSE
            cv2.morphologyEx(image, operation, kernel, dst=image)
        case Kind.EVEN:
            _even(image, how.size_px)
        case Kind.NONE:
            pass


def _is_dark_on_light(image: NDArray[np.uint8]) -> bool:
    """Say whether marks are darker than their ground: the rarer side of a contrast is the mark."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    apart = grey - cv2.GaussianBlur(grey, (0, 0), NEIGHBOURHOOD)
    return bool((apart**3).mean() < 0)


def _even(image: NDArray[np.uint8], blur: float) -> None:
    """Give every place the same mean and contrast."""
    values = image.astype(np.float32)
    if blur:
        cv2.GaussianBlur(values, (0, 0), blur, dst=values)
    values -= cv2.GaussianBlur(values, (0, 0), NEIGHBOURHOOD)
    contrast = np.sqrt(cv2.GaussianBlur(values * values, (0, 0), NEIGHBOURHOOD)) + QUIETEST
    np.clip(127 + CONTRAST * values / contrast, 0, 255, out=values)
    image[...] = values.astype(np.uint8)
