"""Say how the blind audit stands, and what independent answers people gave; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from msgspec import Struct

from appliance.labelling.draws import audit_draws
from appliance.labelling.standing import by_part
from appliance.learning.agreement import cohen_kappa
from appliance.learning.bootstrap import Interval, interval
from appliance.learning.rates import Rate, rate
from appliance.schema.label import UNSURE, Label, Purpose
from appliance.schema.part import PartId

INDEPENDENT = frozenset({Purpose.REVIEW, Purpose.AUDIT})
"""Purposes of labels given without seeing those of others."""


class Stratum(Struct, frozen=True):
    """Count the audit of one person's labels of one class."""

    person: str
    kind: str
    labels: int
    drawn: int
    done: int
    """Drawn labels whose part another person has labelled without seeing them."""
    agreed: Rate
    """Of those done, the ones that the other person confirmed; `unsure` confirms nothing."""


class Audit(Struct, frozen=True):
    """State how the audit stands."""

    labels: int
    """Labels in the draw."""
    drawn: int
    done: int
    agreed: Rate
    """Of those done, each counted once."""
    expected: float | None
    """Agreement to be expected of all labels, each audited one counted 1 / probability; None: none was audited."""
    interval: Interval | None
    """Of `expected`, parts drawn anew; None of few parts."""
    strata: tuple[Stratum, ...]


class Independent(Struct, frozen=True):
    """Hold what people said of parts without seeing what others said."""

    people: tuple[str, ...]
    parts: tuple[PartId, ...]
    table: tuple[tuple[str | None, ...], ...]
    """Class by part and person; None: not asked, or unsure."""


class Kappa(Struct, frozen=True):
    """State how far two people agree beyond chance on the parts that both have labelled."""

    people: tuple[str, str]
    parts: int
    kappa: float | None
    """Cohen's; None: both gave one class alone."""


class _Done(Struct, frozen=True):
    part: PartId
    agrees: bool
    probability: float


def audit(labels: Iterable[Label], seed: int) -> Audit:
    """Count the audit by person and class. labels: all of the station in the order kept, none of a seeded part."""
    those = list(labels)
    groups = by_part(those)
    counts: Counter[tuple[str, str]] = Counter()
    drawn: Counter[tuple[str, str]] = Counter()
    done: dict[tuple[str, str], list[_Done]] = {}
    for draw in audit_draws(those, seed):
        stratum = (draw.person, draw.kind)
        counts[stratum] += 1
        if not draw.drawn:
            continue
        drawn[stratum] += 1
        other = _looked(groups[draw.part], draw.person)
        if other is not None:
            done.setdefault(stratum, []).append(_Done(draw.part, other.kind == draw.kind, draw.probability))
    told = [one for found in done.values() for one in found]
    strata = [
        Stratum(*stratum, count, drawn[stratum], len(done.get(stratum, ())), _agreed(done.get(stratum, ())))
        for stratum, count in sorted(counts.items())
    ]
    return Audit(
        counts.total(), drawn.total(), len(told), _agreed(told), _expected(told), _interval(told), tuple(strata)
    )


def independent(labels: Iterable[Label]) -> Independent:
    """Give the first answer of every person to each part, where given without seeing the others'."""
    first: dict[tuple[PartId, str], str | None] = {}
    for label in labels:
        if label.purpose in INDEPENDENT:
            first.setdefault((label.part, label.person), label.kind if label.kind != UNSURE else None)
    people = tuple(sorted({person for _, person in first}))
    parts = tuple(dict.fromkeys(part for part, _ in first))
    return Independent(people, parts, tuple(tuple(first.get((part, one)) for one in people) for part in parts))


def kappas(told: Independent) -> list[Kappa]:
    """Compare every two people who have labelled the same parts."""
    found = []
    for one, other in combinations(range(len(told.people)), 2):
        both = [(kinds[one], kinds[other]) for kinds in told.table]
        known = [(a, b) for a, b in both if a is not None and b is not None]
        if known:
            kappa = cohen_kappa([a for a, _ in known], [b for _, b in known])
            found.append(Kappa((told.people[one], told.people[other]), len(known), kappa))
    return found


def _looked(group: Sequence[Label], person: str) -> Label | None:
    """Give the first label of the audit by another person."""
    return next((one for one in group if one.purpose is Purpose.AUDIT and one.person != person), None)


def _agreed(told: Sequence[_Done]) -> Rate:
    return rate(sum(one.agrees for one in told), len(told))


def _expected(told: Sequence[_Done]) -> float | None:
    """Give the weighted share (Hajek's ratio of two Horvitz-Thompson sums)."""
    total = sum(1 / one.probability for one in told)
    return sum(one.agrees / one.probability for one in told) / total if total else None


def _interval(told: Sequence[_Done]) -> Interval | None:
    return interval([str(one.part) for one in told], lambda drawn: _expected([told[place] for place in drawn]))
