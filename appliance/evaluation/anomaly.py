"""Judge anomaly bundles: whether the score ranks parts, and whether the map points at the defect."""

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.datasets.sample import DataSet
from appliance.datasets.truth import class_mask
from appliance.evaluation.judging import Judged
from appliance.evaluation.outcome import SEED, Outcome
from appliance.evaluation.row import Row, kinds_of, marks_of, scores_of
from appliance.learning.bootstrap import interval
from appliance.learning.pixel import PixelTally
from appliance.learning.ranking import auroc, average_precision, limit_at
from appliance.learning.rates import rate
from appliance.schema.errors import ConfigError

NEAR_PX = 9.0
"""A map points at a defect when its peak lies this near to the mask, in frame pixels."""
OVERKILLS = (0.05, 0.1)
HIT_OVERKILL = 0.1
LIMIT_SAYS = (
    "detection_at_5, detection_at_10 and hit10 flag what is above the 0.95 or 0.9 quantile of the scores of the good "
    "pictures judged here (linear between neighbours), so a limit set on other good pictures does worse; hit flags "
    f"what the bundle's own limits do not accept; both hits want the map's peak within {NEAR_PX:g} px of the mask"
)

Places = NDArray[np.intp]
Marks = NDArray[np.bool_]
Measure = Callable[[NDArray[np.float64], Marks], float | None]


class _Columns(Struct, frozen=True):
    """Hold what is known of all pictures, one entry each."""

    groups: tuple[str, ...]
    scores: NDArray[np.float64]
    bad: Marks
    flagged: Marks
    """Not accepted by the bundle's own limits."""
    marked: Marks
    """The place of the defect is known."""
    near: Marks
    """The map's peak is at the defect."""


class AnomalyTally:
    """Count pictures of an anomaly bundle."""

    def __init__(self, data: DataSet) -> None:
        """Take the data set, whose masks mark defects."""
        self._data = data
        self._pixels = PixelTally()
        self._marked: list[bool] = []
        self._near: list[bool] = []
        self._unmarked = self._unscored = 0

    def add(self, judged: Judged, row: Row) -> None:
        """Take one picture with its map; ConfigError when its mask is of another size."""
        marks = self._marks(judged)
        self._marked.append(marks is not None and bool(marks.any()))
        self._near.append(False)
        if judged.map is None or np.isnan(judged.score):
            self._unscored += 1
        elif marks is None or (row.bad and not marks.any()):
            # Where its defect lies is not known: its pixels are neither marked nor normal.
            self._unmarked += 1
        else:
            values = judged.map.astype(np.float32, copy=False)
            regions = cv2.connectedComponents(marks.astype(np.uint8), connectivity=8)[1]
            self._pixels.add(values, regions, row.group)
            self._near[-1] = points_at(values, marks)

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """Give the metrics."""
        bad = marks_of(rows)
        flagged = np.array([not row.accepted for row in rows], np.bool_)
        marked, near = np.array(self._marked, np.bool_), np.array(self._near, np.bool_)
        known = _Columns(tuple(row.group for row in rows), scores_of(rows), bad, flagged, marked, near)
        found = Outcome()
        self._rank(known, found)
        hits = flagged & near
        found.metrics["hit"] = rate(int(hits[marked].sum()), int(marked.sum()))
        if not bad.all():
            _detect(known, rows, found)
        found.more["limits"] = LIMIT_SAYS
        if self._unmarked:
            found.remarks.append(
                f"{self._unmarked} defective pictures have no mask: pixel metrics and hits leave them out; mark them"
            )
        if self._unscored:
            found.remarks.append(f"{self._unscored} pictures have no score or map: pixel metrics leave them out")
        return found

    def _marks(self, judged: Judged) -> Marks | None:
        """Give the marked pixels; None where a defective picture says nothing of them."""
        sample = judged.sample
        shape = None if judged.map is None else judged.map.shape
        if sample.mask is None and not sample.things:
            return np.zeros(shape, np.bool_) if shape else None
        marks = class_mask(sample, self._data) > 0
        if shape is not None and marks.shape != shape:
            raise ConfigError(f"{sample.name}: mask of {marks.shape} (rows, cols), picture {shape}; mark it again")
        return marks

    def _rank(self, known: _Columns, found: Outcome) -> None:
        measures: dict[str, Measure] = {"image_auroc": auroc, "image_average_precision": average_precision}
        for name, measure in measures.items():
            found.metrics[name] = measure(known.scores, known.bad)
            found.intervals[name] = interval(known.groups, partial(_measured, known, measure), SEED)
        parts = self._pixels.groups()
        found.metrics |= {"pixel_auroc": self._pixels.auroc(), "aupro": self._pixels.aupro()}
        found.intervals["pixel_auroc"] = interval(parts.names, parts.auroc, SEED)
        found.intervals["aupro"] = interval(parts.names, parts.aupro, SEED)


def points_at(values: NDArray[np.float32], marks: Marks) -> bool:
    """Say whether the peak of a map lies within `NEAR_PX` of a marked pixel; both (rows, cols)."""
    row, col = divmod(int(values.argmax()), values.shape[1])
    rows, cols = np.nonzero(marks)
    return bool(rows.size) and bool(np.min((rows - row) ** 2 + (cols - col) ** 2) <= NEAR_PX**2)


def _detect(known: _Columns, rows: Sequence[Row], found: Outcome) -> None:
    """Add what is found when so much overkill is allowed."""
    every = np.arange(len(rows))
    for share in OVERKILLS:
        name = f"detection_at_{share * 100:.0f}"
        hits = _above(known, every, share)
        found.metrics[name] = rate(int(hits[known.bad].sum()), int(known.bad.sum()))
        found.intervals[name] = interval(known.groups, partial(_detected, known, share), SEED)
    above = _above(known, every, HIT_OVERKILL)
    hits = above & known.near
    found.metrics["hit10"] = rate(int(hits[known.marked].sum()), int(known.marked.sum()))
    found.intervals["hit10"] = interval(known.groups, partial(_pointed, known), SEED)
    for kind in kinds_of(rows):
        own = np.array([kind in row.kinds for row in rows], np.bool_)
        seen = own & known.marked
        ranked = own | ~known.bad
        found.of_class(
            kind,
            {
                "image_auroc": auroc(known.scores[ranked], known.bad[ranked]),
                "detection_at_10": rate(int(above[own].sum()), int(own.sum())),
                "hit10": rate(int(hits[seen].sum()), int(seen.sum())),
            },
        )


def _above(known: _Columns, drawn: Places, overkill: float) -> Marks:
    """Say which of the drawn pictures lie above the limit that the drawn good ones set."""
    scores = known.scores[drawn]
    above: Marks = scores > limit_at(scores[~known.bad[drawn]], overkill)
    return above


def _measured(known: _Columns, measure: Measure, drawn: Places) -> float | None:
    return measure(known.scores[drawn], known.bad[drawn])


def _detected(known: _Columns, overkill: float, drawn: Places) -> float | None:
    bad = known.bad[drawn]
    return float(_above(known, drawn, overkill)[bad].mean()) if bad.any() and not bad.all() else None


def _pointed(known: _Columns, drawn: Places) -> float | None:
    marked = known.marked[drawn]
    if not marked.any() or known.bad[drawn].all():
        return None
    return float((_above(known, drawn, HIT_OVERKILL) & known.near[drawn])[marked].mean())
