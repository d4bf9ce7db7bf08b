"""Change frames as light, lens, sensor, fixture and storage do."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import simplejpeg
from msgspec import Struct
from numpy.typing import NDArray

from appliance.datasets.pictures import as_colour, as_frame
from appliance.schema.frame import PixelFormat

Frame = NDArray[np.uint8]
Alter = Callable[[Frame, float, np.random.Generator], Frame]


class Disturbance(Struct, frozen=True):
    """Name one change at one strength."""

    name: str
    level: str
    """For people, with its unit."""
    strength: float
    alter: Alter
    mosaic: bool = True
    """It acts on each photosite alone, so that raw Bayer frames need no colours for it."""


def disturbed(frame: Frame, pixel_format: PixelFormat, how: Disturbance, generator: np.random.Generator) -> Frame:
    """Give the frame changed, a new array of the same shape and format."""
    if pixel_format is not PixelFormat.BAYER_RG8 or how.mosaic:
        return how.alter(frame, how.strength, generator)
    colour = how.alter(as_colour(frame, pixel_format), how.strength, generator)
    return as_frame(colour, pixel_format)


def lamp(frame: Frame, gain: float, _: np.random.Generator) -> Frame:
    """Scale the light."""
    return _by_level(frame, np.arange(256) * gain)


def curve(frame: Frame, gamma: float, _: np.random.Generator) -> Frame:
    """Bend the grey scale, as another camera or its settings do; black and white stay."""
    return _by_level(frame, 255 * (np.arange(256) / 255) ** gamma)


def lens(frame: Frame, sigma_px: float, _: np.random.Generator) -> Frame:
    """Defocus, as a Gaussian."""
    blurred: Frame = cv2.GaussianBlur(frame, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def sensor(frame: Frame, full_well: float, generator: np.random.Generator) -> Frame:
    """Add shot and read noise of a sensor with so many electrons at grey 255 (EMVA 1288: variance rises with light)."""
    per_electron = 255 / full_well
    variance = frame * per_electron + (READ_NOISE * per_electron) ** 2
    noisy = frame + generator.standard_normal(frame.shape, np.float32) * np.sqrt(variance)
    changed: Frame = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return changed


def fixture(frame: Frame, shift_px: float, generator: np.random.Generator) -> Frame:
    """Shift by so many pixels in a direction drawn for each frame; what comes in is the border's mirror image."""
    angle = generator.uniform(0, 2 * np.pi)
    return _warped(frame, np.array([[1, 0, shift_px * np.cos(angle)], [0, 1, shift_px * np.sin(angle)]]))


def turn(frame: Frame, degrees: float, generator: np.random.Generator) -> Frame:
    """Turn about the middle, either way."""
    rows, cols = frame.shape[:2]
    way = 1 if generator.random() < 0.5 else -1
    return _warped(frame, cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), way * degrees, 1.0))


def storage(frame: Frame, quality: float, _: np.random.Generator) -> Frame:
    """Compress as JPEG and back."""
    space = "GRAY" if frame.ndim == 2 else "RGB"
    shown = np.ascontiguousarray(frame[:, :, None] if frame.ndim == 2 else frame)
    content = simplejpeg.encode_jpeg(shown, quality=round(quality), colorspace=space)
    decoded: Frame = simplejpeg.decode_jpeg(content, colorspace=space).reshape(frame.shape)
    return decoded


READ_NOISE = 15.0
"""Electrons: a plain industrial CMOS sensor, below at full and at a quarter of its light."""

DISTURBANCES = (
    Disturbance("light", "-20 %", 0.8, lamp),
    Disturbance("light", "+20 %", 1.2, lamp),
    Disturbance("gamma", "0.8", 0.8, curve),
    Disturbance("gamma", "1.25", 1.25, curve),
    Disturbance("blur", "sigma 1 px", 1.0, lens, mosaic=False),
    Disturbance("blur", "sigma 2 px", 2.0, lens, mosaic=False),
    Disturbance("noise", "10000 electrons at white", 10_000, sensor),
    Disturbance("noise", "2500 electrons at white", 2_500, sensor),
    Disturbance("shift", "2 px", 2.0, fixture, mosaic=False),
    Disturbance("shift", "5 px", 5.0, fixture, mosaic=False),
    Disturbance("rotation", "1 degree", 1.0, turn, mosaic=False),
    Disturbance("rotation", "2 degrees", 2.0, turn, mosaic=False),
    Disturbance("JPEG", "quality 80", 80, storage, mosaic=False),
    Disturbance("JPEG", "quality 50", 50, storage, mosaic=False),
)


def _by_level(frame: Frame, levels: NDArray[np.floating[Any]]) -> Frame:
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    changed: Frame = table[frame]
    return changed


def _warped(frame: Frame, matrix: NDArray[np.float64]) -> Frame:
    size = (frame.shape[1], frame.shape[0])
    moved: Frame = cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return moved
