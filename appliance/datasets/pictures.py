"""Read picture files as the frames that a camera would have delivered."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from appliance.datasets.header import TIFF, read_header
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Give a picture as (rows, cols) or (rows, cols, 3) uint8 RGB, as it is shown; ConfigError for anything else.

    Alpha is dropped, an EXIF orientation is followed, printing colours (CMYK) become RGB without a colour profile.
    """
    header = read_header(path)
    content = path.read_bytes()
    image = _tiff(path) if content.startswith(TIFF) else _decoded(np.frombuffer(content, np.uint8))
    if image is None or image.ndim not in {2, 3}:
        raise ConfigError(f"{path}: cannot be decoded, so it is damaged; copy or export it again")
    if image.dtype != np.uint8:
        raise ConfigError(f"{path}: {image.dtype} values, only 8 bits per channel are read; convert it to 8 bits")
    if image.ndim == 3:
        image = image[:, :, 0] if header.channels == 1 or image.shape[2] < 3 else image[:, :, :3]
    return np.ascontiguousarray(_turned(image, header.orientation))


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


def _turned(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo how the camera was held (CIPA DC-008: 2 to 8 are mirrored, half and quarter turns)."""
    if orientation in {5, 6, 7, 8}:
        image = np.swapaxes(image, 0, 1)
    if orientation in {3, 4, 7, 8}:
        image = image[::-1]
    if orientation in {2, 3, 6, 7}:
        image = image[:, ::-1]
    return image


def _first_line(cause: Exception) -> str:
    return next(iter(str(cause).splitlines()), type(cause).__name__)


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[: image.shape[0] & ~1, : image.shape[1] & ~1])
