"""Judge classification bundles: the answer is the finding's class, or good where there is none."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from appliance.datasets.sample import GOOD, DataSet
from appliance.evaluation.judging import Judged
from appliance.evaluation.outcome import SEED, Outcome
from appliance.evaluation.row import Row, marks_of, scores_of
from appliance.learning.bootstrap import interval
from appliance.learning.classification import (
    Binning,
    accuracy,
    calibration_error,
    class_quality,
    confusion,
    macro_f1,
    reliability,
)
from appliance.learning.confidence import confidence_of
from appliance.learning.ranking import auroc
from appliance.schema.bundle import ConfidenceCurve, Manifest

ROUNDS = 200


class ClassificationTally:
    """Count pictures of a classification bundle."""

    def __init__(self, data: DataSet, manifest: Manifest) -> None:
        """Take the data set's classes and the bundle's, which may know more."""
        known = [item.name for item in manifest.heads[0].classes]
        self._classes = tuple(dict.fromkeys((*data.classes, *known)))
        self._good = next((item.name for item in manifest.heads[0].classes if not item.defect), GOOD)
        self._curve = next((curve for curve in manifest.confidence if not curve.kind), None)
        self._truth: list[int] = []
        self._answered: list[int] = []
        self._confidence: list[float] = []

    def add(self, judged: Judged, row: Row) -> None:
        """Take one picture."""
        said = judged.findings[0] if judged.findings else None
        self._truth.append(self._classes.index(judged.sample.label))
        self._answered.append(self._classes.index(said.kind if said else self._good))
        if said is None:
            self._confidence.append(1 - _defective(self._curve, judged.score))
        else:
            self._confidence.append(said.score if said.confidence is None else said.confidence)

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """Give the metrics."""
        truth, answered = np.array(self._truth, np.intp), np.array(self._answered, np.intp)
        confidence, right = np.array(self._confidence, np.float64), truth == answered
        scores, bad = scores_of(rows), marks_of(rows)
        groups, count = [row.group for row in rows], len(self._classes)
        counts = confusion(truth, answered, count)
        found = Outcome()
        found.metrics |= {"accuracy": accuracy(counts), "macro_f1": macro_f1(counts), "auroc": auroc(scores, bad)}
        found.intervals["accuracy"] = interval(groups, lambda drawn: float(right[drawn].mean()), SEED)
        found.intervals["macro_f1"] = interval(
            groups, lambda drawn: macro_f1(confusion(truth[drawn], answered[drawn], count)), SEED
        )
        found.intervals["auroc"] = interval(groups, lambda drawn: auroc(scores[drawn], bad[drawn]), SEED)
        binnings: tuple[Binning, ...] = ("equal-mass", "equal-width")
        for binning in binnings:
            name = f"calibration_error_{binning.replace('-', '_')}"
            found.metrics[name] = calibration_error(confidence, right, binning)
            found.intervals[name] = interval(groups, partial(_error, confidence, right, binning), SEED, ROUNDS)
        for place, name in enumerate(self._classes):
            quality = class_quality(counts, place)
            found.of_class(name, {"precision": quality.precision, "recall": quality.recall, "f1": quality.f1})
        found.more["confusion"] = {"classes": self._classes, "counts": counts.tolist(), "rows": "truth"}
        found.more["reliability"] = reliability(confidence, right, "equal-mass")
        if self._curve is None:
            found.remarks.append("the bundle has no confidence curve: calibration errors are those of raw scores")
        return found


def _error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], binning: Binning, drawn: NDArray[np.intp]
) -> float | None:
    return calibration_error(confidence[drawn], right[drawn], binning)


def _defective(curve: ConfidenceCurve | None, score: float) -> float:
    """Give the probability that a part is defective; certainty where the score is none."""
    said = score if curve is None else confidence_of(curve, score)
    return min(1.0, max(0.0, said)) if said is not None and not np.isnan(said) else 1.0
