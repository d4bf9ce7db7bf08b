"""Judge detection and instance bundles by COCO's average precision, over boxes or masks."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.datasets.runs import mask_of_rings
from appliance.datasets.sample import DataSet
from appliance.datasets.truth import things_of
from appliance.evaluation.judging import Judged
from appliance.evaluation.outcome import SEED, Outcome
from appliance.evaluation.row import Row, marks_of, scores_of
from appliance.learning.bootstrap import interval
from appliance.learning.detection import (
    Matched,
    Patch,
    box_overlaps,
    mask_overlaps,
    match,
    mean_precision,
    precision_at_overlaps,
)
from appliance.learning.ranking import auroc
from appliance.schema.bundle import TaskName
from appliance.schema.finding import Finding
from appliance.services._inspector import LoadedBundle
from appliance.storage.bundle import Bundle

WEAKEST = 0.01
"""Average precision looks at all answers; from this score on they are listed for it, whatever the bundle's limits."""
ROUNDS = 200
"""Drawing parts anew sorts all answers each time; the ends are then known to about a tenth of their distance."""


class ObjectTally:
    """Count pictures of a detection or instance bundle."""

    def __init__(self, data: DataSet) -> None:
        """Take the data set, whose things are looked for."""
        self._data = data
        self._boxes: defaultdict[str, list[Matched]] = defaultdict(list)
        self._masks: defaultdict[str, list[Matched]] = defaultdict(list)

    def add(self, judged: Judged, row: Row) -> None:
        """Take one picture, whose findings were read with `listing_all`."""
        things = things_of(judged.sample, self._data)
        for place, kind in enumerate(self._data.classes):
            own = np.flatnonzero(things.kinds == place)
            answers = [one for one in judged.findings if one.kind == kind and one.box is not None]
            scores = np.array([one.score for one in answers], np.float64)
            crowds = np.zeros(own.size, np.bool_)
            boxes = things.boxes[own] - np.concatenate([np.zeros((own.size, 2)), things.boxes[own, :2]], axis=1)
            overlaps = box_overlaps(_boxes(answers), boxes, crowds)
            self._boxes[kind].append(match(overlaps, scores, crowds))
            if self._data.task is TaskName.INSTANCE:
                true = [_patch(things.masks[one]) for one in own]
                overlaps = mask_overlaps([_outlined(one) for one in answers], true, crowds)
                self._masks[kind].append(match(overlaps, scores, crowds))

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """Give the metrics."""
        found = Outcome()
        scores, bad, groups = scores_of(rows), marks_of(rows), [row.group for row in rows]
        instance = self._data.task is TaskName.INSTANCE
        _precision(self._boxes, "box_" if instance else "", groups, found)
        if instance:
            _precision(self._masks, "mask_", groups, found)
        found.metrics["image_auroc"] = auroc(scores, bad)
        found.intervals["image_auroc"] = interval(groups, lambda drawn: auroc(scores[drawn], bad[drawn]), SEED)
        return found


def listing_all(loaded: LoadedBundle) -> LoadedBundle:
    """Give the same bundle with the findings of every score from `WEAKEST` on; scores and limits stay as they are."""
    manifest = loaded.manifest
    heads = tuple(
        replace(head, classes=tuple(replace(one, threshold=min(one.threshold, WEAKEST)) for one in head.classes))
        for head in manifest.heads
    )
    bundle = loaded.bundle
    return LoadedBundle(Bundle(bundle.id, bundle.folder, replace(manifest, heads=heads), bundle.files), loaded.sessions)


def _precision(by_kind: dict[str, list[Matched]], prefix: str, groups: Sequence[str], found: Outcome) -> None:
    classes = list(by_kind.values())
    found.metrics[f"{prefix}map50"], found.metrics[f"{prefix}map50_95"] = mean_precision(classes)

    def drawn_precision(drawn: NDArray[np.intp]) -> float | None:
        return mean_precision([[own[place] for place in drawn] for own in classes])[0]

    found.intervals[f"{prefix}map50"] = interval(groups, drawn_precision, SEED, ROUNDS)
    for kind, own in by_kind.items():
        precision = precision_at_overlaps(own)
        found.of_class(
            kind,
            {
                f"{prefix}ap50": None if precision is None else float(precision[0]),
                f"{prefix}ap50_95": None if precision is None else float(precision.mean()),
                "objects": sum(one.wanted for one in own),
            },
        )


def _boxes(findings: Sequence[Finding]) -> NDArray[np.float64]:
    found = [(one.box.x_px, one.box.y_px, one.box.width_px, one.box.height_px) for one in findings if one.box]
    return np.array(found, np.float64).reshape(-1, 4)


def _outlined(finding: Finding) -> Patch:
    """Give the mask of a finding, that of its box where it has no outline."""
    box = finding.box
    if box is None:
        return Patch(0, 0, np.zeros((0, 0), np.bool_))
    corners = finding.polygon or (
        (box.x_px, box.y_px),
        (box.x_px + box.width_px, box.y_px),
        (box.x_px + box.width_px, box.y_px + box.height_px),
        (box.x_px, box.y_px + box.height_px),
    )
    places = np.array(corners)
    left, top = np.maximum(0, np.floor(places.min(axis=0))).astype(int).tolist()
    right, bottom = np.ceil(places.max(axis=0)).astype(int).tolist()
    ring = tuple((places - (left, top)).ravel().tolist())
    return Patch(top, left, mask_of_rings((ring,), (max(1, bottom - top), max(1, right - left))))


def _patch(mask: NDArray[np.bool_]) -> Patch:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Patch(0, 0, np.zeros((0, 0), np.bool_))
    top, left = int(rows[0]), int(cols[0])
    return Patch(top, left, mask[top : int(rows[-1]) + 1, left : int(cols[-1]) + 1].copy())
