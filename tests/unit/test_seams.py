"""What two tiles saw is one finding, and what lies side by side stays two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ports.task import Window
from appliance.schema.finding import Box, Finding
from appliance.tasks.seams import Seen, merge

# Two tiles of 100 px that share 20: x 80 to 100.
WINDOWS = (Window(0, 0, 100, 100), Window(80, 0, 100, 100))


def clip(box: Box, tile: int) -> Box:
    window = WINDOWS[tile]
    left, right = max(box.x_px, window.x_px), min(box.x_px + box.width_px, window.x_px + window.width_px)
    return Box(left, box.y_px, right - left, box.height_px)


def seen(box: Box, tile: int, score: float = 0.8, kind: str = "dent", outlined: bool = False) -> Seen:
    cut = clip(box, tile)
    left, top, right, bottom = cut.x_px, cut.y_px, cut.x_px + cut.width_px, cut.y_px + cut.height_px
    polygon = ((left, top), (right, top), (right, bottom), (left, bottom)) if outlined else ()
    return Seen(Finding(kind, score, None, cut, cut.width_px * cut.height_px, polygon), tile)


@pytest.mark.parametrize("outlined", [False, True])
@given(x=st.integers(65, 95), width=st.integers(12, 60), y=st.integers(0, 60), height=st.integers(6, 40))
def test_a_thing_over_the_seam_is_one(outlined: bool, x: int, width: int, y: int, height: int) -> None:
    """Two halves join to the whole: its box, its area within the rim of a pixel, the stronger score."""
    whole = Box(x, y, width, height)
    if x >= 99 or x + width <= 81:
        return
    joined = merge([seen(whole, 0, 0.7, outlined=outlined), seen(whole, 1, 0.9, outlined=outlined)], WINDOWS)

    assert 1 == len(joined)
    assert (whole, 0.9) == (joined[0].box, joined[0].score)
    assert abs(joined[0].area_px - width * height) <= 2 * (width + height) + 4
    assert outlined == bool(joined[0].polygon)


def test_neighbours_stay_two() -> None:
    """Things of one kind that do not overlap in the shared band stay apart, and so do kinds."""
    upper, lower = Box(82, 10, 14, 10), Box(82, 30, 14, 10)

    assert 2 == len(merge([seen(upper, 0), seen(lower, 1)], WINDOWS))
    assert 2 == len(merge([seen(upper, 0), seen(upper, 1, kind="scratch")], WINDOWS))
    assert 2 == len(merge([seen(upper, 0), seen(upper, 0)], WINDOWS))


def test_three_tiles_join() -> None:
    """A thing that runs through three tiles is one, though the outer two never meet."""
    windows = (Window(0, 0, 100, 100), Window(80, 0, 100, 100), Window(160, 0, 100, 100))
    parts = [
        Seen(Finding("scratch", score, None, Box(left, 40, right - left, 6), 6.0 * (right - left)), tile)
        for tile, (left, right, score) in enumerate([(50, 100, 0.5), (80, 180, 0.6), (160, 200, 0.4)])
    ]
    joined = merge(parts, windows)

    assert [(Box(50, 40, 150, 6), 0.6, 900.0)] == [(one.box, one.score, one.area_px) for one in joined]


def test_far_from_the_seam_nothing_changes() -> None:
    """What only one tile could see comes back as it was, strongest first."""
    weak, strong = seen(Box(5, 5, 10, 10), 0, 0.6), seen(Box(150, 50, 10, 10), 1, 0.9)

    assert (strong.finding, weak.finding) == merge([weak, strong], WINDOWS)
    assert () == merge([], WINDOWS)


def test_large_outlines_keep_their_size() -> None:
    """Outlines larger than the canvas are drawn coarser, and still measured in frame pixels."""
    windows = (Window(0, 0, 3000, 3000), Window(2000, 0, 3000, 3000))
    corners = lambda left, right: ((left, 0.0), (right, 0.0), (right, 2000.0), (left, 2000.0))  # noqa: E731
    parts = [
        Seen(Finding("stain", 0.9, None, Box(500, 0, 2500, 2000), 5e6, corners(500.0, 3000.0)), 0),
        Seen(Finding("stain", 0.8, None, Box(2000, 0, 2500, 2000), 5e6, corners(2000.0, 4500.0)), 1),
    ]
    (joined,) = merge(parts, windows)

    assert Box(500, 0, 4000, 2000) == joined.box
    assert pytest.approx(8e6, rel=0.01) == joined.area_px
    assert pytest.approx(4500, abs=8) == max(x for x, _ in joined.polygon)
