"""Whatever a network says, boxes become findings of the frame, in a fixed order, and no number is no score."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ports.task import Window
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box
from appliance.tasks.boxes import MOST_FINDINGS, BoxSettings, read_settings
from appliance.tasks.detection import DetectionInterpreter
from kernels import build
from tests.unit.detector_rig import FRAME
from tests.unit.kernel_library import allocated, built

WHOLE = Window(0, 0, *FRAME)


@pytest.fixture(scope="module", autouse=True)
def kernels_are_built():
    """Build the kernels from the present sources."""
    build.build()


HEAD = Head(
    TaskName.DETECTION,
    (ClassSpec("hole", defect=False), ClassSpec("chip"), ClassSpec("crack", threshold=0.7)),
    "s.json",
)


def made(count: int, nms_iou: float = 0.5, window: Window | None = None) -> DetectionInterpreter:
    place = window or Window(100, 50, 200, 400)
    return DetectionInterpreter(HEAD, BoxSettings(nms_iou), place, (100, 100), count, built())


def tensors(boxes, scores) -> dict[str, np.ndarray]:
    return {"boxes": np.array([boxes], np.float32), "scores": np.array([scores], np.float32)}


def test_findings_are_placed_in_the_frame() -> None:
    """Thresholds hold per class, boxes are cut at the window and scaled to the frame, the strongest comes first."""
    result = made(4).interpret(
        tensors(
            [[10, 10, 30, 20], [-5, 90, 20, 120], [60, 60, 70, 70], [40, 0, 50, 10]],
            [[0.6, 0, 0], [0, 0.9, 0], [0, 0, 0.69], [0.49, 0.1, 0.2]],
        )
    )

    assert [
        ("chip", pytest.approx(0.9), Box(100, 410, 40, 40), pytest.approx(1600)),
        ("hole", pytest.approx(0.6), Box(120, 90, 40, 40), pytest.approx(1600)),
    ] == [(one.kind, one.score, one.box, one.area_px) for one in result.findings]
    assert pytest.approx(0.9) == result.score


def test_score_is_that_of_the_worst_defect_found_or_not() -> None:
    """Features of the part do not count, and under the threshold the best score of a defect still does."""
    scores = [[0.99, 0.2, 0.1], [0.1, 0.05, 0.65]]
    result = made(2).interpret(tensors([[0, 0, 9, 9], [20, 20, 30, 30]], scores))

    assert ["hole"] == [one.kind for one in result.findings]
    assert pytest.approx(0.65) == result.score


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 3), min_size=1, max_size=12), st.integers(0, 35), st.floats(0, 1)
)
def test_score_never_falls_when_a_defect_grows(scores, place: int, higher: float) -> None:
    """Raising any score of a defect never lowers the image score: the part never looks better for it."""
    places = [[10 * i, 10 * i, 10 * i + 15, 10 * i + 15] for i in range(len(scores))]
    before = np.array(scores, np.float32)
    after = before.copy()
    box, kind = place % len(scores), 1 + place % 2
    after[box, kind] = max(after[box, kind], np.float32(higher))
    task = made(len(scores))

    assert task.interpret(tensors(places, before)).score <= task.interpret(tensors(places, after)).score


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_findings_keep_to_their_window(seed: int, count: int) -> None:
    """Whatever a model says, findings lie in the window, are at most as many as stated, and are in falling order."""
    random = np.random.default_rng(seed)
    window = Window(7, 11, 50, 70)
    corners = random.normal(50, 200, (count, 4)).astype(np.float32)
    result = made(count, 1.0, window).interpret(tensors(corners, random.random((count, 3))))
    scores = [one.score for one in result.findings]

    assert len(scores) <= MOST_FINDINGS
    assert sorted(scores, reverse=True) == scores
    for box in (one.box for one in result.findings):
        assert 7 <= box.x_px <= box.x_px + box.width_px <= 57 + 1e-9
        assert 11 <= box.y_px <= box.y_px + box.height_px <= 81 + 1e-9


def test_weaker_double_is_dropped_unless_the_model_gives_none() -> None:
    """Two boxes of one class over one thing are one finding; with a limit from 1 on every box stands."""
    doubles = tensors([[10, 10, 30, 30], [11, 10, 31, 30], [11, 11, 31, 31]], [[0, 0.8, 0], [0, 0.9, 0], [0.7, 0, 0]])

    assert [0.9, 0.7] == [pytest.approx(one.score) for one in made(3).interpret(doubles).findings]
    assert 3 == len(made(3, 1.0).interpret(doubles).findings)


@pytest.mark.parametrize("output", ["boxes", "scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_no_number_has_no_score(output: str, value: float) -> None:
    """A broken model yields nan, which no limit accepts, and no findings."""
    broken = tensors([[0, 0, 9, 9], [20, 20, 30, 30]], [[0.9, 0.9, 0], [0, 0, 0]])
    broken[output][0, 1, 1] = value
    result = made(2).interpret(broken)

    assert (True, ()) == (np.isnan(result.score), result.findings)


def test_wrong_outputs_are_named() -> None:
    """A missing output, another shape, another type or a batch entry that is not there is a fault that names it."""
    good = tensors([[0, 0, 9, 9]], [[0.9, 0.9, 0]])
    wrong = [{"boxes": good["boxes"]}, good | {"scores": good["scores"][:, :, :2]}]
    wrong.append(good | {"scores": good["scores"].astype(np.float64)})
    for outputs in wrong:
        with pytest.raises(RuntimeFault, match="output `scores` is"):
            made(1).interpret(outputs)
    with pytest.raises(RuntimeFault, match="batch over 1"):
        made(1).interpret(good, 1)


@pytest.mark.parametrize("content", [b"{", b'{"nms_iou": "no"}', b'{"nms_iou": -0.1}'])
def test_damaged_settings_are_refused(content: bytes) -> None:
    """Settings that cannot be read, or an overlap that is no share, are a fault."""
    with pytest.raises(RuntimeFault, match="detection task"):
        read_settings("detection", content)


def test_reading_allocates_no_tensor() -> None:
    """An interpretation holds some small objects and nothing of the size of an output."""
    random = np.random.default_rng(0)
    outputs = tensors(random.random((2000, 4)), random.random((2000, 3)) * 0.4)
    task = made(2000)

    assert allocated(lambda: task.interpret(outputs)) < 2000 * 4


def test_holes_that_touch_stay_apart() -> None:
    """Two boxes side by side, of one class, are two findings: only overlap beyond the limit joins."""
    side = [[10, 10, 30, 30], [30, 10, 50, 30], [22, 10, 42, 30]]
    for pair in itertools.combinations(range(3), 2):
        result = made(2).interpret(tensors([side[place] for place in pair], [[0, 0.9, 0], [0, 0.8, 0]]))

        assert 2 == len(result.findings)
