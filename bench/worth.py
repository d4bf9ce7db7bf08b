"""Sum up what bundles are worth: metrics, counts, intervals by part, and what answers that cost nothing reach."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.datasets.sample import GOOD, DataSet, Sample
from appliance.datasets.truth import class_mask, things_of
from appliance.evaluation.appraisal import Appraisal
from appliance.evaluation.judging import defects_of
from appliance.learning.bootstrap import interval
from appliance.learning.detection import match, mean_precision
from appliance.learning.ranking import auroc, limit_at
from appliance.learning.segmentation import cell_confusion, mean_iou
from bench.kept_fits import plain

OVERKILL = 0.1

Found = dict[str, Any]


def told(found: Appraisal) -> Found:
    """Give an appraisal as plain values, without the names of pictures."""
    outcome = found.outcome
    more = {key: value for key, value in outcome.more.items() if key not in {"worst", "limits"}}
    result: Found = plain(
        {
            "n": len(found.rows),
            "parts": len({row.group for row in found.rows}),
            "metrics": outcome.metrics,
            "intervals": {name: known for name, known in outcome.intervals.items() if known is not None},
            "per_class": outcome.per_class,
            **more,
            "remarks": outcome.remarks,
        }
    )
    return result


def counted(data: DataSet, samples: Sequence[Sample]) -> Found:
    """Count pictures and parts, and the pictures of each kind."""
    kinds = [kind_of(sample, data) for sample in samples]
    by_kind = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    return {"pictures": len(samples), "parts": len({sample.group for sample in samples}), "by_kind": by_kind}


def kind_of(sample: Sample, data: DataSet) -> str:
    """Give the first defect of a picture, `good` where it has none."""
    return next(iter(defects_of(sample, data)), GOOD)


def spread(values: Sequence[float | None]) -> Found | None:
    """Give mean, sample deviation and ends of what was measured several times."""
    known = np.array([value for value in values if value is not None], np.float64)
    if not known.size:
        return None
    deviation = float(known.std(ddof=1)) if known.size > 1 else None
    found: Found = plain(
        {"mean": float(known.mean()), "sd": deviation, "lowest": known.min(), "highest": known.max(), "n": known.size}
    )
    return found


def ranked(scores: NDArray[np.float64], bad: NDArray[np.bool_], groups: Sequence[str]) -> Found:
    """Give AUROC and detection at 10 % overkill of image scores, with intervals by part."""

    def detected(drawn: NDArray[np.intp]) -> float | None:
        own, marks = scores[drawn], bad[drawn]
        if marks.all() or not marks.any():
            return None
        return float((own[marks] > limit_at(own[~marks], OVERKILL)).mean())

    found: Found = plain(
        {
            "image_auroc": auroc(scores, bad),
            "detection_at_10": detected(np.arange(len(bad))),
            "intervals": {
                "image_auroc": interval(groups, lambda drawn: auroc(scores[drawn], bad[drawn])),
                "detection_at_10": interval(groups, detected),
            },
        }
    )
    return found


def gain(own: NDArray[np.float64], other: NDArray[np.float64], bad: NDArray[np.bool_], groups: Sequence[str]) -> Found:
    """Give how much AUROC one set of scores has over another, with the interval over the same drawn parts."""

    def between(drawn: NDArray[np.intp]) -> float | None:
        both = auroc(own[drawn], bad[drawn]), auroc(other[drawn], bad[drawn])
        return None if both[0] is None or both[1] is None else both[0] - both[1]

    found: Found = plain({"image_auroc": between(np.arange(len(bad))), "interval": interval(groups, between)})
    return found


def background(data: DataSet) -> Found:
    """Give the mean IoU of the answer that every pixel is background, with its interval."""
    groups, counts, classes = [], [], len(data.classes)
    for sample in data.samples:
        truth = class_mask(sample, data)
        counts.append(cell_confusion(truth, np.zeros_like(truth), classes))
        groups.append(sample.group)
    summed = np.stack(counts)
    found = interval(groups, lambda drawn: mean_iou(summed[drawn].sum(axis=0)))
    plain_found: Found = plain({"miou": mean_iou(summed.sum(axis=0)), "interval": found})
    return plain_found


def nothing_found(data: DataSet) -> float | None:
    """Give the mean average precision of answering no object at all."""
    things = [things_of(sample, data) for sample in data.samples]
    wanted = [[int((one.kinds == place).sum()) for one in things] for place in range(len(data.classes))]
    nothing = [[match(np.zeros((0, n)), np.zeros(0), np.zeros(n, np.bool_)) for n in own] for own in wanted]
    return mean_precision(nothing)[0]
