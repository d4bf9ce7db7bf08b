"""Give the counts that a binomial chance seldom goes beyond; pure, exact to the rounding of floats."""

import math


def outer_counts(count: int, share: float, tail: float) -> tuple[int, int]:
    """Give (low, high): fewer than low, and more than high, each have at most the probability `tail`.

    Sums from the mode outwards, so that nothing underflows before it matters. ValueError for a share outside [0, 1].
    """
    if not 0 <= share <= 1 or count < 0:
        raise ValueError(f"binomial: share {share} of {count}, must lie in [0, 1] of 0 or more; count again")
    if share == 0 or 1 - share in {0.0, 1.0} or not count:  # a share too small to tell from none is none
        edge = count if 1 - share == 0 else 0
        return edge, edge
    return _low(count, share, tail), count - _low(count, 1 - share, tail)


def _low(count: int, share: float, tail: float) -> int:
    """Give the largest k with P(X < k) <= tail."""
    far = max(0, math.floor(count * share - 12 * math.sqrt(count * share * (1 - share)) - 12))  # below: nothing
    below = 0.0
    for k in range(far, count + 1):
        at = math.exp(_log_term(count, k, share))
        if below + at > tail:
            return k
        below += at
    return count


def _log_term(count: int, k: int, share: float) -> float:
    ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
    return ways + k * math.log(share) + (count - k) * math.log1p(-share)
