"""Count what a bundle's own limits let pass and hold back: by picture, by class of defect and by part."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from appliance.decision.disposition import SEVERITY
from appliance.evaluation.judging import disposition
from appliance.evaluation.row import Row, kinds_of, marks_of, scores_of
from appliance.learning.bootstrap import ROUNDS, Interval, interval
from appliance.learning.ranking import auroc
from appliance.learning.rates import Rate, rate
from appliance.schema.verdict import Disposition
from appliance.services._inspector import LoadedBundle


class Bands(Struct, frozen=True):
    """State what accept and reject limits do."""

    escape_rate: Rate
    """Bad ones accepted, of all bad ones."""
    overkill_rate: Rate
    """Good ones not accepted, whether rejected or held for a person, of all good ones."""
    review_rate: Rate
    """Held for a person, of all."""
    overkill_rejected_rate: Rate
    """Good ones rejected without a person looking, of all good ones."""


def bands(rows: Sequence[Row]) -> Bands:
    """Give the rates of some pictures."""
    bad, good = [row for row in rows if row.bad], [row for row in rows if not row.bad]
    review = sum(row.disposition is Disposition.REVIEW for row in rows)
    outright = sum(row.disposition not in {Disposition.ACCEPT, Disposition.REVIEW} for row in good)
    return Bands(
        rate(sum(row.accepted for row in bad), len(bad)),
        rate(sum(not row.accepted for row in good), len(good)),
        rate(review, len(rows)),
        rate(outright, len(good)),
    )


def by_kind(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Give the escape rate of each kind of defect."""
    return {
        kind: {"escape_rate": bands([row for row in rows if kind in row.kinds]).escape_rate} for kind in kinds_of(rows)
    }


def band_intervals(rows: Sequence[Row], seed: int, rounds: int = ROUNDS) -> dict[str, Interval | None]:
    """Give the intervals of the rates when parts are drawn anew."""
    groups = [row.group for row in rows]
    bad, accepted = marks_of(rows), np.array([row.accepted for row in rows], np.bool_)
    review = np.array([row.disposition is Disposition.REVIEW for row in rows], np.bool_)

    def share(of: Any, among: Any) -> float | None:
        return float(of[among].mean()) if among.any() else None

    return {
        "escape_rate": interval(groups, lambda drawn: share(accepted[drawn], bad[drawn]), seed, rounds),
        "overkill_rate": interval(groups, lambda drawn: share(~accepted[drawn], ~bad[drawn]), seed, rounds),
        "review_rate": interval(groups, lambda drawn: float(review[drawn].mean()), seed, rounds),
    }


def by_part(rows: Sequence[Row], by_group: Mapping[str, LoadedBundle]) -> dict[str, Any]:
    """Give what holds when all pictures of a part are judged together, one decision for each.

    A part is bad when one of its pictures is. `worst`: as on the line, its worst picture decides; `mean`: the mean
    score of its pictures is held against the same limits. by_group: the bundle that judged each part.
    """
    parts = _parts(rows)
    worst = [_worst(own) for own in parts]
    mean = [
        replace(one, score=score, disposition=disposition(by_group[one.group], score))
        for one, own in zip(worst, parts, strict=True)
        for score in [sum(row.score for row in own) / len(own)]
    ]
    return {
        name: {"n": len(chosen), "image_auroc": auroc(scores_of(chosen), marks_of(chosen)), **_fields(bands(chosen))}
        for name, chosen in (("worst", worst), ("mean", mean))
    }


def worst_of_parts(rows: Sequence[Row], views: int | None = None, seed: int = 0) -> list[Row]:
    """Give one row to a part: all its defects, and score and disposition of its worst picture.

    views: so many pictures of each part, drawn at random, tell its score; None: all.
    """
    generator = np.random.default_rng(seed)
    found = []
    for own in _parts(rows):
        whole = _worst(own)
        places = generator.permutation(len(own))[:views]
        drawn = whole if views is None else _worst([own[place] for place in places])
        found.append(replace(whole, score=drawn.score, disposition=drawn.disposition))
    return found


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    parts: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        parts[row.group].append(row)
    return list(parts.values())


def _worst(rows: Sequence[Row]) -> Row:
    kinds = tuple(dict.fromkeys(kind for row in rows for kind in row.kinds))
    said = max((row.disposition for row in rows), key=SEVERITY.index)
    return Row(rows[0].group, rows[0].group, kinds, any(r.bad for r in rows), float(scores_of(rows).max()), said)


def _fields(found: Bands) -> dict[str, Rate]:
    return {name: getattr(found, name) for name in Bands.__struct_fields__}
