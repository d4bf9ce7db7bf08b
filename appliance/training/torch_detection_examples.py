"""Give a detection network its batches: cuts around objects, and some of places without."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from appliance.training.detection_cells import Instances
from appliance.training.detection_pyramid import TAPS_USED
from appliance.training.detection_store import IMAGE, ViewStore
from appliance.training.detection_views import cut_to

GRID_PX = 16
"""Cuts begin and end where the cells of the coarsest tap do."""
SIDE_PER_OBJECT = 2.0
"""A cut is so many times as long as objects are that are larger than nine in ten."""
SMALLEST_SIDE_PX = 128
ELSEWHERE_EACH = 5
"""Cuts of each image that lie anywhere, in each pass."""


class DetectionExamples:
    """Give batches of cuts; one example is an object, or a place anywhere in an image."""

    def __init__(self, store: ViewStore, images: NDArray[np.intp]) -> None:
        """Take a filled store and the numbers of the images to learn from."""
        self._store, self._each = store, store.views.each
        truths = [store.truths[image * self._each] for image in images]
        self._examples: list[tuple[int, int]] = [
            (int(image), number)
            for image, truth in zip(images, truths, strict=True)
            for number in (*range(len(truth.kinds)), *[-1] * ELSEWHERE_EACH)
        ]
        sides = np.concatenate([(truth.boxes[:, 2:] - truth.boxes[:, :2]).max(axis=1, initial=0) for truth in truths])
        wanted = SIDE_PER_OBJECT * float(np.quantile(sides, 0.9)) if len(sides) else 0.0
        side = max(SMALLEST_SIDE_PX, -(-int(wanted) // (2 * GRID_PX)) * 2 * GRID_PX)
        self.side = (min(side, store.size[0]), min(side, store.size[1]))
        """(rows, cols) of a cut in input pixels."""

    def __len__(self) -> int:
        return len(self._examples)

    def batch(self, chosen: NDArray[np.intp], random: np.random.Generator) -> dict[str, Tensor]:
        """Give what `DetectionNetwork` and `detection_loss` read."""
        cuts = [self._cut(self._examples[place], random) for place in chosen]
        objects = max(1, *(len(truth.kinds) for _, truth in cuts))
        kinds = np.full((len(cuts), objects), -1, np.int64)
        boxes = np.zeros((len(cuts), objects, 4), np.float32)
        for row, (_, truth) in enumerate(cuts):
            kinds[row, : len(truth.kinds)], boxes[row, : len(truth.kinds)] = truth.kinds, truth.boxes
        batch = {name: _joined([cut[name] for cut, _ in cuts]) for name in (*TAPS_USED, IMAGE)}
        return batch | {"kinds": torch.from_numpy(kinds), "boxes": torch.from_numpy(boxes)}

    def _cut(
        self, example: tuple[int, int], random: np.random.Generator
    ) -> tuple[dict[str, NDArray[np.generic]], Instances]:
        image, number = example
        view = image * self._each + int(random.integers(self._each))
        truth, starts = self._store.truths[view], []
        for axis, (side, length) in enumerate(zip(self.side, self._store.size, strict=True)):
            low, high = 0.0, float(length - side)
            if 0 <= number < len(truth.kinds):
                first, last = truth.boxes[number, [1 - axis, 3 - axis]]
                low, high = sorted((np.clip(last - side, 0, high), np.clip(first, 0, high)))
            starts.append(round(random.uniform(low, high) / GRID_PX) * GRID_PX)
        ends = [start + side for start, side in zip(starts, self.side, strict=True)]
        rows, cols = (slice(*bounds) for bounds in zip(starts, ends, strict=True))
        return self._store.cut(view, rows, cols), cut_to(truth, rows, cols)


def _joined(cuts: list[NDArray[np.generic]]) -> Tensor:
    """Give (cuts, channels, rows, cols), channels last in memory as the store has them."""
    return torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2)
