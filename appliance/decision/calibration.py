"""Set limits on image scores from good images alone, and say exactly what those limits promise.

Good scores are treated as exchangeable: a future good part is as likely to take any rank among them as any other.
Everything here is free of assumptions about the shape of their distribution. Images that show the same part are not
exchangeable with images of other parts: give one score per part.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from enum import StrEnum

from msgspec.structs import replace

from appliance.schema.bundle import GoodOnlyCalibration
from appliance.schema.errors import ConfigError

CONFIDENCE = 0.95
# With 19 good images the limit at their largest score may still reject 1 in 7 good parts (95 %); fewer promise nothing.
FEWEST_GOOD_IMAGES = 20
# Scores this many times as far above the median as the accept limit are rejected outright, without a person looking.
REJECT_MARGIN = 1.5


class Band(StrEnum):
    """Say where a score lies between the two limits."""

    BELOW = "below"
    BETWEEN = "between"
    ABOVE = "above"


def calibrate(
    scores: Sequence[float], hold_back: float = 0.0, margin: float = 1.0, reject_margin: float = REJECT_MARGIN
) -> GoodOnlyCalibration:
    """Give the limits for out-of-fold image scores of good images, higher meaning more suspicious.

    hold_back: share of good parts that may be held back; the limit is the smallest good score that keeps to it, and
    the largest good score where none does. margin: 1 puts the accept limit on that score, 2 twice as far from the
    median; the stated overkill then still holds as an upper bound. reject_margin: the same for the reject limit,
    counted from the accept limit's distance. Raises ConfigError for too few or non-finite scores, or margins below 1.
    """
    ordered = sorted(float(score) for score in scores)
    if len(ordered) < FEWEST_GOOD_IMAGES:
        raise ConfigError(
            f"calibration: {len(ordered)} good images, at least {FEWEST_GOOD_IMAGES} are needed to state an overkill; "
            "add good images of other parts"
        )
    if not all(map(math.isfinite, ordered)):
        raise ConfigError("calibration: a good image has a score that is not a number; check the model")
    if margin < 1 or reject_margin < 1 or not 0 <= hold_back < 0.5:
        raise ConfigError(
            f"calibration: margin {margin} and reject margin {reject_margin} must be at least 1, "
            f"hold-back {hold_back} in [0, 0.5)"
        )
    count = len(ordered)
    rank = max(1, math.floor(hold_back * (count + 1)))
    middle = ordered[count // 2]
    reach = margin * (ordered[count - rank] - middle)
    return GoodOnlyCalibration(
        images=count,
        accept_below=middle + reach,
        reject_above=middle + reject_margin * reach,
        overkill_expected=expected_above(rank, count),
        overkill_upper=upper_bound(rank - 1, count),
        scores=tuple(ordered),
    )


def calibrate_if_enough(
    scores: Sequence[float], hold_back: float = 0.0, margin: float = 1.0
) -> GoodOnlyCalibration | None:
    """Give the limits, or None for too few good scores to promise anything: without limits every part goes to a person.

    Raises ConfigError as `calibrate` does for anything else.
    """
    return calibrate(scores, hold_back, margin) if len(scores) >= FEWEST_GOOD_IMAGES else None


def capped(calibration: GoodOnlyCalibration, at_most: float) -> GoodOnlyCalibration:
    """Lower the accept limit to a score from which a part must not pass, and state what that costs.

    at_most: for example the score from which a defect counts as found. The stated overkill is that of the good score
    just above the new limit, so it still holds as an upper bound. Unchanged where the limit is lower already.
    """
    if calibration.accept_below <= at_most:
        return calibration
    count = calibration.images
    above = count - bisect.bisect_right(calibration.scores, at_most)
    return replace(
        calibration,
        accept_below=at_most,
        overkill_expected=min(1.0, expected_above(above + 1, count)),
        overkill_upper=upper_bound(above, count),
    )


def band(score: float, accept_below: float, reject_above: float) -> Band:
    """Place a score between the limits; a score that is not a number is above."""
    if score <= accept_below:
        return Band.BELOW
    return Band.BETWEEN if score <= reject_above else Band.ABOVE


def conformal_p_value(score: float, good_scores: Sequence[float]) -> float:
    """Give the share of good images at least as suspicious as this one, the image itself counted.

    good_scores: sorted ascending. For a good part P(p <= a) <= a for every a: Vovk, Gammerman, Shafer, "Algorithmic
    Learning in a Random World" (2005), section 2.2. A score that is not a number gets the smallest value.
    """
    if math.isnan(score):
        return 1 / (len(good_scores) + 1)
    at_least = len(good_scores) - bisect.bisect_left(good_scores, score)
    return (at_least + 1) / (len(good_scores) + 1)


def expected_above(rank: int, count: int) -> float:
    """Give the expected share of future good scores above the `rank`-th largest of `count` (1 is the largest).

    Order statistics of exchangeable values: Wilks, "Determination of sample sizes for setting tolerance limits", Annals
    of Mathematical Statistics 12 (1941).
    """
    return rank / (count + 1)


def upper_bound(hits: int, count: int, confidence: float = CONFIDENCE) -> float:
    """Give the exact one-sided upper bound of a rate of which `hits` in `count` were seen (Clopper-Pearson).

    It is also the bound on the share of good scores above the (hits + 1)-th largest of `count` (Wilks 1941).
    """
    _check(hits, count)
    return 1.0 if hits == count else _solve(lambda rate: at_most(hits, count, rate), 1 - confidence)


def clopper_pearson(hits: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Give the exact two-sided interval of a rate of which `hits` in `count` were seen.

    Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934): each side keeps half of the
    error. An empty sample gives (0, 1).
    """
    _check(hits, count)
    if count == 0:
        return (0.0, 1.0)
    half = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda rate: at_most(hits - 1, count, rate), 1 - half)
    high = 1.0 if hits == count else _solve(lambda rate: at_most(hits, count, rate), half)
    return (low, high)


def at_most(hits: int, count: int, rate: float) -> float:
    """Give P(X <= hits) for X binomial; terms by logarithm, so that large counts neither overflow nor vanish."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return 1.0 if hits >= count else 0.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    total = math.lgamma(count + 1)
    return math.fsum(
        math.exp(total - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * log_rate + (count - k) * log_rest)
        for k in range(hits + 1)
    )


def _check(hits: int, count: int) -> None:
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} hits in {count} trials: hits must lie between 0 and the trials")


def _solve(falling: Callable[[float], float], target: float) -> float:
    """Find the rate in [0, 1] at which a falling function takes the target; bisection to the last bit."""
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return high
        low, high = (middle, high) if falling(middle) > target else (low, middle)
