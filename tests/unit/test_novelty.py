"""A part unlike everything known is unknown; how often a known one is called so is stated, and never less."""

import math

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.decision import novelty as rule
from appliance.decision.novelty import false_unknown_rate, is_unknown, p_value
from appliance.ports.task import Reading
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.tasks.novelty import FeatureSession, NovelReader
from appliance.training.novelty import FEWEST_PARTS, fit_novelty, shrunk_covariance

FEATURES = 6
KNOWN = tuple(float(score) for score in range(99))


def clouds(seed: int, count: int = 120) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Two classes of pictures, two pictures a part: features differ by part and a little by picture."""
    random = np.random.default_rng(seed)
    labels = ["good" if index % 4 < 2 else "crack" for index in range(count)]
    groups = [f"part {index // 2}" for index in range(count)]
    parts = random.normal(0, 1, (count // 2, FEATURES))
    rows = [
        (parts[index // 2] + random.normal(0, 0.2, FEATURES) + (0 if labels[index] == "good" else 8))[None]
        for index in range(count)
    ]
    return [row.astype(np.float32) for row in rows], labels, groups


def test_rank_among_known_parts() -> None:
    """The p-value counts the part itself and every known part at least as unlike."""
    assert [1.0, 0.5, 0.01] == [p_value(score, KNOWN) for score in (-1.0, 50.0, 99.0)]
    assert [0.01, 0.01] == [p_value(score, KNOWN) for score in (math.inf, math.nan)]
    assert p_value(None, KNOWN) is None


@pytest.mark.parametrize(
    ("p", "known", "rate", "unknown"),
    [
        (0.01, 99, 0.01, True),
        (0.02, 99, 0.01, False),
        (0.05, 99, 0.05, True),
        (0.06, 99, 0.05, False),
        (1 / 21, 20, 0.01, True),
        (2 / 21, 20, 0.01, False),
        (math.nan, 99, 0.01, True),
        (None, 0, 0.01, False),
        (1.0, 0, 0.01, True),
    ],
)
def test_unknown(p: float | None, known: int, rate: float, unknown: bool) -> None:
    """Unknown is what ranks within the rate; with too few known parts for it, what is unlike all of them."""
    assert unknown == is_unknown(p, known, rate)


@pytest.mark.parametrize(
    ("known", "rate", "promised"),
    [(99, 0.01, 0.01), (98, 0.01, 1 / 99), (20, 0.01, 1 / 21), (99, 0.05, 0.05), (59, 0.05, 0.05), (0, 0.01, 1.0)],
)
def test_stated_rate(known: int, rate: float, promised: float) -> None:
    """With few known parts the stated rate is the one that can be kept, not the one wished for."""
    assert promised == false_unknown_rate(known, rate)


def test_far_from_every_class() -> None:
    """What lies between the classes, or far from both, is further from the known than a part of either class."""
    rows, labels, groups = clouds(1)
    found = fit_novelty(rows, labels, groups)
    fresh, _, _ = clouds(2)
    strange = [np.full((1, FEATURES), value, np.float32) for value in (4.0, 20.0, -20.0)]

    assert all(is_unknown(p_value(rule.novelty(found.known, row), found.scores), 60, 0.02) for row in strange)
    called = [is_unknown(p_value(rule.novelty(found.known, row), found.scores), 60, 0.05) for row in fresh]
    assert sum(called) <= 0.15 * len(fresh)


def test_classes_are_kept_apart() -> None:
    """One mean for all classes would call what lies between them the most known of all."""
    rows, labels, groups = clouds(1)
    apart, joint = (fit_novelty(rows, names, groups) for names in (labels, ["good"] * len(labels)))
    between = np.full(FEATURES, 4.0, np.float32)

    assert rule.distances(apart.known, between)[0] > 4 * np.median([rule.distances(apart.known, r[0])[0] for r in rows])
    assert rule.distances(joint.known, between)[0] < np.median([rule.distances(joint.known, r[0])[0] for r in rows])


def test_one_score_per_part_its_worst() -> None:
    """A part with many pictures counts once: one odd picture among its others makes the part's score."""
    rows, labels, groups = clouds(1)
    rows[5] = rows[5] + 30
    found = fit_novelty(rows, labels, groups)

    assert (len(set(groups)), tuple(sorted(found.scores))) == (len(found.scores), found.scores)
    assert found.scores[-1] > 3 * found.scores[-2]


