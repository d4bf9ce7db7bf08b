"""Take in raw frames with what is true of them: input images, their digest, and folds that keep parts together."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.schema.bundle import DataSnapshot
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from kernels.preprocess import Preprocessor

Frame = NDArray[np.uint8]
Roi = tuple[int, int, int, int]


class Intake:
    """Turn frames into input images one by one; keeps the images and the first frame, no other."""

    def __init__(self, task: str, pixel_format: PixelFormat, size: tuple[int, int], roi: Roi | None) -> None:
        """Take the task's name for messages, the frames' pixel format, (rows, cols) of images and the region shown."""
        self._task, self._format, self._size, self._roi = task, pixel_format, size, roi
        self._preprocessors: dict[tuple[int, ...], Preprocessor] = {}
        self._digest = hashlib.sha256()
        self._images: list[NDArray[np.uint8]] = []
        self.first: Frame = np.empty(0, np.uint8)
        """A copy of the first frame."""

    def add(self, frame: Frame, truth: bytes) -> None:
        """Take one frame and its truth, which only the digest reads; ConfigError names a frame that does not fit."""
        if not self._images:
            self.first = frame.copy()
        for content in (repr(frame.shape).encode(), np.ascontiguousarray(frame).data, truth):
            self._digest.update(content)
        try:
            if frame.shape not in self._preprocessors:
                made = Preprocessor((frame.shape[0], frame.shape[1]), self._format, self._roi, self._size)
                self._preprocessors[frame.shape] = made
            image = np.empty((*self._size, 3), np.uint8)
            self._preprocessors[frame.shape].run(frame, image)
        except ValueError as cause:
            raise ConfigError(f"{self._task} training: frame {len(self._images) + 1}: {cause}") from cause
        self._images.append(image)

    def images(self) -> NDArray[np.uint8]:
        """Give the input images, (images, rows, cols, 3) uint8; ConfigError without any."""
        if not self._images:
            raise ConfigError(f"{self._task} training: 0 frames; give some")
        return np.stack(self._images)

    def snapshot(self, synthetic_share: float) -> DataSnapshot:
        """Name the data taken in: the digest is over frames and truths in their order."""
        return DataSnapshot(len(self._images), self._digest.hexdigest(), synthetic_share)


def folds_of(groups: Sequence[str] | None, images: int, folds: int, seed: int) -> NDArray[np.intp]:
    """Give each image the number of its fold; images of one group, that is of one part, share it.

    groups: one name per image; None makes each image a part. ConfigError when they do not fit together.
    """
    given = [str(index) for index in range(images)] if groups is None else list(groups)
    if len(given) != images:
        raise ConfigError(f"training: {len(given)} groups for {images} images; give one per image")
    names = sorted(set(given))
    if min(len(names), folds) < 2:
        raise ConfigError(f"training: {len(names)} parts and {folds} folds; both must be at least 2")
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[place]: index % folds for index, place in enumerate(order)}
    return np.array([fold_of[group] for group in given])


def run_each(session: Session, images: NDArray[np.uint8], output: str) -> NDArray[np.float32]:
    """Give one output of each image, (images, ...) float32."""
    results = []
    for image in images:
        session.input[0] = image
        # The session reuses its output memory, so each result is copied out.
        results.append(session.run()[output][0].astype(np.float32, copy=True))
    return np.stack(results)
