"""A template comes from good parts, one bad one outvoted, and frames are composed when they are asked for."""

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.imaging.template import NEUTRAL
from appliance.schema.bundle import Template
from appliance.schema.errors import ConfigError
from appliance.training.template import composed, golden_template
from tests.unit.template_pictures import KINDS, SHAPE, drawn, move, seen

HOW = Template("template.npz")
Grey = NDArray[np.uint8]
INNER = (slice(10, -10), slice(10, -10))


def series(kind: str, count: int, random: np.random.Generator) -> list[Grey]:
    """Give good parts of one kind; the first lies where the drawing has it, others anywhere near and in other light."""
    view = drawn(kind, 3)
    moved = [move(SHAPE, *random.uniform(-2, 2, 2), random.uniform(-0.2, 0.2)) for _ in range(count - 1)]
    others = [seen(view, matrix, random.uniform(0.85, 1.0), 3.0, seed=place) for place, matrix in enumerate(moved)]
    return [seen(view, move(SHAPE, 0, 0), 1.0, 3.0), *others]


@pytest.mark.parametrize("kind", KINDS)
def test_good_parts_agree_on_what_they_show(kind: str, rng: np.random.Generator) -> None:
    """The median of registered parts is the view itself, with less noise than any of them."""
    frames = series(kind, 9, rng)

    off = np.abs(golden_template(frames)[INNER].astype(int) - drawn(kind, 3)[INNER])
    first = np.abs(frames[0][INNER].astype(int) - drawn(kind, 3)[INNER])

    assert np.median(off) <= 1
    assert (off < 30).mean() > 0.97
    assert np.median(off) < np.median(first)


@pytest.mark.parametrize("place", [0, 3])
def test_one_bad_part_is_outvoted(place: int, rng: np.random.Generator) -> None:
    """A defect on one part, the first one too, is not in the template."""
    frames = series("board", 7, rng)
    frames[place] = frames[place].copy()
    frames[place][80:120, 100:160] = 255 - frames[place][80:120, 100:160]

    off = np.abs(golden_template(frames).astype(int)[80:120, 100:160] - drawn("board", 3)[80:120, 100:160])

    assert (off < 40).mean() > 0.95


@pytest.mark.parametrize("place", [0, 3])
def test_one_foreign_picture_is_left_out(place: int, rng: np.random.Generator) -> None:
    """A picture of something else, the first one too, does not stop the series."""
    frames = series("print", 6, rng)
    frames.insert(place, drawn("print", 99))

    assert (np.abs(golden_template(frames)[INNER].astype(int) - drawn("print", 3)[INNER]) < 30).mean() > 0.95


def test_a_render_is_its_own_template() -> None:
    """One picture, in colour too, is the template as it stands."""
    render = drawn("label", 4)

    assert np.array_equal(render, golden_template([np.stack([render] * 3, axis=2)]))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([], "0 frames"),
        ([drawn("board", 1), drawn("board", 1)[:100]], "320 x 100, 320 x 240 px"),
        ([drawn("board", seed) for seed in range(5)], "1 of 5 frames show one view"),
        ([np.zeros(SHAPE, np.uint8)] * 3, "0 of 3 frames show one view"),
    ],
)
def test_frames_without_one_view_are_refused(frames: list[Grey], said: str) -> None:
    """No frames, several sizes, several views and nothing to see are named."""
    with pytest.raises(ConfigError, match=said):
        golden_template(frames)


def test_frames_are_composed_on_access() -> None:
    """One template for all, or one for each: the frame, the template and the difference, in frame pixels."""
    views = [drawn("board", 1), drawn("print", 1)]
    frames = [seen(view, move(SHAPE, 1, 0), defects=5, seed=5) for view in views]

    each = composed(frames, views, HOW)
    one = composed(frames[:1], views[0], HOW)

    assert 2 == len(each)
    assert np.array_equal(each[0], one[0])
    assert (*SHAPE, 3) == each[1].shape
    assert [picture.shape for picture in each[0:2]] == [picture.shape for picture in each]
    assert np.abs(each[1][:, :, 2].astype(int) - NEUTRAL).max() > 60


def test_a_frame_that_does_not_show_its_template_is_named() -> None:
    """The person is told which frame, and counts of templates that do not fit at once."""
    views = [drawn("board", 1), drawn("print", 1)]

    with pytest.raises(ConfigError, match="frame 2: template: "):
        composed([views[0], views[0]], views, HOW)[1]
    with pytest.raises(ConfigError, match="2 templates for 3 frames"):
        composed([views[0]] * 3, views, HOW)
