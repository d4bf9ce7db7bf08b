"""Choose the few patches that stand for all good ones: greedy k-centre on a random projection."""

import numpy as np
from numpy.typing import NDArray

from kernels.k_centre import k_centre

# Johnson and Lindenstrauss (1984): 32 directions keep the order of distances well enough to choose centres, at a fifth
# of the cost of all channels.
PROJECTED_CHANNELS = 32
# Bounds time and memory of one choice: 40,000 x 32 float32 are 5 MB, 1,000 choices among them a quarter of a second.
MOST_CANDIDATES = 40_000


def choose(patches: NDArray[np.float32], count: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Give the indices of `count` patches such that the farthest patch from its nearest chosen one is near.

    patches: (patches, channels) float32, standardised. Greedy farthest-point choice, at most twice as bad as the best
    one: Gonzalez, "Clustering to minimize the maximum intercluster distance" (1985).
    """
    candidates = np.arange(len(patches))
    if len(candidates) > MOST_CANDIDATES:
        candidates = np.sort(random.choice(candidates, MOST_CANDIDATES, replace=False))
    if count >= len(candidates):
        return candidates
    directions = random.standard_normal((patches.shape[1], PROJECTED_CHANNELS)).astype(np.float32)
    return candidates[k_centre(patches[candidates] @ directions, count, int(random.integers(len(candidates))))]
