"""Average precision equals the published COCO evaluation on boxes and masks, with ties, crowds and empty pictures."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from appliance.learning import detection
from appliance.learning.detection import Matched, Patch

# pycocotools 2.0 decodes by an array protocol that numpy 2 has changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIDE = 40
CLASSES = 2


def drawn(seed: int, pictures: int, *, ties: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give random objects and answers, many of which lie near an object."""
    generator = np.random.default_rng(seed)
    truths, answers = [], []
    for picture in range(1, pictures + 1):
        for _ in range(generator.integers(0, 5)):
            x, y, w, h = (int(v) for v in generator.integers([0, 0, 2, 2], [25, 25, 15, 15]))
            kind = int(generator.integers(1, CLASSES + 1))
            crowd = int(generator.random() < 0.2)
            truths.append(thing(picture, kind, (x, y, w, h), id=len(truths) + 1, iscrowd=crowd))
            for _ in range(generator.integers(0, 4)):
                moved = (x + int(generator.integers(-2, 3)), y + int(generator.integers(-2, 3)), w, h)
                score = float(generator.integers(1, 5)) / 4 if ties else float(generator.random())
                answers.append(thing(picture, kind, tuple(max(0, v) for v in moved), score=score))
        for _ in range(generator.integers(0, 3)):
            place = tuple(int(v) for v in generator.integers([0, 0, 2, 2], [25, 25, 15, 15]))
            kind = int(generator.integers(1, CLASSES + 1))
            answers.append(thing(picture, kind, place, score=float(generator.integers(1, 5)) / 4))
    return truths, answers


def thing(picture: int, kind: int, box: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """Give one object or answer with a mask: its box without a corner."""
    x, y, w, h = box
    cells = np.zeros((SIDE, SIDE), np.uint8, order="F")
    cells[y : y + h, x : x + w] = 1
    cells[y : y + h // 2, x : x + w // 2] = 0
    rle = masks.encode(cells)
    base = {"image_id": picture, "category_id": kind, "bbox": [float(v) for v in box], "area": float(w * h)}
    return {**base, "segmentation": rle, **more}


def published(truths: list[dict[str, Any]], answers: list[dict[str, Any]], pictures: int, kind: str) -> np.ndarray:
    """Give the mean precision over recalls by (overlap, class), -1 where a class has no object."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": n, "width": SIDE, "height": SIDE} for n in range(1, pictures + 1)],
            "annotations": [dict(one) for one in truths],
            "categories": [{"id": n, "name": str(n)} for n in range(1, CLASSES + 1)],
        }
        known.createIndex()
        # One of the two geometries alone: with both, results are read as boxes.
        dropped = "segmentation" if kind == "bbox" else "bbox"
        said = known.loadRes([{k: v for k, v in one.items() if k != dropped} for one in answers])
        judge = COCOeval(known, said, kind)
        judge.evaluate()
        judge.accumulate()
    found: np.ndarray = judge.eval["precision"][:, :, :, 0, -1].mean(axis=1)
    return found


def ours(truths: list[dict[str, Any]], answers: list[dict[str, Any]], pictures: int, kind: str) -> list[list[Matched]]:
    result = []
    for label in range(1, CLASSES + 1):
        matched = []
        for picture in range(1, pictures + 1):
            own = [one for one in truths if (one["image_id"], one["category_id"]) == (picture, label)]
            said = [one for one in answers if (one["image_id"], one["category_id"]) == (picture, label)]
            crowds = np.array([one["iscrowd"] for one in own], np.bool_)
            scores = np.array([one["score"] for one in said], np.float64)
            matched.append(detection.match(overlaps(said, own, crowds, kind), scores, crowds))
        result.append(matched)
    return result


def overlaps(said: list[dict[str, Any]], own: list[dict[str, Any]], crowds: np.ndarray, kind: str) -> np.ndarray:
    if kind == "bbox":
        boxes = [np.array([one["bbox"] for one in part], np.float64).reshape(-1, 4) for part in (said, own)]
        return detection.box_overlaps(boxes[0], boxes[1], crowds)
    return detection.mask_overlaps([patch(one) for one in said], [patch(one) for one in own], crowds)


def patch(one: dict[str, Any]) -> Patch:
    x, y, w, h = (int(value) for value in one["bbox"])
    return Patch(y, x, masks.decode(one["segmentation"])[y : y + h, x : x + w].astype(np.bool_))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), pictures=st.integers(1, 8), ties=st.booleans())
def test_precision_equals_the_published_evaluation(kind: str, seed: int, pictures: int, ties: bool) -> None:
    """AP of each class at each overlap, and both means, to 1e-6."""
    truths, answers = drawn(seed, pictures, ties=ties)
    if not answers:
        return
    expected = published(truths, answers, pictures, kind)
    matched = ours(truths, answers, pictures, kind)
    by_class = [detection.precision_at_overlaps(one) for one in matched]
    known = expected[0] > -1

    assert known.tolist() == [one is not None for one in by_class]
    for label in np.flatnonzero(known):
        assert expected[:, label] == pytest.approx(by_class[label], abs=1e-6)
    if known.any():
        means = (expected[0][known].mean(), expected[:, known].mean())
        assert pytest.approx(means, abs=1e-6) == detection.mean_precision(matched)


def test_a_hundred_answers_count_in_each_picture() -> None:
    """The strongest 100 of a class count; a right one behind them is lost, as in the published evaluation."""
    truths = [thing(1, 1, (0, 0, 10, 10), id=1, iscrowd=0)]
    wrong = [thing(1, 1, (20, 20, 5, 5), score=0.9) for _ in range(100)]
    answers = [*wrong, thing(1, 1, (0, 0, 10, 10), score=0.5)]

    assert pytest.approx(published(truths, answers, 1, "bbox")[0, 0]) == 0
    assert (0.0, 0.0) == detection.mean_precision(ours(truths, answers, 1, "bbox"))


def test_nothing_to_find_has_no_precision() -> None:
    """Classes without objects take no part in the mean; none at all gives no number."""
    assert (None, None) == detection.mean_precision([[], []])
    assert detection.precision_at_overlaps([]) is None
