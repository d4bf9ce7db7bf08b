"""A confidence is what came true for such scores on other parts, and never more than the count can carry."""

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from appliance.learning.confidence import confidence_of, fit_curve, isotonic
from appliance.ports.task import Reading
from appliance.schema.bundle import ConfidenceCurve
from appliance.schema.finding import Finding
from appliance.tasks.confidence import ConfidentReader


def answers(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Give scores, whether each was right with a chance equal to the score's square, and parts of three each."""
    generator = np.random.default_rng(seed)
    scores = generator.random(count)
    return scores, generator.random(count) < scores**2, [f"part{place // 3}" for place in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_pooling_equals_scikit_learn(seed: int) -> None:
    """The rising step function nearest to the answers is the one that scikit-learn finds, ties included."""
    scores, right, _ = answers(seed, 300)
    scores = np.round(scores, 2)
    steps = isotonic(scores, right.astype(np.float64))
    found = [next(one.share for one in steps if one.low <= score <= one.high) for score in scores]

    assert pytest.approx(IsotonicRegression().fit(scores, right).predict(scores), abs=1e-9) == np.array(found)


def test_three_right_answers_are_no_certainty() -> None:
    """Few parts leave the confidence near the overall share; many may raise it, never to 1."""
    few = fit_curve("scratch", [0.1, 0.2, 0.8, 0.9, 0.95], np.array([0, 0, 1, 1, 1], bool), list("abcde"))
    many = fit_curve("scratch", np.linspace(0, 1, 400), np.arange(400) >= 200, [str(n) for n in range(400)])
    top, bottom = confidence_of(few, 1.0), confidence_of(few, 0.0)

    assert pytest.approx((3 + 2 * 4 / 7) / 5) == top
    assert pytest.approx((2 * 4 / 7) / 4) == bottom
    assert 0.99 < confidence_of(many, 1.0) < 1
    assert 0 < confidence_of(many, 0.0) < 0.01


def test_pictures_of_one_part_count_once() -> None:
    """Sixty right pictures of one part prove no more than one."""
    scores = [0.9] * 60
    one = fit_curve("scratch", scores, np.ones(60, bool), ["a"] * 60)
    sixty = fit_curve("scratch", scores, np.ones(60, bool), [str(n) for n in range(60)])

    assert pytest.approx((1 + 2 * 2 / 3) / 3) == confidence_of(one, 0.9)
    assert confidence_of(sixty, 0.9) > 0.98
    assert (1.0, 60, 60) == (one.error, one.count, one.right)


@pytest.mark.parametrize("seed", range(3))
def test_confidences_hold_on_other_parts(seed: int) -> None:
    """Fitted on one half, promises differ from truth on the other by a few hundredths, as the curve itself says."""
    scores, right, groups = answers(seed, 3000)
    curve = fit_curve("", scores[:1500], right[:1500], groups[:1500])
    promised = np.array([confidence_of(curve, score) for score in scores[1500:]])

    assert abs(promised.mean() - right[1500:].mean()) < 0.05
    assert np.abs(promised - scores[1500:] ** 2).mean() < 0.06
    assert 0 <= curve.error < 0.06


def test_a_curve_rises_and_stays_between_0_and_1() -> None:
    """Scores ascend strictly and confidences never fall, whatever the answers."""
    for seed in range(20):
        scores, right, groups = answers(seed, 30)
        curve = fit_curve("", np.round(scores, 1), right, groups)

        assert sorted(set(curve.scores)) == list(curve.scores)
        assert sorted(curve.confidences) == list(curve.confidences)
        assert 0 < curve.confidences[0]
        assert curve.confidences[-1] < 1


def test_scores_that_are_no_numbers_are_left_out_and_have_no_confidence() -> None:
    """Nan and infinity teach nothing; nan has no confidence, infinity that of the highest score."""
    curve = fit_curve("", [0.1, 0.9, math.nan, math.inf], np.array([0, 1, 1, 1], bool), list("abcd"))

    assert (2, 1) == (curve.count, curve.right)
    assert confidence_of(curve, math.nan) is None
    assert curve.confidences[-1] == confidence_of(curve, math.inf)
    assert curve.confidences[0] == confidence_of(curve, -math.inf)
    with pytest.raises(ValueError, match="no held-out score"):
        fit_curve("", [math.nan], np.array([True]), ["a"])


class _Canned:
    """Read the same findings from every frame."""

    def __init__(self, *findings: Finding) -> None:
        self.reading = Reading(1.0, findings, 2.0, 3.0)

    def read(self, pixels: np.ndarray) -> Reading:
        return self.reading


def test_findings_get_the_confidence_of_their_class() -> None:
    """A class with a curve gets its value, one without none; nothing else of the reading changes."""
    curve = ConfidenceCurve("scratch", (0.0, 1.0), (0.2, 0.8), 10, 5, 0.1)
    reader = _Canned(Finding("scratch", 0.5, None), Finding("dent", 0.5, None), Finding("scratch", math.nan, None))
    read = ConfidentReader(reader, (curve,)).read(np.zeros((2, 2), np.uint8))

    assert [pytest.approx(0.5), None, None] == [finding.confidence for finding in read.findings]
    assert (1.0, 2.0, 3.0) == (read.score, read.preprocess_ms, read.inference_ms)


def test_a_damaged_curve_stays_a_probability() -> None:
    """Whatever a manifest says, a confidence lies in [0, 1]."""
    curve = ConfidenceCurve("scratch", (0.0, 1.0), (-3.0, 7.0), 10, 5, 0.1)

    assert [0.0, 1.0, 1.0] == [confidence_of(curve, score) for score in (-1.0, 2.0, 0.9)]
