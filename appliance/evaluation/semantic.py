"""Judge semantic bundles pixel by pixel in frame pixels: likeliest class against mask."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.datasets.sample import DataSet
from appliance.datasets.truth import class_mask
from appliance.evaluation.judging import Judged
from appliance.evaluation.outcome import SEED, Outcome
from appliance.evaluation.row import Row, marks_of, scores_of
from appliance.learning.bootstrap import interval
from appliance.learning.ranking import auroc
from appliance.learning.segmentation import cell_confusion, class_iou, mean_iou
from appliance.schema.bundle import Manifest
from appliance.schema.errors import ConfigError


class SemanticTally:
    """Count pictures of a semantic bundle."""

    def __init__(self, data: DataSet, manifest: Manifest) -> None:
        """Take the data set's classes and the bundle's; those that only the bundle knows come last."""
        known = [item.name for item in manifest.heads[0].classes]
        self._data = data
        self._classes = tuple(dict.fromkeys((*data.classes, *known[1:])))
        self._places = np.array([0, *(self._classes.index(name) for name in known[1:])], np.uint8)
        self._counts: defaultdict[str, NDArray[np.int64]] = defaultdict(
            lambda: np.zeros((len(self._classes), len(self._classes)), np.int64)
        )
        self._unscored = 0

    def add(self, judged: Judged, row: Row) -> None:
        """Take one picture with its map; ConfigError when its mask is of another size."""
        if judged.map is None:
            self._unscored += 1
            return
        truth = class_mask(judged.sample, self._data)
        if truth.shape != judged.map.shape:
            raise ConfigError(
                f"{judged.sample.name}: mask of {truth.shape} (rows, cols), picture {judged.map.shape}; mark it again"
            )
        self._counts[row.group] += cell_confusion(truth, self._places[judged.map], len(self._classes))

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """Give the metrics."""
        scores, bad, groups = scores_of(rows), marks_of(rows), [row.group for row in rows]
        found = Outcome()
        parts = np.stack(list(self._counts.values())) if self._counts else np.zeros((0, 1, 1), np.int64)
        counts = parts.sum(axis=0)
        nothing = np.zeros_like(counts)
        nothing[:, 0] = counts.sum(axis=1)
        found.metrics |= {
            "miou": mean_iou(counts),
            "miou_all_background": mean_iou(nothing),
            "pixel_accuracy": float(np.trace(counts) / counts.sum()) if counts.sum() else None,
            "image_auroc": auroc(scores, bad),
        }
        found.intervals["miou"] = interval(list(self._counts), lambda drawn: mean_iou(parts[drawn].sum(axis=0)), SEED)
        found.intervals["image_auroc"] = interval(groups, lambda drawn: auroc(scores[drawn], bad[drawn]), SEED)
        for place, (name, value) in enumerate(zip(self._classes, class_iou(counts), strict=False)):
            pictures = sum(name in row.kinds for row in rows)
            found.of_class(name, {"iou": value, "pixels": int(counts[place].sum()), "pictures": pictures})
        if self._unscored:
            found.remarks.append(f"{self._unscored} pictures have no map: pixel metrics leave them out")
        return found
