"""Lines of text: boxes from the map, their reading direction, order and joining."""

import math

import cv2
import numpy as np
import pytest

from appliance.ocr.lines import Line, LineFinder, in_reading_order, is_continued, joined
from appliance.ports.task import Window

WHOLE = Window(0, 0, 320, 160)


def finder() -> LineFinder:
    return LineFinder((160, 320), 0.3, 0.5, 1.6)


def core(line: Line, level: float = 0.9) -> np.ndarray:
    """Give a map with one core of a line, as the network marks it."""
    image = np.zeros((160, 320), np.float32)
    cv2.fillPoly(image, [np.rint(np.array(line.corners()) - 0.5).astype(np.int32)], level)
    return image


@pytest.mark.parametrize("degrees", [-40, -10, 0, 7, 30, 90])
def test_a_core_grows_by_area_over_perimeter(degrees):
    """The box is the core grown on each side by 1.6 area / perimeter, at the same place and angle."""
    known = Line(160, 80, 100, 12, math.radians(degrees))
    (found,) = finder().find(core(known), WHOLE, (160, 320))
    grown = 1.6 * 100 * 12 / 112

    assert abs(math.remainder(found.angle - known.angle, 2 * math.pi)) < math.radians(1.5)
    assert math.dist((found.x_px, found.y_px), (160, 80)) < 1.5
    assert abs(found.length_px - 100 - grown) < 8
    assert abs(found.height_px - 12 - grown) < 8


def test_the_window_gives_the_frame_s_pixels():
    """A map shows a window of the frame at its scale, here 4 frame pixels per cell, from its used upper left."""
    (found,) = finder().find(core(Line(80, 40, 60, 10, 0)), Window(1000, 500, 640, 320), (80, 160))

    assert math.dist((found.x_px, found.y_px), (1000 + 80 * 4, 500 + 40 * 4)) < 5
    assert abs(found.length_px - 4 * (60 + 1.6 * 600 / 70)) < 12


def test_weak_and_tiny_cores_are_no_lines():
    """A core that is faint in the mean, or thinner than three cells, is noise."""
    faint, tiny = core(Line(160, 80, 100, 12, 0), 0.45), core(Line(160, 80, 100, 1, 0))

    assert finder().find(faint, WHOLE, (160, 320)) == []
    assert finder().find(tiny, WHOLE, (160, 320)) == []


@pytest.mark.parametrize(("x", "is_cut"), [(160, False), (62, True), (258, True)])
def test_a_line_that_may_go_on_beyond_the_border_is_cut(x, is_cut):
    """Between a line's end and the border there must be room for half a letter."""
    (found,) = finder().find(core(Line(x, 80, 100, 12, 0)), WHOLE, (160, 320))

    assert found.cut == is_cut


def test_reading_order_follows_the_text():
    """Rows from top to bottom and each from its start, for text that is level, turned, and upside down."""
    level = [Line(60, 20, 80, 20, 0), Line(200, 24, 80, 20, 0), Line(60, 60, 90, 20, 0)]
    turn = math.radians(20)
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    turned = [Line(*([line.x_px, line.y_px] @ matrix), line.length_px, line.height_px, turn) for line in level]
    upside_down = [Line(300 - line.x_px, 100 - line.y_px, line.length_px, 20, math.pi) for line in level]

    assert in_reading_order([level[place] for place in (2, 1, 0)]) == [[2, 1], [0]]
    assert in_reading_order(turned) == [[0, 1], [2]]
    assert in_reading_order(upside_down) == [[0, 1], [2]]
    assert in_reading_order([]) == []


def test_pieces_of_a_line_are_joined():
    """Neighbours of a row with a gap under half their height are one line; a column further away is another."""
    one, near, far = Line(60, 20, 80, 20, 0), Line(145, 20, 80, 20, 0), Line(170, 20, 80, 20, 0)
    whole = joined([one, near])

    assert is_continued(one, near)
    assert not is_continued(one, far)
    assert not is_continued(one, Line(145, 20, 80, 40, 0))
    assert (whole.x_px, whole.y_px, whole.length_px, whole.height_px) == pytest.approx((102.5, 20, 165, 20))
    assert joined([one, Line(145, 20, 80, 20, 0, cut=True)]).cut
