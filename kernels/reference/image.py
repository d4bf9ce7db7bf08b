"""Define how raw frames and parts of them become input images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUADS_FROM_SHRINK = 2
"""From this shrink on, along both axes, a Bayer quad is one point; below, each pixel is, by `debayer`."""

Roi = tuple[int, int, int, int]
Channels = tuple[float, float, float]


def preprocess(frame: NDArray[np.uint8], pixel_format: str, roi: Roi, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Turn a raw frame into the model's input image: `averages`, rounded, halves up.

    frame: (rows, cols) uint8 for Mono8 and BayerRG8, (rows, cols, 3) uint8 for RGB8; any strides.
    roi: (x, y, width, height) in frame pixels; all even for BayerRG8 unless `debayers`.
    size: (rows, cols) of the result.
    Gives (rows, cols, 3) uint8 RGB; Mono8 is repeated into the three channels.
    """
    return np.floor(averages(frame, pixel_format, roi, size) + 0.5).clip(0, 255).astype(np.uint8)


def normalised(
    frame: NDArray[np.uint8], pixel_format: str, roi: Roi, size: tuple[int, int], mean: Channels, scale: Channels
) -> NDArray[np.float64]:
    """Give `averages` as planes (3, rows, cols) float64, (grey level - mean) * scale of each channel, not rounded."""
    planes: NDArray[np.float64] = (averages(frame, pixel_format, roi, size) - mean) * scale
    return planes.transpose(2, 0, 1)


def averages(frame: NDArray[np.uint8], pixel_format: str, roi: Roi, size: tuple[int, int]) -> NDArray[np.float64]:
    """Give the exact area averages of a region, (rows, cols, 3) float64 RGB, 0 to 255; arguments as of `preprocess`."""
    x, y, width, height = roi
    if pixel_format == "BayerRG8" and debayers(width, height, size):
        points = debayer(frame)[y : y + height, x : x + width]  # its neighbours outside the region are the frame's
    else:
        points = colour_points(frame[y : y + height, x : x + width], pixel_format)
    averaged = area_average(area_average(points, size[0], 0), size[1], 1)
    return averaged if averaged.shape[2] == 3 else np.repeat(averaged, 3, axis=2)


def gather_tiles(
    frame: NDArray[np.uint8],
    pixel_format: str,
    origins: NDArray[np.integer],
    tile_px: tuple[int, int],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Give the tiles of a frame as one batch, (tiles, rows, cols, 3) uint8: `preprocess` of each of `tile_places`."""
    places = tile_places(frame.shape[:2], pixel_format, origins, tile_px, size)
    return np.stack([preprocess(frame, pixel_format, (int(x), int(y), *tile_px), size) for x, y in places])


def tile_places(
    shape: tuple[int, ...],
    pixel_format: str,
    origins: NDArray[np.integer],
    tile_px: tuple[int, int],
    size: tuple[int, int],
) -> NDArray[np.int32]:
    """Give where tiles really begin, (tiles, 2) int32 x and y: shifted into the frame, never padded.

    origins: (tiles, 2) whole numbers, x and y in frame pixels. tile_px: (width, height). Bayer tiles that are read as
    quads begin at even places, rounded down.
    """
    last = np.array([shape[1] - tile_px[0], shape[0] - tile_px[1]])
    places: NDArray[np.int32] = np.clip(origins, 0, last).astype(np.int32)
    if pixel_format == "BayerRG8" and not debayers(*tile_px, size):
        places &= ~1
    return places


def debayers(width: int, height: int, size: tuple[int, int]) -> bool:
    """Say whether a Bayer region of width x height px is read at full resolution for a result of (rows, cols) `size`.

    It is when either axis shrinks less than twofold: quads would lose resolution that the result can show.
    """
    return width < QUADS_FROM_SHRINK * size[1] or height < QUADS_FROM_SHRINK * size[0]


def colour_points(frame: NDArray[np.uint8], pixel_format: str) -> NDArray[np.float64]:
    """Give one colour value per sampling point: (rows, cols, channels) float64, 0 to 255.

    A Bayer quad counts as one point: its four samples are taken at the quad's centre and the two greens averaged.
    This halves the resolution, which is free whenever the result is at least two times smaller than the frame.
    """
    if pixel_format == "BayerRG8":
        red, green_on_red = frame[0::2, 0::2], frame[0::2, 1::2]
        green_on_blue, blue = frame[1::2, 0::2], frame[1::2, 1::2]
        green = (green_on_red.astype(np.float64) + green_on_blue) / 2
        return np.stack([red.astype(np.float64), green, blue.astype(np.float64)], axis=-1)
    if pixel_format == "Mono8":
        return frame.astype(np.float64)[:, :, None]
    if pixel_format == "RGB8":
        return frame.astype(np.float64)
    raise ValueError(f"pixel format {pixel_format} is not one of BayerRG8, Mono8, RGB8; choose one at the camera")


def debayer(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give the colour of every pixel of a BayerRG8 frame: (rows, cols, 3) float64 RGB, 0 to 255, not rounded.

    frame: (rows, cols) uint8, at least 2 x 2. Linear interpolation corrected by the gradient of the pixel's own colour:
    Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images", ICASSP
    2004, figure 2. Outside the frame it is mirrored, the edge pixel once, so that colours keep their places.
    """
    rows, cols = frame.shape
    wide = np.pad(frame.astype(np.float64), 2, mode="reflect")

    def at(down: int, right: int) -> NDArray[np.float64]:
        return wide[2 + down : 2 + down + rows, 2 + right : 2 + right + cols]

    own = at(0, 0)
    beside, above = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    far_beside, far_above = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    green = (4 * own + 2 * (beside + above) - far_beside - far_above) / 8
    across = (5 * own + 4 * beside - corners - far_beside + far_above / 2) / 8
    along = (5 * own + 4 * above - corners - far_above + far_beside / 2) / 8
    opposite = (6 * own + 2 * corners - 1.5 * (far_beside + far_above)) / 8

    colours = np.empty((rows, cols, 3))
    red, green_on_red = np.s_[0::2, 0::2], np.s_[0::2, 1::2]
    green_on_blue, blue = np.s_[1::2, 0::2], np.s_[1::2, 1::2]
    for place, values in (
        (red, (own, green, opposite)),
        (green_on_red, (across, own, along)),
        (green_on_blue, (along, own, across)),
        (blue, (opposite, green, own)),
    ):
        for channel, value in enumerate(values):
            colours[(*place, channel)] = value[place]
    return colours.clip(0, 255)


def area_average(points: NDArray[np.float64], length: int, axis: int) -> NDArray[np.float64]:
    """Resize one axis to `length` by exact area averaging: each result is the mean over its fractional source span."""
    source = points.shape[axis]
    return np.moveaxis(np.tensordot(area_weights(source, length), points, axes=(1, axis)), 0, axis)


def area_weights(source: int, length: int) -> NDArray[np.float64]:
    """Give the (length, source) float64 matrix whose row i averages source span [i, i + 1) * source / length."""
    bounds = np.arange(length + 1, dtype=np.float64) * source / length
    cells = np.arange(source, dtype=np.float64)
    overlap = np.minimum(bounds[1:, None], cells + 1) - np.maximum(bounds[:-1, None], cells)
    return overlap.clip(0) * (length / source)