def test_held_out_by_part() -> None:
    """A part's other pictures never vouch for it: two equal pictures of an odd part leave it odd."""
    rows, labels, groups = clouds(1)
    rows[4] = rows[5] = np.full((1, FEATURES), 40, np.float32)
    found = fit_novelty(rows, labels, groups)

    assert found.scores[-1] > 3 * found.scores[-2]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_features_that_are_no_numbers(broken: float) -> None:
    """Features that are not finite are infinitely unlike everything, so such a part is unknown."""
    rows, labels, groups = clouds(1)
    found = fit_novelty(rows, labels, groups)
    row = rows[0][0].copy()
    row[2] = broken

    assert math.inf == rule.novelty(found.known, [rows[0][0], row])
    assert math.inf == rule.novelty(found.known, [])


def test_stored_detector_reads_back() -> None:
    """Written and read, the detector says the same; a damaged one is refused."""
    rows, labels, groups = clouds(1)
    known = fit_novelty(rows, labels, groups).known
    arrays = rule.known_arrays(known)

    assert rule.novelty(known, rows[3]) == rule.novelty(rule.read_known(arrays, FEATURES), rows[3])
    for name, damaged in (
        ("mean", arrays["mean"][1:]),
        ("whitening", np.full((FEATURES, FEATURES), np.nan, np.float32)),
        ("memory", np.zeros((0, FEATURES), np.float32)),
        ("spread", np.zeros(2)),
        ("centres", arrays["centres"].astype(np.int32)),
    ):
        with pytest.raises(RuntimeFault, match=name):
            rule.read_known({**arrays, name: damaged}, FEATURES)
    with pytest.raises(RuntimeFault, match="mean"):
        rule.read_known(arrays, FEATURES + 1)


def test_covariance_is_shrunk() -> None:
    """With fewer pictures than features the covariance can still be inverted; with many it is the sample's."""
    random = np.random.default_rng(3)
    few, many = random.normal(size=(8, 20)), random.normal(size=(40_000, 3)) * (1, 2, 3)

    assert np.linalg.cond(shrunk_covariance(few)) < 100
    assert np.abs(shrunk_covariance(many) - np.diag([1, 4, 9])).max() < 0.3


def test_groups_and_rows_must_fit() -> None:
    """One part name per picture is needed, and more than one part."""
    rows, labels, groups = clouds(1)

    with pytest.raises(ConfigError, match="groups"):
        fit_novelty(rows, labels, groups[1:])
    assert 20 == FEWEST_PARTS


class _Session:
    """Give one row of features per run, the memory reused as a runtime does."""

    runtime, precision = "onnx", "f32"

    def __init__(self, rows: list[np.ndarray]) -> None:
        self.input = np.zeros((1, 2, 2, 3), np.uint8)
        self._rows, self._out = iter(rows), np.zeros((1, FEATURES), np.float32)

    def run(self) -> dict[str, np.ndarray]:
        self._out[:] = next(self._rows)
        return {"features": self._out}


class _Tiles:
    """Run the session once per tile."""

    def __init__(self, session: FeatureSession, tiles: int) -> None:
        self._session, self._tiles = session, tiles

    def read(self, pixels: np.ndarray) -> Reading:
        for _ in range(self._tiles):
            self._session.run()
        return Reading(0.1, (), 0.0, 0.0)


def test_worst_tile_counts() -> None:
    """A frame is as unlike as its worst tile, whichever it is, and the frame before leaves no trace."""
    rows, labels, groups = clouds(1)
    known = fit_novelty(rows, labels, groups).known
    odd = np.full((1, FEATURES), 40, np.float32)
    for place in range(3):
        first = [odd if tile == place else rows[tile] for tile in range(3)]
        session = FeatureSession(_Session([*first, *rows[:3]]), "features")
        reader = NovelReader(_Tiles(session, 3), session, known)
        own = [reader.read(np.zeros((2, 2), np.uint8)).novelty for _ in range(2)]

        assert [rule.novelty(known, [odd[0]]), rule.novelty(known, [row[0] for row in rows[:3]])] == own


def test_joined_score_is_the_sum_in_own_spreads() -> None:
    """Both distances count, each in the spread that held-out known pictures show."""
    rows, labels, groups = clouds(1)
    known = replace(fit_novelty(rows, labels, groups).known, middle=(1.0, 2.0), spread=(2.0, 4.0))

    assert 1.5 == rule.joined(known, (2.0, 6.0))
    assert math.inf == rule.joined(known, (math.nan, 6.0))
