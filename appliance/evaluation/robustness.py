"""Say what a bundle's limits let pass and hold back when light, lens, sensor and fixture are not what they were."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from appliance.datasets.sample import DataSet, Sample
from appliance.evaluation.appraisal import row_of
from appliance.evaluation.decisions import bands
from appliance.evaluation.disturbances import DISTURBANCES, Disturbance, Frame, disturbed
from appliance.evaluation.judging import Tell, judge_all, unheard
from appliance.evaluation.row import Row, kinds_of
from appliance.learning.rates import Rate
from appliance.services._inspector import LoadedBundle

UNDISTURBED = "none"


class Disturbed(Struct, frozen=True):
    """State the rates under one disturbance."""

    disturbance: str
    level: str
    escape_rate: Rate
    overkill_rate: Rate
    review_rate: Rate
    escape_rate_of: dict[str, Rate]
    """By kind of defect."""


class Worst(Struct, frozen=True):
    """State the disturbance under which a class fares worst."""

    kind: str
    """Kind of defect, whose escapes count; `good`: overkill counts."""
    rate: Rate
    disturbance: str
    level: str


def run_robustness(
    loaded: LoadedBundle,
    data: DataSet,
    samples: Sequence[Sample],
    tell: Tell = unheard,
    disturbances: Sequence[Disturbance] = DISTURBANCES,
) -> tuple[Disturbed, ...]:
    """Judge all samples as they are and under each disturbance, and count; tell: told the share done.

    What is drawn depends on the sample's name alone, so the same pictures give the same rates.
    """
    found = []
    for number, how in enumerate((None, *disturbances)):

        def share_of(share: float, number: int = number) -> None:
            tell((number + share) / (len(disturbances) + 1))

        rows = [
            row_of(judged, data, loaded.manifest)
            for judged in judge_all(loaded, samples, change=_change(loaded, how), tell=share_of)
        ]
        found.append(_counted(how, rows))
    return tuple(found)


def worst_cases(found: Sequence[Disturbed]) -> tuple[Worst, ...]:
    """Give for each kind of defect, and for good parts, the disturbance with the highest rate."""
    kinds = sorted({kind for one in found for kind in one.escape_rate_of})
    cases = [("good", [(one.overkill_rate, one) for one in found])]
    cases += [
        (kind, [(one.escape_rate_of[kind], one) for one in found if kind in one.escape_rate_of]) for kind in kinds
    ]
    result = []
    for kind, rated in cases:
        rate, one = max(rated, key=lambda pair: pair[0].value or 0.0)
        result.append(Worst(kind, rate, one.disturbance, one.level))
    return tuple(result)


def _change(loaded: LoadedBundle, how: Disturbance | None) -> Callable[[Frame, Sample], Frame] | None:
    if how is None:
        return None
    pixel_format = loaded.manifest.preprocessing.pixel_format

    def change(frame: Frame, sample: Sample) -> Frame:
        generator = np.random.default_rng(zlib.crc32(f"{how.name} {sample.name}".encode()))
        return disturbed(frame, pixel_format, how, generator)

    return change


def _counted(how: Disturbance | None, rows: Sequence[Row]) -> Disturbed:
    whole = bands(rows)
    return Disturbed(
        how.name if how else UNDISTURBED,
        how.level if how else "",
        whole.escape_rate,
        whole.overkill_rate,
        whole.review_rate,
        {kind: bands([row for row in rows if kind in row.kinds]).escape_rate for kind in kinds_of(rows)},
    )
