"""Protect the logical rules of a recipe: what is found and asked is told in one line, and nothing is skipped."""

import pytest

from appliance.decision.rules import broken
from appliance.schema.finding import Box, Finding
from appliance.schema.rule import Code, Count, Distance, Order, Presence, Rule, Text

REGION = Box(100, 100, 50, 20)
NAN = float("nan")


def finding(kind: str, x: float, y: float, size: float = 0) -> Finding:
    """Find a thing by its centre."""
    return Finding(kind, 0.9, None, Box(x - size / 2, y - size / 2, size, size))


def check(rule: Rule, *findings: Finding, mm_per_px: float | None = None) -> tuple[str, ...]:
    return broken((rule,), "top", findings, mm_per_px)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((125, 110), ()),
        ((100, 100), ()),
        ((150, 120), ()),
        ((100, 120), ()),
        ((99.999, 110), ("cap: found 0 cap in the region, asked at least 1",)),
        ((150.001, 110), ("cap: found 0 cap in the region, asked at least 1",)),
        ((125, 120.001), ("cap: found 0 cap in the region, asked at least 1",)),
        ((125, 99.999), ("cap: found 0 cap in the region, asked at least 1",)),
        ((NAN, 110), ("cap: found cap without a place, asked at least 1 cap in the region",)),
    ],
)
def test_a_centre_on_the_edge_is_inside(place: tuple[float, float], expected: tuple[str, ...]) -> None:
    """A region holds its edges; a place that is not a number is in no region and breaks the rule by itself."""
    assert expected == check(Presence("cap", "top", "cap", REGION), finding("cap", *place))


def test_presence_without_a_region_asks_for_the_kind_alone() -> None:
    """Anywhere in the view is enough, and what has no box is somewhere."""
    rule = Presence("cap", "top", "cap")

    assert () == check(rule, Finding("cap", 0.9, None))
    assert ("cap: found 0 cap, asked at least 1",) == check(rule, finding("lid", 1, 1))


@pytest.mark.parametrize(
    ("number", "least", "most", "expected"),
    [
        (2, 2, 2, ()),
        (1, 1, 3, ()),
        (3, 1, 3, ()),
        (0, 0, 0, ()),
        (1, 2, 2, ("screws: found 1 screw, asked 2",)),
        (4, 1, 3, ("screws: found 4 screw, asked 1 to 3",)),
        (1, 0, 0, ("screws: found 1 screw, asked 0",)),
    ],
)
def test_count_holds_its_limits(number: int, least: int, most: int, expected: tuple[str, ...]) -> None:
    """Both limits belong to what is asked."""
    found = [finding("screw", 10 * index, 5) for index in range(number)]

    assert expected == check(Count("screws", "top", "screw", least, most), *found, finding("nut", 1, 1))


@pytest.mark.parametrize("box", [None, Box(NAN, 110, 0, 0), Box(125, float("inf"), 0, 0)])
def test_what_has_no_place_is_not_counted_away(box: Box | None) -> None:
    """`At most none in the region` does not hold because nobody knows where the scratch lies."""
    rule = Count("clean", "top", "scratch", 0, 0, REGION)

    assert ("clean: found scratch without a place, asked 0 scratch in the region",) == check(
        rule, Finding("scratch", 0.9, None, box)
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("red", 1), ("green", 2), ("blue", 3)], ()),
        ([("blue", 3), ("red", 1), ("green", 2), ("dust", 1.5)], ()),
        ([("green", 1), ("red", 2), ("blue", 3)], ("wires: found green red blue, asked red green blue along x",)),
        ([("red", 1), ("green", 2)], ("wires: found red green, asked red green blue along x",)),
        ([("red", 1), ("green", 2), ("blue", 3), ("blue", 4)],
         ("wires: found red green blue blue, asked red green blue along x",)),
        ([], ("wires: found none, asked red green blue along x",)),
        ([("red", 1), ("green", 2), ("blue", 2)],
         ("wires: found blue and green both at x 2 px, asked red green blue along x",)),
        ([("red", 1), ("green", NAN), ("blue", 2)],
         ("wires: found one without a place, asked red green blue along x",)),
    ],
)  # fmt: skip
def test_order_is_exact(found: list[tuple[str, float]], expected: tuple[str, ...]) -> None:
    """As many as asked, in that order; two at the same coordinate have no order."""
    rule = Order("wires", "top", ("red", "green", "blue"))

    assert expected == check(rule, *(finding(kind, at, 7, 4) for kind, at in found))


