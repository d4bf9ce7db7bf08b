"""Choose from which score parts are rejected outright, so that a shift's reviews fit into the minutes there are.

Between the two limits a person looks. The higher the reject limit, the fewer good parts are lost and the more are
looked at. Limits count from the lowest up, each held against the exact upper bound of the good parts between; the first
that may exceed the minutes ends it, as in `risk.py`, so the bound holds for the limit that is chosen.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from appliance.decision.calibration import upper_bound
from appliance.decision.risk import Count, counted, suspicion
from appliance.schema.errors import ConfigError


class Shift(Struct, frozen=True):
    """State what a shift makes and how long a person has for it."""

    parts: float
    """Parts per shift."""
    seconds: float
    """One review takes, s."""
    minutes: float
    """Available for reviews, min."""
    sample_share: float = 0.0
    """Of the parts that would be accepted, drawn for a person all the same, in [0, 1]."""
    unknown_rate: float = 0.0
    """Of known parts, taken for unknown and shown, in [0, 1]."""

    def minutes_of(self, share: float) -> float:
        """Give the minutes that reviewing this share of all parts takes."""
        return share * self.parts * self.seconds / 60


class Load(Struct, frozen=True):
    """State what is reviewed, of all parts, and how many minutes of a shift that takes."""

    good: Count
    """Good parts between the limits."""
    defects: Count
    """Defective parts between the limits."""
    share: float
    """Of all parts, as the counts say."""
    share_upper: float
    """Of all parts, with the assurance at most: every defective part counted as reviewed, the whole sample and all that
    are taken for unknown."""
    minutes: float
    minutes_upper: float


def check(shift: Shift) -> None:
    """Raise ConfigError for numbers that no shift has."""
    for name, value in (("parts per shift", shift.parts), ("seconds per review", shift.seconds)):
        if not (0 < value < math.inf):
            raise ConfigError(f"review: {name} {value:g}, must be over 0; state what the line does")
    if not (0 <= shift.minutes < math.inf):
        raise ConfigError(f"review: {shift.minutes:g} minutes per shift, must be 0 or more; state what there is")


def floor_minutes(shift: Shift) -> float:
    """Give the minutes that are spent whatever the limits are: the random sample, and parts taken for unknown."""
    return shift.minutes_of(min(1.0, shift.sample_share + shift.unknown_rate))


def minutes_for(between: int, good: int, shift: Shift, defect_rate: float, assurance: float) -> float:
    """Give the minutes at most, with the assurance, of limits that leave so many of so many good parts to a person."""
    return shift.minutes_of(_share(shift, upper_bound(between, good, assurance), defect_rate))


def reject_limit(
    good: Sequence[float], accept_below: float, top: float, shift: Shift, defect_rate: float, assurance: float
) -> float:
    """Give the largest reject limit whose reviews fit into the shift, with the assurance; at least the accept limit.

    good: scores of held-out good parts. top: no higher than this. defect_rate: share of defective parts on the line.
    """
    above = sorted(score for score in map(suspicion, good) if accept_below < score <= top)
    low, high = -1, len(above) + 1  # so many reviewed fit, and do not
    while high - low > 1:
        middle = (low + high) // 2
        fits = minutes_for(middle, len(good), shift, defect_rate, assurance) <= shift.minutes
        low, high = (middle, high) if fits else (low, middle)
    if low < 0:
        return accept_below
    return max(accept_below, math.nextafter(above[low], -math.inf) if low < len(above) else top)


def load(
    good: Sequence[float],
    defects: Sequence[float],
    limits: tuple[float, float],
    shift: Shift,
    defect_rate: float,
    assurance: float,
) -> Load:
    """Predict the reviews of a shift under (accept, reject) limits; scores are of held-out parts."""
    low, high = limits
    looked, found = (sum(low < suspicion(one) <= high for one in scores) for scores in (good, defects))
    band = looked / len(good) if good else 0.0
    hidden = found / len(defects) if defects else 0.0
    accepted = sum(suspicion(one) <= low for one in good) / len(good) if good else 0.0
    drawn = shift.sample_share * accepted + shift.unknown_rate
    share = min(1.0, (1 - defect_rate) * (band + drawn) + defect_rate * hidden)
    upper = upper_bound(looked, len(good), assurance) if high > low else 0.0
    share_upper = _share(shift, upper, defect_rate if high > low else 0.0)
    return Load(
        counted(looked, len(good)),
        counted(found, len(defects)),
        share,
        share_upper,
        shift.minutes_of(share),
        shift.minutes_of(share_upper),
    )


def _share(shift: Shift, good_between: float, defect_rate: float) -> float:
    """Give the share of all parts that is reviewed at most, every defective part among them."""
    return min(1.0, (1 - defect_rate) * good_between + defect_rate + shift.sample_share + shift.unknown_rate)
