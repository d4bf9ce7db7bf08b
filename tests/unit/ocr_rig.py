"""Draw printed parts as a camera would see them, and read them."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.tasks.ocr import OcrReader, read_settings
from appliance.training.ocr_models import OcrParts, ocr_bundle_parts

FRAME = (2048, 2448)
PAPER, INK = 190, 25
THRESHOLD = 0.6


@cache
def parts() -> OcrParts:
    return ocr_bundle_parts(((320, 320), (96, 320)), golden_images=2)


@cache
def sessions(runtime: str, precision: str) -> dict[str, Session]:
    compiler = {"openvino": OpenVinoRuntime, "onnx": OnnxRuntime}[runtime]()
    return {name: compiler.load(model, precision, 1) for name, model in parts().models.items()}


def page(
    lines: tuple[str, ...],
    height_px: int,
    at: tuple[int, int],
    degrees: float = 0.0,
    shape: tuple[int, int] = FRAME,
) -> NDArray[np.uint8]:
    """Give a grey frame with lines of capitals `height_px` high, turned about the first one's left middle at (x, y)."""
    image = np.full(shape, PAPER, np.uint8)
    scale = height_px / 21  # Hershey capitals are 21 units high
    thickness = max(1, round(height_px / 9))
    turned = np.full(shape, PAPER, np.uint8)
    for place, line in enumerate(lines):
        bottom = at[1] + height_px // 2 + round(place * 1.9 * height_px)
        cv2.putText(image, line, (at[0], bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thickness, cv2.LINE_AA)
    matrix = cv2.getRotationMatrix2D(at, -degrees, 1.0)
    cv2.warpAffine(image, matrix, shape[::-1], dst=turned, flags=cv2.INTER_CUBIC, borderValue=PAPER)
    noise = np.random.default_rng(height_px).normal(0, 3, shape)
    return np.clip(turned + noise, 0, 255).astype(np.uint8)


def as_format(grey: NDArray[np.uint8], pixel_format: str) -> NDArray[np.uint8]:
    """Give the raw frame of a yellowish part: each pixel of a Bayer frame has the colour of its filter."""
    if pixel_format == "Mono8":
        return grey
    colours = [np.clip(grey * share, 0, 255).astype(np.uint8) for share in (1.1, 1.0, 0.7)]
    if pixel_format == "RGB8":
        return np.ascontiguousarray(np.stack(colours, axis=2))
    red, green, blue = colours
    raw = green.copy()
    raw[::2, ::2], raw[1::2, 1::2] = red[::2, ::2], blue[1::2, 1::2]
    return raw


def reader(
    pixel_format: str = "Mono8", *, runtime: str = "openvino", precision: str = "f32", **where: object
) -> OcrReader:
    settings = read_settings(parts().settings)
    return OcrReader(sessions(runtime, precision), settings, THRESHOLD, FRAME, pixel_format, **where)  # type: ignore[arg-type]