def test_order_along_y_looks_down() -> None:
    """Downwards is forwards, and only the asked axis matters."""
    rule = Order("label", "top", ("head", "foot"), "y")

    assert () == check(rule, finding("head", 90, 1), finding("foot", 10, 2))
    assert ("label: found foot head, asked head foot along y",) == check(
        rule, finding("head", 10, 5), finding("foot", 90, 2)
    )


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (2.5, 2.5, ()),
        (0, 2.5, ()),
        (2.5, 9, ()),
        (2.6, 9, ("gap: found 2.5 mm, asked 2.6 to 9 mm from hole to slot",)),
        (0, 2.4, ("gap: found 2.5 mm, asked 0 to 2.4 mm from hole to slot",)),
    ],
)
def test_distance_is_between_centres(least: float, most: float, expected: tuple[str, ...]) -> None:
    """3 by 4 pixels of half a millimetre are 2.5 mm; both limits belong to what is asked."""
    rule = Distance("gap", "top", "hole", "slot", least, most)

    assert expected == check(rule, finding("hole", 10, 10, 6), finding("slot", 13, 14, 2), mm_per_px=0.5)


@pytest.mark.parametrize("scale", [None, 0.0, -1.0, NAN, float("inf")])
def test_distance_without_a_scale_is_broken(scale: float | None) -> None:
    """A rule that cannot be evaluated does not hold, even one that any distance would meet."""
    rule = Distance("gap", "top", "hole", "slot", 0, 100_000)

    assert ("gap: found no scale of the view, asked 0 to 100000 mm from hole to slot; set it",) == check(
        rule, finding("hole", 1, 1), finding("slot", 2, 2), mm_per_px=scale
    )


@pytest.mark.parametrize(
    ("kinds", "counted"),
    [((), "0 hole, 0 slot"), (("hole",), "1 hole, 0 slot"), (("hole", "hole", "slot"), "2 hole, 1 slot")],
)
def test_distance_needs_one_of_each(kinds: tuple[str, ...], counted: str) -> None:
    """With two holes nobody knows which one is meant."""
    rule = Distance("gap", "top", "hole", "slot", 0, 9)
    found = [finding(kind, index, index) for index, kind in enumerate(kinds)]

    assert (f"gap: found {counted}, asked 0 to 9 mm from hole to slot, one of each",) == check(
        rule, *found, mm_per_px=1.0
    )


def test_distance_of_a_kind_to_itself_needs_two() -> None:
    """Two holes of one kind have one distance."""
    rule = Distance("pitch", "top", "hole", "hole", 9, 11)

    assert () == check(rule, finding("hole", 0, 0), finding("hole", 10, 0), mm_per_px=1.0)
    assert ("pitch: found 1 hole, asked 9 to 11 mm from hole to hole, one of each",) == check(
        rule, finding("hole", 0, 0), mm_per_px=1.0
    )


def test_rules_of_other_views_and_of_texts_are_left_alone() -> None:
    """A rule speaks of one view; texts and codes are read elsewhere."""
    rules = (Presence("cap", "side", "cap"), Text("date", "top"), Code("code", "top"))

    assert () == broken(rules, "top", (), None)


def test_every_broken_rule_is_told() -> None:
    """A person reads all that is wrong at once, in the order of the recipe."""
    rules = (Presence("a", "top", "cap"), Count("b", "top", "nut", 0, 0), Order("c", "top", ("x", "y")))

    assert ["a", "c"] == [line.partition(":")[0] for line in broken(rules, "top", (), None)]
