"""Judge anomaly maps pixel by pixel in bounded memory: pixel AUROC and area under the per-region overlap (AUPRO)."""

from collections.abc import Iterable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Counts = NDArray[np.float64]

# A float's first 20 bits in order: sign, exponent and 11 bits of fraction, steps of 1 / 2048 of the value. Values that
# share them are ties. Steps of 1 / 64 are enough to draw parts anew many times over.
FINE_BITS = 20
COARSE_BITS = 15
FPR_LIMIT = 0.3
MOST_GROUPS = 512
"""Counts kept apart for drawing anew; of more parts several are drawn together, which makes no interval narrower."""


class _Steps(Struct, frozen=True):
    """Count the pixels of one part by coarse steps, those alone that hold any."""

    steps: NDArray[np.intp]
    counts: Counts
    """(3, steps) float64: normal pixels, marked pixels, shares of marked regions."""
    regions: int


class PixelGroups(Struct, frozen=True):
    """Hold the pixel counts of each part, for drawing parts anew."""

    names: tuple[str, ...]
    """The first part of each."""
    counts: Counts
    """(3, parts, steps) float64, steps from the least to the most suspicious."""
    regions: Counts
    """(parts,) float64"""

    def auroc(self, drawn: NDArray[np.intp]) -> float | None:
        """Give the pixel AUROC of the drawn parts."""
        times = np.bincount(drawn, minlength=len(self.names)).astype(np.float64)
        return _auroc(times @ self.counts[0], times @ self.counts[1])

    def aupro(self, drawn: NDArray[np.intp]) -> float | None:
        """Give the AUPRO of the drawn parts."""
        times = np.bincount(drawn, minlength=len(self.names)).astype(np.float64)
        return _aupro(times @ self.counts[0], times @ self.counts[2], float(times @ self.regions), FPR_LIMIT)


class PixelTally:
    """Count the pixels of maps by value; some 50 KB for each part, of `MOST_GROUPS` at most, however many pictures."""

    def __init__(self) -> None:
        """Start with no pixel."""
        self._counts = np.zeros((3, 1 << FINE_BITS))
        self._regions = 0
        self._parts: dict[str, _Steps] = {}
        self._stands_for: dict[str, str] = {}
        """Under which part's name a part is counted."""

    def add(self, values: NDArray[np.float32], regions: NDArray[np.int32], group: str) -> None:
        """Count one map.

        values: (rows, cols) float32, higher is more suspicious, no nan. regions: (rows, cols) int32, 0 where nothing is
        marked, 1 and on: the number of the connected region. group: the part that the map shows.
        """
        keys, labels = _ordered(values.ravel()), regions.ravel()
        marked = labels > 0
        own, inside = keys[marked], labels[marked]
        sizes = np.bincount(inside)
        shares = 1 / sizes[inside] if inside.size else np.zeros(0)
        seen = int(np.count_nonzero(sizes))
        np.add.at(self._counts[0], keys[~marked], 1.0)
        np.add.at(self._counts[1], own, 1.0)
        np.add.at(self._counts[2], own, shares)
        self._regions += seen
        coarse, cut = keys >> (FINE_BITS - COARSE_BITS), own >> (FINE_BITS - COARSE_BITS)
        counted = np.stack(
            [
                np.bincount(places, weights, minlength=1 << COARSE_BITS).astype(np.float64)
                for places, weights in ((coarse[~marked], None), (cut, None), (cut, shares))
            ]
        )
        steps = np.flatnonzero(counted.any(axis=0))
        self._remember(group, _Steps(steps, counted[:, steps], seen))

    def auroc(self) -> float | None:
        """Give the share of (marked, normal) pairs of pixels in the right order, ties half; None without a pair."""
        return _auroc(self._counts[0], self._counts[1])

    def aupro(self, limit: float = FPR_LIMIT) -> float | None:
        """Give the area under mean region overlap over false-positive rate, up to a limit and divided by it.

        Each connected region counts alike, whatever its size; the false-positive rate is that of all normal pixels of
        all maps: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021), as anomalib computes it. None
        without a region or a normal pixel.
        """
        return _aupro(self._counts[0], self._counts[2], self._regions, limit)

    def groups(self) -> PixelGroups:
        """Give the counts of each part."""
        parts = self._parts.values()
        steps = np.unique(np.concatenate([part.steps for part in parts])) if parts else np.zeros(0, np.intp)
        counts = np.zeros((3, len(parts), steps.size))
        for row, part in enumerate(parts):
            counts[:, row, np.searchsorted(steps, part.steps)] = part.counts
        return PixelGroups(tuple(self._parts), counts, np.array([part.regions for part in parts], np.float64))

    def _remember(self, group: str, new: _Steps) -> None:
        if group not in self._stands_for:
            known = tuple(self._parts)
            place = len(self._stands_for)
            self._stands_for[group] = group if place < MOST_GROUPS else known[place % MOST_GROUPS]
        name = self._stands_for[group]
        old = self._parts.get(name)
        self._parts[name] = new if old is None else _joined((old, new))


def _joined(parts: Iterable[_Steps]) -> _Steps:
    known = tuple(parts)
    steps = np.unique(np.concatenate([part.steps for part in known]))
    counts = np.zeros((3, steps.size))
    for part in known:
        counts[:, np.searchsorted(steps, part.steps)] += part.counts
    return _Steps(steps, counts, sum(part.regions for part in known))


def _ordered(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Give numbers of `FINE_BITS` bits in the order of the values (IEEE 754: a float's bits sort as integers do)."""
    bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
    negative = bits >> 31 == 1
    return (np.where(negative, ~bits, bits | np.uint32(1 << 31)) >> (32 - FINE_BITS)).astype(np.intp)


def _auroc(normal: Counts, marked: Counts) -> float | None:
    pairs = normal.sum() * marked.sum()
    if not pairs:
        return None
    return float((marked * (np.cumsum(normal) - normal / 2)).sum() / pairs)


def _aupro(normal: Counts, overlap: Counts, regions: float, limit: float) -> float | None:
    pixels = normal.sum()
    if not pixels or not regions:
        return None
    used = (normal > 0) | (overlap > 0)
    rate = np.append(0.0, np.cumsum(normal[used][::-1]) / pixels)
    mean = np.append(0.0, np.cumsum(overlap[used][::-1]) / regions)
    end = int(np.searchsorted(rate, limit, side="left"))
    share = (limit - rate[end - 1]) / (rate[end] - rate[end - 1])
    rates = np.append(rate[:end], limit)
    means = np.append(mean[:end], mean[end - 1] + share * (mean[end] - mean[end - 1]))
    return float(np.trapezoid(means, rates) / limit)
