"""Say when a run of parts no longer looks like the held-out ones: the plainest alarm for drift that there is.

The p-values of good parts against held-out ones are even on (0, 1], so their mean over a window is 1/2 with a known
scatter. It stands in for the control charts of a station and is no better than they would have to be.
"""

import math

import numpy as np

from bench.policy_arrays import p_values
from bench.populations import Parts

WINDOW = 250
DEVIATIONS = 4.0
"""One false alarm in 16,000 windows; a shift of 5,000 parts has 40 of both kinds."""


def tripped_at(line: Parts, good: Parts) -> float:
    """Give the share of the run from which the alarm stands; infinity where it never does.

    good: held-out good parts; both scores and novelty are held against theirs.
    """
    ends = []
    for seen, held in ((line.score.max(1), good.score.max(1)), (line.novelty.max(1), good.novelty.max(1))):
        p = p_values(seen, np.sort(held))
        windows = p[: p.size // WINDOW * WINDOW].reshape(-1, WINDOW).mean(1)
        # The held-out parts are a sample, too.
        limit = DEVIATIONS * math.sqrt((1 / WINDOW + 1 / held.size) / 12)
        outside = np.flatnonzero(np.abs(windows - 0.5) > limit)
        if outside.size:
            ends.append(float(line.when[(outside[0] + 1) * WINDOW - 1]))
    return min(ends, default=math.inf)
