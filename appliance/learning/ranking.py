"""Measure how well a score ranks defective above good; infinity is the most suspicious score there is."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Marks = NDArray[np.bool_]


def suspicion(scores: Scores) -> Scores:
    """Give scores that can be ranked: one that is none (decision/disposition.py) is never accepted, so infinite."""
    return np.where(np.isnan(scores) | (scores == -np.inf), np.inf, scores)


def auroc(scores: Scores, positive: Marks) -> float | None:
    """Give the share of (positive, negative) pairs that the score orders rightly, ties half; None without a pair.

    scores: (n,) float64 without nan; positive: (n,) bool. It is the area under the ROC curve: Hanley and McNeil, "The
    meaning and use of the area under a ROC curve", Radiology 143 (1982).
    """
    with_defect = int(positive.sum())
    pairs = with_defect * (positive.size - with_defect)
    if pairs == 0:
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[positive].sum() - with_defect * (with_defect + 1) / 2) / pairs)


def average_precision(scores: Scores, positive: Marks) -> float | None:
    """Give the sum of precision times gain in recall over all thresholds, no interpolation; None without a positive."""
    wanted = int(positive.sum())
    if wanted == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_ties = np.append(scores[order][1:] != scores[order][:-1], True)
    hits, flagged = hits[last_of_ties], np.flatnonzero(last_of_ties) + 1
    return float(((hits / flagged) * np.diff(hits, prepend=0)).sum() / wanted)


def limit_at(good_scores: Scores, overkill: float) -> float:
    """Give the 1 - overkill quantile of good scores, linear between neighbours; what is above it is flagged.

    Set on the good images that are judged with it, so it flatters: a limit from other good images does worse.
    ValueError without a good score.
    """
    if good_scores.size == 0:
        raise ValueError("ranking: no good score, at least 1 is needed to set a limit; add good images")
    ordered = np.sort(good_scores)
    place = (1 - overkill) * (ordered.size - 1)
    low, high = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    return float(low if low == high else low + (place - np.floor(place)) * (high - low))
