"""What people see of a map: true to its place and its scores, small, and made only where somebody may ask."""

import tracemalloc
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.decision.anomaly_map import MapStatistics, shown_range
from appliance.imaging.heat import FULL, MOST_CELLS, shrink, values
from appliance.ports.task import Interpretation, Reading, Surface, Window
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.finding import Box, HeatMap, ViewResult
from appliance.schema.policy import Basis, Policy
from appliance.schema.rule import Count
from appliance.services._inspector import BundleInspector, RecipeView
from appliance.storage.queries import views_of
from appliance.tasks.anomaly import AnomalyInterpreter, MapReading
from appliance.tasks.reading import _surfaces
from appliance.tasks.semantic import SemanticInterpreter, SemanticReading
from tests.unit.judge_rig import frame
from tests.unit.test_judge_inspector import LIMITS, MANIFEST, Loaded

TRUSTING = Policy(novelty="off")


def surface(cells: np.ndarray, window: Window, low: float = 0.0, high: float = 1.0) -> Surface:
    return Surface(np.asarray(cells, np.float32), window, low, high)


def hottest(heat: HeatMap) -> tuple[float, float, float, float]:
    """Give left, top, right, bottom in frame px of the hottest cell."""
    cells = values(heat)
    row, col = divmod(int(cells.argmax()), heat.columns)
    across, down = heat.window.width_px / heat.columns, heat.window.height_px / heat.rows
    x, y = heat.window.x_px + col * across, heat.window.y_px + row * down
    return x, y, x + across, y + down


