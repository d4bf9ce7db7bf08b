"""Describe good patches by a bounded memory of chosen ones, or by one normal distribution."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from appliance.training import coreset
from appliance.training.anomaly_graph import Gaussian, Good, Marker, Memory
from appliance.training.linear import SMALLEST_DEVIATION
from kernels.knn import Bank, nearest

Rows = NDArray[np.float32]
# Each channel's variance grows by this share: 200 channels from some 10,000 patches leave directions in
# which good patches hardly differ.
SHRINKAGE = 0.01


class Reservoir:
    """Keep a fair sample of rows that pass by, so many at most: Vitter, "Random sampling with a reservoir" (1985)."""

    def __init__(self, capacity: int, random: np.random.Generator) -> None:
        """Take the largest number of rows kept."""
        self._capacity, self._random = capacity, random
        self._rows: Rows | None = None
        self._owners = np.zeros(capacity, np.intp)
        self.passed = 0
        """Rows that passed by."""

    def add(self, rows: Rows, owner: int) -> None:
        """Let rows pass by; rows: (rows, channels) float32, copied. owner: number of their frame."""
        if self._rows is None:
            self._rows = np.empty((self._capacity, rows.shape[1]), np.float32)
        places = np.arange(self.passed, self.passed + len(rows))
        late = places >= self._capacity
        places[late] = self._random.integers(0, places[late] + 1)
        kept = places < self._capacity
        self._rows[places[kept]] = rows[kept]
        self._owners[places[kept]] = owner
        self.passed += len(rows)

    def rows(self, without: frozenset[int] = frozenset()) -> Rows:
        """Give the rows kept, (rows, channels) float32, but for those of some owners."""
        if self._rows is None:
            return np.empty((0, 0), np.float32)
        count = min(self.passed, self._capacity)
        kept = self._rows[:count]
        return kept[~np.isin(self._owners[:count], list(without))] if without else kept

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give what `restore` takes."""
        count = min(self.passed, self._capacity)
        return {"rows": self.rows(), "owners": self._owners[:count], "passed": np.array(self.passed)}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Hold what another reservoir of this capacity held."""
        rows, self.passed = state["rows"], int(state["passed"])
        if self.passed:
            self._rows = np.empty((self._capacity, rows.shape[1]), np.float32)
            self._rows[: len(rows)] = rows
            self._owners[: len(rows)] = state["owners"]


def joined(reservoirs: Iterable[Reservoir], without: frozenset[int] = frozenset()) -> Rows:
    """Give the rows of several reservoirs."""
    return np.concatenate([rows for one in reservoirs if len(rows := one.rows(without))])


def fit_memory(rows: Rows, patches: int, random: np.random.Generator, places: int = 0) -> Memory:
    """Give the memory of rows of good patches, (rows, channels) float32.

    places: the last so many channels are positions, which are not standardised.
    """
    channels = rows.shape[1] - places
    mean = rows[:, :channels].mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = 1 / np.maximum(rows[:, :channels].std(axis=0, dtype=np.float64), 1e-6)
    standard = rows.copy()
    standard[:, :channels] = (rows[:, :channels] - mean) * scale.astype(np.float32)
    chosen = standard[coreset.choose(standard, patches, random)]
    return Memory(mean, scale.astype(np.float32), np.ascontiguousarray(chosen))


def renewed(memory: Memory, rows: Rows, random: np.random.Generator) -> Memory:
    """Give a memory as large as before that also knows `rows`, not standardised; its standardisation stays."""
    channels = len(memory.mean)
    added = rows.copy()
    added[:, :channels] = (rows[:, :channels] - memory.mean) * memory.scale
    everything = np.concatenate([memory.patches, added])
    return Memory(memory.mean, memory.scale, everything[coreset.choose(everything, len(memory.patches), random)])


def fit_gaussian(rows: Rows, mean_map: NDArray[np.float32] | None = None) -> Gaussian:
    """Give the normal distribution of rows of good patches.

    mean_map: (channels, rows, cols) mean at each place, which then takes the place of the common one; the covariance
    is that of all rows about their common mean.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = (rows - mean.astype(np.float32)).astype(np.float64)
    covariance = centred.T @ centred / len(rows)
    spread = np.diag(covariance)
    covariance += np.diag(SHRINKAGE * spread + SMALLEST_DEVIATION**2 * max(float(spread.max()), 1e-12))
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return Gaussian(mean.astype(np.float32) if mean_map is None else mean_map, whitening.astype(np.float32))


def distances(rows: Rows, good: Good) -> NDArray[np.float32]:
    """Give the distance of each row from good patches, as the graph computes it, in float32."""
    if isinstance(good, Gaussian):
        mean = good.mean if good.mean.ndim == 1 else good.mean.mean(axis=(1, 2))
        length: NDArray[np.float32] = np.sqrt((((rows - mean) @ good.whitening) ** 2).sum(axis=1))
        return length
    channels = len(good.mean)
    standard = rows.copy()
    standard[:, :channels] = (rows[:, :channels] - good.mean) * good.scale
    return nearest(np.ascontiguousarray(standard), Bank(np.ascontiguousarray(good.patches)))


def answers(rows: Rows, marker: Marker) -> NDArray[np.float32]:
    """Give the marker's raw answer to each row, positions left out."""
    features = rows[:, : len(marker.first.weight)]
    result: NDArray[np.float32] = marker.second(np.maximum(marker.first(features), np.float32(0)))[:, 0]
    return result
