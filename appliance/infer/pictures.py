"""Read picture files as the frames that a camera would have delivered."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

TIFF = {".tif", ".tiff"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", *TIFF}


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Give a picture as (rows, cols) or (rows, cols, 3) uint8 RGB; ConfigError for anything else."""
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as cause:
        raise ConfigError(f"{path}: cannot be read ({cause.strerror}); name a picture file") from cause
    image = _tiff(path) if path.suffix.lower() in TIFF else _decoded(content)
    if image is None or image.ndim not in {2, 3}:
        known = ", ".join(sorted(SUFFIXES))
        raise ConfigError(f"{path}: {content.size} bytes are no picture that can be read; give one of {known}")
    if image.dtype != np.uint8:
        raise ConfigError(f"{path}: {image.dtype} values, only 8 bits per channel are read; convert it to 8 bits")
    if image.ndim == 2:
        return np.ascontiguousarray(image)
    return np.ascontiguousarray(image[:, :, :3] if image.shape[2] >= 3 else image[:, :, 0])


def as_frame(picture: NDArray[np.uint8], pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """Give the frame that a camera with this pixel format would have delivered of the same scene.

    A picture of one channel is taken as raw Bayer data where the format is BayerRG8, as `record` stores it. A colour
    picture is sampled on the Bayer pattern, since the model was shown demosaiced frames.
    """
    if pixel_format is PixelFormat.MONO8:
        return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if pixel_format is PixelFormat.RGB8:
        return picture if picture.ndim == 3 else np.ascontiguousarray(np.repeat(picture[:, :, None], 3, axis=2))
    if picture.ndim == 2:
        return _even(picture)
    colour = _even(picture)
    mosaic = np.empty(colour.shape[:2], np.uint8)
    for row, col, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, col::2] = colour[row::2, col::2, channel]
    return mosaic


def as_colour(frame: NDArray[np.uint8], pixel_format: PixelFormat) -> NDArray[np.uint8]:
    """Give a frame as (rows, cols, 3) uint8 RGB for people to look at."""
    if pixel_format is PixelFormat.RGB8:
        return frame.copy()
    # OpenCV names a Bayer pattern by its second row and column: PFNC BayerRG is its RGGB alias.
    code = cv2.COLOR_BayerRGGB2RGB if pixel_format is PixelFormat.BAYER_RG8 else cv2.COLOR_GRAY2RGB
    colour: NDArray[np.uint8] = cv2.cvtColor(frame, code)
    return colour


def _tiff(path: Path) -> NDArray[np.uint8] | None:
    """Read a TIFF by the library that `record` writes with: OpenCV's knows no zstd."""
    try:
        image: NDArray[np.uint8] = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError, OSError, imagecodecs.DelayedImportError, RuntimeError) as cause:
        raise ConfigError(f"{path}: is a damaged TIFF ({_first_line(cause)}); export it again") from cause
    return image


def _decoded(content: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Decode any other picture as RGB; None when it is none."""
    try:
        image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    except cv2.error:
        return None
    if image is None or image.ndim == 2 or image.shape[2] < 3:
        found: NDArray[np.uint8] | None = image
        return found
    colour: NDArray[np.uint8] = image[:, :, 2::-1]
    return colour


def _first_line(cause: Exception) -> str:
    return next(iter(str(cause).splitlines()), type(cause).__name__)


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[: image.shape[0] & ~1, : image.shape[1] & ~1])
