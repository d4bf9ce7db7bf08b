"""Judge answers of one class per picture, and the probabilities that come with them."""

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.learning.rates import Rate, rate

BINS = 15
"""Bins of the calibration error: Guo et al., "On calibration of modern neural networks", ICML (2017), section 4."""

Binning = Literal["equal-mass", "equal-width"]


class ClassQuality(Struct, frozen=True):
    """State how well one class is found."""

    precision: Rate
    recall: Rate
    f1: float | None
    """None where the class neither occurs nor is ever answered."""


class ReliabilityBin(Struct, frozen=True):
    """Compare what was promised in one bin with what came true."""

    confidence: float
    """Mean."""
    right: Rate


def confusion(truth: NDArray[np.intp], answered: NDArray[np.intp], classes: int) -> NDArray[np.int64]:
    """Count pictures by (true class, answered class); both (n,) in [0, classes); gives (classes, classes) int64."""
    flat = np.bincount(truth * classes + answered, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def accuracy(counts: NDArray[np.int64]) -> Rate:
    """Give the rate of right answers of a confusion matrix."""
    return rate(int(np.trace(counts)), int(counts.sum()))


def class_quality(counts: NDArray[np.int64], place: int) -> ClassQuality:
    """Give precision, recall and F1 of one class of a confusion matrix."""
    hits, answered, true = int(counts[place, place]), int(counts[:, place].sum()), int(counts[place].sum())
    f1 = 2 * hits / (answered + true) if answered + true else None
    return ClassQuality(rate(hits, answered), rate(hits, true), f1)


def macro_f1(counts: NDArray[np.int64]) -> float | None:
    """Give the mean F1 over the classes that occur or are answered; None of an empty matrix."""
    hits, both = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1)
    known = both > 0
    return float((2 * hits[known] / both[known]).mean()) if known.any() else None


def reliability(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], binning: Binning, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Sort answers into bins of equal mass or equal width, empty ones left out.

    confidences: (n,) float64 in [0, 1]. Answers of equal confidence share a bin of equal mass.
    """
    if binning == "equal-width":
        place = np.minimum((confidences * bins).astype(np.intp), bins - 1)
    else:
        ordered = np.sort(confidences)
        place = np.searchsorted(ordered, confidences, side="left") * bins // max(1, confidences.size)
    return tuple(
        ReliabilityBin(float(confidences[own].mean()), rate(int(right[own].sum()), int(own.sum())))
        for own in (place == one for one in np.unique(place))
    )


def calibration_error(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], binning: Binning, bins: int = BINS
) -> float | None:
    """Give the expected calibration error: mean distance of promise and truth over bins; None without an answer."""
    if not confidences.size:
        return None
    found = reliability(confidences, right, binning, bins)
    return sum(abs(one.confidence - one.right.k / one.right.n) * one.right.n for one in found) / confidences.size
