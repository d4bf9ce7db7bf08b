"""Say how unlike everything known a part is, whether that makes it unknown, and how often a known one is called so.

Two distances in the feature space of the backbone: Mahalanobis' from the nearest class (Lee et al., "A simple unified
framework for detecting out-of-distribution samples", 2018: one covariance for all classes), and the cosine distance
from the nearest known picture (Sun et al., "Out-of-distribution detection with deep nearest neighbors", 2022). Their
sum, each in its own spread over held-out known parts, is the novelty score; it means something only by its rank among
those parts.

Known parts are treated as exchangeable: a future known part is as likely to take any rank among the held-out ones as
any other. One score per part: images of one part are not exchangeable with images of others.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.calibration import conformal_p_value
from appliance.schema.errors import RuntimeFault

Floats = NDArray[np.float32]
DISTANCES = 2


class Known(Struct, frozen=True):
    """Hold what known parts look like."""

    mean: Floats
    """(features,) of known pictures."""
    scale: Floats
    """(features,) factor that makes the standard deviation 1."""
    whitening: Floats
    """(features, features): the squared length of (standardised - centre) @ whitening is the squared distance."""
    centres: Floats
    """(classes, features) mean of each class, standardised and whitened."""
    memory: Floats
    """(pictures, features) standardised and scaled to length 1."""
    middle: tuple[float, float]
    """Median of both distances over held-out known pictures."""
    spread: tuple[float, float]
    """What each distance is divided by behind it."""


def distances(known: Known, features: NDArray[np.generic]) -> tuple[float, float]:
    """Give Mahalanobis' distance from the nearest class and the cosine distance from the nearest picture.

    features: (features,); infinite where any is not finite.
    """
    own = features.astype(np.float32)
    if not np.isfinite(own).all():
        return math.inf, math.inf
    standard = (own - known.mean) * known.scale
    apart = standard @ known.whitening - known.centres
    length = float(np.linalg.norm(standard))
    nearest = float((known.memory @ standard).max()) / length if length else 0.0
    return float(np.sqrt((apart * apart).sum(axis=1).min())), 1.0 - nearest


def joined(known: Known, both: tuple[float, float]) -> float:
    """Give the novelty score of two distances; infinite when either is no number."""
    total = sum((one - middle) / spread for one, middle, spread in zip(both, known.middle, known.spread, strict=True))
    return total if math.isfinite(total) else math.inf


def novelty(known: Known, rows: Sequence[NDArray[np.generic]]) -> float:
    """Give the novelty score of a frame: that of its worst input image; infinite without any."""
    return max((joined(known, distances(known, row)) for row in rows), default=math.inf)


def p_value(novelty: float | None, scores: Sequence[float]) -> float | None:
    """Give the share of held-out known parts at least as unlike, the part itself counted, in (0, 1].

    novelty: None where the bundle has no detector, and so is the answer; what is not a number gets the smallest value.
    scores: sorted ascending.
    """
    return None if novelty is None else conformal_p_value(novelty, scores)


def is_unknown(novelty_p: float | None, known_parts: int, rate: float) -> bool:
    """Say whether a part counts as unknown.

    known_parts: behind the p-value. rate: share of known parts that may be taken for unknown. Too few known parts for
    the rate: then what is unlike all of them is unknown all the same, and `false_unknown_rate` says what that costs.
    Without a p-value nothing is known to be unknown; whether such a part may be accepted is the policy's matter. A
    p-value that is not a number is unknown.
    """
    if novelty_p is None:
        return False
    return not novelty_p > max(rate, 1 / (known_parts + 1))


def false_unknown_rate(known_parts: int, rate: float) -> float:
    """Give the expected share of known parts that `is_unknown` takes for unknown: the promise that goes with it.

    It is the largest multiple of 1 / (known_parts + 1) within the rate, and one of these where none is.
    """
    ranks = max(1, math.floor(rate * (known_parts + 1)))
    # The product of a rate that is a multiple may come out a bit too small as a float; the quotient does not.
    if (ranks + 1) / (known_parts + 1) <= rate:
        ranks += 1
    return ranks / (known_parts + 1)


def known_arrays(known: Known) -> dict[str, NDArray[np.generic]]:
    """Give the arrays that `read_known` reads."""
    return {
        "mean": known.mean,
        "scale": known.scale,
        "whitening": known.whitening,
        "centres": known.centres,
        "memory": known.memory,
        "middle": np.array(known.middle),
        "spread": np.array(known.spread),
    }


def read_known(arrays: Mapping[str, NDArray[np.generic]], features: int) -> Known:
    """Give what a bundle's file says; RuntimeFault when arrays are missing, not finite or not of so many features."""
    wanted = {
        "mean": (features,),
        "scale": (features,),
        "whitening": (features, features),
        "centres": (None, features),
        "memory": (None, features),
        "middle": (DISTANCES,),
        "spread": (DISTANCES,),
    }
    for name, shape in wanted.items():
        if name not in arrays or not _fits(arrays[name], shape):
            raise RuntimeFault(f"novelty: no finite `{name}` for {features} features; install the bundle again")
    if not (arrays["spread"].astype(np.float64) > 0).all():
        raise RuntimeFault("novelty: `spread` is not over 0; install the bundle again")
    own = {name: arrays[name].astype(np.float32) for name in ("mean", "scale", "whitening", "centres", "memory")}
    middle, spread = ((float(arrays[name][0]), float(arrays[name][1])) for name in ("middle", "spread"))
    return Known(**own, middle=middle, spread=spread)


def _fits(found: NDArray[np.generic], shape: tuple[int | None, ...]) -> bool:
    if not np.issubdtype(found.dtype, np.floating) or found.ndim != len(shape) or not found.size:
        return False
    return all(want in {None, is_} for want, is_ in zip(shape, found.shape, strict=True)) and bool(
        np.isfinite(found).all()
    )
