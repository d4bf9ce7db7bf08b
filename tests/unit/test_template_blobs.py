"""Differences are found, measured and judged one by one: a bundle names the defects of boards that it never saw."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.imaging.blobs import MEASURES, contrast_of, find_blobs, measure
from appliance.imaging.template import NEUTRAL, compose, tolerant_difference
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import ClassSpec, Template
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.schema.frame import PixelFormat
from appliance.storage import bundle as bundles
from appliance.storage.golden import verify_preprocessing, verify_session
from appliance.tasks.opening import Parts, open_reader
from appliance.tasks.template_blobs import BLOBS, GROSS_SHARE
from appliance.training.detection_cells import Instances
from appliance.training.fit_run import FitRun
from appliance.training.package import FittedBundle
from appliance.training.template import TEMPLATE_FILE, composed, with_template
from appliance.training.template_blobs import fit_blob_bundle
from tests.unit.template_pictures import SHAPE, drawn, move, seen

CREATED = "2026-11-21T12:00:00Z"
KINDS = ("spot", "pinhole", "open")
CLASSES = tuple(ClassSpec(kind) for kind in KINDS)
HOW = Template(TEMPLATE_FILE, reach_px=8, tolerance_px=1)
MARGIN = 6
PIECES_OF_DARK, PIECES_OF_LIGHT = 14, 15
"""Places of the measures that say how many more pieces there are with the blob."""
Grey = NDArray[np.uint8]


def damaged(view: Grey, random: np.random.Generator) -> tuple[Grey, Instances]:
    """Give a view with dark spots on its ground, pinholes inside its ink and cuts through it, and where they are."""
    view, boxes, kinds = view.copy(), [], []
    inside = cv2.distanceTransform((view < 127).astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((view >= 127).astype(np.uint8), cv2.DIST_L2, 3)
    for kind, places, value in (
        (0, np.argwhere(outside[15:-15, 15:-15] > 9), 20),
        (1, np.argwhere(inside[15:-15, 15:-15] > 5.5), 235),
        (2, np.argwhere((inside[15:-15, 15:-15] > 2.2) & (inside[15:-15, 15:-15] < 3.2)), 235),
    ):
        for y, x in places[random.permutation(len(places))][:2] + 15:
            half = int(random.integers(3, 5)) if kind < 2 else 7
            box = (x - half, y - half, x + half + 1, y + half + 1)
            if any(abs(x - (b[0] + b[2]) / 2) + abs(y - (b[1] + b[3]) / 2) < 45 for b in boxes):
                continue
            cv2.circle(view, (int(x), int(y)), half - (kind == 1), value, -1)
            boxes.append((box[0] - MARGIN, box[1] - MARGIN, box[2] + MARGIN, box[3] + MARGIN))
            kinds.append(kind)
    return view, Instances(np.array(kinds, np.intp), np.array(boxes, np.float64).reshape(-1, 4))


def boards(count: int, first: int) -> tuple[list[Grey], list[Grey], list[Instances]]:
    """Give frames, their templates and what is true of them."""
    random = np.random.default_rng(first)
    templates = [drawn("board", first + place) for place in range(count)]
    both = [damaged(template, random) for template in templates]
    # A frame lies where its template lies, so that truths hold, and is noisy and darker.
    frames = [seen(view, move(SHAPE, 0, 0), 0.9, 3.0, seed=place) for place, (view, _) in enumerate(both)]
    return frames, templates, [truth for _, truth in both]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bundles.Bundle:
    """Give a stored bundle fitted on 24 boards."""
    frames, templates, truths = boards(24, 100)
    fitted = fit_blob_bundle(composed(frames, templates, HOW), truths, CLASSES, run())
    return stored(with_template(fitted, frames[0], PixelFormat.MONO8, templates[0], HOW), tmp_path_factory.mktemp("b"))


def run() -> FitRun:
    """Give a run in the portable runtime."""
    return FitRun(OnnxRuntime(), "f32", CREATED, threads=1)


def stored(fitted: FittedBundle, folder: Path) -> bundles.Bundle:
    """Write a bundle and read it back."""
    bundles.write(folder / "bundle", fitted.manifest, fitted.files)
    return bundles.read(folder / "bundle")


def parts_of(bundle: bundles.Bundle, runtime: OnnxRuntime | OpenVinoRuntime) -> Parts:
    """Give a bundle's parts with its network compiled."""
    session = runtime.load(bundle.files["model.onnx"], "f32", 1)
    return Parts(bundle.manifest, bundle.files, lambda path: bundles.arrays(bundle, path), {"model": session})


