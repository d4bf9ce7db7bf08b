"""What a finger draws is what the label keeps, and every step can be taken back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.datasets.runs import mask_of_runs
from appliance.schema.finding import Box
from appliance.schema.label import Region
from hmi.labelling import drawing as d
from hmi.labelling import easel as e
from hmi.labelling.drawing import Drawing, Tool
from hmi.labelling.easel import Easel
from hmi.labelling.outlines import distances, simplified
from hmi.labelling.strokes import Stroke, painted_runs, runs_box

SIZE = (60, 90)
points = st.tuples(st.floats(-20, 110), st.floats(-20, 80))
strokes = st.lists(points, min_size=1, max_size=12)
deeds = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(list(Tool)), st.sampled_from(("scratch", "dent")), strokes),
        st.tuples(st.sampled_from(("close", "undo", "redo", "remove", "move")), points),
    ),
    max_size=12,
)


def drawn(blank: Drawing, tool: Tool, kind: str, path: list[tuple[float, float]], radius: float = 4.0) -> Drawing:
    now = d.begin(blank, tool, kind, path[0], radius)
    for point in path[1:]:
        now = d.extend(now, point)
    return d.lift(now)


def played(story: list[tuple]) -> Drawing:
    now = Drawing("top", SIZE)
    for deed in story:
        if isinstance(deed[0], Tool):
            now = drawn(now, *deed)
        elif deed[0] == "close":
            now = d.close(now)
        elif deed[0] in ("undo", "redo"):
            now = d.undo(now) if deed[0] == "undo" else d.redo(now)
        elif deed[0] == "remove" and now.marks:
            now = d.removed(now, 0)
        elif (grip := d.grabbed(now, deed[1], 30.0)) is not None:
            now = d.moved(now, grip, (deed[1][0] + 7, deed[1][1] - 3))
    return now


@settings(max_examples=150, deadline=None)
@given(deeds)
def test_regions_survive_being_opened_again(story: list[tuple]) -> None:
    """A label's regions, drawn on anew without a touch, are the same regions to the last digit."""
    made = d.regions(played(story))

    assert made == d.regions(Drawing.of("top", SIZE, made))


@settings(max_examples=150, deadline=None)
@given(deeds)
def test_every_step_can_be_undone_and_redone(story: list[tuple]) -> None:
    """Undo all the way gives an empty drawing, redo all the way the one before."""
    last = d.drop(played(story))
    back = last
    for _ in last.past:
        back = d.undo(back)
    again = back
    for _ in last.past:
        again = d.redo(again)

    assert ((), last.marks) == (back.marks, again.marks)


@settings(max_examples=100, deadline=None)
@given(deeds)
def test_every_region_lies_in_the_frame_and_has_a_size(story: list[tuple]) -> None:
    """A finger may leave the picture; a region may not, and `record` takes none of no width or height."""
    for region in d.regions(played(story)):
        box = region.box

        assert min(box.width_px, box.height_px) >= 1

        assert min(box.x_px, box.y_px) >= 0
        assert box.x_px + box.width_px <= SIZE[1]
        assert box.y_px + box.height_px <= SIZE[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(points, min_size=1, max_size=80), st.floats(0.1, 8))
def test_a_simplified_outline_stays_within_its_tolerance(path: list[tuple[float, float]], tolerance: float) -> None:
    """Every point of the stroke lies within the tolerance of the outline kept."""
    kept = np.array(simplified(path, tolerance))
    edges = list(zip(kept, np.roll(kept, -1, axis=0), strict=True))
    off = np.min([distances(np.array(path), begin, end) for begin, end in edges], axis=0)

    assert off.max() <= tolerance + 1e-9


def test_a_round_stroke_keeps_few_points() -> None:
    """A circle drawn by 400 touches becomes an outline that a person can mend corner by corner."""
    turn = np.linspace(0, 2 * np.pi, 400)
    circle = [(45 + 20 * float(np.cos(a)), 30 + 20 * float(np.sin(a))) for a in turn]

    assert 8 <= len(simplified(circle, 1.0)) <= 24


def test_a_brush_paints_the_pixels_under_it() -> None:
    """A stroke's mask is the line with round ends that the brush passes over, to within its edge."""
    stroke = Stroke(((15.5, 15.5), (70.5, 40.5)), 6.0)
    mask = mask_of_runs(painted_runs((), SIZE, stroke), SIZE)
    length = float(np.hypot(55, 25))

    assert abs(np.count_nonzero(mask) - (2 * 6.0 * length + np.pi * 36)) < 0.02 * mask.sum()
    assert (True, True, False) == (mask[15, 15], mask[28, 43], mask[40, 20])


def test_an_eraser_takes_away_what_a_brush_gave() -> None:
    """Erasing the whole stroke leaves no region at all, not an empty one."""
    path = [(20.0, 20.0), (40.0, 30.0)]
    painted = drawn(Drawing("top", SIZE), Tool.BRUSH, "dent", path)

    assert (1, 0) == (len(painted.marks), len(drawn(painted, Tool.ERASER, "dent", path, 6.0).marks))


