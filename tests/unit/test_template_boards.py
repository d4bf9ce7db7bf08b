"""On real boards of a kind that was not learnt from, defects are found, placed and named."""

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.learning.detection import box_overlaps, match, mean_precision
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.bundle import ClassSpec, Template
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle as bundles
from appliance.tasks.opening import Parts, open_reader
from appliance.tasks.templates import TemplateReader
from appliance.training.detection_cells import Instances
from appliance.training.fit_run import FitRun
from appliance.training.template import TEMPLATE_FILE, composed, with_template
from appliance.training.template_blobs import fit_blob_bundle

BOARDS = Path(__file__).resolve().parents[3] / "shared" / "data" / "deeppcb"
HELD_OUT = "group12100"
HOW = Template(TEMPLATE_FILE)
LISTED_FROM = 0.01
"""Average precision ranks weak answers too."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BOARDS.is_dir(), reason="board pictures are not part of the project (../shared/data)"),
]


def picture(folder: str, name: str) -> NDArray[np.uint8]:
    """Give one picture as grey values."""
    return np.asarray(cv2.imread(str(BOARDS / folder / name), cv2.IMREAD_GRAYSCALE), np.uint8)


def boards() -> tuple[tuple[str, ...], dict[str, Instances], list[str], list[str]]:
    """Give classes, truths by name, and names to learn from and to test on: some of each group."""
    told = json.loads((BOARDS / "annotations" / "instances.json").read_text())
    kinds = {kind["id"]: place for place, kind in enumerate(told["categories"])}
    names = {image["id"]: image["file_name"] for image in told["images"]}
    boxes: dict[str, list[tuple[int, list[float]]]] = defaultdict(list)
    for one in told["annotations"]:
        x, y, width, height = one["bbox"]
        boxes[names[one["image_id"]]].append((kinds[one["category_id"]], [x, y, x + width, y + height]))
    truths = {
        name: Instances(np.array([kind for kind, _ in found]), np.array([box for _, box in found], np.float64))
        for name, found in boxes.items()
    }
    with (BOARDS / "groups.csv").open() as file:
        groups = {row["name"]: row["group"] for row in csv.DictReader(file) if row["name"] in truths}
    learnt = [name for name in sorted(groups) if groups[name] != HELD_OUT][::4]
    tested = [name for name in sorted(groups) if groups[name] == HELD_OUT][::5]
    return tuple(kind["name"] for kind in told["categories"]), truths, learnt, tested


def average_precision(
    answers: Sequence[Sequence[tuple[int, list[float], float]]], truths: Sequence[Instances]
) -> float:
    """Give AP50 over the classes; answers: of each picture (class, (x, y, width, height), score)."""
    classes = []
    for kind in range(6):
        pictures = []
        for found, truth in zip(answers, truths, strict=True):
            own = [(box, score) for one, box, score in found if one == kind]
            true = truth.boxes[truth.kinds == kind]
            true = np.concatenate([true[:, :2], true[:, 2:] - true[:, :2]], axis=1)
            crowds = np.zeros(len(true), np.bool_)
            overlaps = box_overlaps(np.array([box for box, _ in own]).reshape(-1, 4), true, crowds)
            pictures.append(match(overlaps, np.array([score for _, score in own]), crowds))
        classes.append(pictures)
    return mean_precision(classes)[0] or 0.0


def test_boards_of_another_group_are_read(tmp_path: Path) -> None:
    """A quarter of four groups teaches enough for a fifth: AP50 of 0.9, from raw frames by the stored bundle."""
    kinds, truths, learnt, tested = boards()
    classes = tuple(ClassSpec(kind, threshold=LISTED_FROM) for kind in kinds)
    frames, templates = ([picture(folder, name) for name in learnt] for folder in ("images", "templates"))
    run = FitRun(OnnxRuntime(), "f32", "2026-11-21T12:00:00Z", threads=1)
    fitted = fit_blob_bundle(composed(frames, templates, HOW), [truths[name] for name in learnt], classes, run)
    fitted = with_template(fitted, frames[0], PixelFormat.MONO8, templates[0], HOW)
    bundles.write(tmp_path / "bundle", fitted.manifest, fitted.files)
    bundle = bundles.read(tmp_path / "bundle")
    session = run.runtime.load(bundle.files["model.onnx"], "f32", 1)
    parts = Parts(bundle.manifest, bundle.files, lambda path: bundles.arrays(bundle, path), {"model": session})
    reader = open_reader(parts, frames[0].shape[:2])

    assert isinstance(reader, TemplateReader)
    answers = []
    for name in tested:
        reader.use_template(picture("templates", name))
        answers.append(
            [
                (kinds.index(one.kind), [box.x_px, box.y_px, box.width_px, box.height_px], one.score)
                for one in reader.read(picture("images", name)).findings
                for box in [one.box]
                if box is not None
            ]
        )

    assert average_precision(answers, [truths[name] for name in tested]) > 0.9