@given(
    rows=st.integers(1, 130),
    cols=st.integers(1, 130),
    window=st.tuples(*[st.floats(-50, 2000)] * 2, *[st.floats(20, 3000)] * 2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_the_hottest_place_stays_where_it_is(
    rows: int, cols: int, window: tuple[float, float, float, float], seed: int
) -> None:
    """However a map is shrunk, its strongest place lies in the hottest cell, and no single place is averaged away."""
    random = np.random.default_rng(seed)
    map_ = np.zeros((rows, cols), np.float32)
    row, col = int(random.integers(rows)), int(random.integers(cols))
    map_[row, col] = 1.0
    where = Window(*window)
    heat = shrink([surface(map_, where)])
    assert heat is not None
    left, top, right, bottom = hottest(heat)
    x = where.x_px + (col + 0.5) * where.width_px / cols
    y = where.y_px + (row + 0.5) * where.height_px / rows

    assert (True, True) == (left - 1e-3 <= x <= right + 1e-3, top - 1e-3 <= y <= bottom + 1e-3)
    assert FULL == values(heat).max()
    assert (True, True) == (heat.rows <= MOST_CELLS, heat.columns <= MOST_CELLS)
    assert (pytest.approx(window[2]), pytest.approx(window[3])) == (heat.window.width_px, heat.window.height_px)


@given(
    tiles=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=1, max_size=6),
    cells=st.tuples(st.integers(2, 40), st.integers(2, 40)),
)
@settings(max_examples=100, deadline=None)
def test_a_tiled_frame_has_no_holes(tiles: list[tuple[int, int]], cells: tuple[int, int]) -> None:
    """Every place that a tile saw is shown: a hole in the map would look like a good place."""
    seen = [surface(np.ones(cells), Window(x, y, 640, 480)) for x, y in tiles]
    heat = shrink(seen)
    assert heat is not None
    shown = values(heat)
    across, down = heat.window.width_px / heat.columns, heat.window.height_px / heat.rows
    for row in range(heat.rows):
        for col in range(heat.columns):
            x, y = heat.window.x_px + (col + 0.5) * across, heat.window.y_px + (row + 0.5) * down
            inside = any(
                tx + across <= x <= tx + 640 - across and ty + down <= y <= ty + 480 - down for tx, ty in tiles
            )

            assert not inside or shown[row, col] == FULL, (row, col)


def test_scores_are_linear_between_the_ends() -> None:
    """A cell says its score to 1/255 of the range; what is under `low` is not shown."""
    map_ = np.linspace(-1, 6, 20 * 30).reshape(20, 30)
    heat = shrink([surface(map_, Window(0, 0, 300, 200), low=1.0, high=4.0)])
    assert heat is not None
    score = heat.low + values(heat) / FULL * (heat.high - heat.low)

    assert (1.0, 6.0) == (heat.low, heat.high)
    assert (20, 30) == values(heat).shape
    assert float(np.abs(score - map_.clip(1, 6)).max()) <= 5 / FULL / 2 + 1e-6


def test_a_cool_map_is_no_map() -> None:
    """Where nothing reaches half of what would be a finding, nothing is kept; nor of a model that is broken."""
    window = Window(0, 0, 100, 100)
    broken = np.zeros((4, 4))
    broken[1, 1] = np.nan

    assert None is shrink([])
    assert None is shrink([surface(np.full((4, 4), 0.4), window, low=0.5)])
    assert None is shrink([surface(broken, window)])


@given(st.floats(-100, 100))
def test_the_shown_range_is_never_empty(level: float) -> None:
    """A finding's level lies inside what is shown, well under its end, whatever the level is."""
    low, high = shown_range(level)

    assert (True, True) == (low < level < high, high - low >= 1.5)


def test_the_range_of_a_common_level() -> None:
    """From half of the level to twice it: a good part looks cool beside a bad one."""
    assert (2.0, 8.0) == shown_range(4.0)


@pytest.mark.parametrize(
    "cells",
    [b"", b"not zlib", zlib.compress(b"\0" * 11), zlib.compress(b"\0" * 13), zlib.compress(bytes(12))[:-2]],
)
def test_a_damaged_map_is_told(cells: bytes) -> None:
    """What is not exactly rows * columns bytes is refused, however much it would unpack to."""
    with pytest.raises(ValueError, match="heat map"):
        values(HeatMap(Box(0, 0, 1, 1), 3, 4, 0.0, 1.0, cells))


def test_a_map_too_large_is_told() -> None:
    """The screen reads no map larger than is ever made."""
    with pytest.raises(ValueError, match="limit is 48"):
        values(HeatMap(Box(0, 0, 1, 1), 49, 4, 0.0, 1.0, zlib.compress(bytes(49 * 4))))


def test_it_survives_the_record() -> None:
    """The database keeps views as JSON; the map that comes back is the one that went in."""
    heat = shrink([surface(np.random.default_rng(1).random((9, 9)), Window(0, 0, 90, 90))])
    view = ViewResult("top", 1, 2, 0.5, None, (), heat=heat)

    assert [view] == views_of(msgspec.json.encode([view]).decode())
    assert view == msgspec.msgpack.decode(msgspec.msgpack.encode(view), type=ViewResult)


def test_the_anomaly_map_is_shown() -> None:
    """The surface is the interpreter's own map and window; a map of no numbers has none."""
    known = MapStatistics(np.zeros((4, 6), np.float32), np.ones((4, 6), np.float32))
    head = Head(TaskName.ANOMALY, (ClassSpec("anomaly", threshold=3.0),), "settings.json")
    task = AnomalyInterpreter(head, MapReading(0.1), known, Window(0, 0, 60, 40))
    distances = np.zeros((1, 4, 6), np.float32)
    distances[0, 2, 5] = 9
    said = task.interpret({"map": distances}).surface
    assert said is not None
    heat = shrink([said])
    assert heat is not None

    assert said.values is task.map
    assert ((50, 20, 60, 30), 9.0) == (hottest(heat), heat.high)
    assert None is task.interpret({"map": np.full((1, 4, 6), np.nan, np.float32)}).surface


def test_the_class_map_is_shown() -> None:
    """A semantic head shows the probability of any defect, in full from certainty on."""
    classes = (ClassSpec("background", defect=False), ClassSpec("scratch", threshold=0.6))
    task = SemanticInterpreter(
        Head(TaskName.SEMANTIC, classes, "s.json"), SemanticReading(), Window(0, 0, 40, 40), (4, 4)
    )
    defect = np.zeros((4, 4), np.float32)
    defect[1, 2] = 0.9
    said = task.interpret({"probabilities": np.stack([1 - defect, defect])[None]}).surface
    assert said is not None

    assert (0.3, 1.0) == (pytest.approx(said.low), said.high)
    assert [(1, 2)] == [tuple(place) for place in np.argwhere(said.values > 0.5).tolist()]


def test_the_first_head_with_a_map_is_shown() -> None:
    """Of several heads one is shown, the deciding one where it has a map, whole frame or tiles."""
    one, other = surface(np.ones((2, 2)), Window(0, 0, 9, 9)), surface(np.ones((2, 2)), Window(9, 0, 9, 9))
    blind = Interpretation(0.5, ())
    said = [(blind, Interpretation(0.5, (), one)), (blind, Interpretation(0.5, (), other))]

    assert (one, other) == _surfaces(said)
    assert () == _surfaces([(blind, blind)])


class Mapped:
    """Read a score and one hot place."""

    def __init__(self, score: float) -> None:
        map_ = np.zeros((32, 40), np.float32)
        map_[3, 4] = 5
        self.reading = Reading(score, (), 1.0, 2.0, surfaces=(surface(map_, Window(0, 0, 400, 320)),))

    def read(self, pixels: np.ndarray) -> Reading:
        return self.reading


class MappedBundle(Loaded):
    """Read every frame as `Mapped` does."""

    def __init__(self, score: float, novelty: float | None = None, precision: str = "f32") -> None:
        super().__init__(MANIFEST if novelty is not None else replace(MANIFEST, novelty=None), precision)
        self.mapped = Mapped(score)
        self.mapped.reading = replace(self.mapped.reading, novelty=novelty)

    def reader(self, *how: object) -> Mapped:
        return self.mapped


def view(bundle: MappedBundle, policy: Policy = TRUSTING, rules: tuple[Count, ...] = ()) -> ViewResult:
    inspector = BundleInspector(bundle, RecipeView(policy=policy, rules=rules))
    return inspector.inspect(frame(0), np.zeros((2, 2), np.uint8)).view


@given(st.floats(-3, 5))
def test_what_is_accepted_for_itself_has_no_map(score: float) -> None:
    """A map is made exactly where this view alone would not be accepted, so that good parts cost nothing."""
    assert (score <= LIMITS.accept_below) is (view(MappedBundle(score)).heat is None)


@pytest.mark.parametrize(
    ("bundle", "policy", "rules"),
    [
        (MappedBundle(0.5), TRUSTING, (Count("four", "top", "screw", 4, 4),)),
        (MappedBundle(0.5), Policy(), ()),
        (MappedBundle(0.5, novelty=1000.0), Policy(), ()),
        (MappedBundle(0.5, precision="bf16"), TRUSTING, ()),
        (MappedBundle(0.5), Policy(basis=Basis.CONFIDENCE, novelty="off"), ()),
    ],
    ids=["broken rule", "no detector of unknown parts", "unknown part", "uncalibrated", "between the bands"],
)
def test_whatever_holds_a_view_back_shows_the_map(
    bundle: MappedBundle, policy: Policy, rules: tuple[Count, ...]
) -> None:
    """A person who must look sees where, whichever rule sent the part."""
    assert view(bundle, policy, rules).heat is not None


def test_a_map_is_small() -> None:
    """At worst, of pure noise, a map takes 2.3 kB; of one defect on a quiet part a few hundred bytes."""
    random = np.random.default_rng(3)
    noise = shrink([surface(random.random((200, 300)), Window(0, 0, 300, 200))])
    quiet = np.abs(random.normal(0, 0.2, (96, 96)))
    quiet[40:52, 30:60] += 4
    spot = shrink([surface(quiet, Window(0, 0, 96, 96), low=1.5, high=6.0)])
    assert noise is not None
    assert spot is not None

    assert len(noise.cells) <= MOST_CELLS * MOST_CELLS + 32
    assert len(spot.cells) <= 400


def test_a_good_view_copies_no_map() -> None:
    """What is accepted allocates nothing that grows with the map: the hot path hands the interpreter's memory on."""
    bundle = MappedBundle(0.5)
    large = surface(np.ones((2000, 2000)), Window(0, 0, 2000, 2000))
    bundle.mapped.reading = replace(bundle.mapped.reading, surfaces=(large,))
    inspector = BundleInspector(bundle, RecipeView(policy=TRUSTING))
    pixels = np.zeros((2, 2), np.uint8)
    inspector.inspect(frame(0), pixels)
    tracemalloc.start()
    inspector.inspect(frame(0), pixels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 16 * 1024
