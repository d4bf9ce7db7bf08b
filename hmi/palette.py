"""Cut a picture of a screen to 128 colours of its own: a fifth of the bytes, and little that is seen."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

EXACT: Final = 24
"""Commonest colours, kept as they are: the theme's."""
MIXED: Final = 104
"""Colours found for the rest."""


def indexed(rgb: NDArray[np.uint8]) -> QImage:
    """Give the picture with a palette; rgb: (rows, columns, 3) uint8."""
    codes = rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(counts)[::-1]
    palette = _split(colours[order[:EXACT]])
    rest = _split(colours[order[EXACT:]])
    if len(rest) > MIXED:
        cv2.setRNGSeed(1)
        stop = (cv2.TERM_CRITERIA_MAX_ITER, 6, 0.0)
        _, _, centres = cv2.kmeans(rest[: 1 << 14], MIXED, None, stop, 1, cv2.KMEANS_PP_CENTERS)
        palette = np.vstack([palette, np.round(centres)])
    else:
        palette = np.vstack([palette, rest])
    nearest = _nearest(_split(colours), palette)
    rows, columns = codes.shape
    plane = np.zeros((rows, (columns + 3) // 4 * 4), np.uint8)
    plane[:, :columns] = nearest[place.reshape(codes.shape)]
    image = QImage(plane.data, columns, rows, plane.shape[1], QImage.Format.Format_Indexed8)
    image.setColorTable([0xFF000000 | int(red) << 16 | int(green) << 8 | int(blue) for red, green, blue in palette])
    return image.copy()


def _split(codes: NDArray[np.uint32]) -> NDArray[np.float32]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.float32)


def _nearest(colours: NDArray[np.float32], palette: NDArray[np.float32]) -> NDArray[np.uint8]:
    found = np.empty(len(colours), np.uint8)
    for first in range(0, len(colours), 4096):
        some = colours[first : first + 4096]
        found[first : first + 4096] = np.argmin(((some[:, None] - palette) ** 2).sum(2), axis=1)
    return found
