"""Read the sample images as the frames that a camera would deliver."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
MOST_SAMPLES = 32
"""As many as there are golden tensors; spread over those given."""
LARGEST_IMAGE_BYTES = 1 << 28


class Sample(Struct, frozen=True):
    """Hold one frame."""

    name: str
    frame: NDArray[np.uint8]
    """(rows, cols) uint8, or (rows, cols, 3) uint8 for RGB8."""


class Samples(Struct, frozen=True):
    """Hold the frames that a model is proven on."""

    samples: tuple[Sample, ...]
    pixel_format: PixelFormat
    given: int
    sha256: str
    """Over the names and bytes of the image files."""


def list_images(folder: Path) -> tuple[Path, ...]:
    """Give the image files under a folder, or the file itself, in the order of their names; ConfigError without any."""
    if folder.is_file():
        return (folder,)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ConfigError(
            f"import: {folder} holds 0 images, at least 1 is needed to prove the model; "
            f"kinds: {' '.join(sorted(SUFFIXES))}"
        )
    return tuple(paths)


def read_samples(paths: Sequence[Path], pixel_format: PixelFormat | None) -> Samples:
    """Read images; ConfigError names a bad file.

    pixel_format: None takes Mono8 where every image is grey, RGB8 otherwise. BayerRG8 is made from colour images by
    keeping of each pixel the one colour that the sensor has there.
    """
    if not paths:
        raise ConfigError("import: 0 sample images, at least 1 is needed to prove the model; give some with --images")
    places = np.linspace(0, len(paths) - 1, min(MOST_SAMPLES, len(paths))).round().astype(int)
    digest = hashlib.sha256()
    images = []
    for path in (paths[place] for place in places):
        content, image = _read(path)
        digest.update(path.name.encode(errors="surrogateescape") + b"\0" + hashlib.sha256(content).digest())
        images.append((path.name, image))
    grey = all((image[:, :, :1] == image).all() for _, image in images)
    chosen = pixel_format or (PixelFormat.MONO8 if grey else PixelFormat.RGB8)
    samples = tuple(Sample(name, _frame(image, chosen)) for name, image in images)
    return Samples(samples, chosen, len(paths), digest.hexdigest())


def _read(path: Path) -> tuple[bytes, NDArray[np.uint8]]:
    try:
        if path.stat().st_size > LARGEST_IMAGE_BYTES:
            raise ConfigError(f"import: image {path} is over {LARGEST_IMAGE_BYTES} bytes; leave it out")
        content = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except OSError as cause:
        raise ConfigError(f"import: image {path}: {cause.strerror}; leave it out or correct it") from cause
    except cv2.error as cause:
        raise ConfigError(f"import: image {path} cannot be decoded: {cause.err}; leave it out") from cause
    if image is None or min(image.shape[:2]) < 2:
        raise ConfigError(f"import: image {path} is no image of 2 x 2 px or more; leave it out or correct it")
    return content, np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def _frame(image: NDArray[np.uint8], pixel_format: PixelFormat) -> NDArray[np.uint8]:
    if pixel_format is PixelFormat.RGB8:
        return image
    if pixel_format is PixelFormat.MONO8:
        return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    rows, cols = (side & ~1 for side in image.shape[:2])
    mosaic = image[:rows, :cols, 1].copy()
    mosaic[0::2, 0::2] = image[0:rows:2, 0:cols:2, 0]
    mosaic[1::2, 1::2] = image[1:rows:2, 1:cols:2, 2]
    return mosaic
