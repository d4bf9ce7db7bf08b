"""Measure how far people agree on classes, beyond what chance would give them.

A table is a list of units, each with the class that every rater gave it; None: that rater did not. Agreement alone says
little where nearly all parts are good: of 98 % good parts two people who guess so agree on 96 %. Kappa and alpha take
that out. What is not defined is None, never a number: a coefficient where only one class was ever given (chance agrees
entirely), or where nobody rated the same unit as another.
"""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.calibration import CONFIDENCE, at_most
from appliance.learning.bootstrap import Interval, interval
from appliance.learning.rates import Rate, rate

Unit = Sequence[str | None]
"""Class by rater, in the same order in every unit."""

GATE = 0.95
"""Share of units whose raters must agree before the labels are taken for truth."""
MOST_NEEDED = 20_000
"""More units than this are not worth counting on."""


class Coefficient(Struct, frozen=True):
    """State a coefficient of agreement: 1 is perfect, 0 what chance gives."""

    value: float | None
    units: int
    """Units that more than one rater has rated."""
    interval: Interval | None
    """95 %, units drawn anew; None of few units."""


class Agreement(Struct, frozen=True):
    """State how far raters agree."""

    observed: Rate
    """Units on which all who rated them agree, of those rated twice or more."""
    alpha: Coefficient
    """Krippendorff's, nominal."""
    per_class: dict[str, Rate]
    """Of the units of which any rater says the class, those of which all do."""
    per_class_alpha: dict[str, Coefficient]
    """Krippendorff's, this class against all others."""


class Gate(Struct, frozen=True):
    """Say whether agreement is proven, and what is missing."""

    passes: bool
    """The interval's lower end is above the gate."""
    limit: float
    more: int | None
    """Further units that would prove it if people agree on them as before; 0: proven; None: not by any number."""


def agreement(table: Sequence[Unit], seed: int = 0) -> Agreement:
    """Measure agreement over units; a unit that fewer than two raters rated is left out."""
    rated = [unit for unit in table if sum(kind is not None for kind in unit) > 1]
    agreed = sum(len({kind for kind in unit if kind is not None}) == 1 for unit in rated)
    names = _names(rated)
    return Agreement(
        rate(agreed, len(rated)),
        _coefficient(rated, seed),
        {name: _specific(rated, name) for name in names},
        {name: _coefficient(_against(rated, name), seed) for name in names},
    )


def gate(observed: Rate, limit: float = GATE) -> Gate:
    """Say whether agreement above the limit is proven at 95 %, two-sided, and how many more units it takes."""
    if observed.low > limit:
        return Gate(passes=True, limit=limit, more=0)
    if observed.value is not None and observed.value <= limit:
        return Gate(passes=False, limit=limit, more=None)
    share = observed.value if observed.value is not None else 1.0
    low, high = observed.n, MOST_NEEDED
    if not _is_proven(share, high, limit):
        return Gate(passes=False, limit=limit, more=None)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_proven(share, middle, limit) else (middle, high)
    return Gate(passes=False, limit=limit, more=high - observed.n)


def cohen_kappa(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Give Cohen's kappa of two raters who rated every unit (Educational and Psychological Measurement 20, 1960)."""
    if len(one) != len(other):
        raise ValueError(f"kappa: {len(one)} answers of one rater, {len(other)} of the other; give as many")
    names = sorted({*one, *other})
    if len(names) < 2:
        return None
    first, second = (np.array([list(those).count(name) for name in names], float) for those in (one, other))
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    expected = float(first @ second) / len(one) ** 2
    return (observed - expected) / (1 - expected)


def fleiss_kappa(table: Sequence[Unit]) -> float | None:
    """Give Fleiss' kappa of units rated equally often, by whomever (Psychological Bulletin 76, 1971).

    ValueError when they are not; Krippendorff's alpha takes gaps.
    """
    answers = [[kind for kind in unit if kind is not None] for unit in table]
    numbers = {len(unit) for unit in answers}
    if len(numbers) > 1:
        raise ValueError(f"Fleiss' kappa: units rated {min(numbers)} to {max(numbers)} times, take alpha")
    raters = next(iter(numbers), 0)
    counts = _counts(answers)
    if raters < 2 or counts.shape[1] < 2:
        return None
    observed = float(((counts**2).sum(axis=1) - raters).mean()) / (raters * (raters - 1))
    expected = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (observed - expected) / (1 - expected)


def krippendorff_alpha(table: Sequence[Unit]) -> float | None:
    """Give Krippendorff's alpha for classes, gaps allowed ("Content analysis", 4th edition, 2018, chapter 12)."""
    return _alpha(_counts(table))


def _is_proven(share: float, units: int, limit: float) -> bool:
    """Say whether the lower end of the interval is above the limit, without looking for that end."""
    return at_most(math.floor(share * units) - 1, units, limit) > 1 - (1 - CONFIDENCE) / 2


def _coefficient(rated: Sequence[Unit], seed: int) -> Coefficient:
    """Give alpha with its interval; units are the parts that are drawn anew."""
    counts = _counts(rated)
    found = interval([str(place) for place in range(len(rated))], lambda drawn: _alpha(counts[drawn]), seed)
    return Coefficient(_alpha(counts), len(rated), found)


def _alpha(counts: NDArray[np.float64]) -> float | None:
    """Give alpha of (units, classes) counts of answers."""
    given = counts.sum(axis=1)
    pairable = counts[given > 1]
    given = given[given > 1]
    total = pairable.sum(axis=0)
    answers = float(total.sum())
    chance = answers**2 - float((total**2).sum())
    if not chance:
        return None
    apart = float(((given**2 - (pairable**2).sum(axis=1)) / (given - 1)).sum())
    return 1 - (answers - 1) * apart / chance


def _counts(table: Sequence[Unit]) -> NDArray[np.float64]:
    """Give (units, classes) how many raters said each class."""
    names = _names(table)
    rows = [[list(unit).count(name) for name in names] for unit in table]
    return np.array(rows, np.float64).reshape(len(table), len(names))


def _specific(rated: Sequence[Unit], name: str) -> Rate:
    """Count the units of which any rater says the class, and those of which all do."""
    said = [[kind for kind in unit if kind is not None] for unit in rated if name in unit]
    return rate(sum(set(unit) == {name} for unit in said), len(said))


def _against(rated: Sequence[Unit], name: str) -> list[tuple[str | None, ...]]:
    return [tuple(kind if kind is None or kind == name else "" for kind in unit) for unit in rated]


def _names(table: Sequence[Unit]) -> list[str]:
    return sorted({kind for unit in table for kind in unit if kind is not None})