@pytest.mark.parametrize("runtime", [OnnxRuntime(), OpenVinoRuntime()], ids=["onnx", "openvino"])
def test_defects_of_unseen_boards_are_named(bundle: bundles.Bundle, runtime: OnnxRuntime | OpenVinoRuntime) -> None:
    """Nine in ten defects are found with their class and place, and there is less than one other finding in five."""
    reader = open_reader(parts_of(bundle, runtime), SHAPE)
    found = wanted = other = 0
    for frame, template, truth in zip(*boards(8, 900), strict=True):
        reader.use_template(template)  # type: ignore[attr-defined]
        hits = set()
        for finding in reader.read(frame).findings:
            box = finding.box
            assert box is not None
            middle = np.array([box.x_px + box.width_px / 2, box.y_px + box.height_px / 2])
            near = np.abs((truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2 - middle).max(axis=1) < 5
            right = [place for place in np.flatnonzero(near) if KINDS[truth.kinds[place]] == finding.kind]
            hits |= set(right)
            other += not right
        found, wanted = found + len(hits), wanted + len(truth.kinds)

    assert found >= 0.9 * wanted
    assert other <= 0.2 * wanted


def test_a_good_board_has_no_finding(bundle: bundles.Bundle) -> None:
    """Where nothing differs the score is 0 and nothing is said."""
    reader = open_reader(parts_of(bundle, OnnxRuntime()), SHAPE)
    template = bundles.arrays(bundle, TEMPLATE_FILE)["template"].astype(np.uint8)

    reading = reader.read(seen(template, move(SHAPE, 2, 1), 0.9, 2.0))

    assert reading.score < 0.5
    assert () == reading.findings


def test_the_bundle_proves_itself(bundle: bundles.Bundle) -> None:
    """Golden measures prove the network in every runtime, the golden frame proves composing."""
    for runtime in (OnnxRuntime(), OpenVinoRuntime()):
        session = runtime.load(bundle.files["model.onnx"], "f32", 1)

        assert verify_session(bundle, bundle.manifest.models[0], session).largest < 1e-3
    assert verify_preprocessing(bundle) <= 1


def test_a_frame_that_differs_all_over_has_no_score(bundle: bundles.Bundle) -> None:
    """A part half missing is nothing that the network has learnt: it is held back, not judged."""
    reader = open_reader(parts_of(bundle, OnnxRuntime()), SHAPE)
    template = bundles.arrays(bundle, TEMPLATE_FILE)["template"].astype(np.uint8)
    frame = template.copy()
    rows = int(SHAPE[0] * GROSS_SHARE * 2.5)
    frame[:rows, :] = np.where(template[:rows] > 127, 30, 225)

    assert math.isnan(reader.read(frame).score)


def test_settings_that_do_not_fit_are_refused(bundle: bundles.Bundle) -> None:
    """Damaged settings and margins of another number of classes are named."""
    for content, said in ((b"{", "damaged"), (b'{"tolerance_px":1,"nms_iou":0.4,"margins":[]}', "margins of")):
        wrong = replace(bundle, files=bundle.files | {BLOBS: content})

        with pytest.raises(RuntimeFault, match=said):
            open_reader(parts_of(wrong, OnnxRuntime()), SHAPE)


def test_a_hole_and_a_cut_measure_differently() -> None:
    """The sign, and the pieces that a blob makes of the template, are in the measures."""
    template = np.full((100, 100), 220, np.uint8)
    template[40:60] = 30
    template[60:90, 45:55] = 30
    frame = template.copy()
    frame[48:52, 20:26] = 220
    frame[70:74, 40:60] = 220
    frame[10:16, 80:86] = 30
    picture = np.stack([frame, template, np.where(frame > template, 222, np.where(frame < template, 32, 127))], axis=2)
    picture = picture.astype(np.uint8)
    contrast = contrast_of(picture)

    blobs = {blob.box: blob for blob in find_blobs(picture, 1, contrast)}
    boxes = ((20, 48, 26, 52), (45, 70, 55, 74), (80, 10, 86, 16))
    hole, cut, spot = (measure(picture, blobs[box], contrast) for box in boxes)

    assert MEASURES == len(hole)
    assert (255, 255, 0) == (hole[0], cut[0], spot[0])
    assert cut[PIECES_OF_DARK] > 128
    assert hole[PIECES_OF_LIGHT] > 128
    assert spot[PIECES_OF_DARK] > 128


def test_a_template_of_little_contrast_keeps_its_defects() -> None:
    """What counts as different follows the template's contrast."""
    template = (drawn("print", 4) // 3 + 90).astype(np.uint8)
    frame = template.copy()
    frame[100:108, 150:158] = np.where(template[100:108, 150:158] > 130, 113, 158)

    picture = compose(frame, template, HOW)
    boxes = [blob.box for blob in find_blobs(picture, 1, contrast_of(picture))]

    assert any(abs(box[0] - 150) <= 2 and abs(box[3] - 108) <= 2 for box in boxes)
    assert NEUTRAL == picture[20, 20, 2]


@pytest.mark.parametrize(
    ("frames", "truths", "said"),
    [
        ([], [], "0 frames show no object"),
        (
            [np.full((64, 64, 3), 127, np.uint8)],
            [Instances(np.zeros(0, np.intp), np.zeros((0, 4)))],
            "1 frames show no object",
        ),
        ([np.zeros((64, 64), np.uint8)], [Instances(np.zeros(0, np.intp), np.zeros((0, 4)))], "give composed pictures"),
        ([np.zeros((64, 64, 3), np.uint8)], [], "give one truth per frame"),
        ([np.zeros((64, 64, 3), np.uint8)], [Instances(np.array([7]), np.zeros((1, 4)))], "kinds below 3"),
    ],
)
def test_what_cannot_be_learnt_is_refused(frames: list[Grey], truths: list[Instances], said: str) -> None:
    """No frames, nothing that differs, raw frames, and truths that do not fit are named."""
    with pytest.raises(ConfigError, match=said):
        fit_blob_bundle(frames, truths, CLASSES, run())


def test_lines_printed_wide_are_no_blob_and_a_long_scratch_is_one() -> None:
    """What runs along the template's edges has no place of its own; what crosses the ground is kept at any length."""
    template = np.full((240, 320), 220, np.uint8)
    template[60:70], template[120:130] = 30, 30
    frame = template.copy()
    frame[56:74] = 30
    frame[200:204, 10:300] = 30
    picture = np.stack([frame, template, np.full_like(frame, NEUTRAL)], axis=2)
    picture[:, :, 2] = tolerant_difference(frame, template, 1)

    boxes = {blob.box for blob in find_blobs(picture, 1, contrast_of(picture))}

    assert {(10, 200, 300, 204)} == boxes
