"""A frame is compared with its template in one light, edges may lie a little off; what cannot be compared is said."""

import numpy as np
import pytest
from numpy.typing import NDArray

from appliance.imaging.template import NEUTRAL, Comparer, compose, light, read_template, tolerant_difference
from appliance.schema.bundle import Template
from appliance.schema.errors import ConfigError, RuntimeFault
from tests.unit.template_pictures import KINDS, SHAPE, drawn, move, seen

HOW = Template("template.npz", reach_px=8, tolerance_px=1)
Grey = NDArray[np.uint8]


def lines() -> Grey:
    """Give dark lines of 2, 3 and 8 px on light ground."""
    picture = np.full((60, 80), 220, np.uint8)
    picture[10:12], picture[25:28], picture[40:48] = 40, 40, 40
    return picture


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gain", [0.8, 1.0, 1.15])
def test_a_good_part_differs_nowhere(kind: str, gain: float) -> None:
    """Moved, lit otherwise and noisy, a part without defect stays near neutral: no pixel by a tenth of the range."""
    template = drawn(kind, 3)
    frame = seen(template, move(SHAPE, 2.3, -1.6, 0.3), gain, 2.0)

    difference = compose(frame, template, HOW)[8:-8, 8:-8, 2].astype(int) - NEUTRAL

    assert np.percentile(np.abs(difference), 99.9) < 13
    assert np.abs(difference).max() < 26


def test_missing_and_surplus_have_opposite_signs() -> None:
    """Light where dark belongs is above neutral, dark where light belongs below, each by half the contrast."""
    frame = lines()
    frame[40:48, 30:40] = 220
    frame[52:58, 60:70] = 40

    difference = tolerant_difference(frame, lines(), 1)

    assert NEUTRAL + 90 == difference[44, 35]
    assert NEUTRAL - 90 == difference[55, 65]
    assert NEUTRAL == difference[5, 5]


@pytest.mark.parametrize("row", [10, 25])
def test_a_thin_line_cannot_be_missing_unseen(row: int) -> None:
    """A line no thicker than the tolerance on both sides is missed when it is gone: the comparison goes both ways."""
    frame = lines()
    frame[row : row + 3] = 220

    difference = tolerant_difference(frame, lines(), 2)

    assert difference[row : row + 2].max() > NEUTRAL + 80


@pytest.mark.parametrize("tolerance", [0, 1, 2])
def test_edges_may_lie_off_by_the_tolerance_and_no_further(tolerance: int) -> None:
    """A shift up to the tolerance differs nowhere, one pixel more does."""
    within = tolerant_difference(np.roll(lines(), tolerance, axis=0), lines(), tolerance)
    beyond = tolerant_difference(np.roll(lines(), tolerance + 1, axis=0), lines(), tolerance)

    assert (within == NEUTRAL).all()
    assert (beyond != NEUTRAL).any()


def test_full_contrast_uses_the_whole_range() -> None:
    """Black for white and white for black are the ends of the byte; nothing wraps round."""
    black, white = np.zeros((20, 20), np.uint8), np.full((20, 20), 255, np.uint8)

    assert tolerant_difference(white, black, 1).min() == 254 or tolerant_difference(white, black, 1).min() == 255
    assert tolerant_difference(black, white, 1).max() == 0


def test_the_frame_is_shown_in_the_templates_light() -> None:
    """A network sees the same grey values when the lamp is a fifth darker."""
    template = drawn("print", 5)
    bright = compose(seen(template, move(SHAPE, 1, 1)), template, HOW)
    dark = compose(seen(template, move(SHAPE, 1, 1), gain=0.8), template, HOW)

    assert np.abs(bright.astype(int) - dark).max() <= 3


def test_a_defect_does_not_bend_the_light() -> None:
    """A tenth of the picture covered leaves gain and offset where they were."""
    template = drawn("board", 5)
    frame = seen(template, move(SHAPE, 0, 0), gain=0.9)
    frame[:80, :100] = 255

    gain, offset = light(template, frame, np.ones(SHAPE, np.bool_))

    assert gain == pytest.approx(0.9, abs=0.01)
    assert offset == pytest.approx(0.0, abs=2.0)


def test_a_picture_of_one_grey_value_tells_no_gain() -> None:
    """Without contrast only the offset is known."""
    flat = np.full((32, 32), 100, np.uint8)

    assert light(flat, flat + 20, np.ones(flat.shape, np.bool_)) == (1.0, 20.0)


def test_beyond_the_template_nothing_is_said() -> None:
    """Where a moved template ends there is nothing to compare with, and the difference is neutral."""
    template = drawn("board", 8)
    frame = seen(template, move(SHAPE, 5, 0))
    frame[100:110, 0:3] = 255 - template[100:110, 0:3]

    picture = compose(frame, template, HOW)

    assert (picture[:, :4, 2] == NEUTRAL).all()


def test_colour_is_compared_by_its_grey_values() -> None:
    """An RGB frame gives what its grey values give."""
    template = drawn("label", 2)
    frame = seen(template, move(SHAPE, 1, 0), defects=2)

    assert np.array_equal(compose(frame, template, HOW), compose(np.stack([frame] * 3, axis=2), template, HOW))


def test_a_frame_that_cannot_be_compared_gives_no_picture() -> None:
    """Another view, and one without contrast, have no picture and say why."""
    comparer = Comparer(drawn("board", 1), HOW)

    foreign = comparer.compare(drawn("board", 2))
    dim = comparer.compare((drawn("board", 1) * 0.2).astype(np.uint8))

    assert foreign.picture is None
    assert "of its edges found within 8 px" in foreign.reason
    assert dim.picture is None
    assert dim.reason


def test_composing_what_cannot_be_compared_raises() -> None:
    """One call says what a `Comparer` says, as an error."""
    with pytest.raises(ConfigError, match="give the template of this view"):
        compose(drawn("print", 2), drawn("print", 1), HOW)


@pytest.mark.parametrize(
    ("template", "how", "said"),
    [
        (np.zeros((60, 60, 3), np.uint8), HOW, "give .rows, cols. uint8"),
        (np.zeros((60, 60)), HOW, "float64"),
        (np.zeros((8, 60), np.uint8), HOW, "at least 16 x 16"),
        (np.zeros((60, 60), np.uint8), Template("t", reach_px=30), "reach 30 px"),
        (np.zeros((60, 60), np.uint8), Template("t", tolerance_px=-1), "tolerance -1 px"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template: NDArray[np.uint8], how: Template, said: str) -> None:
    """Layout, size, reach and tolerance are checked once, in words."""
    with pytest.raises(ConfigError, match=said):
        Comparer(template, how)


def test_a_frame_of_another_size_is_refused() -> None:
    """A template is given in frame pixels."""
    with pytest.raises(ConfigError, match="320 x 240 px, the frame 320 x 200"):
        Comparer(drawn("board", 1), HOW).compare(np.zeros((200, 320), np.uint8))


@pytest.mark.parametrize(
    "content", [{}, {"template": np.zeros((4, 4, 3), np.uint8)}, {"template": np.zeros((4, 4), np.float32)}]
)
def test_a_bundle_without_a_template_is_refused(content: dict[str, NDArray[np.generic]]) -> None:
    """The file must hold one grey picture."""
    with pytest.raises(RuntimeFault, match=r"template\.npz holds no `template`"):
        read_template(content, "template.npz")
