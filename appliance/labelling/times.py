"""Measure how long people take at each level against what the protocol expects of it; pure."""

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

from appliance.learning.rates import Rate, rate
from appliance.schema.label import Label, LabelLevel

EXPECTED_S = {LabelLevel.CONFIRM: (5.0, 10.0), LabelLevel.CLASSIFY: (30.0, 60.0), LabelLevel.EXPERT: (120.0, 300.0)}
"""Seconds that an answer takes by the labelling protocol; less suggests a glance, more a screen that hinders."""


class LevelTimes(Struct, frozen=True):
    """State how long the answers of one level took."""

    level: int
    n: int
    lower_s: float | None
    """Quartiles and median; None without answers."""
    median_s: float | None
    upper_s: float | None
    expected_s: tuple[float, float]
    faster: Rate
    """Answers given in less than expected."""
    slower: Rate


def level_times(labels: Iterable[Label]) -> list[LevelTimes]:
    """Measure each level; labels that state no time, as from other programs, are left out."""
    seconds: dict[LabelLevel, list[float]] = {level: [] for level in LabelLevel}
    for label in labels:
        if label.seconds > 0:
            seconds[label.level].append(label.seconds)
    return [_times(level, sorted(those)) for level, those in seconds.items()]


def _times(level: LabelLevel, ordered: Sequence[float]) -> LevelTimes:
    least, most = EXPECTED_S[level]
    lower, median, upper = (_quantile(ordered, share) for share in (0.25, 0.5, 0.75))
    faster = rate(sum(value < least for value in ordered), len(ordered))
    slower = rate(sum(value > most for value in ordered), len(ordered))
    return LevelTimes(int(level), len(ordered), lower, median, upper, (least, most), faster, slower)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Give a quantile, straight between neighbours (numpy's default)."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
