"""Keep what the semantic decoder learns from: views of each frame, what the frozen backbone says of them, their cells.

Features are computed once, on whole images and in the runtime and precision of the line; a step then reads small cuts.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Session
from appliance.training.augmentation import Augmentation, change_mask, draw_change
from appliance.training.backbone import tap_shape
from appliance.training.feature_store import FeatureStore
from appliance.training.semantic_canvas import Pictures
from appliance.training.semantic_decoder import CELL_PX, TAPS_USED

UNKNOWN = 255
"""Label of cells that teach nothing: at the rim of a defect, and beside the frame."""
LEAST_SHOWN = 0.5
"""Share of a cell that lies in the frame, from which it teaches."""
LABELS = "labels"
SPREAD_IMAGES = 64
"""Images that the deviations of the channels are taken from."""
SMALLEST_DEVIATION = 1e-3

Masks = Sequence[NDArray[np.uint8]]


class Rows(Struct, frozen=True):
    """Say which row of a store shows which copy of which frame."""

    frame: NDArray[np.intp]
    copy: NDArray[np.intp]


def rows_for(marked: NDArray[np.bool_], copies: int) -> Rows:
    """Give the rows: of frames that show a class other than the first `copies`, of others the frame as it is."""
    count = np.where(marked, copies, 1)
    return Rows(np.repeat(np.arange(len(marked)), count), np.concatenate([np.arange(each) for each in count]))


class CellStore:
    """Hold features and labels of each row."""

    def __init__(self, folder: Path | None, key: str, rows: Rows, size: tuple[int, int], cover: float) -> None:
        """Open or make the store; key: the digest of everything that features and labels depend on."""
        self.rows, self.cover, self.key = rows, cover, key
        count, cells = len(rows.frame), (size[0] // CELL_PX, size[1] // CELL_PX)
        self._features = FeatureStore(
            folder, f"semantic-{key}", count, {tap: tap_shape(tap, size)[1:] for tap in TAPS_USED}
        )
        self._labels = FeatureStore(folder, f"semantic-{key}-labels", count, {LABELS: cells}, np.uint8)

    def fill(
        self,
        pictures: Pictures,
        masks: Masks,
        classes: int,
        augmentation: Augmentation,
        seed: int,
        session: Session,
        tell: Callable[[float], None],
    ) -> None:
        """Compute what is not stored yet; session: of the backbone with `TAPS_USED`."""
        count = len(self.rows.frame)
        for row in range(min(self._features.done, self._labels.done), count):
            frame, copy = int(self.rows.frame[row]), int(self.rows.copy[row])
            change = draw_change(augmentation, seed, frame, copy)
            if self._features.done == row:
                session.input[0] = pictures.image(frame, change)
                results = session.run()
                self._features.append({tap: results[tap][0] for tap in TAPS_USED})
            if self._labels.done == row:
                mask = masks[frame]
                moved = change_mask(mask, change) if copy else mask
                self._labels.append({LABELS: labels_of(pictures, moved, classes, self.cover)})
            tell((row + 1) / count)

    def labels(self, row: int) -> NDArray[np.uint8]:
        """Give the class of each cell, (rows / 4, cols / 4) uint8, or `UNKNOWN`."""
        return np.asarray(self._labels[LABELS][row], np.uint8)

    def taps(self, row: int, top: int, left: int, rows: int, cols: int) -> dict[str, NDArray[np.float32]]:
        """Give a cut of the taps, (channels, rows, cols) float32 each; place and size in cells of stride 16."""
        found = {}
        for tap in TAPS_USED:
            by = 16 // int(tap.removeprefix("s"))
            cut = self._features[tap][row, :, top * by : (top + rows) * by, left * by : (left + cols) * by]
            found[tap] = cut.astype(np.float32)
        return found

    def deviations(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
        """Give the deviation of each channel of each tap, (channels,), over rows spread over those given."""
        spread = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SPREAD_IMAGES)).round().astype(int))
        found = {}
        for tap in TAPS_USED:
            seen = np.stack([self._features[tap][row] for row in rows[spread]]).astype(np.float32)
            deviation = seen.std(axis=(0, 2, 3), dtype=np.float64).astype(np.float32)
            found[tap] = deviation + np.float32(SMALLEST_DEVIATION)
        return found


def labels_of(pictures: Pictures, mask: NDArray[np.uint8], classes: int, cover: float) -> NDArray[np.uint8]:
    """Give the class of each cell, (rows / 4, cols / 4) uint8.

    A cell is a defect's from `cover` of it on, background below half of that less than a tenth, else `UNKNOWN`.
    """
    shown = pictures.cells(np.ones(mask.shape, np.uint8), CELL_PX)
    labels = np.zeros(shown.shape, np.uint8)
    best = np.zeros(shown.shape, np.float32)
    for label in np.unique(mask):
        if 0 < label < classes:
            share = pictures.cells((mask == label).astype(np.uint8), CELL_PX)
            labels[share > best] = label
            np.maximum(best, share, out=best)
    labels[best < cover] = UNKNOWN
    labels[best < min(cover / 2, 0.1)] = 0
    labels[shown < LEAST_SHOWN] = UNKNOWN
    return labels