def test_two_strokes_of_one_class_are_one_mask() -> None:
    """A defect painted in several strokes is one region."""
    once = drawn(Drawing("top", SIZE), Tool.BRUSH, "dent", [(10.0, 10.0), (20.0, 10.0)], 2.0)
    twice = drawn(once, Tool.BRUSH, "dent", [(60.0, 40.0), (70.0, 40.0)], 2.0)

    assert [Box(8, 8, 64, 34)] == [region.box for region in d.regions(twice)]


def test_a_tap_that_missed_is_no_box() -> None:
    """A box of no size, or of no height, is dropped, so that no label holds one by accident."""
    tap = drawn(Drawing("top", SIZE), Tool.BOX, "dent", [(30.0, 30.0), (31.0, 31.0)])
    line = drawn(Drawing("top", SIZE), Tool.BOX, "dent", [(30.0, 30.0), (60.0, 30.0)])

    assert ((), ()) == (tap.marks, line.marks)


def test_a_polygon_grows_corner_by_corner_and_is_closed_by_its_key() -> None:
    """Each lift of the finger sets a corner where it was lifted; undo takes the last one back."""
    now = Drawing("top", SIZE)
    for corner in ((10.0, 10.0), (40.0, 10.0), (80.0, 50.0), (40.0, 40.0)):
        now = d.lift(d.extend(d.begin(now, Tool.POLYGON, "dent", (0.0, 0.0)), corner))
    closed = d.close(d.undo(now))

    assert (Region("top", "dent", Box(10, 10, 70, 40), ((10, 10), (40, 10), (80, 50))),) == d.regions(closed)


def test_a_corner_within_reach_is_moved_and_no_other() -> None:
    """A finger takes the nearest corner; the opposite one of a box stays where it is."""
    box = drawn(Drawing("top", SIZE), Tool.BOX, "dent", [(10.0, 10.0), (50.0, 40.0)])
    grip = d.grabbed(box, (47.0, 43.0), 8.0)
    moved = d.moved(box, grip, (60.0, 50.0)) if grip else box

    assert Box(10, 10, 50, 40) == d.regions(moved)[0].box


def test_a_touch_out_of_reach_moves_nothing() -> None:
    """A corner farther than the finger's reach is not taken."""
    box = drawn(Drawing("top", SIZE), Tool.BOX, "dent", [(10.0, 10.0), (50.0, 40.0)])

    assert d.grabbed(box, (30.0, 25.0), 8.0) is None


def test_runs_follow_coco() -> None:
    """Runs count column by column and begin outside."""
    runs = painted_runs((), (4, 3), Stroke(((1.5, 1.5), (1.5, 1.5)), 0.5))

    assert ((5, 1, 6), Box(1, 1, 1, 1)) == (runs, runs_box(runs, (4, 3)))


def held(tool: Tool) -> Easel:
    """Give an easel with one box on it and a tool in hand."""
    return Easel(drawn(Drawing("top", SIZE), Tool.BOX, "dent", [(10.0, 10.0), (50.0, 40.0)]), tool)


def test_a_finger_takes_a_corner_as_one_step() -> None:
    """However far a corner is dragged, one UNDO puts it back."""
    easel = e.press(held(Tool.BOX), "dent", (51.0, 41.0), 8.0)
    for place in ((55.0, 45.0), (60.0, 50.0), (70.0, 55.0)):
        easel = e.move(easel, place)
    easel = e.lift(easel, 1.0)

    assert Box(10, 10, 60, 45) == d.regions(easel.drawing)[0].box
    assert Box(10, 10, 40, 30) == d.regions(d.undo(easel.drawing))[0].box


def test_a_brush_goes_over_corners() -> None:
    """With the brush in hand a corner within reach is painted over, not moved."""
    easel = e.lift(e.move(e.press(held(Tool.BRUSH), "dent", (50.0, 40.0), 8.0), (60.0, 50.0)), 1.0)

    assert [Tool.BOX, Tool.BRUSH] == [mark.tool for mark in easel.drawing.marks]


def test_a_touch_that_is_taken_away_draws_nothing() -> None:
    """A second finger, or a sheet that opens, leaves the drawing as it was."""
    before = held(Tool.BOX)
    dragged = e.move(e.press(before, "dent", (50.0, 40.0), 8.0), (70.0, 55.0))
    begun = e.move(e.press(before, "dent", (70.0, 10.0), 8.0), (80.0, 20.0))

    assert (before.drawing.marks,) * 2 == (e.cancel(dragged).drawing.marks, e.cancel(begun).drawing.marks)


def test_without_a_tool_the_finger_draws_nothing() -> None:
    """While no tool is in hand a touch moves the picture."""
    bare = e.choose(held(Tool.BOX), None)

    assert bare == e.lift(e.move(e.press(bare, "dent", (20.0, 20.0), 8.0), (40.0, 40.0)), 1.0)


def test_another_tool_closes_a_polygon_under_way() -> None:
    """Corners set one by one are not lost by taking another tool."""
    easel = held(Tool.POLYGON)
    for corner in ((60.0, 5.0), (85.0, 5.0), (85.0, 30.0)):
        easel = e.lift(e.press(easel, "dent", corner, 4.0), 1.0)

    assert 2 == len(e.choose(easel, Tool.BOX).drawing.marks)
