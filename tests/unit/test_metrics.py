"""Rates, rankings and classes as an independent implementation counts them."""

import numpy as np
import pytest
from sklearn import metrics as reference

from appliance.learning import classification, ranking, segmentation, text
from appliance.learning.bootstrap import interval
from appliance.learning.rates import rate


def labels_and_scores(seed: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.random(count) < 0.3, generator.integers(0, 20, count).astype(np.float64)


def test_a_rate_of_nothing_has_no_value() -> None:
    """No percentage without a count; the interval of nothing is everything."""
    nothing, some = rate(0, 0), rate(5, 50)

    assert (None, 0, 0, 0.0, 1.0) == (nothing.value, nothing.k, nothing.n, nothing.low, nothing.high)
    assert (0.1, pytest.approx(0.0332751, abs=1e-6), pytest.approx(0.2181354, abs=1e-6)) == (
        some.value,
        some.low,
        some.high,
    )


@pytest.mark.parametrize("seed", range(5))
def test_rankings_equal_scikit_learn(seed: int) -> None:
    """Area under the ROC curve and average precision are the standard ones, ties included."""
    marks, scores = labels_and_scores(seed)

    assert pytest.approx(reference.roc_auc_score(marks, scores), abs=1e-12) == ranking.auroc(scores, marks)
    assert pytest.approx(reference.average_precision_score(marks, scores), abs=1e-12) == ranking.average_precision(
        scores, marks
    )


def test_ranking_of_one_class_says_nothing() -> None:
    """Without both kinds there is no ranking, and no number is made up."""
    scores = np.array([1.0, 2.0])

    assert ranking.auroc(scores, np.array([True, True])) is None
    assert ranking.average_precision(scores, np.array([False, False])) is None


def test_a_score_that_is_no_number_is_the_most_suspicious() -> None:
    """Nothing accepts nan or minus infinity, so they rank first, and equal."""
    scores = ranking.suspicion(np.array([np.nan, 1.0, -np.inf, 2.0]))

    assert [np.inf, 1.0, np.inf, 2.0] == scores.tolist()
    assert 0.625 == ranking.auroc(scores, np.array([True, False, False, True]))
    assert np.inf == ranking.limit_at(scores, 0.1)


def test_limit_at_overkill_is_the_quantile_of_good_scores() -> None:
    """At 10 % overkill of 11 good scores the limit is the tenth; one lies above."""
    good = np.arange(11.0)

    assert 9.0 == ranking.limit_at(good, 0.1)
    assert np.quantile(good, 0.93) == pytest.approx(ranking.limit_at(good, 0.07))
    with pytest.raises(ValueError, match="no good score"):
        ranking.limit_at(np.zeros(0), 0.1)


@pytest.mark.parametrize("seed", range(3))
def test_classes_equal_scikit_learn(seed: int) -> None:
    """Confusion, precision, recall, F1 and accuracy are the standard ones."""
    generator = np.random.default_rng(seed)
    truth, answered = generator.integers(0, 4, 100), generator.integers(0, 4, 100)
    counts = classification.confusion(truth, answered, 5)
    qualities = [classification.class_quality(counts, place) for place in range(4)]

    assert reference.confusion_matrix(truth, answered, labels=range(5)).tolist() == counts.tolist()
    assert pytest.approx(reference.f1_score(truth, answered, average="macro")) == classification.macro_f1(counts)
    assert pytest.approx(reference.accuracy_score(truth, answered)) == classification.accuracy(counts).value
    precision, recall, f1, _ = reference.precision_recall_fscore_support(truth, answered)
    assert pytest.approx(precision) == [one.precision.value for one in qualities]
    assert pytest.approx(recall) == [one.recall.value for one in qualities]
    assert pytest.approx(f1) == [one.f1 for one in qualities]


def test_a_class_that_never_occurs_has_no_quality() -> None:
    """Nothing to find and nothing answered: no rate, no F1, and no part in the mean."""
    counts = classification.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    quality = classification.class_quality(counts, 2)

    assert (None, None, None) == (quality.precision.value, quality.recall.value, quality.f1)
    assert pytest.approx(2 / 3) == classification.macro_f1(counts)
    assert classification.macro_f1(np.zeros((2, 2), np.int64)) is None


def test_calibration_error_is_the_mean_distance_of_promise_and_truth() -> None:
    """Bins of equal width as Guo et al. define them; bins of equal mass hold as many answers each."""
    confidences = np.array([0.05, 0.05, 0.95, 0.95, 0.95, 0.95])
    right = np.array([False, True, True, True, True, False])

    wide = classification.calibration_error(confidences, right, "equal-width", 10)
    heavy = classification.reliability(np.linspace(0, 1, 60), np.ones(60, np.bool_), "equal-mass", 15)

    assert pytest.approx((2 * 0.45 + 4 * 0.2) / 6) == wide
    assert [4] * 15 == [one.right.n for one in heavy]
    assert classification.calibration_error(np.zeros(0), np.zeros(0, np.bool_), "equal-mass") is None


def test_region_overlap_comes_from_summed_cells() -> None:
    """Intersection over union is counted over all cells of all pictures, not averaged over pictures."""
    generator = np.random.default_rng(3)
    truth, said = (generator.integers(0, 3, (2, 8, 9)).astype(np.uint8) for _ in range(2))
    counts = sum(segmentation.cell_confusion(*pair, 4) for pair in zip(truth, said, strict=True))
    expected = reference.jaccard_score(truth.ravel(), said.ravel(), average=None)

    assert pytest.approx([*expected, None]) == list(segmentation.class_iou(counts))
    assert pytest.approx(expected.mean()) == segmentation.mean_iou(counts)
    assert 0 == segmentation.cell_confusion(truth[0], said[0], 4, left_out=1)[1].sum()


def test_wrong_reads_are_told_from_no_reads() -> None:
    """A text that cannot be read is held back; one read as another passes, so they are counted apart."""
    quality = text.text_quality(["LOT 1", "LOT 2", "LOT 3", "A"], ["LOT 1", "L0T 2", "", "AB"])

    assert (1, 2, 1) == (quality.right.k, quality.wrong_read.k, quality.no_read.k)
    assert pytest.approx((1 + 5 + 1) / 16) == quality.character_errors
    assert text.text_quality([], []).character_errors is None


@pytest.mark.parametrize(
    ("truth", "said", "errors"), [("", "", 0), ("kitten", "sitting", 3), ("abc", "", 3), ("", "ab", 2), ("ab", "ba", 2)]
)
def test_edit_distance(truth: str, said: str, errors: int) -> None:
    """Insertions, losses and changes count one each."""
    assert errors == text.distance(truth, said)


def test_pictures_of_one_part_are_drawn_together() -> None:
    """Six pictures of each part make the interval no narrower than one picture of each."""
    values = np.random.default_rng(0).random(40)
    single = interval([str(n) for n in range(40)], lambda drawn: float(values[drawn].mean()))
    many = np.repeat(values, 6)
    repeated = interval([str(n) for n in range(40) for _ in range(6)], lambda drawn: float(many[drawn].mean()))

    assert single is not None
    assert repeated is not None
    assert (40, pytest.approx(single.low), pytest.approx(single.high)) == (repeated.parts, repeated.low, repeated.high)
    assert single.low < values.mean() < single.high


def test_a_drawn_part_brings_all_its_pictures() -> None:
    """However parts are mixed, a draw holds each part whole, once for each time it is drawn."""
    groups = list("abacbaaddbefghijjia")
    parts = set(groups)

    def whole(drawn: np.ndarray) -> float:
        times = np.bincount(drawn, minlength=len(groups))
        by_part = [{int(times[place]) for place, own in enumerate(groups) if own == part} for part in parts]
        return float(all(len(counts) == 1 for counts in by_part) and sum(map(min, by_part)) == len(parts))

    found = interval(groups, whole, rounds=50)

    assert found is not None
    assert (1.0, 1.0) == (found.low, found.high)


def test_an_interval_needs_parts_and_a_number() -> None:
    """A few parts tell little of others; the same seed gives the same interval."""
    values = np.arange(10.0)
    parts = list("abcdefghij")

    def metric(drawn: np.ndarray) -> float:
        return float(values[drawn].mean())

    assert interval([*parts[:9], "a"], metric) is None
    assert interval(parts, lambda _: None) is None
    assert interval(parts, metric, seed=4) == interval(parts, metric, seed=4)
