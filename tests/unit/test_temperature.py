"""The smooth curve says what came true for such scores, agrees with scikit-learn, and stays modest from few parts."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from appliance.learning.classification import calibration_error
from appliance.learning.confidence import confidence_of, expected_error, fit_curve, log_loss
from appliance.learning.temperature import drawn, fit_temperature, probabilities


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def population(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give scores whose chance to be right is logistic((x - 2) / 0.7), each of a part of its own."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(2, 1.5, count)
    return scores, generator.random(count) < logistic((scores - 2) / 0.7), np.array([str(n) for n in range(count)])


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_the_maximum_of_likelihood(seed: int) -> None:
    """With many parts the aims are nearly 0 and 1, and the fit is plain logistic regression's."""
    scores, right, parts = population(seed, 20_000)
    curve = fit_temperature(scores, right, parts, logit=False)
    other = LogisticRegression(C=1e9).fit(scores[:, None], right)
    slope, shift = float(other.coef_[0, 0]), float(other.intercept_[0])

    assert pytest.approx(1 / slope, rel=2e-3) == curve.temperature
    assert pytest.approx(-shift / slope, abs=2e-3) == curve.offset
    assert pytest.approx(0.7, rel=0.1) == curve.temperature


def test_shares_are_scaled_in_their_logit() -> None:
    """An overconfident network's shares are divided by its temperature, which is found again."""
    generator = np.random.default_rng(1)
    honest = generator.normal(0, 2, 20_000)
    right = generator.random(honest.size) < logistic(honest)
    parts = np.array([str(n) for n in range(honest.size)])
    curve = fit_temperature(logistic(3 * honest), right, parts, logit=True)

    assert pytest.approx(3.0, rel=0.1) == curve.temperature
    assert pytest.approx(0.0, abs=0.15) == curve.offset


def test_clean_separation_gives_no_certainty() -> None:
    """Ten parts of each kind, cleanly apart, say at most what 20 parts of one kind would say."""
    scores = np.concatenate([np.linspace(0, 1, 10), np.linspace(8, 9, 10)])
    parts = np.array([str(n) for n in range(20)])
    curve = fit_temperature(scores, scores > 5, parts, logit=False)
    said = probabilities(curve, np.array([-1e9, 0.0, 9.0, 1e9]))

    assert 1 / 22 == curve.least
    assert (said >= 1 / 22 - 1e-12).all()
    assert (said <= 21 / 22 + 1e-12).all()


def test_pictures_of_one_part_count_once() -> None:
    """A hundred pictures of two parts are no hundred parts."""
    scores = np.concatenate([np.linspace(0, 1, 50), np.linspace(8, 9, 50)])
    curve = fit_temperature(scores, scores > 5, np.array(["a"] * 50 + ["b"] * 50), logit=False)

    assert probabilities(curve, np.array([9.0]))[0] <= 0.75
    assert probabilities(curve, np.array([0.0]))[0] >= 0.25


def test_a_curve_that_would_fall_is_none() -> None:
    """More suspicious never means less likely to be a defect; one kind of answer, or one score, makes no curve."""
    scores, parts = np.linspace(0, 1, 20), np.array([str(n) for n in range(20)])

    assert fit_temperature(scores, scores < 0.5, parts, logit=False) is None
    assert fit_temperature(scores, np.ones(20, bool), parts, logit=False) is None
    assert fit_temperature(np.ones(20), scores < 0.5, parts, logit=False) is None


@pytest.mark.parametrize("logit", [False, True])
def test_straight_lines_follow_the_curve(logit: bool) -> None:
    """What a manifest keeps differs from the curve by less than 0.002, rises, and ends with the last scores."""
    scores, right, parts = population(4, 400)
    scores = logistic(scores) if logit else scores
    curve = fit_temperature(scores, right, parts, logit=logit)
    places, confidences = drawn(curve)
    grid = np.linspace(scores.min() - 1, scores.max() + 1, 5001)

    assert np.abs(np.interp(grid, places, confidences) - probabilities(curve, grid)).max() < 2e-3
    assert sorted(set(places)) == list(places)
    assert sorted(confidences) == list(confidences)
    assert (scores.min(), scores.max()) == (places[0], places[-1])


def test_the_method_with_less_log_loss_on_other_parts_is_kept() -> None:
    """A smooth truth keeps the smooth curve, a step keeps steps; both losses are stated, the kept one is smaller."""
    scores, right, parts = population(5, 300)
    generator = np.random.default_rng(6)
    stepped = generator.random(1500) < np.where(np.linspace(-1, 1, 1500) ** 3 > -0.3, 0.75, 0.05)
    smooth = fit_curve("", scores, right, parts.tolist())
    steps = fit_curve("", np.linspace(-1, 1, 1500) ** 3, stepped, [str(n) for n in range(1500)])

    assert ("temperature", 300, 300) == (smooth.method, smooth.count, smooth.parts)
    assert smooth.log_losses["temperature"] < smooth.log_losses["isotonic"]
    assert "isotonic" == steps.method
    assert steps.log_losses["isotonic"] < steps.log_losses["temperature"]


def test_few_parts_take_steps() -> None:
    """Under ten parts the comparison would be chance: steps are taken, and the error has no interval."""
    scores, right, _ = population(7, 90)
    curve = fit_curve("", scores, right, [str(n % 9) for n in range(90)])

    assert ("isotonic", 9, None, None) == (curve.method, curve.parts, curve.error_low, curve.error_high)
    assert {"isotonic", "temperature"} == set(curve.log_losses)


def test_the_stated_error_is_that_of_parts_left_out() -> None:
    """Error and log loss of a curve fitted to noise are those of noise, with an interval by part around them."""
    generator = np.random.default_rng(8)
    right = generator.random(200) < 0.5
    curve = fit_curve("", generator.random(200), right, [str(n // 2) for n in range(200)])

    assert min(curve.log_losses.values()) > 0.68
    assert 0 <= curve.error_low <= curve.error_high <= 1
    assert curve.error_low - 0.05 <= curve.error <= curve.error_high + 0.05


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_the_fast_error_is_the_published_one(bins: int) -> None:
    """The error that intervals are drawn from equals the expected calibration error over bins of equal mass."""
    generator = np.random.default_rng(9)
    chances = np.round(generator.random(150), 2)
    right = generator.random(150) < chances

    assert pytest.approx(calibration_error(chances, right, "equal-mass", bins)) == expected_error(chances, right, bins)


def test_log_loss_of_a_wrong_certainty_is_finite() -> None:
    """A chance of 1 that was wrong costs much, and no infinity."""
    assert pytest.approx(-math.log(1e-12)) == log_loss(np.array([1.0]), np.array([False]))


def test_confidences_of_the_smooth_curve_hold_on_other_parts() -> None:
    """Fitted on 300 parts, promises differ from the truth by a few hundredths."""
    scores, right, parts = population(10, 300)
    curve = fit_curve("", scores, right, parts.tolist())
    others = np.random.default_rng(11).normal(2, 1.5, 2000)
    promised = np.array([confidence_of(curve, score) for score in others])

    assert np.abs(promised - logistic((others - 2) / 0.7)).mean() < 0.03
