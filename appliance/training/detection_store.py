"""Keep what a detection network learns from: views of each image and what the frozen backbone says of them.

Features are computed once, on whole images and in the runtime and precision of the line; a step then reads small cuts
of them, so that it costs milliseconds and its padding is at few cells.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.training.backbone import tap_shape
from appliance.training.detection_cells import Instances
from appliance.training.detection_pyramid import TAPS_USED
from appliance.training.detection_views import Views, drawn
from appliance.training.feature_store import FeatureStore

IMAGE = "image"
SPREAD_IMAGES = 32
"""Images that the deviations of the channels are taken from."""
SMALLEST_DEVIATION = 1e-3

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


class ViewStore:
    """Hold views of images with their features, channels last, and their truths."""

    def __init__(
        self,
        folder: Path | None,
        name: str,
        truths: Sequence[Instances],
        size: tuple[int, int],
        views: Views,
        seed: int,
    ) -> None:
        """Open or make the store; name: the digest of images, truths and what computes the features.

        truths: in pixels of the input images of `size`.
        """
        self.views, self.size = views, size
        self._given, self._seed = truths, seed
        what = f"{name} {msgspec.json.encode(views)!r} {size} {seed}"
        self.key = hashlib.sha256(what.encode()).hexdigest()[:16]
        """Names everything that the views and their features depend on."""
        count = len(truths) * views.each
        shapes = {}
        for tap in TAPS_USED:
            _, channels, rows, cols = tap_shape(tap, size)
            shapes[tap] = (rows, cols, channels)
        self._features = FeatureStore(folder, f"detection-{self.key}", count, shapes)
        self._images = FeatureStore(folder, f"detection-{self.key}-views", count, {IMAGE: (*size, 3)}, np.uint8)
        self.truths: list[Instances] = []
        """One per view, each image's after another."""

    def fill(self, images: Images, session: Session, tell: Callable[[float], None]) -> None:
        """Compute what is not stored yet; images: (rows, cols, 3) uint8 in the order of the truths."""
        blank = np.zeros((*self.size, 3), np.uint8)
        for place, truth in enumerate(self._given):
            first = place * self.views.each
            stored = min(self._features.done, self._images.done) >= first + self.views.each
            image = blank if stored else images[place]
            for view in range(self.views.each):
                # Drawn alike whether stored or not, so that the truths are those of an unbroken run.
                random = np.random.default_rng((self._seed, place, view))
                seen, moved = drawn(image, truth, self.views, random) if view else (image, truth)
                self.truths.append(moved)
                if self._features.done <= first + view:
                    self._features.append(_features(session, seen))
                if self._images.done <= first + view:
                    self._images.append({IMAGE: seen})
            tell((place + 1) / len(self._given))

    def cut(self, view: int, rows: slice, cols: slice) -> dict[str, NDArray[np.generic]]:
        """Give taps and image of a part of a view, (rows / s, cols / s, channels) each, views of the store.

        rows, cols: in input pixels, multiples of 16.
        """
        found: dict[str, NDArray[np.generic]] = {}
        for tap in TAPS_USED:
            by = int(tap.removeprefix("s"))
            places = slice(rows.start // by, rows.stop // by), slice(cols.start // by, cols.stop // by)
            found[tap] = self._features[tap][view, *places]
        found[IMAGE] = self._images[IMAGE][view, rows, cols]
        return found

    def deviations(self) -> dict[str, NDArray[np.float32]]:
        """Give the deviation of each channel of each tap, (channels,), over images spread over all."""
        count = len(self._given)
        chosen = np.unique(np.linspace(0, count - 1, min(count, SPREAD_IMAGES)).round().astype(int)) * self.views.each
        result = {}
        for tap in TAPS_USED:
            seen = np.stack([self._features[tap][view] for view in chosen]).astype(np.float32)
            flat = seen.reshape(-1, seen.shape[-1])
            result[tap] = flat.std(axis=0, dtype=np.float64).astype(np.float32) + np.float32(SMALLEST_DEVIATION)
        return result


def affordable(views: Views, images: int, size: tuple[int, int], most_bytes: int) -> Views:
    """Give views of which there are as many of each image as fit in so many bytes, one at least."""
    cells = sum(float(np.prod(tap_shape(tap, size))) for tap in TAPS_USED)
    each = 2 * cells + 3 * size[0] * size[1]
    return replace(views, each=min(views.each, max(1, int(most_bytes / (each * images)))))


def _features(session: Session, image: NDArray[np.uint8]) -> Mapping[str, NDArray[np.generic]]:
    session.input[0] = image
    results = session.run()
    return {tap: results[tap][0].transpose(1, 2, 0) for tap in TAPS_USED}
