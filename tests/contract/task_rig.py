"""Fit one small bundle per task once per test run, and compare what two backends find in one frame."""

import functools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.schema.finding import Finding
from appliance.sim.parts.objects import true_parts
from appliance.sim.task_bundles import Wish, task_bundle
from appliance.storage import bundle

SIZE = (640, 512)
PARTS = 63
UNSEEN = range(1001, 1008)
_FOLDER = tempfile.TemporaryDirectory(prefix="firstshift-tasks-")


@functools.cache
def fitted(task: TaskName) -> Path:
    """Give the folder of the task's bundle, calibrated with OpenVINO in f32."""
    made = task_bundle(Wish(task, OpenVinoRuntime(), "f32", SIZE, PARTS))
    folder = Path(_FOLDER.name) / task.value
    bundle.write(folder, made.manifest, made.files)
    return folder


@functools.cache
def frames() -> tuple[np.ndarray, ...]:
    """Give raw BayerRG8 frames of parts that no bundle was fitted on: six defects and a good part."""
    return tuple(part.raw for part in true_parts(UNSEEN, SIZE))


def gaps(
    one: Iterable[Finding], other: Iterable[Finding], doubtful: float, thresholds: dict[str, float]
) -> tuple[list[str], float, float]:
    """Give what only one of two backends found, and the largest differences of score and place, px.

    A finding whose score is within `doubtful` of its class's threshold may be missing on the other side.
    """
    left, right = list(one), list(other)
    alone, score_gap, place_gap = [], 0.0, 0.0
    for here, there in ((left, right), (right, left)):
        for finding in here:
            twin = min(
                (item for item in there if item.kind == finding.kind and item.text == finding.text),
                key=lambda item: distance(finding, item),
                default=None,
            )
            far = twin is None or distance(finding, twin) > 0.5 * _size(finding)
            if far and finding.score > thresholds.get(finding.kind, 0.0) + doubtful:
                alone.append(f"{finding.kind} {finding.score:.3f} {finding.box}")
            if twin is not None and not far:
                score_gap = max(score_gap, abs(finding.score - twin.score))
                place_gap = max(place_gap, distance(finding, twin))
    return alone, score_gap, place_gap


def distance(one: Finding, other: Finding) -> float:
    """Give the largest difference of the four sides, px."""
    if one.box is None or other.box is None:
        return 0.0 if one.box == other.box else float("inf")
    sides = [
        np.array([box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px])
        for box in (one.box, other.box)
    ]
    return float(np.abs(sides[0] - sides[1]).max())


def _size(finding: Finding) -> float:
    return max(finding.box.width_px, finding.box.height_px) if finding.box else 1.0
