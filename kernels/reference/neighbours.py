"""Define choice of and distance to neighbours in feature space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def k_centre(points: NDArray[np.float32], count: int, first: int) -> NDArray[np.int64]:
    """Choose `count` points greedily, each the farthest from those before it (the first such on a tie).

    points: (points, channels) float32. At most twice as bad as the best cover: Gonzalez, "Clustering to minimize the
    maximum intercluster distance", Theoretical Computer Science 38 (1985).
    """
    chosen = [first]
    nearest = np.full(len(points), np.inf, np.float32)
    for _ in range(count - 1):
        distance = ((points - points[chosen[-1]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, distance)
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def nearest(features: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give each feature's Euclidean distance to the nearest vector of a memory bank, (features,) float64.

    features: (features, channels) float32. vectors: (vectors, channels) float32, finite, at least one. A feature
    that is not finite, or so far off that the square of its distance overflows float32, has the distance nan.
    """
    distances = np.full(len(features), np.nan)
    for place, feature in enumerate(features.astype(np.float64)):
        if np.isfinite(feature).all():
            distances[place] = ((vectors - feature) ** 2).sum(axis=1).min()
    overflowing = distances > np.finfo(np.float32).max
    return np.sqrt(np.where(overflowing, np.nan, distances))
