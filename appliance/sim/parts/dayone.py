"""Give raw frames of good parts, as the camera delivers them, for a model that is fitted before the line starts."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError
from appliance.sim.parts.photographs import PhotographFolder, choose, open_photographs, training_images
from appliance.sim.parts.renderer import SIZE, Renderer, part_generator
from appliance.sim.parts.truth import DAY_ONE_PARTS, PartTruth, part_seed


def good_frames(
    n: int, seed: int, *, size: tuple[int, int] | None = None, mono: bool = False, images: Path | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield up to `n` frames (rows, cols) uint8 of good parts, BayerRG8 or, with `mono`, Mono8.

    Rendered parts, none of which the line with the same seed shows; or, with `images`, of the folder's train/good,
    from as many different parts as there are. `size` is (width, height) px; None is the default camera or the folder's
    own frame size. Raises ConfigError when the folder holds no good training image.
    """
    coded = code_mono8 if mono else code_bayer_rg8
    if images is None:
        return map(coded, _rendered(n, seed, size or SIZE))
    folder = _folder(images)
    return map(coded, training_images(folder, choose(folder, n, seed), size))


def groups_of(n: int, seed: int, images: Path) -> list[str]:
    """Name the part of each frame that `good_frames` yields from a folder: frames of one part belong together."""
    folder = _folder(images)
    return [photograph.group or photograph.path for photograph in choose(folder, n, seed)]


def _folder(images: Path) -> PhotographFolder:
    folder = open_photographs(images)
    if not folder.training:
        raise ConfigError(
            f"image folder {images} has 0 usable images in train/good ({folder.dropped_for_groups} left out because"
            " groups.csv has their part in test); add good images of other parts"
        )
    return folder


def code_bayer_rg8(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep the one colour that each pixel of an RGGB sensor sees (PFNC BayerRG8: row 0 = R G R G, row 1 = G B G B).

    `image`: (rows, cols, 3) uint8 RGB, even sizes; gives (rows, cols) uint8.
    """
    mosaic = np.empty(image.shape[:2], np.uint8)
    for row, col, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, col::2] = image[row::2, col::2, channel]
    return mosaic


def code_mono8(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the grey level of each pixel: (rows, cols, 3) uint8 RGB to (rows, cols) uint8, weights of BT.601."""
    grey: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return grey


def _rendered(n: int, seed: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    renderer = Renderer(size)
    for number in range(1, n + 1):
        truth = PartTruth(number, None, part_seed(seed, number, DAY_ONE_PARTS))
        yield renderer.render(truth, part_generator(truth)).image
